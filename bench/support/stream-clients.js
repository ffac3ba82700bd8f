// @ts-check
// The readers of event streams: raw sockets, so that they cost little and hide nothing.
import { Buffer } from 'node:buffer';
import { connect } from 'node:net';
import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { constants, createGunzip } from 'node:zlib';
import { answerCalls, hold } from './answer.js';
import { ResponseParser } from './response-parser.js';

// Connections asked for at once: below any backlog.
const batch = 200;
// One reader in so many keeps its text, for a check of what arrived and not only of how much.
const keeperEvery = 50;

/**
 * @typedef {object} Reader
 * @property {number} events
 * @property {boolean} lineFeed - whether the text so far ends with the first of two
 * @property {string[] | undefined} text
 * @property {ResponseParser} parser
 * @property {import('node:zlib').Gunzip | undefined} decoder
 * @property {import('node:net').Socket} socket
 */

/** @type {Reader[]} */
const readers = [];
/** @type {{ goal: number, missing: number, resolve: () => void } | undefined} */
let waiting;
/** @type {Error | undefined} */
let failure;
/** @type {(error: Error) => void} */
let reportFailure = () => {};

// Sockets deliver one at a time and nobody keeps the bytes: all may read into one buffer.
const shared = Buffer.allocUnsafe(64 * 1024);

/** @param {unknown} error */
function fail(error) {
  failure ??= /** @type {Error} */ (error);
  reportFailure(failure);
}

/**
 * @param {number} port
 * @param {number} index
 * @param {string | undefined} acceptEncoding
 * @param {string | undefined} localAddress
 */
function openReader(port, index, acceptEncoding, localAddress) {
  const onread = {
    buffer: shared,
    /** @param {number} length */
    callback(length) {
      try {
        reader.parser.push(shared.subarray(0, length));
      } catch (error) {
        fail(error);
      }
      return true;
    },
  };
  const socket = connect({ port, host: '127.0.0.1', onread, localAddress });
  const parser = new ResponseParser((bytes) => receive(reader, bytes));
  /** @type {Reader} */
  const reader = {
    events: 0,
    lineFeed: false,
    text: index % keeperEvery === 0 ? [] : undefined,
    parser,
    decoder: undefined,
    socket,
  };
  socket.on('error', fail);
  socket.on('end', () => {
    if (!parser.isOver) fail(new Error(`stream ${index} was ended by the server`));
  });
  const accept = acceptEncoding === undefined ? '' : `Accept-Encoding: ${acceptEncoding}\r\n`;
  socket.write(`GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n${accept}\r\n`);
  readers.push(reader);
}

/**
 * Each stream is decoded by zlib, so an event is there when the bytes that it needs are, and not when some are.
 * @param {Reader} reader
 * @param {Buffer} bytes
 */
function receive(reader, bytes) {
  const { coding } = reader.parser;
  if (coding === 'identity') {
    count(reader, bytes);
    return;
  }
  if (coding !== 'gzip') throw new Error(`a stream in ${coding}`);
  reader.decoder ??= openDecoder(reader);
  // The decoder reads it later, and in another thread.
  reader.decoder.write(Buffer.from(bytes));
}

/** @param {Reader} reader */
function openDecoder(reader) {
  const decoder = createGunzip({ flush: constants.Z_SYNC_FLUSH, chunkSize: 1024 });
  decoder.on('data', (text) => count(reader, text));
  decoder.on('error', fail);
  return decoder;
}

/**
 * An event ends with two LF.
 * @param {Reader} reader
 * @param {Buffer} bytes
 */
function count(reader, bytes) {
  const before = reader.events;
  if (reader.lineFeed && bytes[0] === 0x0a) reader.events++;
  for (let at = bytes.indexOf('\n\n'); at >= 0; at = bytes.indexOf('\n\n', at + 2)) reader.events++;
  reader.lineFeed = bytes.at(-1) === 0x0a && bytes.at(-2) !== 0x0a;
  reader.text?.push(bytes.toString('latin1'));
  if (waiting && before < waiting.goal && reader.events >= waiting.goal && --waiting.missing === 0) waiting.resolve();
}

/**
 * Waits until every reader has got `goal` events since it was opened.
 * @param {number} goal
 */
async function arrived(goal) {
  if (failure) throw failure;
  const missing = readers.filter(({ events }) => events < goal).length;
  if (missing > 0) {
    await new Promise((resolve, reject) => {
      waiting = { goal, missing, resolve: () => resolve(undefined) };
      reportFailure = reject;
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
   * @param {string} [acceptEncoding]
   * @param {string} [localAddress] - where the clients come from
   */
  async open(port, clients, acceptEncoding, localAddress) {
    while (readers.length < clients) {
      const until = Math.min(clients, readers.length + batch);
      while (readers.length < until) openReader(port, readers.length, acceptEncoding, localAddress);
      await arrived(1);
    }
  },
  /** Bytes so far, head and framing included. */
  bytes: () => readers.reduce((sum, { parser }) => sum + parser.bytes, 0),
  /**
   * Throws unless each reader has got exactly `goal` events, and the ids `1 … goal - 1` in order where the text was
   * kept. Those of a channel have the name of its log before them.
   * @param {number} goal
   */
  verify(goal) {
    if (failure) throw failure;
    const wrong = readers.filter(({ events }) => events !== goal).length;
    if (wrong > 0) throw new Error(`${wrong} of ${readers.length} streams have lost or repeated events, of ${goal}`);
    const expected = Array.from({ length: goal - 1 }, (_, index) => String(index + 1)).join();
    for (const { text } of readers) {
      const ids = text?.join('').matchAll(/^id: ?(?:[0-9a-z]+-)?(\d+)$/gm);
      if (ids && Array.from(ids, ([, id]) => id).join() !== expected)
        throw new Error('a stream has lost, repeated or reordered ids');
    }
  },
  /** Waits until every stream is complete: that is when a decoder compares the checksum of all the text. */
  async ended() {
    for (const { parser } of readers) while (!parser.isOver) await delay(5);
    await Promise.all(readers.map(async ({ decoder }) => decoder && finished(decoder.end())));
    if (failure) throw failure;
  },
  close() {
    for (const { socket, decoder } of readers.splice(0)) {
      socket.destroy();
      decoder?.destroy();
    }
  },
});
