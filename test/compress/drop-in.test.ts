import type { IncomingMessage, ServerResponse } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { constants, gzipSync } from 'node:zlib';
import compression from 'compression';
import { describe, expect, it } from 'vitest';
import { compress, type CompressOptions } from '../../src/compress/index.ts';
import { bare, carriers, type Middleware } from '../support/carriers.ts';
import { type CodedReading, type CodedRequest, openCoded } from '../support/coded-clients.ts';
import { hasZstd } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { serve, type Served } from '../support/serve.ts';
import { noise, prose } from '../support/texts.ts';
import { settles, until } from '../support/until.ts';

/** Both have it; only ours has the callback. */
type Flushing = ServerResponse & { flush(callback?: () => void): void };
type Answer = (res: Flushing, req: IncomingMessage) => unknown;

const { Z_SYNC_FLUSH, Z_FINISH, BROTLI_OPERATION_FLUSH } = constants;

const body = prose(5000);
const text = 'text/plain; charset=utf-8';

/** What both can be given. */
type Options = compression.CompressionOptions & CompressOptions;

const theirs = (options?: Options): Middleware => compression(options) as unknown as Middleware;
const ours = (options?: Options): Middleware => compress(options);

async function serveBoth(options: Options | undefined, answer: Answer): Promise<readonly [Served, Served]> {
  const handler: Middleware = (req, res) => answer(res as Flushing, req as IncomingMessage);
  return [await serve(bare, theirs(options), handler), await serve(bare, ours(options), handler)];
}

async function read(running: Served, request: CodedRequest): Promise<CodedReading> {
  const reading = await openCoded(running, 'HTTP/1.1', request);
  expect(await settles(reading.over)).toBe('end');
  return reading;
}

/** What a client sees of a response, but for the bytes of the coding. */
function outcomeOf(reading: CodedReading): Record<string, unknown> {
  return {
    status: reading.status,
    coding: reading.coding,
    vary: reading.headers['vary'],
    type: reading.headers['content-type'],
    text: reading.content.length === 0 ? '' : reading.decode(),
  };
}

const complete =
  (fields: Record<string, string>, content?: string | Uint8Array): Answer =>
  (res) => {
    for (const [name, value] of Object.entries(fields)) res.setHeader(name, value);
    res.end(content);
  };

const inPieces =
  (fields: Record<string, string>, ...pieces: string[]): Answer =>
  (res) => {
    for (const [name, value] of Object.entries(fields)) res.setHeader(name, value);
    for (const piece of pieces) res.write(piece);
    setTimeout(() => res.end(), 2);
  };

const accepts: readonly (string | undefined)[] = [
  undefined,
  '',
  'gzip',
  'deflate',
  'br',
  'gzip, deflate',
  'gzip, deflate, br',
  'deflate, gzip;q=0.5',
  'br;q=0.2, gzip',
  'GZIP',
  'gzip;q=0',
  'identity',
  'x-unknown',
  '*;q=0',
  'gzip;q=0, deflate',
  'gzip; q=0.5, identity;q=0.8',
  'br;q=0, gzip;q=0, *;q=0',
];

const answers: readonly (readonly [string, Answer])[] = [
  ['a complete body', complete({ 'Content-Type': text }, body)],
  ['a complete body as bytes', complete({ 'Content-Type': text }, Buffer.from(body))],
  ['a complete body for the thread pool', complete({ 'Content-Type': text }, prose(100_000))],
  [
    'a complete body with its length',
    complete({ 'Content-Type': text, 'Content-Length': String(Buffer.byteLength(body)) }, body),
  ],
  ['a body in pieces', inPieces({ 'Content-Type': text }, body, body)],
  [
    'a body in pieces with its length',
    inPieces({ 'Content-Type': text, 'Content-Length': String(2 * Buffer.byteLength(body)) }, body, body),
  ],
  ['a short body', complete({ 'Content-Type': text }, 'short')],
  ['a short body in pieces with its length', inPieces({ 'Content-Type': text, 'Content-Length': '4' }, 'sh', 'rt')],
  ['a short body in pieces', inPieces({ 'Content-Type': text }, 'short')],
  ['no type', complete({}, body)],
  ['an image', complete({ 'Content-Type': 'image/png' }, body)],
  ['json with a suffix', complete({ 'Content-Type': 'application/vnd.api+json' }, JSON.stringify({ body }))],
  ['a type that nobody knows', complete({ 'Content-Type': 'x/unknown' }, body)],
  ['no-transform', complete({ 'Content-Type': text, 'Cache-Control': 'public, no-transform' }, body)],
  [
    'no-transform as an argument only',
    complete({ 'Content-Type': text, 'Cache-Control': 'private="no-transform-not"' }, body),
  ],
  ['a coding that is there', complete({ 'Content-Type': text, 'Content-Encoding': 'gzip' }, gzipSync(body))],
  ['a Vary that is there', complete({ 'Content-Type': text, Vary: 'Accept, Origin' }, body)],
  [
    'writeHead',
    (res) => res.writeHead(203, { 'Content-Type': text, 'Content-Length': Buffer.byteLength(body) }).end(body),
  ],
];

/** Where gzip comes before brotli, which takes twice its time for complete bodies under 32 kB. */
const gzipFirst = [
  'a complete body',
  'a complete body as bytes',
  'a complete body with its length',
  'json with a suffix',
  'no-transform as an argument only',
  'a Vary that is there',
];

describe('beside `compression`, with the same options', () => {
  it.each(answers)('%s has the same outcome for every Accept-Encoding', async (name, answer) => {
    const [before, after] = await serveBoth(undefined, answer);
    for (const accept of accepts) {
      for (const method of ['GET', 'HEAD']) {
        if (method === 'HEAD' && accept !== 'gzip') continue;
        const [expected, actual] = [await read(before, { accept, method }), await read(after, { accept, method })];
        const isOther = accept === 'gzip, deflate, br' && gzipFirst.includes(name);
        const other = isOther ? { coding: 'gzip' } : {};
        expect([accept, outcomeOf(actual)]).toEqual([accept, { ...outcomeOf(expected), ...other }]);
        if (isOther) expect(expected.coding).toBe('br');
      }
    }
  });

  it.each<[string, Options, string]>([
    ['threshold 0', { threshold: 0 }, 'gzip'],
    ['threshold as a number', { threshold: 6000 }, 'gzip'],
    ['threshold as a string', { threshold: '5kb' }, 'gzip'],
    ['threshold above', { threshold: '6kb' }, 'gzip'],
    ['a filter that refuses', { filter: () => false }, 'gzip'],
    ['a filter that accepts', { filter: () => true }, 'gzip'],
    ['enforceEncoding gzip', { enforceEncoding: 'gzip' }, 'gzip'],
    ['enforceEncoding identity', { enforceEncoding: 'identity' }, 'gzip'],
    ['enforceEncoding br', { enforceEncoding: 'br' }, 'gzip'],
    ['enforceEncoding deflate', { enforceEncoding: 'deflate' }, 'gzip'],
    ['an unknown enforceEncoding', { enforceEncoding: 'bogus' }, 'gzip'],
    ['all of zlib', { level: 3, memLevel: 4, chunkSize: 1024, windowBits: 10, strategy: constants.Z_FILTERED }, 'gzip'],
    ['level -1', { level: -1 }, 'gzip'],
    ['level 0', { level: 0, threshold: 0 }, 'gzip'],
    ['brotli params', { brotli: { params: { [constants.BROTLI_PARAM_QUALITY]: 6 } } }, 'br'],
    ['brotli params and gzip', { brotli: { params: { [constants.BROTLI_PARAM_LGWIN]: 12 } }, level: 9 }, 'gzip, br'],
  ])('%s has the same outcome', async (name, options, accept) => {
    for (const [kind, answer] of answers) {
      // The one difference: a body that is known to become no shorter is sent as it is.
      if (name === 'level 0' && !kind.includes('pieces')) continue;
      const [before, after] = await serveBoth(options, answer);
      for (const each of [accept, undefined]) {
        const [expected, actual] = [await read(before, { accept: each }), await read(after, { accept: each })];
        if (name === 'threshold 0' && kind.startsWith('a short body') && !kind.includes('pieces'))
          expect(actual.coding).toBe('identity');
        else expect([kind, each, outcomeOf(actual)]).toEqual([kind, each, outcomeOf(expected)]);
      }
      await Promise.all([before.close(), after.close()]);
    }
  });

  it('a filter is asked once, when the head is made, with the request and the response', async () => {
    const seen: unknown[] = [];
    const filter = (req: { url?: string | undefined }, res: unknown): boolean => {
      seen.push(req.url, (res as ServerResponse).getHeader('content-type'));
      return true;
    };
    for (const [index, running] of (
      await serveBoth({ filter } as Options, (res) => {
        expect(seen).toEqual([]);
        res.setHeader('Content-Type', 'image/png');
        res.write(body);
        res.end();
      })
    ).entries()) {
      expect([index, (await read(running, { accept: 'gzip', path: '/asked' })).coding]).toEqual([index, 'gzip']);
      expect(seen.splice(0)).toEqual(['/asked', 'image/png']);
    }
  });

  it('compress.filter is there for filters that add to it', async () => {
    expect(compress.filter).toBeTypeOf('function');
    const seen: boolean[][] = [];
    for (const running of await serveBoth(undefined, (res, req) => {
      res.setHeader('Content-Type', req.url === '/json' ? 'application/json; charset=utf-8' : 'image/png');
      seen.push([compression.filter(req as never, res as never), compress.filter(req, res)]);
      res.end();
    })) {
      await read(running, { path: '/json' });
      await read(running, { path: '/png' });
    }
    expect(seen).toEqual([
      [true, true],
      [false, false],
      [true, true],
      [false, false],
    ]);
  });

  it('level, memLevel, windowBits and strategy give about as many bytes', async () => {
    const content = prose(200_000);
    const settings: Options[] = [
      { level: 1 },
      { level: 9 },
      { level: 6, windowBits: 9 },
      { level: 6, memLevel: 1 },
      { strategy: constants.Z_HUFFMAN_ONLY },
      { strategy: constants.Z_FIXED },
      { level: 0 },
    ];
    for (const options of settings) {
      for (const accept of ['gzip', 'deflate']) {
        for (const answer of [
          complete({ 'Content-Type': text }, content),
          inPieces({ 'Content-Type': text }, content),
        ]) {
          const [before, after] = await serveBoth(options, answer);
          const [expected, actual] = [await read(before, { accept }), await read(after, { accept })];
          const ratio = actual.content.length / expected.content.length;
          expect([options, ratio > 0.97 && ratio < 1.03]).toEqual([options, true]);
          await Promise.all([before.close(), after.close()]);
        }
      }
    }
  });

  it('brotli params give about as many bytes', async () => {
    const content = prose(100_000);
    for (const params of [
      undefined,
      { [constants.BROTLI_PARAM_QUALITY]: 1 },
      { [constants.BROTLI_PARAM_QUALITY]: 9 },
      { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_LGWIN]: 10 },
    ]) {
      const [before, after] = await serveBoth(
        params && { brotli: { params } },
        complete({ 'Content-Type': text }, content),
      );
      const [expected, actual] = [await read(before, { accept: 'br' }), await read(after, { accept: 'br' })];
      const ratio = actual.content.length / expected.content.length;
      expect([params, actual.coding, ratio > 0.97 && ratio < 1.03]).toEqual([params, 'br', true]);
    }
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['null for what has a default', { filter: null, threshold: null, enforceEncoding: null, brotli: null }],
    ['options of node:zlib', { flush: Z_SYNC_FLUSH, finishFlush: Z_FINISH, info: false, maxOutputLength: 1e6 }],
    ['options of node:zlib for brotli', { brotli: { flush: BROTLI_OPERATION_FLUSH, maxOutputLength: 1e6 } }],
  ])('takes %s for options', async (_name, options) => {
    const cases = [
      [text, body],
      [text, 'short'],
      ['image/png', body],
    ] as const;
    for (const answer of cases.map(([type, content]) => complete({ 'Content-Type': type }, content))) {
      const [before, after] = await serveBoth(options as Options, answer);
      for (const accept of [undefined, 'gzip', 'br']) {
        expect(outcomeOf(await read(after, { accept }))).toEqual(outcomeOf(await read(before, { accept })));
      }
      await Promise.all([before.close(), after.close()]);
    }
  });

  it('res.flush delivers what was written, and is there after the end too', async () => {
    for (const accept of ['gzip', 'deflate', 'br']) {
      let gates = [deferred(), deferred()] as const;
      for (const running of await serveBoth(undefined, async (res) => {
        res.setHeader('Content-Type', text);
        for (const [index, gate] of (gates = [deferred(), deferred()]).entries()) {
          res.write(`${index}, `);
          res.flush();
          await gate.promise;
        }
        res.end('end');
        res.flush();
        res.on('close', () => res.flush());
      })) {
        const reading = await openCoded(running, 'HTTP/1.1', { accept });
        await until(() => reading.text === '0, ');
        gates[0].resolve();
        await until(() => reading.text === '0, 1, ');
        gates[1].resolve();
        expect(await settles(reading.over)).toBe('end');
        expect([reading.coding, reading.decode(), running.errors]).toEqual([accept, '0, 1, end', []]);
      }
    }
  });

  it('res.flush is there for a response that is not coded', async () => {
    for (const running of await serveBoth(undefined, (res) => {
      res.setHeader('Content-Type', 'image/png');
      res.write('one');
      res.flush();
      res.end();
    })) {
      expect((await read(running, { accept: 'gzip' })).decode()).toBe('one');
    }
  });

  it.each(carriers.filter(({ protocol }) => protocol === 'http1'))('replaces it on $name', async (carrier) => {
    const outcomes: unknown[] = [];
    for (const middleware of [theirs(), ours()]) {
      const running = await serve(carrier, middleware, (_req, response) => {
        const res = response as unknown as { json?: (value: unknown) => void } & ServerResponse;
        if (res.json) res.json({ body });
        else
          complete({ 'Content-Type': 'application/json; charset=utf-8' }, JSON.stringify({ body }))(
            res as Flushing,
            undefined as never,
          );
      });
      const reading = await read(running, { accept: 'gzip' });
      outcomes.push(outcomeOf(reading));
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
  });
});

interface Difference {
  readonly what: string;
  readonly why: string;
  readonly options?: Options;
  readonly request?: CodedRequest;
  readonly answer: Answer;
  /** What is looked at. */
  readonly look: (reading: CodedReading, log: readonly string[]) => unknown;
  readonly theirs: unknown;
  readonly ours: unknown;
  readonly skip?: boolean;
}

const status =
  (code: number, fields = {}): Answer =>
  (res) =>
    res.writeHead(code, { 'Content-Type': text, ...fields }).end(code === 206 ? body : undefined);
const coding = (reading: CodedReading): string => reading.coding;

const log: string[] = [];

const differences: readonly Difference[] = [
  {
    what: '204',
    why: 'it has no content',
    options: { threshold: 0, filter: () => true },
    answer: status(204),
    look: (reading) => reading.headers['content-encoding'],
    theirs: 'gzip',
    ours: undefined,
  },
  {
    what: '304',
    why: 'it has no content',
    options: { threshold: 0 },
    answer: (res) => res.writeHead(304, { 'Content-Type': text }).end(),
    look: (reading) => reading.headers['content-encoding'],
    theirs: 'gzip',
    ours: undefined,
  },
  {
    what: '206',
    why: 'a range is of the bytes without a coding',
    answer: status(206, { 'Content-Range': 'bytes 0-1/2' }),
    look: coding,
    theirs: 'gzip',
    ours: 'identity',
  },
  {
    what: 'a strong ETag',
    why: 'two different bodies may not have the same',
    answer: complete({ 'Content-Type': text, ETag: '"abc"' }, body),
    look: (reading) => reading.headers['etag'],
    theirs: '"abc"',
    ours: 'W/"abc"',
  },
  {
    what: 'Accept-Ranges',
    why: 'no range of the coded body can be made again',
    answer: complete({ 'Content-Type': text, 'Accept-Ranges': 'bytes' }, body),
    look: (reading) => reading.headers['accept-ranges'],
    theirs: 'bytes',
    ours: undefined,
  },
  {
    what: 'Content-Length of a complete body',
    why: 'it is known',
    answer: complete({ 'Content-Type': text }, body),
    look: (reading) => reading.headers['content-length'] === String(reading.content.length),
    theirs: false,
    ours: true,
  },
  {
    what: 'Content-Length of HEAD',
    why: 'the body of a GET would have another',
    request: { method: 'HEAD' },
    answer: complete({ 'Content-Type': text, 'Content-Length': '5000' }),
    look: (reading) => reading.headers['content-length'],
    theirs: '5000',
    ours: undefined,
  },
  {
    what: 'Content-Digest',
    why: 'it is of the bytes as they are',
    answer: complete({ 'Content-Type': text, 'Content-Digest': 'sha-256=:x:' }, body),
    look: coding,
    theirs: 'gzip',
    ours: 'identity',
  },
  {
    what: 'a body that becomes no shorter',
    why: 'it would cost bytes',
    answer: complete({ 'Content-Type': text }, Buffer.from(noise(4000), 'base64')),
    look: coding,
    theirs: 'gzip',
    ours: 'identity',
  },
  {
    what: 'a write callback',
    why: 'it is part of `write`',
    answer: (res) => {
      res.setHeader('Content-Type', text);
      res.write(body, 'utf8', () => log.push('called'));
      setTimeout(() => res.end(), 10);
    },
    look: () => log.length,
    theirs: 0,
    ours: 1,
  },
  {
    what: 'an end callback',
    why: 'it is part of `end`',
    answer: (res) => {
      res.setHeader('Content-Type', text);
      (res.end as (chunk: string, encoding: string, callback: () => void) => void)(body, 'utf8', () =>
        log.push('called'),
      );
    },
    look: () => log.length,
    theirs: 0,
    ours: 1,
  },
  {
    what: 'the callback of write(chunk, callback)',
    why: 'it is part of `write`',
    answer: (res) => {
      res.setHeader('Content-Type', text);
      res.write(body, () => log.push('called'));
      setTimeout(() => res.end(), 10);
    },
    look: () => log.length,
    theirs: 0,
    ours: 1,
  },
  {
    what: 'writableNeedDrain after a write that returned false',
    why: 'back-pressure depends on it',
    answer: (res) => {
      res.setHeader('Content-Type', text);
      while (res.write(noise(20_000)));
      log.push(String(res.writableNeedDrain), String(res.writableLength > 0));
      res.end();
    },
    look: () => [...log],
    theirs: ['false', 'false'],
    ours: ['true', 'true'],
  },
  {
    what: 'off("drain")',
    why: 'or every wait leaves a listener behind',
    answer: (res) => {
      res.setHeader('Content-Type', text);
      const listener = (): void => void log.push('drain');
      while (res.write(noise(20_000)));
      res.on('drain', listener);
      res.off('drain', listener);
      res.once('drain', () => setImmediate(() => res.end()));
    },
    look: () => log.length,
    theirs: 1,
    ours: 0,
  },
  {
    what: 'flush before the first write',
    why: 'an EventSource waits for the head',
    answer: (res) => {
      res.setHeader('Content-Type', text);
      res.flush();
      log.push(String(res.headersSent));
      res.end(body);
    },
    look: () => [...log],
    theirs: ['false'],
    ours: ['true'],
  },
  {
    what: 'an event stream that is not flushed by hand',
    why: 'each event has to arrive at once',
    request: { accept: 'br, gzip' },
    answer: (res) => {
      res.setHeader('Content-Type', 'text/event-stream');
      res.write('data: one\n\n');
      setTimeout(() => res.end(), 50);
    },
    look: coding,
    theirs: 'br',
    ours: 'gzip',
  },
  {
    what: 'NDJSON',
    why: 'it is text',
    answer: inPieces({ 'Content-Type': 'application/x-ndjson' }, '{}\n'),
    look: coding,
    theirs: 'identity',
    ours: 'gzip',
  },
  {
    what: 'enforceEncoding *',
    why: 'it says that anything will do',
    options: { enforceEncoding: '*' },
    request: { accept: undefined },
    answer: complete({ 'Content-Type': text }, body),
    look: (reading) => reading.coding !== 'identity',
    theirs: false,
    ours: true,
  },
  {
    what: 'zstd',
    why: 'most browsers have it',
    request: { accept: 'gzip, deflate, br, zstd' },
    answer: complete({ 'Content-Type': text }, body),
    look: coding,
    theirs: 'br',
    ours: 'zstd',
    skip: !hasZstd,
  },
];

describe('what is different, on purpose', () => {
  it.each(differences.filter(({ skip }) => skip !== true))(
    '$what, since $why',
    async ({ options, request, answer, look, theirs: before, ours: after }) => {
      const seen: unknown[] = [];
      const [theirServer, ourServer] = await serveBoth(options, answer);
      for (const running of [theirServer, ourServer]) {
        log.length = 0;
        const reading = await read(running, { accept: 'gzip', ...request });
        await new Promise((resolve) => setTimeout(resolve, 5));
        // A callback may come after the client has seen the end.
        if (running === ourServer)
          await until(() => isDeepStrictEqual(look(reading, log), after), undefined, 5000).catch(() => undefined);
        seen.push(look(reading, log));
      }
      expect(seen).toEqual([before, after]);
    },
  );
});
