// @ts-check
// What stands behind the proxies. It answers with bytes that are made before, so that it leaves the machine to them:
// `/item` with `setItem`'s text, `/log` with a long body, `/events` with an event for each call of `tick`.
import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { answerCalls } from '../answer.js';
import { makeLog } from '../log-text.js';
import { tickFor } from '../tick.js';

/** @typedef {import('node:net').Socket} Socket */

let requests = 0;
/** @type {Set<Socket>} */
const readers = new Set();
/** The answer to `/item`. */
let item = Buffer.alloc(0);
/** @type {ReturnType<typeof makeLog> | undefined} */
let log;
let logBytes = 0;

/** @param {...string} fields */
function head(...fields) {
  const common = ['Date: Thu, 01 Jan 2026 00:00:00 GMT', 'Connection: keep-alive', 'Keep-Alive: timeout=72'];
  return `HTTP/1.1 200 OK\r\n${[...fields, ...common].join('\r\n')}\r\n\r\n`;
}

/** @param {string} text */
function chunkOf(text) {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

/**
 * @param {Socket} socket
 * @param {string} path
 */
function answer(socket, path) {
  requests++;
  if (path === '/item') socket.write(item);
  else if (path === '/events') openEvents(socket);
  else if (path === '/log') sendLog(socket);
  else throw new Error(`there is no ${path}`);
}

/** @param {Socket} socket */
function openEvents(socket) {
  const fields = ['Content-Type: text/event-stream; charset=utf-8', 'Cache-Control: no-cache, no-transform'];
  socket.write(head(...fields, 'Transfer-Encoding: chunked') + chunkOf(':ok\n\n'));
  readers.add(socket);
}

/** @param {Socket} socket */
function sendLog(socket) {
  socket.write(head('Content-Type: text/plain; charset=utf-8', `Content-Length: ${logBytes}`));
  log?.open().pipe(socket, { end: false });
}

/** Its clients are proxies: they send one request at a time, without a body. @param {Socket} socket */
function serve(socket) {
  let text = '';
  socket.setNoDelay(true);
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1');
    if (!text.endsWith('\r\n\r\n')) return;
    const path = text.slice(text.indexOf(' ') + 1, text.indexOf(' HTTP/'));
    text = '';
    answer(socket, path);
  });
  // A proxy may cut a connection that it does not need any more.
  socket.on('error', () => socket.destroy());
  socket.on('close', () => readers.delete(socket));
}

const server = createServer(serve);
server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 });
await once(server, 'listening');

answerCalls({
  port: () => /** @type {import('node:net').AddressInfo} */ (server.address()).port,
  requests: () => requests,
  /** @param {string} text - JSON */
  setItem(text) {
    const fields = [
      'X-Powered-By: Express',
      'Content-Type: application/json; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(text)}`,
      'ETag: W/"84a-q5pQ0hS3Sfz0Ud1cXw7Jr8vB1tE"',
    ];
    item = Buffer.from(head(...fields) + text);
  },
  /** @param {number} bytes - of the body of `/log` */
  setLog(bytes) {
    log = makeLog(bytes);
    logBytes = bytes;
  },
  /** Sends each stream an event. @param {number} number - its id */
  tick(number) {
    let client = 0;
    for (const socket of readers) {
      const data = JSON.stringify(tickFor(client++, number));
      socket.write(chunkOf(`event: tick\nid: ${number}\ndata: ${data}\n\n`));
    }
  },
});
