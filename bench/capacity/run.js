// @ts-check
// How many processes and shards of Redis a service needs: `npm run bench -- capacity --help`.
import console from 'node:console';
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { flags, measuredCosts, readCosts, readDemand } from './arguments.js';
import { plan } from './model.js';

const help = `usage: npm run bench -- capacity [--costs FILE] [--<flag> <number>] …

${Object.entries(flags)
  .map(([name, [value, meaning]]) => `  --${name.padEnd(20)} ${meaning}; ${value}`)
  .join('\n')}
  --costs FILE           what your machine measured: npm run bench -- channel channel-5 idle-gzip redis --json FILE
`;

/** @param {string[]} args */
export async function runCapacity(args) {
  const options = Object.fromEntries(
    Object.keys(flags).map((name) => [name, { type: /** @type {const} */ ('string') }]),
  );
  const { values } = parseArgs({ args, options: { ...options, costs: { type: 'string' }, help: { type: 'boolean' } } });
  if (values.help === true) return console.log(help);
  const given = /** @type {Record<string, string | undefined>} */ (values);
  const { demand, limits } = readDemand(given);
  const { costs: file } = given;
  const costs = file === undefined ? measuredCosts : readCosts(JSON.parse(await readFile(file, 'utf8')));
  console.log(format(demand, costs, plan(demand, costs, limits), limits));
}

/**
 * @param {import('./model.js').Demand} demand
 * @param {import('./model.js').Costs} costs
 * @param {import('./model.js').Plan} planned
 * @param {import('./model.js').Limits} limits
 */
function format(demand, costs, planned, limits) {
  const lines = [
    ['clients', `${count(demand.clients)}, each on ${count(demand.channelsPerClient)} of ${count(demand.channels)}`],
    ['events', `${count(planned.events)} per second, ${count(planned.deliveries)} deliveries per second`],
    ['processes', `${count(planned.processes)}, of ${count(planned.clientsPerProcess)} clients: ${reason(planned)}`],
    ['CPU of a process', `${share(planned.load)} of a core; allowed are ${share(limits.load)}`],
    ['memory of a process', `${size(planned.processBytes)}; of all ${size(planned.totalBytes)}`],
    ['processes per event', planned.subscribers.toFixed(1)],
    ['CPU of Redis', `${planned.redisEvent.toFixed(0)} µs per event`],
    ['shards of Redis', count(planned.shards)],
    [
      'measured',
      Object.entries(costs)
        .map(([name, value]) => `${name} ${Number(value.toPrecision(3))}`)
        .join(', '),
    ],
  ];
  const table = lines.map(([title = '', text]) => `${title.padEnd(20)} ${text}`).join('\n');
  return planned.isChannelTooHot
    ? `${table}\n\nOne channel is more than a shard can do, and a channel is on one shard: join its events, or split it.`
    : table;
}

/** @param {import('./model.js').Plan} planned */
function reason({ bound }) {
  return bound === 'clients' ? 'there are no more' : `${bound} is what limits it`;
}

/** @param {number} value */
function count(value) {
  return Number(value.toPrecision(6)).toLocaleString('en-US');
}

/** @param {number} value */
function share(value) {
  return `${(value * 100).toFixed(0)} %`;
}

/** @param {number} value */
function size(value) {
  return value < 1e9 ? `${(value / 1e6).toFixed(0)} MB` : `${(value / 1e9).toFixed(1)} GB`;
}
