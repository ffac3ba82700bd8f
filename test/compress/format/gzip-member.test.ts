import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { crc32, deflateRawSync, deflateSync, gunzipSync, gzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  adler32,
  type DeflateFrame,
  finalBlock,
  frameHeader,
  frameTrailer,
  padHeader,
  storedBlocks,
} from '../../../src/compress/format/gzip-member.ts';
import { listen } from '../../support/carriers.ts';
import { type Coding, decodeStrictly } from '../../support/decoders.ts';

const hasCurl = spawnSync('curl', ['--version']).status === 0;
if (!hasCurl) {
  if (process.env['SLUICE_REQUIRE_ALL'] === '1')
    throw new Error('curl is required (SLUICE_REQUIRE_ALL=1) and is not here');
  console.warn('Skipped: a gzip member read by curl, since there is no curl here.');
}

const frames: DeflateFrame[] = ['gzip', 'zlib'];
const codingOf = (frame: DeflateFrame): Coding => (frame === 'gzip' ? 'gzip' : 'deflate');
const checksumOf = (frame: DeflateFrame, text: Uint8Array): number =>
  frame === 'gzip' ? crc32(text) : adler32(text, 1);

/** What zlib says: the trailer of its own zlib format. */
function zlibAdler(text: Uint8Array): number {
  return deflateSync(text).readUInt32BE(deflateSync(text).length - 4);
}

// Around the run of bytes after which the sums are reduced, and around the base.
const lengths = [0, 1, 2, 5551, 5552, 5553, 11_103, 11_104, 11_105, 65_520, 65_521, 65_522, 1_000_000];

describe('adler32', () => {
  it.each(lengths)('is that of zlib for the worst of %d bytes', (length) => {
    for (const byte of [0, 1, 0xff]) {
      const text = Buffer.alloc(length, byte);
      expect(adler32(text, 1)).toBe(zlibAdler(text));
    }
  });

  it('is that of zlib for any text in any pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 8000, size: 'max' }), { maxLength: 5 }), (pieces) => {
        const whole = pieces.reduce((sum, piece) => adler32(piece, sum), 1);
        expect(whole).toBe(zlibAdler(Buffer.concat(pieces)));
      }),
      { numRuns: 100 },
    );
  });

  it('stays in 32 bits without a sign', () => {
    expect(adler32(Buffer.alloc(100_000, 0xff), 1)).toBeGreaterThanOrEqual(0);
    // High sums over 2³¹.
    const signs = Array.from({ length: 200 }, (_each, index) => adler32(Buffer.alloc(index * 400, 0xfe), 1) >= 2 ** 31);
    expect(new Set(signs)).toEqual(new Set([true, false]));
  });
});

describe('storedBlocks', () => {
  it.each([
    [0, 0],
    [1, 1],
    [65_534, 1],
    [65_535, 1],
    [65_536, 2],
    [131_070, 2],
    [131_071, 3],
    [200_000, 4],
  ])('of %d bytes are %d and the mark of a flush, which inflate to the text', (length, count) => {
    const text = randomBytes(length);
    const blocks = storedBlocks(text);
    expect(blocks.length).toBe(length + 5 * (count + 1));
    expect(Buffer.from(blocks.subarray(-5)).toString('hex')).toBe('000000ffff');
    expect(inflateRawSync(Buffer.concat([blocks, finalBlock])).equals(text)).toBe(true);
  });

  it('leave the text readable', () => {
    expect(Buffer.from(storedBlocks(Buffer.from('as it is'))).toString()).toContain('as it is');
  });

  it('do not touch, nor keep, what they are given', () => {
    const text = Buffer.from('mine');
    const blocks = storedBlocks(text);
    text.fill('x');
    expect(Buffer.from(blocks).toString()).toContain('mine');
  });
});

describe('finalBlock', () => {
  it('ends deflate data by itself', () => {
    expect(inflateRawSync(finalBlock)).toEqual(Buffer.alloc(0));
  });
});

describe('frameTrailer', () => {
  it('has the checksum and, for gzip, the length, as zlib writes them', () => {
    const text = randomBytes(70_000);
    expect(frameTrailer('gzip', crc32(text), text.length)).toEqual(new Uint8Array(gzipSync(text).subarray(-8)));
    expect(frameTrailer('zlib', adler32(text, 1), text.length)).toEqual(new Uint8Array(deflateSync(text).subarray(-4)));
  });

  it('takes every value of 32 bits', () => {
    expect(frameTrailer('gzip', 0xffffffff, 0xfffffffe)).toEqual(Uint8Array.of(255, 255, 255, 255, 254, 255, 255, 255));
    expect(frameTrailer('zlib', 0x80000001, 0)).toEqual(Uint8Array.of(128, 0, 0, 1));
  });
});

function member(frame: DeflateFrame, text: Uint8Array, padding: number): Uint8Array {
  return Buffer.concat([
    frameHeader(frame, padding),
    deflateRawSync(text),
    frameTrailer(frame, checksumOf(frame, text), text.length),
  ]);
}

const paddings = [0, 1, 2, 4, 5, 6, 31, 32, 255, 256, 65_536];

describe.each(frames)('a %s frame', (frame) => {
  it.each(paddings)('with %d bytes of padding is read by Node', (padding) => {
    const text = Buffer.from('the same text '.repeat(50));
    expect(decodeStrictly(codingOf(frame), member(frame, text, padding))).toEqual(text);
    expect((frame === 'gzip' ? gunzipSync : inflateSync)(member(frame, text, padding))).toEqual(text);
  });

  it.each(paddings)('that zlib made takes %d bytes of padding', (padding) => {
    const text = Buffer.from('the same text '.repeat(50));
    const coded = frame === 'gzip' ? gzipSync(text) : deflateSync(text);
    const padded = padHeader(frame, coded, padding);
    expect(decodeStrictly(codingOf(frame), padded)).toEqual(text);
    // An empty stored block has five bytes.
    const unit = frame === 'gzip' ? 1 : 5;
    expect(padded.length - coded.length).toBe(Math.ceil(padding / unit) * unit);
  });

  it('leaves what is not padded as it is', () => {
    const coded = Uint8Array.of(1, 2, 3);
    expect(padHeader(frame, coded, 0)).toBe(coded);
  });

  it('takes its padding also where the header comes alone', () => {
    const text = Buffer.from('the same text '.repeat(50));
    const coded = frame === 'gzip' ? gzipSync(text) : deflateSync(text);
    const headerLength = frame === 'gzip' ? 10 : 2;
    const padded = Buffer.concat([padHeader(frame, coded.subarray(0, headerLength), 17), coded.subarray(headerLength)]);
    expect(decodeStrictly(codingOf(frame), padded)).toEqual(text);
  });

  it('of stored blocks has an empty text too', () => {
    const coded = Buffer.concat([
      frameHeader(frame, 0),
      storedBlocks(Buffer.alloc(0)),
      finalBlock,
      frameTrailer(frame, checksumOf(frame, Buffer.alloc(0)), 0),
    ]);
    expect(decodeStrictly(codingOf(frame), coded)).toEqual(Buffer.alloc(0));
  });

  it.runIf(hasCurl)('of blocks of both kinds, with padding, is read by curl', async () => {
    const texts = [Buffer.from('plain '.repeat(20)), randomBytes(70_000), Buffer.from('plain again '.repeat(20))];
    const text = Buffer.concat(texts);
    const flushed = (piece: Buffer): Buffer => deflateRawSync(piece, { finishFlush: 2 });
    const coded = Buffer.concat([
      frameHeader(frame, 40),
      flushed(texts[0]!),
      storedBlocks(texts[1]!),
      flushed(texts[2]!),
      finalBlock,
      frameTrailer(frame, checksumOf(frame, text), text.length),
    ]);
    const server = http.createServer((_req, res) => res.setHeader('Content-Encoding', codingOf(frame)).end(coded));
    const running = await listen(server);
    onTestFinished(() => running.close());
    expect((await curl(running.origin)).equals(text)).toBe(true);
  });
});

/** Reads a body as curl does, which checks the checksum. */
async function curl(url: string): Promise<Buffer> {
  const child = spawn('curl', ['--silent', '--show-error', '--fail', '--compressed', '--max-time', '30', url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  expect(code).toBe(0);
  return Buffer.concat(chunks);
}
