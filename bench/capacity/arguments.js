// @ts-check
import bytes from 'bytes';
import { UsageError } from '../support/usage-error.js';

/** @typedef {import('./model.js').Demand} Demand */
/** @typedef {import('./model.js').Costs} Costs */
/** @typedef {import('./model.js').Limits} Limits */

// By `npm run bench -- channel channel-5 idle-gzip redis` with Node 24 on two shared cores, rounded up. `redisProcess` is
// what PUBLISH took more for each of 40 connections that had subscribed; `processBytes` is that of Node with Express.
/** @type {Costs} */
export const measuredCosts = {
  delivery: 11,
  deliveryOfFive: 2.5,
  receive: 500,
  clientBytes: 31_000,
  processBytes: 80_000_000,
  redisEvent: 240,
  redisProcess: 2.5,
};

/** A flag: its default, and what it means. The order is that of the help. */
export const flags = /** @type {const} */ ({
  clients: [1_000_000, 'open connections'],
  channels: [1, 'channels'],
  'channels-per-client': [1, 'how many channels a client is on'],
  rate: [10, 'events per second of each channel'],
  batch: [0, 'ms for which a channel gathers events'],
  load: [0.7, 'share of a core that a process, or a shard of Redis, may use'],
  memory: ['2gb', 'memory of a process, at most'],
  connections: [25_000, 'connections of a process, at most'],
});

/**
 * @param {Record<string, string | undefined>} values - by flag
 * @returns {{ demand: Demand, limits: Limits }}
 */
export function readDemand(values) {
  const number = (/** @type {keyof typeof flags} */ name) => readNumber(name, values[name] ?? flags[name][0]);
  return {
    demand: {
      clients: readAtLeastOne('clients', number('clients')),
      channels: readAtLeastOne('channels', number('channels')),
      channelsPerClient: readAtLeastOne('channels-per-client', number('channels-per-client')),
      rate: number('rate'),
      batch: number('batch'),
    },
    limits: { load: number('load'), memory: number('memory'), connections: number('connections') },
  };
}

/**
 * The costs that `--json` of the benchmarks wrote, over those that were measured before.
 * @param {any} measured - what is in the file
 * @returns {Costs}
 */
export function readCosts(measured) {
  const medianOf = (/** @type {string} */ scenario, /** @type {string} */ key) =>
    measured.results
      ?.find((/** @type {any} */ result) => result.scenario === scenario)
      ?.metrics.find((/** @type {any} */ metric) => metric.key === key)
      ?.peers.find((/** @type {any} */ peer) => peer.name === 'sluice')?.median;
  const found = {
    delivery: medianOf('channel', 'cpu'),
    deliveryOfFive: medianOf('channel-5', 'cpu'),
    receive: medianOf('redis', 'receive'),
    // The scenario has kB.
    clientBytes: medianOf('idle-gzip', 'rss') * 1024,
    redisEvent: medianOf('redis', 'redis10000'),
  };
  const known = Object.entries(found).filter(([, value]) => typeof value === 'number' && Number.isFinite(value));
  if (known.length === 0) throw new UsageError('The file has none of channel, channel-5, idle-gzip and redis.');
  return { ...measuredCosts, ...Object.fromEntries(known) };
}

/**
 * @param {string} name
 * @param {string | number} value
 */
function readNumber(name, value) {
  const number = name === 'memory' ? bytes.parse(String(value)) : Number(value);
  if (number === null || !Number.isFinite(number) || number < 0 || value === '')
    throw new UsageError(`--${name}: expected a number, not ${JSON.stringify(value)}`);
  return number;
}

/**
 * @param {string} name
 * @param {number} value
 */
function readAtLeastOne(name, value) {
  if (value < 1) throw new UsageError(`--${name}: expected 1 or more`);
  return value;
}
