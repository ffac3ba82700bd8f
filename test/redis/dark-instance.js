// An instance of a service with its clients, in a process of its own, so that it may be at one end of a link. Started
// by test/redis/dark.test.ts, to which it writes lines of JSON. It reads such lines, and ends with its stdin.
import http from 'node:http';
import { createInterface } from 'node:readline';
import { createParser } from 'eventsource-parser';
import { createChannel, redisBackplane, subscribe } from 'sluice';

const { url, name, clients, wait, timeout } = JSON.parse(process.argv[2] ?? '');
const history = { count: 100_000, bytes: '100mb' };
const backplane = redisBackplane({ url, wait, timeout, ping: timeout });
const channel = createChannel({ name: 'dark', backplane, history });

/** @param {object} message */
const tell = (message) => void process.stdout.write(`${JSON.stringify(message)}\n`);

subscribe('sluice:redis:error', () => undefined);
subscribe('sluice:redis:connection', ({ use, state }) => tell({ event: state, use }));

/** @type {string[]} */
const confirmed = [];
/** @type {Promise<void>[]} */
const publishing = [];
let failed = 0;

function publish() {
  const data = `${name} ${publishing.length}`;
  const publication = channel.publish(data).then(
    () => {
      confirmed.push(data);
      tell({ event: 'confirmed', count: confirmed.length });
    },
    (error) => {
      failed += 1;
      tell({ event: 'failed', count: failed, code: error.code });
    },
  );
  publishing.push(publication);
}

/** The texts that a client got, up to the end of its stream; for another event than a message, its name. */
function readAll(/** @type {number} */ port) {
  return /** @type {Promise<string[]>} */ (
    new Promise((resolve) => {
      http.get({ host: '127.0.0.1', port, agent: false, headers: { accept: 'text/event-stream' } }, (res) => {
        /** @type {string[]} */
        const texts = [];
        const parser = createParser({ onEvent: ({ event, data }) => void texts.push(event ?? data) });
        res.setEncoding('utf8').on('data', (text) => parser.feed(text));
        res.on('error', () => texts.push('cut'));
        res.on('close', () => resolve(texts));
      });
    })
  );
}

/** How many clients got the same. @param {string[][]} lists */
function count(lists) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const list of lists) counts.set(JSON.stringify(list), (counts.get(JSON.stringify(list)) ?? 0) + 1);
  return [...counts].map(([list, times]) => ({ texts: JSON.parse(list), clients: times }));
}

/** What the log has, in its order. */
async function readLog() {
  const receiver = { entries: () => undefined, lost: () => undefined };
  const log = backplane.open('dark', { count: 100_000, bytes: 1e8 }, receiver);
  const page = await log.read(await log.start('earliest'), 100_000);
  log.close();
  return page.lost ?? page.entries.flatMap(({ data }) => data ?? []);
}

const server = http.createServer(channel.subscribe({ from: 'earliest' })).listen(0, '127.0.0.1', () => {
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  const reading = Array.from({ length: clients }, () => readAll(address.port));
  void Promise.all(reading).then(async (lists) => {
    if (server.listening) tell({ event: 'over', lists: count(lists), log: await readLog() });
  });
});

let joined = 0;
channel.on('join', () => {
  joined += 1;
  if (joined === clients) tell({ event: 'ready' });
});

/** @type {NodeJS.Timeout | undefined} */
let timer;
/** @type {Record<string, () => unknown>} */
const commands = {
  publish: () => (timer = setInterval(publish, 10)),
  stop: async () => {
    clearInterval(timer);
    await Promise.all(publishing);
    tell({ event: 'stopped', confirmed });
  },
  end: () => channel.end(),
  // The process ends by itself, because nothing holds it.
  close: () => {
    clearInterval(timer);
    server.close();
    channel.close();
    void backplane.close();
    process.stdin.destroy();
  },
};
createInterface(process.stdin)
  .on('line', (line) => void commands[JSON.parse(line).command]?.())
  .on('close', () => server.listening && process.exit());
