// @ts-check
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from '../support/child.js';
import { serveSubscriber } from '../support/redis-fan-out.js';

const audiences = /** @type {const} */ ([1, 1_000, 10_000]);
const interval = 20;

/** @type {import('../support/rounds.js').Metric[]} */
const metrics = audiences.flatMap((count) => {
  const of = `${count.toLocaleString('en-US')} channel${count === 1 ? '' : 's'}`;
  return [
    { key: `p50-${count}`, title: `${of}: from publish to another process, median, ms`, better: 'less', digits: 2 },
    { key: `p99-${count}`, title: `${of}: from publish to another process, p99, ms`, better: 'less', digits: 2 },
    { key: `redis${count}`, title: `${of}: CPU of Redis per event, µs`, better: 'less', digits: 0 },
  ];
});

/** @param {readonly number[]} sorted @param {number} share */
function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/**
 * Clients that leave take their subscriptions with them: in the background, so it takes a moment.
 * @param {Child} server
 */
async function noneLeft(server) {
  for (let tries = 0; (await server.call('subscriptions')) > 0; tries++) {
    if (tries === 100) throw new Error('There are subscriptions without clients');
    await delay(50);
  }
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'redis',
  summary: 'an event at a time through Redis, 50 a second, to a process with clients on 1, 1,000 and 10,000 channels',
  baseline: 'xread',
  rounds: 3,
  // A channel is as new to Redis only once.
  slices: 1,
  metrics: [
    ...metrics,
    { key: 'receive', title: '10,000 channels: CPU of the receiving process per event, µs', better: 'less', digits: 0 },
  ],
  rowPeers: ['sluice', 'xread'],
  rows: [
    {
      title: 'event through Redis, 10,000 channels: CPU of Redis',
      against: 'one XREAD of all channels',
      better: 'less',
      ratio: (round) => round.sluice.redis10000 / round.xread.redis10000,
    },
    {
      title: 'event through Redis, 10,000 channels: CPU of Redis',
      against: '–',
      better: 'less',
      unit: 'µs',
      ratio: (round) => round.sluice.redis10000,
      toReach: 300,
    },
    {
      title: 'event through Redis, 10,000 channels: p99 to another process',
      against: '–',
      better: 'less',
      unit: 'ms',
      ratio: (round) => round.sluice['p99-10000'],
      toReach: 25,
    },
  ],
  prepare: async (server, { quick, peer }) => {
    const events = quick ? 50 : 200;
    const publisher = new Child('publisher', 'redis-publisher.js');
    await publisher.call('open', peer.name, await server.call('url'));
    return {
      async measure() {
        /** @type {Record<string, number>} */
        const measured = {};
        for (const count of audiences) {
          await server.call('listen', count);
          // The first events load scripts and make streams.
          await publisher.call('run', count, 20, interval);
          await server.call('arrived', 20);
          const [redisBefore, cpuBefore] = [await server.call('redisCpu'), await server.call('cpu')];
          await publisher.call('run', count, events, interval);
          const latencies = /** @type {number[]} */ (await server.call('arrived', events)).toSorted((a, b) => a - b);
          if (latencies.length !== events) throw new Error(`${latencies.length} of ${events} events arrived`);
          const [redis, cpu] = [await server.call('redisCpu'), await server.call('cpu')];
          measured[`p50-${count}`] = quantile(latencies, 0.5);
          measured[`p99-${count}`] = quantile(latencies, 0.99);
          measured[`redis${count}`] = (redis - redisBefore) / events;
          measured['receive'] = (cpu - cpuBefore) / events;
          const subscriptions = await server.call('subscriptions');
          if (peer.name === 'sluice' && subscriptions !== count)
            throw new Error(`${subscriptions} subscriptions for ${count} channels`);
          await server.call('unlisten');
          await noneLeft(server);
        }
        return measured;
      },
      close: () => publisher.stop(),
    };
  },
  peers: [
    { name: 'xread', title: 'one XREAD that waits for all channels', serve: () => serveSubscriber('xread') },
    { name: 'sluice', title: 'redisBackplane', serve: () => serveSubscriber('sluice') },
  ],
};

export default scenario;
