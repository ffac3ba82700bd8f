import { describe, expect, it } from 'vitest';
import { measuredCosts, readCosts, readDemand } from '../../bench/capacity/arguments.js';
import { channelsOf, type Costs, deliverySecond, type Demand, type Limits, plan } from '../../bench/capacity/model.js';
import { UsageError } from '../../bench/support/usage-error.js';

const demand: Demand = { clients: 1_000_000, channels: 1, channelsPerClient: 1, rate: 10, batch: 0 };
const costs: Costs = {
  delivery: 10,
  deliveryOfFive: 3,
  receive: 100,
  clientBytes: 30_000,
  processBytes: 100e6,
  redisEvent: 200,
  redisProcess: 5,
};
const limits: Limits = { load: 0.7, memory: 2e9, connections: 25_000 };

describe('deliverySecond', () => {
  // Of 10 µs for one event and 3 for each of five, 8.75 are for the tick and 1.25 for the event.
  it.each([
    [{ rate: 1, batch: 0 }, 10],
    [{ rate: 10, batch: 0 }, 100],
    [{ rate: 10, batch: 50 }, 100],
    [{ rate: 100, batch: 50 }, 20 * 8.75 + 100 * 1.25],
    [{ rate: 100, batch: 100 }, 10 * 8.75 + 100 * 1.25],
    [{ rate: 0, batch: 50 }, 0],
  ])('costs %j', (given, microseconds) => {
    expect(deliverySecond(given, costs)).toBeCloseTo(microseconds, 9);
  });

  it('gives five events of a tick what was measured for them', () => {
    expect(deliverySecond({ rate: 50, batch: 100 }, costs)).toBeCloseTo(50 * costs.deliveryOfFive, 9);
  });

  it('takes no event for free where five cost less than one did', () => {
    expect(deliverySecond({ rate: 10, batch: 0 }, { delivery: 10, deliveryOfFive: 1 })).toBe(100);
  });
});

describe('channelsOf', () => {
  it.each([
    [25_000, { channels: 1, channelsPerClient: 1 }, 1],
    [0, { channels: 100, channelsPerClient: 1 }, 0],
    [1, { channels: 100, channelsPerClient: 3 }, 3],
    [1, { channels: 2, channelsPerClient: 5 }, 2],
    // Nearly one each, where channels are many.
    [100, { channels: 1e12, channelsPerClient: 1 }, 100],
    // 1 - 1/e of them, with as many clients as channels.
    [10_000, { channels: 10_000, channelsPerClient: 1 }, 10_000 * (1 - Math.exp(-1))],
  ])('%i clients of %j', (clients, given, channels) => {
    expect(Math.abs(channelsOf(clients, given) / channels - 1) < 1e-4 || channels === 0).toBe(true);
    expect(channelsOf(clients, given)).toBeLessThanOrEqual(given.channels);
  });
});

describe('plan', () => {
  it('of a million clients takes 40 processes where connections are the limit', () => {
    const { processes, bound, processBytes, totalBytes, deliveries } = plan({ ...demand, rate: 1 }, costs, limits);
    expect({ processes, bound }).toEqual({ processes: 40, bound: 'connections' });
    expect(processBytes).toBe(100e6 + 25_000 * 30_000);
    expect(totalBytes).toBe(40 * 100e6 + 1e6 * 30_000);
    expect(deliveries).toBe(1e6);
  });

  it('takes more of them where a delivery costs more than the core has', () => {
    // 10 events of 10 µs are 100 µs a client and second, beside 1 ms for what comes from Redis: 6,990 clients.
    const { clientsPerProcess, bound, processes, load } = plan(demand, costs, limits);
    expect({ clientsPerProcess, bound, processes }).toEqual({ clientsPerProcess: 6990, bound: 'CPU', processes: 144 });
    expect(load).toBeCloseTo(0.7, 6);
  });

  it('takes fewer with a batch', () => {
    const busy = { ...demand, rate: 100 };
    const alone = plan(busy, costs, limits).processes;
    const batched = plan({ ...busy, batch: 50 }, costs, limits).processes;
    expect(alone / batched).toBeCloseTo(1000 / 300, 1);
  });

  it('counts memory', () => {
    const { clientsPerProcess, bound } = plan({ ...demand, rate: 0 }, costs, { ...limits, memory: 400e6 });
    expect({ clientsPerProcess, bound }).toEqual({ clientsPerProcess: 10_000, bound: 'memory' });
  });

  it('has one process for few clients', () => {
    expect(plan({ ...demand, clients: 100 }, costs, limits)).toMatchObject({
      processes: 1,
      bound: 'clients',
      shards: 1,
      subscribers: 1,
      redisEvent: costs.redisEvent,
    });
  });

  it('charges Redis for each process that has clients of the channel', () => {
    const { redisEvent, shards, isChannelTooHot } = plan({ ...demand, rate: 1 }, costs, limits);
    expect(redisEvent).toBeCloseTo(200 + 39 * 5, 6);
    expect({ shards, isChannelTooHot }).toEqual({ shards: 1, isChannelTooHot: false });
  });

  it('spreads channels over shards, and tells of a channel that no shard can carry', () => {
    const own = { ...demand, channels: 1_000_000, rate: 0.1 };
    const { events, subscribers, shards } = plan(own, costs, limits);
    expect(events).toBe(100_000);
    expect(subscribers).toBeLessThan(1.01);
    expect(shards).toBe(Math.ceil((100_000 * plan(own, costs, limits).redisEvent) / 1e6 / 0.7));
    expect(plan({ ...demand, clients: 2, rate: 5000 }, costs, limits).isChannelTooHot).toBe(true);
  });

  it('refuses limits that no client fits in', () => {
    expect(() => plan(demand, costs, { ...limits, memory: 100e6 })).toThrow(UsageError);
  });
});

describe('readDemand', () => {
  it('has defaults', () => {
    const { demand: given, limits: allowed } = readDemand({});
    expect(given).toEqual({ clients: 1_000_000, channels: 1, channelsPerClient: 1, rate: 10, batch: 0 });
    expect(allowed).toEqual({ load: 0.7, memory: 2 * 1024 ** 3, connections: 25_000 });
  });

  it.each([{ clients: '0' }, { rate: '-1' }, { rate: 'ten' }, { memory: 'much' }, { batch: '' }])(
    'refuses %j',
    (flags) => {
      expect(() => readDemand(flags)).toThrow(UsageError);
    },
  );
});

describe('readCosts', () => {
  const result = (scenario: string, key: string, median: number): object => ({
    scenario,
    metrics: [
      {
        key,
        peers: [
          { name: 'bare', median: 99 },
          { name: 'sluice', median },
        ],
      },
    ],
  });

  it('takes what was measured, and the rest from before', () => {
    const results = [result('channel', 'cpu', 7.5), result('idle-gzip', 'rss', 50)];
    expect(readCosts({ results })).toEqual({ ...measuredCosts, delivery: 7.5, clientBytes: 51_200 });
  });

  it('refuses a file of other scenarios', () => {
    expect(() => readCosts({ results: [result('long', 'cpu', 1)] })).toThrow(UsageError);
    expect(() => readCosts({ rows: [] })).toThrow(UsageError);
  });
});
