// A process of clients of the soak. What each does is drawn from the seed; what came of it is what it says.
import http from 'node:http';
import zlib from 'node:zlib';
import { connect } from 'sluice/client';
import { answer } from './orders.js';

/**
 * What a client did. `ended`: got all of it. `left`: went by itself. Anything else is a fault.
 * @typedef {{ id: string, path: string, did: string, sawHead: boolean, status: number }} Visit
 */

/**
 * @typedef {object} Plan
 * @property {string} path
 * @property {Record<string, string | number>} [query]
 * @property {Record<string, string>} [headers]
 * @property {number} [leaveAfter] milliseconds after the request; without it the client reads to the end
 * @property {number} [slow] milliseconds between two reads
 * @property {boolean} [isReader] whether it is `sluice/client`
 * @property {http.Agent | false} [agent]
 * @property {number} [status]
 */

const [, , port, seed] = process.argv;
let state = Number(seed) >>> 0;

/** From 0 to 1, as mulberry32 has it. */
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}

/** @param {number} from @param {number} to */
function between(from, to) {
  return Math.floor(from + random() * (to - from));
}

/** @template T @param {readonly T[]} all @returns {T} */
function pick(all) {
  return /** @type {T} */ (all[between(0, all.length)]);
}

/** @returns {Record<string, string>} */
function coding() {
  return pick([{}, { 'accept-encoding': 'gzip' }]);
}

/** Clients that stay until they leave, or the server ends their stream. @param {number} ended @returns {Plan} */
function longPlan(ended) {
  if (random() < 0.25) return { path: '/ticks', isReader: true };
  const path = pick(['/news', '/news', '/rows', '/ticks']);
  // The streams of a channel do not end by themselves.
  const query = path !== '/ticks' && random() < ended ? { fate: 'end' } : {};
  return { path, query, headers: coding() };
}

/** Clients that come and go. @returns {Plan} */
function shortPlan() {
  const leaveAfter = between(0, 600);
  const headers = coding();
  /** @type {readonly (() => Plan)[]} */
  const plans = [
    () => ({ path: '/json', headers }),
    () => ({ path: '/json', headers }),
    () => ({ path: '/few-news', query: { events: between(1, 6) }, headers }),
    () => ({ path: '/few-rows', query: { events: between(1, 6) }, headers }),
    () => ({ path: '/few-news', query: { events: between(1, 6) }, isReader: true }),
    () => ({ path: '/download', query: { size: between(1, 200_000) }, headers }),
    () => ({ path: '/download', query: { size: between(100_000, 400_000) }, headers, slow: between(10, 60) }),
    () => ({ path: pick(['/news', '/rows', '/ticks', '/download', '/hang']), headers, leaveAfter }),
    () => ({ path: pick(['/news', '/ticks']), isReader: true, leaveAfter }),
    () => ({ path: '/hang', headers: { 'x-request-timeout-ms': String(between(50, 300)) }, status: 504 }),
  ];
  return pick(plans)();
}

/** @type {Visit[]} */
let visits = [];
/** @type {Map<string, { isToEnd: boolean, leave: () => void }>} Those that stay. */
const staying = new Map();
/** @type {Set<Promise<void>>} The visits of all of them. */
const over = new Set();
let count = 0;

/**
 * One request, from its beginning to its end.
 * @param {Plan} plan
 * @param {(leave: () => void) => void} [onOpen] called with the first bytes of the body
 * @returns {Promise<void>}
 */
async function visit(plan, onOpen = () => undefined) {
  count += 1;
  const id = `${process.pid}-${count}`;
  const path = `${plan.path}?${new URLSearchParams({ ...plan.query, id })}`;
  const outcome = await (plan.isReader ? readEvents : readBody)(path, plan, onOpen);
  visits.push({ id, path: plan.path, ...outcome });
}

/**
 * @param {string} path
 * @param {Plan} plan
 * @param {(leave: () => void) => void} onOpen
 */
async function readEvents(path, { leaveAfter }, onOpen) {
  let isLeaving = false;
  let sawHead = false;
  const connection = connect(`http://127.0.0.1:${port}${path}`, { reconnect: 'never' });
  connection.onStateChange((change) => void (sawHead ||= change.state === 'open'));
  const leave = () => {
    isLeaving = true;
    connection.close();
  };
  const timer = leaveAfter === undefined ? undefined : setTimeout(leave, leaveAfter);
  let did;
  let last = '';
  try {
    for await (const event of connection) {
      if (last === '') onOpen(leave);
      last = event.data;
    }
    did = isLeaving ? 'left' : last === 'last' ? 'ended' : `ended early, after ${last}`;
  } catch (error) {
    did = String(error);
  }
  clearTimeout(timer);
  return { did, sawHead, status: 200 };
}

/**
 * @param {string} path
 * @param {Plan} plan
 * @param {(leave: () => void) => void} onOpen
 * @returns {Promise<Omit<Visit, 'id' | 'path'>>}
 */
function readBody(path, plan, onOpen) {
  const { headers = {}, leaveAfter, slow, agent = false } = plan;
  return new Promise((resolve) => {
    let isLeaving = false;
    let status = 0;
    let length = 0;
    let tail = '';
    /** @type {http.IncomingMessage | undefined} */
    let message;
    /** @type {import('node:stream').Readable | undefined} */
    let body;
    /** @param {string} did */
    const over = (did) => {
      clearTimeout(timer);
      if (body !== message) body?.destroy();
      resolve({ did: isLeaving ? 'left' : did, sawHead: message !== undefined, status });
    };
    const leave = () => {
      isLeaving = true;
      request.destroy();
    };
    const request = http.get({ host: '127.0.0.1', port: Number(port), path, headers, agent });
    const timer = leaveAfter === undefined ? undefined : setTimeout(leave, leaveAfter);
    request.on('response', (response) => {
      message = response;
      status = response.statusCode ?? 0;
      body = response.headers['content-encoding'] === 'gzip' ? response.pipe(zlib.createGunzip()) : response;
      response.on('error', (error) => over(String(error)));
      if (body !== response) body.on('error', (error) => over(String(error)));
      body.on('data', (/** @type {Buffer} */ chunk) => {
        if (length === 0) onOpen(leave);
        length += chunk.length;
        tail = (tail + chunk.subarray(-100).toString('latin1')).slice(-100);
        if (slow === undefined) return;
        body?.pause();
        setTimeout(() => body?.resume(), slow);
      });
      body.on('end', () => over(faultOf(plan, { status, length, tail }) ?? 'ended'));
    });
    request.on('error', (error) => over(String(error)));
    request.on('close', () => {
      if (message?.complete !== true) over('cut');
    });
  });
}

/**
 * What is wrong with an answer that was complete.
 * @param {Plan} plan
 * @param {{ status: number, length: number, tail: string }} got
 * @returns {string | undefined}
 */
function faultOf({ path, query = {}, status: wanted = 200 }, { status, length, tail }) {
  if (status !== wanted) return `status ${status}`;
  if (path === '/download' && length !== query['size']) return `${length} bytes of ${query['size']}`;
  if (path === '/json' && !tail.endsWith('"}]}')) return `JSON that ends with ${tail}`;
  const isStream = /news|rows|ticks/.test(path);
  if (isStream && !/"?data"?: ?"?last/.test(tail)) return `a stream that ends with ${tail}`;
  return undefined;
}

/** Opens clients that stay, over some time; the server ends a share. Resolves when each has its first bytes. */
async function stay({ clients = 0, ms = 0, ended = 0 }) {
  await Promise.all(
    Array.from({ length: clients }, async () => {
      const plan = longPlan(ended);
      await pause(between(0, ms));
      await new Promise((resolve) => {
        const key = `${process.pid}-staying-${staying.size}-${count}`;
        const done = visit(plan, (leave) => {
          staying.set(key, { isToEnd: plan.query?.['fate'] === 'end', leave });
          resolve(undefined);
        });
        over.add(done);
        void done.then(() => {
          staying.delete(key);
          over.delete(done);
          resolve(undefined);
        });
      });
    }),
  );
  return { open: staying.size };
}

/** Clients that come, go and come again, until the time is over. */
async function mix({ clients = 0, ms = 0 }) {
  const until = performance.now() + ms;
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() < until) {
        await pause(between(0, Math.min(3_000, ms / 2)));
        const plan = shortPlan();
        const isBurst = plan.path === '/json' && random() < 0.5;
        if (!isBurst) await visit(plan);
        else {
          // On one connection.
          const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
          for (let time = 0; time < 3; time += 1) await visit({ ...plan, agent });
          agent.destroy();
        }
      }
    }),
  );
  return {};
}

/** Those that the server does not end leave, over some time. Resolves when all that stayed are over. */
async function leave({ ms = 0 }) {
  const all = [...over];
  for (const { isToEnd, leave } of staying.values()) if (!isToEnd) setTimeout(leave, between(0, ms));
  await Promise.all(all);
  return {};
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

answer({
  stay,
  mix,
  leave,
  visits: () => {
    const all = visits;
    visits = [];
    return all;
  },
});
