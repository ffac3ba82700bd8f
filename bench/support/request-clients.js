// @ts-check
// Clients of plain requests: raw keep-alive sockets, one request at a time each.
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { answerCalls } from './answer.js';

const request = 'GET /item HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n';
const ok = 'HTTP/1.1 200 OK\r\n';

/** @typedef {{ until: number, responses: number, bytes: number }} Load */

/**
 * Sends requests on one connection until the time is over and the last answer is there.
 * @param {number} port
 * @param {Load} load
 */
function runConnection(port, load) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let size = 0;
    let received = 0;
    socket.on('error', reject);
    socket.on('close', resolve);
    socket.on('end', () => reject(new Error('the server closed a connection')));
    socket.on('data', (bytes) => {
      try {
        if (received === 0) size = responseSize(bytes, load);
        received += bytes.length;
        if (received < size) return;
        if (received > size) throw new Error(`an answer of ${size} bytes came with ${received}`);
        received = 0;
        load.responses++;
        if (performance.now() < load.until) socket.write(request);
        else socket.destroy();
      } catch (error) {
        socket.destroy(/** @type {Error} */ (error));
      }
    });
    socket.write(request);
  });
}

/**
 * The size of the answer that starts here. All answers are alike, so the head is read once.
 * @param {Buffer} bytes
 * @param {Load} load
 */
function responseSize(bytes, load) {
  if (bytes.toString('latin1', 0, ok.length) !== ok) throw new Error(`unexpected answer: ${bytes.toString('latin1', 0, 80)}`);
  if (load.bytes > 0) return load.bytes;
  const head = bytes.toString('latin1', 0, bytes.indexOf('\r\n\r\n') + 4);
  const length = /^content-length: (\d+)\r$/im.exec(head)?.[1];
  if (length === undefined) throw new Error(`an answer without Content-Length: ${head}`);
  return (load.bytes = head.length + Number(length));
}

answerCalls({
  /**
   * @param {number} port
   * @param {{ connections: number, duration: number }} options - duration in ms
   */
  async load(port, { connections, duration }) {
    const start = performance.now();
    /** @type {Load} */
    const load = { until: start + duration, responses: 0, bytes: 0 };
    await Promise.all(Array.from({ length: connections }, () => runConnection(port, load)));
    return { responses: load.responses, bytes: load.bytes, seconds: (performance.now() - start) / 1000 };
  },
});
