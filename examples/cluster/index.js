// @ts-check
// Starts it all: Redis, the instances, the switch in front of them, a source of events, and the page.
import console from 'node:console';
import { once } from 'node:events';
import { createServer } from 'node:http';
import process from 'node:process';
import { createChannel, redisBackplane } from 'sluice';
import { createConsole } from './console.js';
import { Fleet } from './fleet.js';
import { startRedis } from './redis.js';
import { startSource } from './source.js';
import { TcpSwitch } from './tcp-switch.js';

const port = Number(process.env['PORT'] ?? 3000);
// Anyone who reaches the page may kill instances: only this machine does, unless HOST says otherwise.
const host = process.env['HOST'] ?? '127.0.0.1';
const names = ['a', 'b'];

/** @type {(() => unknown)[]} */
const undo = [];

try {
  await run();
} catch (error) {
  console.error(error instanceof Error && 'code' in error ? error.message : error);
  process.exitCode = 1;
}
for (const end of undo.reverse()) await end();

async function run() {
  const redis = await startRedis(process.env['REDIS_URL']);
  undo.push(() => redis.stop());
  const page = createServer();
  page.listen(port, host);
  await once(page, 'listening');
  undo.push(() => page.close().closeAllConnections());

  // A channel of this process alone: what the page shows of the fleet.
  const states = createChannel({ name: 'fleet', history: { count: 1 } });
  undo.push(() => states.close());
  const fleet = new Fleet(names, { REDIS_URL: redis.url }, () => tell());
  undo.push(() => fleet.close());
  // One for each kind of stream: a browser opens six connections to a port, for all of its tabs.
  const makeSwitch = () => new TcpSwitch(() => fleet.ready, tell);
  const switches = { ticks: makeSwitch(), answers: makeSwitch() };
  const all = Object.values(switches);
  undo.push(() => all.forEach((each) => each.close()));
  const ports = { ticks: await switches.ticks.listen(host), answers: await switches.answers.listen(host) };

  const backplane = redisBackplane({ url: redis.url, wait: '1m' });
  undo.push(() => backplane.close());
  undo.push(startSource(createChannel({ name: 'ticks', backplane })));

  function tell() {
    const instances = fleet
      .describe()
      .map((one) => ({ ...one, connections: all.reduce((sum, each) => sum + each.count(one.name), 0) }));
    states.publish({ event: 'fleet', data: instances }).catch((/** @type {unknown} */ error) => console.error(error));
  }
  page.on('request', createConsole({ fleet, switches: all, states, ports }));
  await fleet.start();
  console.log(`http://localhost:${portOf(page)}`);
  await Promise.race(['SIGINT', 'SIGTERM'].map((signal) => once(process, signal)));
}

/** @param {import('node:http').Server} server */
function portOf(server) {
  const address = server.address();
  return typeof address === 'object' && address ? address.port : port;
}
