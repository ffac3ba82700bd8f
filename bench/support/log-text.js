// @ts-check
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { between, createRandom, pick, randomDigits } from './random.js';
import { words } from './words.js';

const chunkBytes = 64 * 1024;
// What comes again after 4 MB is as new to gzip, which looks 32 kB back.
const distinctChunks = 64;

const services = ['gateway', 'orders', 'billing', 'search', 'sessions', 'mailer'];
const paths = [
  '/api/v1/orders',
  '/api/v1/customers',
  '/api/v1/invoices',
  '/api/v2/search',
  '/health',
  '/static/app.js',
];
const methods = ['GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE'];
const statuses = [200, 200, 200, 200, 201, 204, 304, 404, 500];

/** @param {() => number} random */
function describeEvent(random) {
  if (random() < 0.15)
    return `msg="${Array.from({ length: between(random, 4, 12) }, () => pick(random, words)).join(' ')}"`;
  const path = `${pick(random, paths)}/${between(random, 1, 99_999)}`;
  return `${pick(random, methods)} ${path} status=${pick(random, statuses)} bytes=${between(random, 120, 60_000)} ms=${(random() * 90).toFixed(2)}`;
}

function makeChunks() {
  const random = createRandom(7);
  let at = 1_767_225_600_000;
  let text = '';
  while (text.length < distinctChunks * chunkBytes) {
    at += between(random, 0, 40);
    const level = random() < 0.05 ? 'WARN ' : 'INFO ';
    text += `${new Date(at).toISOString()} ${level} ${pick(random, services)}[${between(random, 300, 340)}] req=${randomDigits(random, 12)} ${describeEvent(random)}\n`;
  }
  const bytes = Buffer.from(text, 'latin1');
  return Array.from({ length: distinctChunks }, (_, index) =>
    bytes.subarray(index * chunkBytes, (index + 1) * chunkBytes),
  );
}

/**
 * A log of so many bytes, in pieces of 64 kB that are in memory already: a function that opens it as a stream, and what
 * it is to arrive as.
 * @param {number} bytes - a multiple of 64 kB
 */
export function makeLog(bytes) {
  const chunks = makeChunks();
  const count = bytes / chunkBytes;
  const chunkAt = (/** @type {number} */ index) =>
    index < count ? /** @type {Buffer} */ (chunks[index % distinctChunks]) : null;
  return {
    open() {
      let index = 0;
      return new Readable({
        highWaterMark: chunkBytes,
        read() {
          this.push(chunkAt(index++));
        },
      });
    },
    digest() {
      const hash = createHash('sha256');
      for (let index = 0; index < count; index++) hash.update(chunkAt(index) ?? '');
      return hash.digest('hex');
    },
  };
}
