import type { ServerResponse } from 'node:http';
import { constants, inflateRawSync, inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { decompress as fzstd } from 'fzstd';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type BlockEncoder, brotli, type Codec, compress, deflate, gzip, zstd } from '../../src/compress/index.ts';
import { DeflateFormat } from '../../src/compress/codecs/deflate-format.ts';
import { HistoryWindow } from '../../src/compress/codecs/history-window.ts';
import { ZstdFormat } from '../../src/compress/codecs/zstd-format.ts';
import { lastZstdBlock } from '../../src/compress/format/zstd-frame.ts';
import { http1Client, http2Client } from '../support/body-clients.ts';
import { bare, h2c } from '../support/carriers.ts';
import { codings, decodeStrictly, gzipHeaderLength } from '../support/decoders.ts';
import { runs } from '../support/runs.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

/** What a handler does next. */
type Step =
  | { readonly write: string; readonly encoding: BufferEncoding | undefined }
  | { readonly write: Uint8Array; readonly encoding?: undefined }
  | { readonly flush: true }
  | { readonly pause: 'microtask' | 'tick' | 'turn' | 'callback' };

/** Text that repeats itself, as events do, with what takes more than one byte. */
const words = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom('data: ', '{"price":', '}\n\n', 'é', '🌊', '\u2028', '\0', ' ') },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
    ),
    { maxLength: 30 },
  )
  .map((parts) => parts.join(''));

// Around the high-water marks, a stored block, what goes to the thread pool, and a window.
const edges = fc.constantFrom(16_383, 16_384, 32_767, 32_768, 65_535, 65_536, 131_072, 140_000);

/** Bytes that no coding makes shorter, of a seed. */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed | 1;
  for (let at = 0; at < length; at++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

const long: fc.Arbitrary<Buffer> = fc.oneof(
  fc.tuple(edges, words).map(([length, text]) => Buffer.alloc(length, `${text}.`)),
  fc.tuple(edges, fc.integer()).map(([length, seed]) => noise(length, seed)),
);

/** A text cut at any byte: most pieces are no text by themselves. */
const cut: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.oneof({ weight: 8, arbitrary: words.map((text) => Buffer.from(text)) }, long),
    fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
  )
  .map(([bytes, cuts]) => {
    const at = [0, ...cuts.map((part) => Math.round(part * bytes.length)).toSorted((a, b) => a - b), bytes.length];
    return at.slice(1).map((end, index) => ({ write: bytes.subarray(at[index], end) }));
  });

/** A text cut between any two code points. */
const spelt: fc.Arbitrary<Step[]> = fc
  .tuple(
    words,
    fc.integer({ min: 1, max: 8 }),
    fc.constantFrom<BufferEncoding | undefined>(undefined, 'utf8', 'utf16le', 'latin1', 'base64'),
  )
  .map(([text, size, encoding]) => {
    const points = Array.from(text);
    return Array.from({ length: Math.ceil(points.length / size) }, (_each, index) => {
      const piece = points.slice(index * size, (index + 1) * size).join('');
      // Of what is no base64 Node tells a length that it does not have.
      return { write: encoding === 'base64' ? Buffer.from(piece).toString('base64') : piece, encoding };
    });
  });

const steps: fc.Arbitrary<Step[]> = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: spelt },
      { weight: 3, arbitrary: cut },
      {
        weight: 1,
        arbitrary: fc
          .constantFrom<Step>({ write: '', encoding: undefined }, { write: new Uint8Array() })
          .map((step) => [step]),
      },
      { weight: 2, arbitrary: fc.constant<Step[]>([{ flush: true }]) },
      {
        weight: 3,
        arbitrary: fc
          .constantFrom<Step>({ pause: 'microtask' }, { pause: 'tick' }, { pause: 'turn' }, { pause: 'callback' })
          .map((step) => [step]),
      },
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.flat());

const script = fc.record({ steps, endsWithLast: fc.boolean() });

type Script = typeof script extends fc.Arbitrary<infer T> ? T : never;

const bytesOf = (step: Step): Buffer =>
  'write' in step
    ? typeof step.write === 'string'
      ? Buffer.from(step.write, step.encoding)
      : Buffer.from(step.write)
    : Buffer.alloc(0);

/** Plays a script, and tells in which order the callbacks of its writes came. */
async function play(
  res: ServerResponse & { flush?: () => void },
  { steps, endsWithLast }: Script,
  called: number[],
): Promise<void> {
  const last = endsWithLast ? steps.findLastIndex((step) => 'write' in step) : -1;
  let written = Promise.resolve();
  for (const [index, step] of steps.entries()) {
    if ('flush' in step) res.flush?.();
    else if ('pause' in step) {
      if (step.pause === 'microtask') await Promise.resolve();
      else if (step.pause === 'tick') await new Promise<void>((resolve) => void process.nextTick(resolve));
      else if (step.pause === 'turn') await turns(1);
      else await written;
    } else if (index === last) {
      endWith(res, step);
      return;
    } else {
      written = new Promise((resolve) => {
        const callback = (): void => {
          called.push(index);
          resolve();
        };
        if (step.encoding === undefined) res.write(step.write, callback);
        else res.write(step.write, step.encoding, callback);
      });
    }
  }
  res.end();
}

function endWith(res: ServerResponse, { write, encoding }: Extract<Step, { write: unknown }>): void {
  if (encoding === undefined) res.end(write);
  else res.end(write, encoding);
}

const kinds = ['event stream', 'long body', 'complete body'] as const;

const offered: Codec[] = [
  gzip({ syncThreshold: '20kb' }),
  deflate({ syncThreshold: '20kb' }),
  brotli({ syncThreshold: '20kb' }),
  zstd({ syncThreshold: '20kb' }),
];

describe.each([
  ['HTTP/1.1', bare],
  ['HTTP/2', h2c],
] as const)('over %s', (_name, carrier) => {
  describe.each(codings)('%s', (coding) => {
    it.each(kinds)(
      'decodes to what was written, whatever it is and however it comes: %s',
      { timeout: 60_000 },
      async (kind) => {
        let next: Script = { steps: [], endsWithLast: false };
        let called: number[] = [];
        const running = await serve(
          carrier,
          compress({ codecs: offered, threshold: 0, idleFlush: 1 }) as never,
          (_req, response) => {
            const res = response as ServerResponse;
            res.setHeader('Content-Type', kind === 'event stream' ? 'text/event-stream' : 'text/plain');
            if (kind === 'complete body') res.end(Buffer.concat(next.steps.map(bytesOf)));
            else void play(res, next, called);
          },
        );
        const client = carrier.protocol === 'http1' ? http1Client(running) : http2Client(running);
        onTestFinished(() => client.close());
        await fc.assert(
          fc.asyncProperty(script, async (given) => {
            next = given;
            called = [];
            const text = Buffer.concat(given.steps.map(bytesOf));
            const reading = await client.get('/', coding);
            expect(await settles(reading.over)).toBe('end');
            const encodes =
              kind === 'complete body'
                ? text.length > 0 && reading.coding !== 'identity'
                : before(given).some((step) => 'flush' in step || 'write' in step);
            if (encodes) expect(reading.coding).toBe(coding);
            expect(decodeStrictly(reading.coding, reading.bytes).equals(text)).toBe(true);
            if (reading.headers['content-length'] !== undefined)
              expect(Number(reading.headers['content-length'])).toBe(reading.bytes.length);
            const calls =
              kind === 'complete body'
                ? []
                : given.steps.flatMap((step, index) => ('write' in step && !isLastWrite(given, index) ? [index] : []));
            // The last of them may come after the client has seen the end.
            await until(
              () => called.length >= calls.length,
              () => `called ${called.join()}`,
            );
            expect(called).toEqual(calls);
          }),
          { numRuns: runs(40) },
        );
      },
    );
  });
});

/** The steps that are played before the end. */
function before({ steps, endsWithLast }: Script): Step[] {
  const last = endsWithLast ? steps.findLastIndex((step) => 'write' in step) : -1;
  return last < 0 ? steps : steps.slice(0, last);
}

function isLastWrite({ steps, endsWithLast }: Script, index: number): boolean {
  return endsWithLast && index === steps.findLastIndex((step) => 'write' in step);
}

// The history window by itself.

interface Window {
  readonly frame: 'gzip' | 'zlib' | 'zstd';
  readonly history: number;
  readonly levels: readonly [number, number, number];
  readonly tier: 0 | 1 | 2 | 3;
  readonly syncThreshold: number;
  readonly padding: number;
  readonly strategy: number;
  readonly windowBits: number;
}

const level = fc.integer({ min: 0, max: 9 });
const levels = fc.tuple(level, level, level);
const tier = fc.constantFrom(0, 1, 2, 3) as fc.Arbitrary<0 | 1 | 2 | 3>;
const history = fc.oneof(fc.constantFrom(0, 1, 2, 255, 256, 1024, 31_999, 32_000), fc.integer({ min: 0, max: 32_000 }));

const window: fc.Arbitrary<Window> = fc.record({
  frame: fc.constantFrom('gzip', 'zlib', 'zstd'),
  history,
  levels,
  tier,
  syncThreshold: fc.constantFrom(0, 1000, Infinity),
  padding: fc.constantFrom(0, 0, 1, 32, 300),
  strategy: fc.constantFrom(0, 0, 0, 1, 2, 3, 4),
  windowBits: fc.constantFrom(9, 12, 15),
});

type Retune =
  { readonly levels: readonly [number, number, number] | undefined; readonly tier: 0 | 1 | 2 | 3 } | 'stored';

interface Block {
  readonly retune: Retune | undefined;
  readonly text: (history: number) => Buffer;
}

const retune: fc.Arbitrary<Retune> = fc.oneof(
  fc.constant('stored' as const),
  fc.record({ levels: fc.option(levels, { nil: undefined }), tier }),
);

/** How long a text is, in terms of the history: the edges at which what is remembered changes its shape. */
const size: fc.Arbitrary<(history: number) => number> = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 400 }).map((length) => () => length) },
  { weight: 4, arbitrary: fc.constantFrom(-1, 0, 1).map((more) => (limit: number) => Math.max(1, limit + more)) },
  { weight: 2, arbitrary: fc.constantFrom(1, 2, 65_535, 65_536, 100_000).map((length) => () => length) },
);

// Lines that are like no other: what is remembered of one is of use only where it is.
const vocabulary = Array.from({ length: 24 }, (_each, index) => noise(48, index * 977).toString('base64'));

const block: fc.Arbitrary<Block> = fc.record({
  retune: fc.option(retune, { nil: undefined, freq: 3 }),
  text: fc.oneof(
    fc
      .array(fc.constantFrom(...vocabulary), { minLength: 1, maxLength: 20 })
      .map((chosen) => () => Buffer.from(chosen.join('\n'))),
    fc
      .tuple(
        size,
        fc.option(fc.integer(), { nil: undefined }),
        fc.constantFrom('{"symbol":"SLC","price":101.25,"size":300}\n', 'ab', 'é🌊'),
      )
      .map(
        ([length, seed, pattern]) =>
          (limit: number) =>
            seed === undefined ? Buffer.alloc(length(limit), pattern) : noise(length(limit), seed),
      ),
  ),
});

function openWindow(given: Window): HistoryWindow {
  const { frame, windowBits } = given;
  const format = frame === 'zstd' ? new ZstdFormat(windowBits + 1) : new DeflateFormat(frame, given);
  return new HistoryWindow({ ...given, format });
}

/** What a decoder makes of a member that goes on: all that was sent so far, or it throws. */
function soFar(frame: Window['frame'], bytes: Buffer): Buffer {
  if (frame === 'zstd') return Buffer.from(bytes.length === 0 ? bytes : fzstd(Buffer.concat([bytes, lastZstdBlock])));
  const options = { finishFlush: constants.Z_SYNC_FLUSH };
  return frame === 'zlib'
    ? inflateSync(bytes, options)
    : inflateRawSync(bytes.subarray(gzipHeaderLength(bytes)), options);
}

function tuningOf(given: Retune): Parameters<NonNullable<BlockEncoder['retune']>>[0] {
  if (given === 'stored') return given;
  return { codec: { coding: 'x', available: true, ...(given.levels && { levels: given.levels }) }, tier: given.tier };
}

it(
  'a history window makes one valid member, each of whose blocks can be read when it comes',
  { timeout: 60_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(
        window,
        fc.array(block, { maxLength: 7 }),
        fc.option(block, { nil: undefined }),
        async (settings, blocks, lastBlock) => {
          const encoder = openWindow(settings);
          let text = Buffer.alloc(0);
          let bytes = Buffer.alloc(0);
          const add = async (given: Block | undefined, last: boolean): Promise<void> => {
            if (given?.retune !== undefined) encoder.retune(tuningOf(given.retune));
            const piece = given?.text(settings.history) ?? Buffer.alloc(0);
            text = Buffer.concat([text, piece]);
            bytes = Buffer.concat([bytes, await encoder.encode(piece, last)]);
          };
          for (const each of blocks) {
            await add(each, false);
            expect(soFar(settings.frame, bytes).equals(text)).toBe(true);
          }
          await add(lastBlock, true);
          expect(decodeStrictly(settings.frame === 'zlib' ? 'deflate' : settings.frame, bytes).equals(text)).toBe(true);
          encoder.close();
        },
      ),
      { numRuns: runs(400) },
    );
  },
);

it('a history window that is stored keeps the text readable, and refers to it when it is not stored any more', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('gzip' as const, 'zlib' as const, 'zstd' as const),
      fc.integer({ min: 100, max: 32_000 }),
      fc.integer(),
      (frame, limit, seed) => {
        const encoder = openWindow({
          frame,
          history: limit,
          levels: [6, 6, 6],
          tier: 0,
          syncThreshold: Infinity,
          padding: 0,
          strategy: 0,
          windowBits: 15,
        });
        const text = noise(100, seed);
        encoder.retune('stored');
        const stored = Buffer.from(encoder.encode(text, false) as Uint8Array);
        expect(stored.includes(text)).toBe(true);
        encoder.retune({ codec: { coding: 'x', available: true }, tier: 0 });
        const again = Buffer.from(encoder.encode(text, false) as Uint8Array);
        expect(again.length).toBeLessThan(20);
        expect(soFar(frame, Buffer.concat([stored, again])).equals(Buffer.concat([text, text]))).toBe(true);
      },
    ),
    { numRuns: runs(50) },
  );
});
