import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createGovernor, type Governor, type GovernorOptions } from '../../../src/compress/control/governor.ts';
import type { Tier } from '../../../src/compress/codec.ts';
import type { CompressErrorMessage, TierChange } from '../../../src/compress/events.ts';
import { InvalidOptionError } from '../../../src/errors.ts';
import { until } from '../../support/until.ts';

function published(channel: string): unknown[] {
  const messages: unknown[] = [];
  const note = (message: unknown): void => void messages.push(message);
  subscribe(channel, note);
  onTestFinished(() => void unsubscribe(channel, note));
  return messages;
}

/** What is published on the channel of errors while the test runs. */
function publishedErrors(): () => unknown[] {
  const messages = published('sluice:compress:error');
  return () => messages.map((message) => (message as CompressErrorMessage).error);
}

/** A governor that is closed when the test ends. */
function create(options?: GovernorOptions): Governor {
  const governor = createGovernor(options);
  onTestFinished(() => governor.close());
  return governor;
}

function changesOf(governor: Governor): Tier[] {
  const changes: Tier[] = [];
  governor.on('tier', ({ tier }) => changes.push(tier));
  return changes;
}

describe('with a load that is set by hand', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  it('starts at tier 0 and samples once a second', () => {
    let samples = 0;
    const governor = create({ sample: () => samples++ * 0 });
    expect([governor.tier, governor.load, samples]).toEqual([0, 0, 0]);
    vi.advanceTimersByTime(999);
    expect(samples).toBe(0);
    vi.advanceTimersByTime(2001);
    expect(samples).toBe(3);
  });

  it('goes up with the load, and comes down a tier per dwell', () => {
    let load = 1;
    const governor = create({ sample: () => load });
    const changes = changesOf(governor);
    vi.advanceTimersByTime(6000);
    expect([governor.tier, governor.load, changes]).toEqual([3, 1, [1, 2, 3]]);
    load = 0;
    vi.advanceTimersByTime(5000);
    expect(governor.tier).toBe(3);
    vi.advanceTimersByTime(30_000);
    expect([governor.tier, governor.load, changes]).toEqual([0, 0, [1, 2, 3, 2, 1, 0]]);
  });

  it('goes up several tiers at once', () => {
    const governor = create({ sample: () => 4 });
    const changes = changesOf(governor);
    vi.advanceTimersByTime(1000);
    expect(changes).toEqual([3]);
  });

  it('follows its options', () => {
    let load = 0.3;
    const governor = create({
      interval: '100ms',
      thresholds: [0.2, 0.5, 2],
      hysteresis: 0.15,
      dwell: 1000,
      sample: () => load,
    });
    const changes = changesOf(governor);
    vi.advanceTimersByTime(10_000);
    load = 1;
    vi.advanceTimersByTime(10_000);
    load = 0.06;
    vi.advanceTimersByTime(20_000);
    load = 0.04;
    vi.advanceTimersByTime(10_000);
    expect(changes).toEqual([1, 2, 1, 0]);
  });

  it('keeps a small first threshold reachable from above: the default hysteresis is half of it', () => {
    let load = 1;
    const governor = create({ thresholds: [0.06, 0.5, 0.9], sample: () => load });
    vi.advanceTimersByTime(10_000);
    load = 0.02;
    vi.advanceTimersByTime(60_000);
    expect(governor.tier).toBe(0);
  });

  it('does not flap with a load that does', () => {
    let samples = 0;
    const governor = create({ sample: () => (samples++ % 2 === 0 ? 0.35 : 0.55) });
    const changes = changesOf(governor);
    vi.advanceTimersByTime(3_600_000);
    expect(changes).toEqual([1]);
  });

  it('tells of each change, to listeners and on the channel', () => {
    const messages = published('sluice:compress:tier');
    const governor = create({ sample: () => 0.8 });
    const told: TierChange[] = [];
    governor.on('tier', (change) => {
      expect(governor.tier).toBe(change.tier);
      told.push(change);
    });
    vi.advanceTimersByTime(10_000);
    expect(told).toEqual([
      { tier: 1, previous: 0, load: expect.closeTo(0.5057, 3) },
      { tier: 2, previous: 1, load: expect.closeTo(0.7602, 3) },
    ]);
    expect(messages).toEqual(told);
  });

  it('returns an undo for each registration', () => {
    const governor = create({ sample: () => 1 });
    let calls = 0;
    const listener = (): void => void calls++;
    const undo = governor.on('tier', listener);
    governor.on('tier', listener);
    vi.advanceTimersByTime(1000);
    expect(calls).toBe(2);
    undo();
    undo();
    vi.advanceTimersByTime(1000);
    expect(calls).toBe(3);
  });

  it('tells the others when a listener throws, and publishes what it threw', () => {
    const errors = publishedErrors();
    const governor = create({ sample: () => 1 });
    const error = new Error('mine');
    governor.on('tier', () => {
      throw error;
    });
    const changes = changesOf(governor);
    vi.advanceTimersByTime(2000);
    expect([changes, errors()]).toEqual([
      [1, 2],
      [error, error],
    ]);
  });

  it.each<[string, () => unknown, string]>([
    [
      'throws',
      () => {
        throw new Error('mine');
      },
      'mine',
    ],
    [
      'gives NaN',
      () => NaN,
      'Expected `governor.sample` to be a function that returns a load, 0 or more, got NaN (number)',
    ],
    [
      'gives less than 0',
      () => -0.1,
      'Expected `governor.sample` to be a function that returns a load, 0 or more, got -0.1 (number)',
    ],
    [
      'gives no number',
      () => '0.5',
      'Expected `governor.sample` to be a function that returns a load, 0 or more, got "0.5" (string)',
    ],
    [
      'gives nothing',
      () => undefined,
      'Expected `governor.sample` to be a function that returns a load, 0 or more, got undefined',
    ],
  ])('keeps the tier and publishes the error when the sample %s, and goes on after it', (_name, fail, message) => {
    const errors = publishedErrors();
    let sample: () => unknown = () => 1;
    const governor = create({ sample: () => sample() as number });
    vi.advanceTimersByTime(2000);
    const { tier, load } = governor;
    expect(tier).toBe(2);
    sample = fail;
    vi.advanceTimersByTime(2000);
    expect([governor.tier, governor.load]).toEqual([tier, load]);
    expect(errors().map((error) => (error as Error).message)).toEqual([message, message]);
    sample = () => 1;
    vi.advanceTimersByTime(2000);
    expect(governor.tier).toBe(3);
  });

  it('fires nothing after close, which may be called again', () => {
    const messages = published('sluice:compress:tier');
    let samples = 0;
    const governor = create({ sample: () => ++samples });
    const changes = changesOf(governor);
    vi.advanceTimersByTime(1000);
    expect([governor.tier, changes, messages.length]).toEqual([1, [1], 1]);
    governor.close();
    governor.close();
    governor.observe(10);
    governor.on('tier', () => expect.unreachable());
    vi.advanceTimersByTime(100_000);
    expect([governor.tier, samples, changes, messages.length]).toEqual([1, 1, [1], 1]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('tells nobody any more when a listener closes it', () => {
    const governor = create({ sample: () => 1 });
    governor.on('tier', () => governor.close());
    const changes = changesOf(governor);
    vi.advanceTimersByTime(10_000);
    expect([governor.tier, changes]).toEqual([1, []]);
  });

  it('does not change any more when its sample closes it', () => {
    const messages = published('sluice:compress:tier');
    const governor: Governor = create({
      sample: () => {
        governor.close();
        return 1;
      },
    });
    vi.advanceTimersByTime(10_000);
    expect([governor.tier, messages]).toEqual([0, []]);
  });

  it('refuses an event that does not exist, and what is no function', () => {
    const governor = create({ sample: () => 0 });
    expect(() => governor.on('load' as never, () => undefined)).toThrow('`governor.on`');
    expect(() => governor.on('tier', undefined as never)).toThrow('`governor.on.listener`');
  });
});

describe('the options', () => {
  const duration = 'a duration: milliseconds or a string like "30s"';
  const ascending = 'three ascending numbers over 0';
  const belowFirst = 'a number, 0 or more and less than the first threshold, 0.45';
  const rows: [option: string, options: unknown, expected: string, got: string][] = [
    ['governor', 'fast', 'an object', '"fast" (string)'],
    ['governor', null, 'an object', 'null'],
    ['governor.interval', { interval: 0 }, `${duration}, from 1 to 2147483647`, '0 (number)'],
    ['governor.interval', { interval: Infinity }, `${duration}, from 1 to 2147483647`, 'Infinity (number)'],
    ['governor.interval', { interval: 'often' }, `${duration}, from 1 to 2147483647`, '"often" (string)'],
    ['governor.dwell', { dwell: -1 }, `${duration}, >= 0`, '-1 (number)'],
    ['governor.dwell', { dwell: NaN }, `${duration}, >= 0`, 'NaN (number)'],
    ...[
      [0.5, 0.9],
      [0.1, 0.2, 0.3, 0.4],
      [0, 0.5, 0.9],
      [-1, 0.5, 0.9],
      [0.5, 0.5, 0.9],
      [0.9, 0.5, 0.95],
      [0.1, 0.2, NaN],
      [0.1, '0.2', 0.3],
      [Infinity, 1, 2],
      new Array(3),
      [0.1, 0.2, undefined],
    ].map((thresholds): [string, unknown, string, string] => [
      'governor.thresholds',
      { thresholds },
      ascending,
      'Array (object)',
    ]),
    ['governor.thresholds', { thresholds: 0.5 }, ascending, '0.5 (number)'],
    ['governor.hysteresis', { hysteresis: 0.45 }, belowFirst, '0.45 (number)'],
    ['governor.hysteresis', { hysteresis: -0.1 }, belowFirst, '-0.1 (number)'],
    ['governor.hysteresis', { hysteresis: NaN }, belowFirst, 'NaN (number)'],
    ['governor.hysteresis', { hysteresis: '5%' }, belowFirst, '"5%" (string)'],
    ['governor.sample', { sample: 0.5 }, 'a function', '0.5 (number)'],
  ];

  it.each(rows)('refuses %s of %o', (option, options, expected, got) => {
    let error: unknown;
    try {
      createGovernor(options as never).close();
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ option, message: `Expected \`${option}\` to be ${expected}, got ${got}` });
  });

  it.each<GovernorOptions>([
    {},
    { thresholds: [0.5, 1, 1.5] },
    { thresholds: [0.45, Infinity, Infinity] },
    { thresholds: [Infinity, Infinity, Infinity] },
    { dwell: Infinity },
    { dwell: 0, hysteresis: 0 },
    { interval: 1 },
  ])('takes %o', (options) => {
    expect(() => createGovernor(options).close()).not.toThrow();
  });

  it('does not follow what happens to them', () => {
    const thresholds: [number, number, number] = [0.4, 0.5, 0.6];
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const governor = create({ thresholds, sample: () => 0.45 });
    thresholds[0] = 0.1;
    thresholds[1] = 0.2;
    vi.advanceTimersByTime(20_000);
    expect(governor.tier).toBe(1);
  });
});

/** Notes ten times a second which share of the CPU this process got. */
function followShare(shares: number[]): () => void {
  let before = { at: performance.now(), usage: process.cpuUsage() };
  const timer = setInterval(() => {
    const now = { at: performance.now(), usage: process.cpuUsage() };
    const used = now.usage.user + now.usage.system - before.usage.user - before.usage.system;
    shares.push(used / 1000 / (now.at - before.at) / availableParallelism());
    before = now;
  }, 100);
  return () => clearInterval(timer);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

describe('in a real process', () => {
  it('does not keep it alive', () => {
    const timeouts = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timeouts();
    create();
    expect(timeouts()).toBe(before);
  });

  it('sees encodes that take long, and comes back when there are none', async () => {
    // Only the latency goes over 1: the other two are shares.
    const governor = create({ interval: 20, dwell: 100, thresholds: [1.2, Infinity, Infinity] });
    const changes = changesOf(governor);
    const timer = setInterval(() => {
      for (let count = 0; count < 20; count++) governor.observe(50);
    }, 5);
    onTestFinished(() => clearInterval(timer));
    const describeState = (): string => `tier ${governor.tier}, load ${governor.load}`;
    await until(() => changes.length >= 1, describeState);
    clearInterval(timer);
    await until(() => changes.length >= 2, describeState);
    expect(changes).toEqual([1, 0]);
  });

  it('leaves out a latency that is none', async () => {
    const governor = create({ interval: 10 });
    for (const latency of [NaN, -1, -Infinity]) governor.observe(latency);
    // One of them in the sum, and the load would be NaN or less than 0 from then on.
    await until(
      () => governor.load > 0,
      () => `a load of ${governor.load}`,
    );
  });

  it(
    'goes up while threads burn the CPU and down when they are gone, and does not flap',
    { timeout: 240_000 },
    async () => {
      const governor = create({
        interval: 100,
        dwell: '500ms',
        thresholds: [0.25, Infinity, Infinity],
        hysteresis: 0.1,
      });
      const changes = changesOf(governor);
      const burn = 'for (;;) Math.sqrt(Math.random());';
      const describeState = (): string => `tier ${governor.tier}, load ${governor.load}, changes ${changes.join()}`;
      // Of each tenth of a second, what the machine gave to the threads: others may want it too.
      const shares: number[] = [];
      for (let round = 1; round <= 2; round++) {
        const threads = Array.from({ length: 2 * availableParallelism() }, () => new Worker(burn, { eval: true }));
        await Promise.all(threads.map((thread) => once(thread, 'online')));
        const stop = followShare(shares);
        try {
          const end = performance.now() + 20_000;
          await until(() => changes.length >= 2 * round - 1 || performance.now() > end, describeState, 50_000);
          // Three dwells: long enough, if it were to flap.
          await new Promise((resolve) => setTimeout(resolve, 1500));
        } finally {
          stop();
          await Promise.all(threads.map((thread) => thread.terminate()));
        }
        await until(() => governor.tier === 0, describeState, 50_000);
      }
      // A machine that has no CPU for the threads shows nothing. One that has it all the time shows everything.
      if (mean(shares) > 0.5) expect(changes.slice(0, 2)).toEqual([1, 0]);
      if (Math.min(...shares) > 0.3) expect(changes).toEqual([1, 0, 1, 0]);
    },
  );
});
