// @ts-check
// A client of one long body at a time.
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { answerCalls } from './answer.js';
import { decodeBody } from './decode.js';
import { ResponseParser } from './response-parser.js';

const request = 'GET /log HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n';

answerCalls({
  /**
   * Decodes only what is complete, and after the clock was read.
   * @param {number} port
   */
  async download(port) {
    /** @type {Buffer[]} */
    const parts = [];
    const parser = new ResponseParser((part) => parts.push(part));
    const start = performance.now();
    await new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(request));
      socket.on('error', reject);
      socket.on('close', () =>
        parser.isOver
          ? resolve(undefined)
          : reject(new Error('the server closed the connection before the end of the body')),
      );
      socket.on('data', (bytes) => {
        try {
          parser.push(bytes);
          if (parser.isOver) socket.destroy();
        } catch (error) {
          socket.destroy(/** @type {Error} */ (error));
        }
      });
    });
    const seconds = (performance.now() - start) / 1000;
    const digest = createHash('sha256').update(decodeBody(parts, parser.coding)).digest('hex');
    return { seconds, digest, coding: parser.coding, body: parser.bodyBytes };
  },
});
