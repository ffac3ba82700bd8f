import zlib, { constants } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { deflate, gzip, zstd } from '../../../src/compress/index.ts';
import type { Codec } from '../../../src/compress/codec.ts';
import { KeptEncoders, type KeptEncoderSettings, largestKept } from '../../../src/compress/codecs/kept-encoder.ts';
import { noise, prose } from '../../support/texts.ts';

const gzipSettings: KeptEncoderSettings = {
  open: () => zlib.createGzip(),
  end: constants.Z_FINISH,
  resets: true,
  encodeOnce: (body) => zlib.gzipSync(body),
};

const bodies = [prose(10), prose(2000), noise(3000), prose(9000), '', prose(2000), noise(100_000), prose(131_072)].map(
  (text) => Buffer.from(text),
);

describe('kept encoders', () => {
  it('make the bytes of Node, of each body in a row', () => {
    const kept = new KeptEncoders();
    for (const body of bodies) {
      if (body.length > largestKept) continue;
      const coded = kept.encode(1, body, () => gzipSettings)!;
      expect(zlib.gunzipSync(coded).equals(body)).toBe(true);
      expect(zlib.gzipSync(body).equals(coded)).toBe(true);
    }
  });

  it('open one encoder for each key, when it is needed', () => {
    let opened = 0;
    const settings = (): KeptEncoderSettings => ({ ...gzipSettings, open: () => (opened++, zlib.createGzip()) });
    const kept = new KeptEncoders();
    for (const key of [1, 2, 1, 2, 1]) kept.encode(key, bodies[1]!, settings);
    expect(opened).toBe(2);
  });

  it('give what they made away: the next body does not change it', () => {
    const kept = new KeptEncoders();
    const [first, second] = [bodies[1]!, bodies[2]!].map((body) => kept.encode(1, body, () => gzipSettings)!);
    expect(zlib.gunzipSync(first!).equals(bodies[1]!)).toBe(true);
    expect(zlib.gunzipSync(second!).equals(bodies[2]!)).toBe(true);
  });

  it('leave a long body to Node', () => {
    const kept = new KeptEncoders();
    expect(kept.encode(1, Buffer.alloc(largestKept + 1), () => gzipSettings)).toBeUndefined();
    expect(kept.encode(1, Buffer.alloc(largestKept), () => gzipSettings)).toBeDefined();
  });

  it.each<[what: string, open: () => unknown]>([
    ['without a handle', () => ({ on() {}, destroy() {}, destroyed: false })],
    ['whose handle has other methods', () => Object.assign(zlib.createGzip(), { _handle: { close() {} } })],
    ['that is closed already', () => zlib.createGzip().destroy()],
    ['that makes other bytes', () => zlib.createGzip({ level: 1 })],
  ])('leave all to Node where there is an encoder %s', (_what, open) => {
    const kept = new KeptEncoders();
    for (const body of bodies.slice(0, 2)) {
      expect(kept.encode(1, body, () => ({ ...gzipSettings, open }))).toBeUndefined();
    }
  });

  it('replace an encoder that failed', async () => {
    const opened: zlib.Gzip[] = [];
    const open = (): zlib.Gzip => opened[opened.push(zlib.createGzip()) - 1]!;
    const kept = new KeptEncoders();
    const encode = (): Uint8Array | undefined => kept.encode(1, bodies[1]!, () => ({ ...gzipSettings, open }));
    expect(encode()).toBeDefined();
    // As Node does with a failure of zlib.
    opened[0]!.destroy(new Error('no memory'));
    await new Promise(setImmediate);
    expect(encode()).toBeUndefined();
    expect(zlib.gunzipSync(encode()!).equals(bodies[1]!)).toBe(true);
    expect(opened).toHaveLength(2);
  });
});

const tiers = [0, 1, 2] as const;
const whole = { syncThreshold: Infinity };

interface NodeZstd {
  zstdCompressSync(body: Uint8Array, options: object): Buffer;
  zstdDecompressSync(coded: Uint8Array): Buffer;
}

/** From 22.15 on. */
const nodeZstd = 'zstdCompressSync' in zlib ? (zlib as unknown as NodeZstd) : undefined;
const zstds: [string, Codec][] = [
  ['zstd', zstd(whole)],
  ['zstd of another level', zstd({ ...whole, level: -5 })],
  ['zstd of a window', zstd({ ...whole, windowBits: 12 })],
  ['zstd with a checksum', zstd({ ...whole, params: { 201: 1 } })],
];

describe.each<[string, Codec, (coded: Uint8Array) => Buffer]>([
  ['gzip', gzip(whole), zlib.gunzipSync],
  ['gzip of other options', gzip({ ...whole, level: 0, strategy: 4, windowBits: 9, memLevel: 1 }), zlib.gunzipSync],
  ['deflate', deflate(whole), zlib.inflateSync],
  ...(nodeZstd
    ? zstds.map(
        ([name, codec]) =>
          [name, codec, nodeZstd.zstdDecompressSync] as [string, Codec, typeof nodeZstd.zstdDecompressSync],
      )
    : []),
])('%s', (_name, codec, decode) => {
  it('encodes bodies of each size at each tier, with padding and without', async () => {
    for (const padding of [0, 20])
      for (const body of bodies)
        for (const tier of tiers) {
          const coded = await codec.encode!(body, { tier, size: body.length, padding });
          expect(decode(coded).equals(body)).toBe(true);
        }
  });
});

describe.each(nodeZstd ? [nodeZstd] : [])('zstd of Node', ({ zstdCompressSync }) => {
  it('and ours make the same bytes', async () => {
    const codec = zstd(whole);
    for (const body of bodies.filter(({ length }) => length > 0 && length <= largestKept)) {
      // ZSTD_c_compressionLevel.
      const params = { 100: body.length < 4096 ? 6 : 3 };
      const coded = await codec.encode!(body, { tier: 0, size: body.length, padding: 0 });
      expect(zstdCompressSync(body, { params, pledgedSrcSize: body.length }).equals(coded)).toBe(true);
    }
  });
});
