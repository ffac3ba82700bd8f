// @ts-check
import { Buffer } from 'node:buffer';
import process from 'node:process';
import { makeOrders } from '../support/orders.js';

/** @typedef {typeof import('sluice')} Sluice */
/** @typedef {import('sluice').Codec} Codec */

const sizes = [2_000, 10_000, 50_000, 128_000];
// Bytes of text to encode for one number, and of different texts among them.
const amount = 3_000_000;
const distinct = 1_000_000;

/** @param {number} size */
function makeBodies(size) {
  const count = Math.max(4, Math.min(64, Math.round(distinct / size)));
  return Array.from({ length: count }, (_, index) => Buffer.from(JSON.stringify(makeOrders(size + index))));
}

/**
 * Encodes each of the bodies several times. Returns µs of CPU, other threads included, and bytes, of one.
 * @param {Codec} codec
 * @param {readonly Buffer[]} bodies
 * @param {number} total - bytes of text
 */
async function encodeBodies(codec, bodies, total) {
  const length = bodies.reduce((sum, body) => sum + body.length, 0);
  const times = Math.max(1, Math.round(total / length));
  const before = process.cpuUsage();
  let bytes = 0;
  for (let time = 0; time < times; time++) {
    for (const body of bodies) bytes += (await codec.encode?.(body, settingsFor(body)))?.length ?? NaN;
  }
  const { user, system } = process.cpuUsage(before);
  const count = times * bodies.length;
  return { cpu: (user + system) / count, bytes: bytes / count };
}

/** @param {Buffer} body @returns {import('sluice').EncodeSettings} */
function settingsFor(body) {
  return { tier: 0, size: body.length, padding: 0 };
}

/**
 * @param {string} name
 * @param {string} title
 * @param {(sluice: Sluice, syncThreshold: number) => Codec} make
 * @param {number} [syncThreshold]
 * @returns {import('../support/rounds.js').Peer}
 */
function peer(name, title, make, syncThreshold = Infinity) {
  return {
    name,
    title,
    async serve() {
      const codec = make(await import('sluice'), syncThreshold);
      const all = sizes.map(makeBodies);
      return {
        app: (_req, res) => res.end(),
        calls: {
          /** @param {boolean} quick */
          async encode(quick) {
            /** @type {Record<string, number>} */
            const result = {};
            for (const [index, size] of sizes.entries()) {
              const { cpu, bytes } = await encodeBodies(codec, all[index] ?? [], quick ? amount / 10 : amount);
              result[`cpu${size}`] = cpu;
              result[`bytes${size}`] = bytes;
            }
            return result;
          },
        },
      };
    },
  };
}

const hasZstd = 'zstdCompressSync' in (await import('node:zlib')).default;

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'codings',
  summary: 'complete bodies of JSON, encoded in place and in the thread pool: what levels and weights are chosen by',
  baseline: 'gzip-6',
  rounds: 3,
  slices: 2,
  metrics: sizes.flatMap((size) => [
    { key: `cpu${size}`, title: `CPU of ${size / 1000} kB, µs`, better: /** @type {const} */ ('less'), digits: 1 },
    { key: `bytes${size}`, title: `bytes of ${size / 1000} kB`, better: /** @type {const} */ ('less'), digits: 0 },
  ]),
  async prepare(server, { quick }) {
    await server.call('encode', true);
    return { measure: () => server.call('encode', quick), close: async () => {} };
  },
  peers: [
    ...[6, 4, 1].map((level) =>
      peer(`gzip-${level}`, `gzip ${level}`, ({ gzip }, syncThreshold) => gzip({ level, syncThreshold })),
    ),
    peer('gzip-6-pool', 'gzip 6 in the thread pool', ({ gzip }, syncThreshold) => gzip({ level: 6, syncThreshold }), 0),
    ...[4, 3, 2].map((quality) =>
      peer(`br-${quality}`, `brotli ${quality}`, ({ brotli }, syncThreshold) => brotli({ quality, syncThreshold })),
    ),
    peer('br-4-pool', 'brotli 4 in the thread pool', ({ brotli }, syncThreshold) => brotli({ syncThreshold }), 0),
    ...(hasZstd
      ? [
          ...[6, 5, 3, 1].map((level) =>
            peer(`zstd-${level}`, `zstd ${level}`, ({ zstd }, syncThreshold) => zstd({ level, syncThreshold })),
          ),
          peer(
            'zstd-3-pool',
            'zstd 3 in the thread pool',
            ({ zstd }, syncThreshold) => zstd({ level: 3, syncThreshold }),
            0,
          ),
        ]
      : []),
  ],
};

export default scenario;
