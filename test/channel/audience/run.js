// node test/channel/audience/run.js --clients 10000 --slow 100 --stopped 20 --seconds 30 --rate 10
import { parseArgs } from 'node:util';
import { audience } from './audience.js';

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '10000' },
    slow: { type: 'string', default: '100' },
    stopped: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '30' },
    rate: { type: 'string', default: '10' },
  },
});
const { clients, slow, stopped, seconds, rate } = values;
const { faults, ...numbers } = await audience({
  clients: Number(clients),
  slow: Number(slow),
  stopped: Number(stopped),
  events: Math.round(Number(seconds) * Number(rate)),
  interval: 1000 / Number(rate),
});
console.log(JSON.stringify({ node: process.version, ...numbers }));
console.log(faults.length === 0 ? 'no fault' : faults.join('\n'));
process.exitCode = faults.length === 0 ? 0 : 1;
