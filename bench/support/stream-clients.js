// @ts-check
// The readers of event streams: raw sockets, so that they cost little and hide nothing.
import { Buffer } from 'node:buffer';
import { connect } from 'node:net';
import { answerCalls, hold } from './answer.js';

// Connections asked for at once: below any backlog.
const batch = 200;
// One reader in so many keeps its text, for a check of what arrived and not only of how much.
const keeperEvery = 50;

/** @typedef {{ events: number, bytes: number, lineFeed: boolean, text: string[] | undefined, socket: import('node:net').Socket }} Reader */

/** @type {Reader[]} */
const readers = [];
/** @type {{ goal: number, missing: number, resolve: () => void, reject: (error: Error) => void } | undefined} */
let waiting;

// Sockets deliver one at a time and nobody keeps the bytes: all may read into one buffer.
const shared = Buffer.allocUnsafe(64 * 1024);

/**
 * @param {number} port
 * @param {number} index
 */
function openReader(port, index) {
  const onread = {
    buffer: shared,
    /** @param {number} length */
    callback(length) {
      count(reader, shared.subarray(0, length));
      return true;
    },
  };
  const socket = connect({ port, host: '127.0.0.1', onread });
  /** @type {Reader} */
  const reader = { events: 0, bytes: 0, lineFeed: false, text: index % keeperEvery === 0 ? [] : undefined, socket };
  socket.on('error', (error) => waiting?.reject(error));
  socket.on('end', () => waiting?.reject(new Error(`stream ${index} was ended by the server`)));
  socket.write('GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n');
  readers.push(reader);
}

/**
 * An event ends with two LF. Nothing else on the wire has them: in the head and around chunks a CR is between.
 * @param {Reader} reader
 * @param {Buffer} bytes
 */
function count(reader, bytes) {
  const before = reader.events;
  if (reader.lineFeed && bytes[0] === 0x0a) reader.events++;
  for (let at = bytes.indexOf('\n\n'); at >= 0; at = bytes.indexOf('\n\n', at + 2)) reader.events++;
  reader.lineFeed = bytes.at(-1) === 0x0a && bytes.at(-2) !== 0x0a;
  reader.bytes += bytes.length;
  reader.text?.push(bytes.toString('latin1'));
  if (waiting && before < waiting.goal && reader.events >= waiting.goal && --waiting.missing === 0) waiting.resolve();
}

/**
 * Waits until every reader has got `goal` events since it was opened.
 * @param {number} goal
 */
async function arrived(goal) {
  const missing = readers.filter(({ events }) => events < goal).length;
  if (missing > 0) {
    await new Promise((resolve, reject) => {
      waiting = { goal, missing, resolve: () => resolve(undefined), reject };
    });
    waiting = undefined;
  }
}

answerCalls({
  arrived,
  hold,
  /**
   * Opens streams and waits for the first event of each, its prelude.
   * @param {number} port
   * @param {number} clients
   */
  async open(port, clients) {
    while (readers.length < clients) {
      const until = Math.min(clients, readers.length + batch);
      while (readers.length < until) openReader(port, readers.length);
      await arrived(1);
    }
  },
  /** Bytes so far, head and framing included. */
  bytes: () => readers.reduce((sum, { bytes }) => sum + bytes, 0),
  /**
   * Throws unless each reader has got exactly `goal` events, and the ids `1 … goal - 1` in order where the text was kept.
   * @param {number} goal
   */
  verify(goal) {
    const wrong = readers.filter(({ events }) => events !== goal).length;
    if (wrong > 0) throw new Error(`${wrong} of ${readers.length} streams have lost or repeated events, of ${goal}`);
    const expected = Array.from({ length: goal - 1 }, (_, index) => String(index + 1)).join();
    for (const { text } of readers) {
      const ids = text?.join('').matchAll(/^id: ?(\d+)$/gm);
      if (ids && Array.from(ids, ([, id]) => id).join() !== expected) throw new Error('a stream has lost, repeated or reordered ids');
    }
  },
  close() {
    for (const { socket } of readers.splice(0)) socket.destroy();
  },
});
