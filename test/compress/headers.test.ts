import type { ServerResponse } from 'node:http';
import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  type Codec,
  compress,
  type CompressOptions,
  createGovernor,
  createSwitch,
  type EtagMode,
  gzip,
  type IdentityReason,
} from '../../src/compress/index.ts';
import { bare, carriers, express5, h2c, type Middleware } from '../support/carriers.ts';
import { type CodedReading, type CodedRequest, openCoded, type Protocol, protocols } from '../support/coded-clients.ts';
import { carrierOf, type CompressSite, useSite, watchDecisions } from '../support/compress-site.ts';
import { type Coding, codings } from '../support/decoders.ts';
import { serve } from '../support/serve.ts';
import { noise, prose } from '../support/texts.ts';
import { settles, until } from '../support/until.ts';

const body = prose(5000);
const large = prose(200_000);

type Answer = (res: ServerResponse) => unknown;

/** Sets fields and ends with a body, as one call cannot over HTTP/2. */
const complete =
  (fields: Record<string, string | string[]>, content?: string | Uint8Array): Answer =>
  (res) => {
    for (const [name, value] of Object.entries(fields)) res.setHeader(name, value);
    res.end(content);
  };

/** The same in pieces. */
const inPieces =
  (fields: Record<string, string>, content: string): Answer =>
  (res) => {
    for (const [name, value] of Object.entries(fields)) res.setHeader(name, value);
    res.write(content);
    setTimeout(() => res.end(), 5);
  };

/** Ways to send fields and a body. */
const shapes: readonly (readonly [string, (fields: Record<string, string>) => Answer])[] = [
  ['a complete body', (fields) => complete(fields, body)],
  ['a complete body for the thread pool', (fields) => complete(fields, large)],
  [
    'writeHead and a body',
    (fields) => (res) => {
      res.writeHead(200, fields);
      res.end(body);
    },
  ],
  ['a long body', (fields) => inPieces(fields, body)],
];

const asMiddleware =
  (answer: Answer): Middleware =>
  (_req, res) =>
    answer(res as ServerResponse);

async function read(
  site: CompressSite,
  answer: Answer,
  request: CodedRequest = { accept: 'gzip' },
  protocol: Protocol = 'HTTP/1.1',
): Promise<CodedReading> {
  const reading = await site.visit(asMiddleware(answer), protocol, request);
  expect(await settles(reading.over)).toBe('end');
  return reading;
}

const text = { 'Content-Type': 'text/plain; charset=utf-8' };

describe.each(protocols)('Vary over %s', (protocol) => {
  const site = useSite(carrierOf(protocol), { idleFlush: 5 });

  it.each(shapes)('is there for %s, coded or not', async (_name, make) => {
    for (const accept of [...codings, 'identity', 'gzip;q=0', undefined]) {
      const reading = await read(site, make(text), { accept }, protocol);
      expect([reading.coding, reading.headers['vary']]).toEqual([
        codings.includes(accept as Coding) ? accept : 'identity',
        'Accept-Encoding',
      ]);
    }
  });

  it.each<[string, string]>([
    ['Origin', 'Origin, Accept-Encoding'],
    ['Origin, Cookie', 'Origin, Cookie, Accept-Encoding'],
    ['Accept-Encoding', 'Accept-Encoding'],
    ['accept-encoding, Origin', 'accept-encoding, Origin'],
    ['*', '*'],
  ])('keeps what is there: %s', async (given, expected) => {
    for (const [, make] of shapes) {
      const reading = await read(site, make({ ...text, Vary: given }), { accept: 'gzip' }, protocol);
      expect([reading.coding, reading.headers['vary']]).toEqual(['gzip', expected]);
    }
  });

  it('is there below the threshold, for HEAD, for what is coded already and for 304', async () => {
    const answers: [Answer, CodedRequest][] = [
      [(res) => res.writeHead(200, text).end('short'), {}],
      [(res) => res.writeHead(200, text).end(), { method: 'HEAD' }],
      [(res) => res.writeHead(200, { ...text, 'Content-Encoding': 'gzip' }).end(zlib.gzipSync(body)), {}],
      [(res) => res.writeHead(304, text).end(), {}],
    ];
    for (const [answer, request] of answers) {
      const reading = await read(site, answer, { accept: 'gzip', ...request }, protocol);
      expect(reading.headers['vary']).toBe('Accept-Encoding');
    }
  });

  it('is not there for what is never coded', async () => {
    const answers: Answer[] = [
      (res) => res.writeHead(200, { 'Content-Type': 'image/png' }).end(body),
      (res) => res.writeHead(200).end(body),
      (res) => res.writeHead(200, { ...text, 'Cache-Control': 'public, no-transform' }).end(body),
      (res) => res.writeHead(204).end(),
    ];
    for (const answer of answers) {
      const reading = await read(site, answer, { accept: 'gzip' }, protocol);
      expect([reading.coding, reading.headers['vary']]).toEqual(['identity', undefined]);
    }
  });
});

describe('fields of what is coded', () => {
  const site = useSite(bare, { idleFlush: 5 });
  const h2 = useSite(h2c, { idleFlush: 5 });
  const suffixed = useSite(bare, { etag: 'suffix' });

  it.each(shapes)('Accept-Ranges goes from %s, and stays on what is not coded', async (_name, make) => {
    for (const [each, protocol] of [
      [site, 'HTTP/1.1'],
      [h2, 'HTTP/2'],
    ] as const) {
      const coded = await read(each, make({ ...text, 'Accept-Ranges': 'bytes' }), { accept: 'gzip' }, protocol);
      expect([coded.coding, coded.headers['accept-ranges']]).toEqual(['gzip', undefined]);
      const plain = await read(each, make({ ...text, 'Accept-Ranges': 'bytes' }), { accept: 'identity' }, protocol);
      expect([plain.coding, plain.headers['accept-ranges']]).toEqual(['identity', 'bytes']);
    }
  });

  it('Content-Length is that of the bytes that are sent, or not there', async () => {
    for (const [each, protocol] of [
      [site, 'HTTP/1.1'],
      [h2, 'HTTP/2'],
    ] as const) {
      for (const [name, make] of shapes) {
        const given = Buffer.byteLength(name.includes('pool') ? large : body);
        const coded = await read(
          each,
          make({ ...text, 'Content-Length': String(given) }),
          { accept: 'gzip' },
          protocol,
        );
        expect([name, coded.coding]).toEqual([name, 'gzip']);
        const length = coded.headers['content-length'];
        if (name.startsWith('a complete')) expect([name, length]).toEqual([name, String(coded.content.length)]);
        else expect([name, length]).toEqual([name, undefined]);
        const plain = await read(
          each,
          make({ ...text, 'Content-Length': String(given) }),
          { accept: 'identity' },
          protocol,
        );
        expect([name, plain.headers['content-length']]).toEqual([name, String(given)]);
      }
    }
  });

  it('HEAD has the fields that GET has, but for the coding and a length', async () => {
    for (const [each, protocol] of [
      [site, 'HTTP/1.1'],
      [h2, 'HTTP/2'],
    ] as const) {
      const answer: Answer = (res) => {
        for (const [name, value] of Object.entries({
          ...text,
          ETag: '"abc"',
          'Accept-Ranges': 'bytes',
          'Content-Length': String(Buffer.byteLength(body)),
        }))
          res.setHeader(name, value);
        res.end(body);
      };
      for (const accept of ['gzip', 'identity']) {
        const get = await read(each, answer, { accept }, protocol);
        const head = await read(each, answer, { accept, method: 'HEAD' }, protocol);
        for (const name of ['etag', 'accept-ranges', 'vary', 'content-type'])
          expect([accept, name, head.headers[name]]).toEqual([accept, name, get.headers[name]]);
        expect([accept, head.headers['content-length']]).toEqual([
          accept,
          accept === 'identity' ? get.headers['content-length'] : undefined,
        ]);
        expect(head.content.length).toBe(0);
      }
    }
  });

  it('HEAD has no tag where that of GET depends on the length of the body', async () => {
    const tagged =
      (content: string): Answer =>
      (res) => {
        res.setHeader('Content-Type', 'text/plain').setHeader('ETag', '"abc"');
        res.end(res.req.method === 'HEAD' ? undefined : content);
      };
    const tag = async (accept: string, content = '', method = 'HEAD'): Promise<unknown> =>
      (await read(suffixed, tagged(content), { accept, method })).headers['etag'];
    expect(await tag('gzip, br', prose(5_000), 'GET')).toBe('"abc-gzip"');
    expect(await tag('gzip, br', prose(50_000), 'GET')).toBe('"abc-br"');
    expect([await tag('gzip, br'), await tag('gzip'), await tag('br')]).toEqual([undefined, '"abc-gzip"', '"abc-br"']);
  });

  it('a wrong Content-Length of a complete body is put right', async () => {
    const reading = await read(site, complete({ 'Content-Type': 'text/plain', 'Content-Length': '3' }, body));
    expect([reading.coding, reading.headers['content-length'], reading.decode()]).toEqual([
      'gzip',
      String(reading.content.length),
      body,
    ]);
  });

  it('what becomes no shorter goes out as it is, with its length', async () => {
    for (const size of [3000, 60_000]) {
      const bytes = Buffer.from(noise(size), 'base64');
      for (const [each, protocol] of [
        [site, 'HTTP/1.1'],
        [h2, 'HTTP/2'],
      ] as const) {
        const reading = await read(
          each,
          complete({ 'Content-Type': 'text/plain', ETag: '"abc"', 'Accept-Ranges': 'bytes' }, bytes),
          { accept: 'gzip' },
          protocol,
        );
        expect([reading.coding, reading.content.equals(bytes)]).toEqual(['identity', true]);
        expect(reading.headers).toMatchObject({ etag: '"abc"', 'accept-ranges': 'bytes', vary: 'Accept-Encoding' });
        // node:http2 tells no length by itself.
        if (protocol === 'HTTP/1.1') expect(reading.headers['content-length']).toBe(String(bytes.length));
      }
    }
  });

  it.each(['Content-Digest', 'Repr-Digest', 'Digest', 'Content-MD5'])(
    'a body with %s is left alone, or that would be false',
    async (name) => {
      const reading = await read(site, complete({ 'Content-Type': 'text/plain', [name]: 'sha-256=:AAAA:' }, body));
      expect([reading.coding, reading.headers[name.toLowerCase()], reading.decode()]).toEqual([
        'identity',
        'sha-256=:AAAA:',
        body,
      ]);
    },
  );

  it('a Content-Encoding of identity is as good as none', async () => {
    const reading = await read(site, complete({ ...text, 'Content-Encoding': 'identity' }, body));
    expect([reading.coding, reading.decode()]).toEqual(['gzip', body]);
  });

  it('fields that have nothing to do with it are as they were given', async () => {
    const fields = {
      ...text,
      'Cache-Control': 'public, max-age=60',
      'Last-Modified': 'Mon, 01 Jan 2024 00:00:00 GMT',
      'X-Custom': 'yes',
      Link: '</a>; rel=next',
    };
    for (const [, make] of shapes) {
      const reading = await read(site, make(fields));
      expect(reading.coding).toBe('gzip');
      for (const [name, value] of Object.entries(fields)) expect(reading.headers[name.toLowerCase()]).toBe(value);
    }
    const cookies = await read(site, complete({ ...text, 'Set-Cookie': ['a=1', 'b=2'] }, body));
    expect(cookies.headers['set-cookie']).toEqual(['a=1', 'b=2']);
  });
});

const tagged = (etag: string): Answer => complete({ ...text, ETag: etag }, body);

describe('ETag', () => {
  const sites = Object.fromEntries(
    (['weak', 'suffix', 'drop', 'keep'] as const).map((etag) => [etag, useSite(bare, { etag })]),
  ) as Record<EtagMode, CompressSite>;
  const byDefault = useSite(bare, undefined);

  it.each<[EtagMode, string, string | undefined]>([
    ['weak', '"abc"', 'W/"abc"'],
    ['weak', 'W/"abc"', 'W/"abc"'],
    ['suffix', '"abc"', '"abc-gzip"'],
    ['suffix', 'W/"abc"', 'W/"abc-gzip"'],
    ['drop', '"abc"', undefined],
    ['keep', '"abc"', '"abc"'],
    ['weak', 'no tag', 'no tag'],
    ['suffix', 'no tag', 'no tag'],
  ])('in mode %s, %s becomes %s', async (mode, given, expected) => {
    const coded = await read(sites[mode], tagged(given));
    expect([coded.coding, coded.headers['etag']]).toEqual(['gzip', expected]);
    const plain = await read(sites[mode], tagged(given), { accept: 'identity' });
    expect([plain.coding, plain.headers['etag']]).toEqual(['identity', given]);
  });

  it('is weak by default', async () => {
    expect((await read(byDefault, tagged('"abc"'))).headers['etag']).toBe('W/"abc"');
  });

  it('of mode suffix has the coding that was used', async () => {
    for (const coding of codings)
      expect((await read(sites.suffix, tagged('"abc"'), { accept: coding })).headers['etag']).toBe(`"abc-${coding}"`);
  });

  it.each<[EtagMode, string, string, string]>([
    ['suffix', '"abc-gzip"', '"abc"', '"abc-gzip"'],
    ['suffix', 'W/"abc-gzip"', 'W/"abc"', '"abc"'],
    ['suffix', '"x", "abc-gzip"', '"x", "abc"', '"abc-gzip"'],
    // A coding that this client does not accept: no variant of its.
    ['suffix', '"abc-br"', '"abc-br"', '"abc"'],
    ['weak', 'W/"abc"', 'W/"abc"', 'W/"abc"'],
    ['weak', '"abc"', '"abc"', '"abc"'],
    ['keep', '"abc"', '"abc"', '"abc"'],
  ])('in mode %s, a handler sees If-None-Match %s as %s, and its 304 has %s', async (mode, sent, seen, answered) => {
    const conditions: unknown[] = [];
    const reading = await sites[mode].visit(
      (req, res) => {
        conditions.push(req.headers['if-none-match']);
        (res as ServerResponse).writeHead(304, { ETag: '"abc"' });
        res.end();
      },
      'HTTP/1.1',
      { accept: 'gzip', headers: { 'if-none-match': sent } },
    );
    await settles(reading.over);
    expect([conditions, reading.headers['etag'], reading.headers['vary']]).toEqual([
      [seen],
      answered,
      'Accept-Encoding',
    ]);
  });

  it('of mode suffix is taken off If-Match too, and If-Range is left alone', async () => {
    const seen: unknown[] = [];
    const reading = await sites.suffix.visit(
      (req, res) => {
        seen.push(req.headers['if-match'], req.headers['if-range']);
        (res as ServerResponse).writeHead(200, text).end();
      },
      'HTTP/1.1',
      { accept: 'gzip', headers: { 'if-match': '"abc-gzip"', 'if-range': '"abc-gzip"' } },
    );
    await settles(reading.over);
    expect(seen).toEqual(['"abc"', '"abc-gzip"']);
  });

  it.each(['weak', 'suffix', 'keep'] as const)(
    'of mode %s comes back to Express as its own, and the answer is 304 with the tag that the client holds',
    async (mode) => {
      for (const carrier of carriers.filter(({ name }) => name.startsWith('Express'))) {
        for (const accept of [...codings, 'identity']) {
          const running = await serve(carrier, compress({ etag: mode }), (_req, res) =>
            (res as unknown as { send(text: string): void }).send(body),
          );
          const first = await openCoded(running, 'HTTP/1.1', { accept });
          await settles(first.over);
          const etag = first.headers['etag'] as string;
          expect([first.status, first.coding, typeof etag]).toEqual([200, accept, 'string']);
          const second = await openCoded(running, 'HTTP/1.1', { accept, headers: { 'if-none-match': etag } });
          await settles(second.over);
          expect([second.status, second.headers['etag'], second.headers['vary'], second.content.length]).toEqual([
            304,
            etag,
            'Accept-Encoding',
            0,
          ]);
        }
      }
    },
  );

  it('of one coding is no match for a client of another, in mode suffix', async () => {
    const running = await serve(express5, compress({ etag: 'suffix' }), (_req, res) =>
      (res as unknown as { send(text: string): void }).send(body),
    );
    const first = await openCoded(running, 'HTTP/1.1', { accept: 'gzip' });
    await settles(first.over);
    const second = await openCoded(running, 'HTTP/1.1', {
      accept: 'deflate',
      headers: { 'if-none-match': first.headers['etag'] as string },
    });
    await settles(second.over);
    expect([second.status, second.coding]).toEqual([200, 'deflate']);
  });
});

describe('Server-Timing', () => {
  const site = useSite(bare, { serverTiming: true });
  const quiet = useSite(bare, undefined);

  it.each(shapes)('tells of %s what became of it, by option', async (_name, make) => {
    for (const [accept, described] of [
      ['gzip', 'gzip'],
      ['identity', 'identity-preferred'],
      ['x-unknown', 'not-acceptable'],
    ] as const) {
      expect((await read(site, make(text), { accept })).headers['server-timing']).toBe(`compress;desc="${described}"`);
    }
    expect((await read(quiet, make(text))).headers).not.toHaveProperty('server-timing');
  });

  it('is added to what the handler has', async () => {
    const reading = await read(site, complete({ ...text, 'Server-Timing': 'db;dur=5' }, body));
    expect(reading.headers['server-timing']).toBe('db;dur=5, compress;desc="gzip"');
  });
});

const failing: Codec = { ...gzip(), encode: () => Promise.reject(new Error('out of order')), coding: 'x-failing' };
const throwing: Codec = {
  ...gzip(),
  encode: () => {
    throw new Error('out of order');
  },
  coding: 'x-throwing',
};
const mute: Codec = { coding: 'x-mute', available: false };

function offSwitch(): NonNullable<CompressOptions['switch']> {
  const off = createSwitch();
  off.disable();
  return off;
}

interface Case {
  readonly reason: IdentityReason | 'negotiated' | 'no-gain' | 'codec-failed';
  readonly coding?: string;
  readonly kind?: 'complete' | 'long' | 'event-stream';
  readonly options?: () => CompressOptions;
  readonly request?: CodedRequest;
  readonly answer?: Answer;
}

const plainText = complete(text, body);

const cases: readonly Case[] = [
  { reason: 'negotiated', coding: 'gzip' },
  { reason: 'negotiated', coding: 'gzip', answer: complete(text, large) },
  { reason: 'negotiated', coding: 'gzip', kind: 'long', answer: inPieces(text, body) },
  {
    reason: 'negotiated',
    coding: 'gzip',
    kind: 'event-stream',
    answer: inPieces({ 'Content-Type': 'application/x-ndjson' }, '{}\n'),
  },
  { reason: 'status', answer: (res) => res.writeHead(204, text).end() },
  { reason: 'status', answer: (res) => res.writeHead(205, text).end() },
  { reason: 'filtered', answer: complete({ 'Content-Type': 'image/png' }, body) },
  { reason: 'filtered', options: () => ({ filter: () => false }) },
  { reason: 'no-transform', answer: complete({ ...text, 'Cache-Control': 'no-transform' }, body) },
  { reason: 'digest', answer: complete({ ...text, 'Content-MD5': 'x' }, body) },
  { reason: 'not-modified', answer: (res) => res.writeHead(304, text).end(), kind: 'long' },
  { reason: 'partial', answer: complete({ ...text, 'Content-Range': 'bytes 0-1/2' }, body) },
  { reason: 'encoded', answer: complete({ ...text, 'Content-Encoding': 'br' }, zlib.brotliCompressSync(body)) },
  { reason: 'head', request: { method: 'HEAD' }, answer: complete(text) },
  { reason: 'below-threshold', answer: complete(text, 'short') },
  { reason: 'below-threshold', kind: 'long', answer: inPieces({ ...text, 'Content-Length': '5' }, 'short') },
  { reason: 'switch-off', options: () => ({ switch: offSwitch() }) },
  { reason: 'tier-off', options: () => ({ governor: createGovernor({ sample: () => 100, interval: 5, dwell: 0 }) }) },
  { reason: 'no-accept-encoding', request: { accept: undefined } },
  { reason: 'not-acceptable', request: { accept: 'x-unknown' } },
  { reason: 'not-acceptable', request: { accept: 'identity;q=0, *;q=0' } },
  { reason: 'not-acceptable', request: { accept: `gzip${', x-one'.repeat(2000)}` } },
  { reason: 'identity-preferred', request: { accept: 'identity, gzip;q=0.5' } },
  { reason: 'no-codec', options: () => ({ codecs: [mute] }), request: { accept: '*' } },
  { reason: 'budget', options: () => ({ budget: { encoders: 0 } }), answer: inPieces(text, body), kind: 'long' },
  {
    reason: 'budget',
    options: () => ({ budget: { encoders: 0 } }),
    answer: inPieces({ 'Content-Type': 'text/event-stream' }, 'data: one\n\n'),
    kind: 'event-stream',
  },
  { reason: 'no-gain', answer: complete(text, Buffer.from(noise(60_000), 'base64')) },
  { reason: 'codec-failed', options: () => ({ codecs: [throwing] }), request: { accept: 'x-throwing' } },
  { reason: 'codec-failed', options: () => ({ codecs: [failing] }), request: { accept: 'x-failing' } },
];

describe('the diagnostics channel', () => {
  it('every reason is tried', () => {
    const reasons: Record<Case['reason'], true> = {
      negotiated: true,
      'no-gain': true,
      'codec-failed': true,
      status: true,
      filtered: true,
      'no-transform': true,
      digest: true,
      'not-modified': true,
      partial: true,
      encoded: true,
      head: true,
      'below-threshold': true,
      'switch-off': true,
      'tier-off': true,
      'no-accept-encoding': true,
      'not-acceptable': true,
      'identity-preferred': true,
      'no-codec': true,
      budget: true,
    };
    expect(new Set(cases.map(({ reason }) => reason))).toEqual(new Set(Object.keys(reasons)));
  });

  it.each(cases.map((each, index) => [each.reason, index, each] as const))(
    'has one message for a response: %s (case %i)',
    async (reason, _index, each) => {
      const { coding = 'identity', kind, options, request, answer = plainText } = each;
      for (const [carrier, protocol] of [
        [bare, 'HTTP/1.1'],
        [h2c, 'HTTP/2'],
      ] as const) {
        const seen = watchDecisions();
        const compression = compress(options?.());
        if (reason === 'tier-off') await until(() => compression.governor?.tier === 3);
        const running = await serve(carrier, compression, asMiddleware(answer));
        const reading = await openCoded(running, protocol, { accept: 'gzip', path: '/it', ...request });
        expect(await settles(reading.over)).toBe('end');
        compression.governor?.close();
        const messages = seen.filter(({ req }) => req.url === '/it');
        expect(messages).toHaveLength(1);
        expect(messages[0]).toMatchObject({
          reason,
          coding,
          version: compression.switch.version,
          tier: reason === 'tier-off' ? 3 : 0,
          ...(kind && { kind }),
        });
        expect([reading.coding, running.errors]).toEqual([reason === 'encoded' ? 'br' : coding, []]);
        expect(() => reading.decode()).not.toThrow();
      }
    },
  );
});
