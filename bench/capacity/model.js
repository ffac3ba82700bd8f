// @ts-check
// How many processes and Redis shards a service needs, from what one delivery costs. Arithmetic alone: no I/O.
import { UsageError } from '../support/usage-error.js';

/**
 * What the service does.
 * @typedef {object} Demand
 * @property {number} clients - open connections
 * @property {number} channels
 * @property {number} channelsPerClient - how many channels one client is on
 * @property {number} rate - events per second of each channel
 * @property {number} batch - ms for which a channel gathers events; 0: each event leaves alone
 *
 * What was measured, and what is allowed.
 * @typedef {object} Costs
 * @property {number} delivery - µs of CPU for one event to one client, alone in its tick
 * @property {number} deliveryOfFive - µs for each of five events of one tick
 * @property {number} receive - µs of a process for each event that it gets from Redis
 * @property {number} clientBytes - memory of one connection
 * @property {number} processBytes - memory of a process without clients
 * @property {number} redisEvent - µs of Redis for an event that one process has subscribed to
 * @property {number} redisProcess - µs of Redis for each further process that has
 *
 * @typedef {object} Limits
 * @property {number} load - share of a core that a process, or a shard, may use: the rest is for bursts
 * @property {number} memory - bytes of a process, at most
 * @property {number} connections - of a process, at most
 *
 * @typedef {'CPU' | 'memory' | 'connections' | 'clients'} Bound
 *
 * @typedef {object} Plan
 * @property {number} clientsPerProcess
 * @property {Bound} bound - what keeps a process from having more clients
 * @property {number} processes
 * @property {number} load - share of a core that a full process uses
 * @property {number} processBytes - memory of a full process
 * @property {number} totalBytes - memory of all
 * @property {number} deliveries - events to clients per second, of all
 * @property {number} events - events per second through Redis
 * @property {number} subscribers - processes that get one event
 * @property {number} redisEvent - µs of Redis for one event
 * @property {number} shards
 * @property {boolean} isChannelTooHot - whether one channel alone is more than a shard may do
 */

const second = 1_000_000;

/**
 * µs for one client and one second of one channel. A tick costs something, and each event in it: two measured points
 * tell both.
 * @param {Pick<Demand, 'rate' | 'batch'>} demand
 * @param {Pick<Costs, 'delivery' | 'deliveryOfFive'>} costs
 */
export function deliverySecond({ rate, batch }, { delivery, deliveryOfFive }) {
  const perEvent = Math.max(0, (5 * deliveryOfFive - delivery) / 4);
  const perTick = delivery - perEvent;
  const ticks = batch === 0 ? rate : Math.min(rate, 1000 / batch);
  return ticks * perTick + rate * perEvent;
}

/**
 * How many of the channels have a client among so many, if clients choose at random.
 * @param {number} clients
 * @param {Pick<Demand, 'channels' | 'channelsPerClient'>} demand
 */
export function channelsOf(clients, { channels, channelsPerClient }) {
  const share = Math.min(1, channelsPerClient / channels);
  // 1 - (1 - share) ** clients, also where the share is so small that 1 - share is 1.
  return share === 1 ? channels : channels * -Math.expm1(clients * Math.log1p(-share));
}

/**
 * @param {Demand} demand
 * @param {Costs} costs
 * @param {Limits} limits
 * @returns {Plan}
 */
export function plan(demand, costs, limits) {
  const { clients, channels, channelsPerClient, rate } = demand;
  const perClient = channelsPerClient * deliverySecond(demand, costs);
  const loadOf = (/** @type {number} */ count) =>
    (count * perClient + channelsOf(count, demand) * rate * costs.receive) / second;
  const bytesOf = (/** @type {number} */ count) => costs.processBytes + count * costs.clientBytes;

  const byCpu = most(clients, (count) => loadOf(count) <= limits.load);
  const byMemory = most(clients, (count) => bytesOf(count) <= limits.memory);
  const clientsPerProcess = Math.min(byCpu, byMemory, limits.connections, clients);
  if (clientsPerProcess < 1) throw new UsageError('One client is more than a process may have: raise the limits.');
  const bound =
    clientsPerProcess === clients
      ? 'clients'
      : clientsPerProcess === byCpu
        ? 'CPU'
        : clientsPerProcess === byMemory
          ? 'memory'
          : 'connections';

  const processes = Math.ceil(clients / clientsPerProcess);
  // Of the processes, those that have a client of one channel.
  const subscribers = (processes * channelsOf(clientsPerProcess, demand)) / channels;
  const redisEvent = costs.redisEvent + Math.max(0, subscribers - 1) * costs.redisProcess;
  const events = channels * rate;
  return {
    clientsPerProcess,
    bound,
    processes,
    load: loadOf(clientsPerProcess),
    processBytes: bytesOf(clientsPerProcess),
    totalBytes: processes * costs.processBytes + clients * costs.clientBytes,
    deliveries: clients * channelsPerClient * rate,
    events,
    subscribers,
    redisEvent,
    shards: Math.max(1, Math.ceil((events * redisEvent) / second / limits.load)),
    isChannelTooHot: (rate * redisEvent) / second > limits.load,
  };
}

/**
 * The largest whole number up to a maximum that is allowed; 0 if 1 is not. What is allowed for one is for all below.
 * @param {number} maximum
 * @param {(count: number) => boolean} isAllowed
 */
function most(maximum, isAllowed) {
  let [low, high] = [0, maximum];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (isAllowed(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}
