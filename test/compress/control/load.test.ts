import { availableParallelism } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readCpuQuota } from '../../../src/compress/codecs/cores.ts';
import { LoadMeter } from '../../../src/compress/control/load.ts';
import { until } from '../../support/until.ts';

type Files = Readonly<Record<string, string>>;

const self = '/proc/self/cgroup';
const root = '/sys/fs/cgroup';

function quota(files: Files): number {
  return readCpuQuota((path) => files[path]);
}

describe('readCpuQuota', () => {
  const rows: [what: string, cores: number, files: Files][] = [
    ['no control groups', Infinity, {}],
    ['an empty list', Infinity, { [self]: '' }],
    ['version 2 in a container', 1.5, { [self]: '0::/\n', [`${root}/cpu.max`]: '150000 100000\n' }],
    ['version 2 without a quota', Infinity, { [self]: '0::/\n', [`${root}/cpu.max`]: 'max 100000\n' }],
    ['version 2 without the controller', Infinity, { [self]: '0::/\n' }],
    ['version 2 with less than a core', 0.25, { [self]: '0::/\n', [`${root}/cpu.max`]: '25000 100000' }],
    [
      'its own group',
      2,
      { [self]: '0::/app.slice/api.service\n', [`${root}/app.slice/api.service/cpu.max`]: '200000 100000' },
    ],
    [
      'the tightest on the way up',
      1,
      {
        [self]: '0::/a/b/c\n',
        [`${root}/a/b/c/cpu.max`]: '400000 100000',
        [`${root}/a/b/cpu.max`]: '50000 50000',
        [`${root}/a/cpu.max`]: 'max 100000',
        [`${root}/cpu.max`]: '300000 100000',
      },
    ],
    [
      'a neighbour does not count',
      Infinity,
      { [self]: '0::/a/b\n', [`${root}/a/c/cpu.max`]: '10000 100000', [`${root}/b/cpu.max`]: '10000 100000' },
    ],
    [
      'a path out of the namespace',
      3,
      { [self]: '0::/../a\n', [`${root}/a/cpu.max`]: '10000 100000', [`${root}/cpu.max`]: '300000 100000' },
    ],
    ['a path with a colon', 1, { [self]: '0::/a:b\n', [`${root}/a:b/cpu.max`]: '100000 100000' }],
    [
      'version 1',
      2.5,
      {
        [self]: '4:cpu,cpuacct:/\n1:name=systemd:/x\n',
        [`${root}/cpu/cpu.cfs_quota_us`]: '250000\n',
        [`${root}/cpu/cpu.cfs_period_us`]: '100000\n',
      },
    ],
    [
      'version 1, controllers the other way round',
      1,
      {
        [self]: '4:cpuacct,cpu:/\n',
        [`${root}/cpu/cpu.cfs_quota_us`]: '100000',
        [`${root}/cpu/cpu.cfs_period_us`]: '100000',
      },
    ],
    [
      'version 1 without a quota',
      Infinity,
      { [self]: '1:cpu:/\n', [`${root}/cpu/cpu.cfs_quota_us`]: '-1\n', [`${root}/cpu/cpu.cfs_period_us`]: '100000\n' },
    ],
    [
      'version 1, a path of the host in a container',
      2,
      {
        [self]: '1:cpu:/docker/0123\n',
        [`${root}/cpu/cpu.cfs_quota_us`]: '200000',
        [`${root}/cpu/cpu.cfs_period_us`]: '100000',
      },
    ],
    [
      'version 1, a quota without a period',
      Infinity,
      { [self]: '1:cpu:/\n', [`${root}/cpu/cpu.cfs_quota_us`]: '200000' },
    ],
    [
      'version 1, other controllers',
      Infinity,
      {
        [self]: '1:cpuset:/\n2:cpuacct:/\n',
        [`${root}/cpu/cpu.cfs_quota_us`]: '200000',
        [`${root}/cpu/cpu.cfs_period_us`]: '100000',
      },
    ],
    [
      'both versions',
      1,
      {
        [self]: '1:cpu:/a\n0::/b\n',
        [`${root}/cpu/a/cpu.cfs_quota_us`]: '100000',
        [`${root}/cpu/a/cpu.cfs_period_us`]: '100000',
        [`${root}/b/cpu.max`]: '300000 100000',
      },
    ],
    ['nonsense', Infinity, { [self]: 'nonsense\n:::\n0::/\n', [`${root}/cpu.max`]: 'a b c' }],
    ['an empty file', Infinity, { [self]: '0::/\n', [`${root}/cpu.max`]: '' }],
    ['a quota of 0', Infinity, { [self]: '0::/\n', [`${root}/cpu.max`]: '0 100000' }],
    ['a period of 0', Infinity, { [self]: '0::/\n', [`${root}/cpu.max`]: '100000 0' }],
  ];

  it.each(rows)('%s: %d', (_what, cores, files) => {
    expect(quota(files)).toBe(cores);
  });
});

/** A machine whose counters are moved by hand. */
function machine(cores = 4) {
  const counters = { now: 1000, cpuTime: 500, active: 200, idle: 800 };
  const meter = new LoadMeter({
    cores,
    now: () => counters.now,
    cpuTime: () => counters.cpuTime,
    loop: () => ({ active: counters.active, idle: counters.idle }),
  });
  return {
    meter,
    /** What is left is idle. @param busy - of the loop, @param cpu - of the process */
    pass(elapsed: number, cpu = 0, busy = 0): number {
      counters.now += elapsed;
      counters.cpuTime += cpu;
      counters.active += busy;
      counters.idle += elapsed - busy;
      return meter.read();
    },
  };
}

function observe(meter: LoadMeter, latency: number, count: number): void {
  for (let index = 0; index < count; index++) meter.observe(latency);
}

describe('the load', () => {
  it('is 0 when nothing happens', () => {
    expect(machine().pass(1000)).toBe(0);
  });

  it('is the CPU time of the process over the cores that it has', () => {
    expect(machine(4).pass(1000, 2000)).toBe(0.5);
    expect(machine(2).pass(1000, 2000)).toBe(1);
    expect(machine(0.5).pass(1000, 250)).toBe(0.5);
  });

  it('is how busy the event loop was', () => {
    expect(machine(8).pass(1000, 900, 900)).toBe(0.9);
  });

  it('is of the time since the last call', () => {
    const { pass } = machine(2);
    expect(pass(1000, 2000)).toBe(1);
    expect(pass(2000, 1000)).toBe(0.25);
    expect(pass(1000)).toBe(0);
  });

  it('is the worst of its signals', () => {
    const { meter, pass } = machine(2);
    observe(meter, 20, 50);
    expect(pass(1000, 600, 500)).toBeCloseTo(0.8, 10);
    observe(meter, 5, 50);
    expect(pass(10_000, 15_000, 500)).toBe(0.75);
  });

  it('is 0 when no time has passed', () => {
    expect(machine().pass(0)).toBe(0);
  });
});

describe('the latency of encodes', () => {
  it.each([
    [5, 0.2],
    [12.5, 0.5],
    [25, 1],
    [50, 2],
    [5000, 2],
  ])('of %d ms on average is a load of %d', (latency, load) => {
    const { meter, pass } = machine();
    observe(meter, latency, 100);
    expect(pass(1000)).toBeCloseTo(load, 10);
  });

  it('is an average', () => {
    const { meter, pass } = machine();
    observe(meter, 10, 50);
    observe(meter, 30, 50);
    expect(pass(1000)).toBeCloseTo(0.8, 10);
  });

  it('stays under the first threshold after one slow encode, however slow', () => {
    const { meter, pass } = machine();
    observe(meter, 60_000, 1);
    expect(pass(1000)).toBe(0.25);
  });

  it('fades when no more come, and goes to 0', () => {
    const { meter, pass } = machine();
    observe(meter, 25, 10);
    const loads = [pass(1000), pass(1000), pass(1000), pass(10_000), pass(100_000)];
    expect(loads.map((load) => Math.round(load * 100) / 100)).toEqual([1, 0.37, 0.14, 0, 0]);
    expect(loads.at(-1)).toBeLessThan(1e-40);
  });

  it('rises at once, and does not fall faster than it fades', () => {
    const { meter, pass } = machine();
    observe(meter, 25, 10);
    pass(1000);
    observe(meter, 1, 10);
    expect(pass(100)).toBeCloseTo(Math.exp(-0.1), 10);
    observe(meter, 40, 10);
    expect(pass(100)).toBeCloseTo(1.6, 10);
  });
});

describe('this process', () => {
  it('is loaded while it works', async () => {
    const meter = new LoadMeter();
    const end = performance.now() + 200;
    while (performance.now() < end) meter.observe(0);
    // The loop counts its own time at its turns.
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(meter.read()).toBeGreaterThan(0.5 / availableParallelism());
  });

  it('is hardly loaded while it waits', async () => {
    const meter = new LoadMeter();
    const loads: number[] = [];
    const timer = setInterval(() => loads.push(meter.read()), 50);
    onTestFinished(() => clearInterval(timer));
    await until(
      () => loads.length > 2 && Math.min(...loads) < 0.3,
      () => `loads of ${loads.join()}`,
    );
  });
});
