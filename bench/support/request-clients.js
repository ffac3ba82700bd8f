// @ts-check
// Clients of plain requests: raw keep-alive sockets, one request at a time each.
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { answerCalls } from './answer.js';
import { decodeBody } from './decode.js';
import { ResponseParser } from './response-parser.js';

const ok = 'HTTP/1.1 200 OK\r\n';

/**
 * `text`: what each answer is to be, decoded.
 * @typedef {{ request: string, text: string, until: number, responses: number, bytes: number, body: number }} Load
 */

/**
 * Sends requests on one connection until the time is over and the last answer is there. The first answer is decoded and
 * compared. All are alike, so the others are only measured: they have to be of the same length.
 * @param {number} port
 * @param {Load} load
 */
function runConnection(port, load) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    /** @type {((bytes: Buffer) => boolean) | undefined} */
    let first = readFirst(load);
    let received = 0;
    /** @param {Buffer} bytes */
    const isComplete = (bytes) => {
      if (first) return first(bytes);
      if (received === 0 && bytes.toString('latin1', 0, ok.length) !== ok)
        throw new Error(`unexpected answer: ${bytes.toString('latin1', 0, 80)}`);
      received += bytes.length;
      if (received > load.bytes) throw new Error(`an answer of ${load.bytes} bytes came with ${received}`);
      return received === load.bytes;
    };
    socket.on('error', reject);
    socket.on('close', resolve);
    socket.on('end', () => reject(new Error('the server closed a connection')));
    socket.on('data', (bytes) => {
      try {
        if (!isComplete(bytes)) return;
        first = undefined;
        received = 0;
        load.responses++;
        if (performance.now() < load.until) socket.write(load.request);
        else socket.destroy();
      } catch (error) {
        socket.destroy(/** @type {Error} */ (error));
      }
    });
    socket.write(load.request);
  });
}

/**
 * Reads an answer; what it returns takes its bytes, and tells whether that was all.
 * @param {Load} load
 */
function readFirst(load) {
  /** @type {Buffer[]} */
  const parts = [];
  const parser = new ResponseParser((part) => parts.push(part));
  return (/** @type {Buffer} */ bytes) => {
    parser.push(bytes);
    if (!parser.isOver) return false;
    if (decodeBody(parts, parser.coding).toString() !== load.text)
      throw new Error(`an answer in ${parser.coding} is not what it is to be`);
    if (load.bytes > 0 && load.bytes !== parser.bytes)
      throw new Error(`answers of ${load.bytes} and of ${parser.bytes} bytes`);
    load.bytes = parser.bytes;
    load.body = parser.bodyBytes;
    return true;
  };
}

answerCalls({
  /**
   * @param {number} port
   * @param {{ connections: number, duration: number, acceptEncoding: string | null, text: string }} options - duration
   * in ms
   */
  async load(port, { connections, duration, acceptEncoding, text }) {
    const accept = acceptEncoding === null ? '' : `Accept-Encoding: ${acceptEncoding}\r\n`;
    const request = `GET /item HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n${accept}\r\n`;
    const start = performance.now();
    /** @type {Load} */
    const load = { request, text, until: start + duration, responses: 0, bytes: 0, body: 0 };
    await Promise.all(Array.from({ length: connections }, () => runConnection(port, load)));
    const { responses, bytes, body } = load;
    return { responses, bytes, body, seconds: (performance.now() - start) / 1000 };
  },
});
