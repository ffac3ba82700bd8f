import { spawn, spawnSync } from 'node:child_process';
import type { ServerResponse } from 'node:http';
import { EventSource } from 'eventsource';
import { fetch as undiciFetch } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { sse } from '../../src/index.ts';
import { bare, type Carrier, h2c, http1Carriers, type Middleware } from '../support/carriers.ts';
import { type Coding, codings } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { EventParser } from '../support/event-parser.ts';
import { serve, type Served } from '../support/serve.ts';
import { noise, prose } from '../support/texts.ts';
import { until } from '../support/until.ts';

const curl = spawnSync('curl', ['--version'], { encoding: 'utf8' });
const hasCurl = curl.status === 0;
const curlHas = (feature: RegExp): boolean => hasCurl && feature.test(curl.stdout);
if (!hasCurl) {
  if (process.env['SLUICE_REQUIRE_ALL'] === '1')
    throw new Error('curl is required (SLUICE_REQUIRE_ALL=1) and is not here');
  console.warn('skipped: the tests with curl, since there is no curl here');
}

/** Those that this curl decodes and this server makes. */
const curlCodings = codings.filter(
  (coding) =>
    ({ gzip: curlHas(/libz/), deflate: curlHas(/libz/), br: curlHas(/brotli/), zstd: curlHas(/zstd/), identity: true })[
      coding
    ],
);

const compression = (): Middleware => compress({ idleFlush: 5 }) as Middleware;

const text = { 'Content-Type': 'text/plain; charset=utf-8' };

function complete(res: ServerResponse, body: string): void {
  for (const [name, value] of Object.entries(text)) res.setHeader(name, value);
  res.end(body);
}

/** A body of each kind, and one that fails. */
const bodies: Record<string, { readonly text: string; readonly answer: (res: ServerResponse) => void }> = {
  '/small': { text: prose(4000), answer: (res) => complete(res, prose(4000)) },
  '/large': { text: prose(300_000), answer: (res) => complete(res, prose(300_000)) },
  '/noise': {
    text: noise(100_000),
    answer: (res) => {
      res.writeHead(200, text);
      res.write(noise(50_000));
      res.end(noise(100_000).slice(50_000));
    },
  },
  '/pieces': {
    text: prose(50_000),
    answer: (res) => {
      res.writeHead(200, text);
      for (let at = 0; at < 50_000; at += 1000) res.write(prose(50_000).slice(at, at + 1000));
      res.end();
    },
  },
  '/fails': {
    text: '',
    answer: (res) => {
      res.writeHead(200, text);
      res.write(prose(5000));
      // After what the client can make out to be a response.
      (res as ServerResponse & { flush(callback: () => void): void }).flush(() =>
        setTimeout(() => res.destroy(new Error('the source broke')), 30),
      );
    },
  },
};

const answer: Middleware = (req, res) => bodies[req.url!]!.answer(res as ServerResponse);

interface Ran {
  readonly code: number | null;
  readonly output: string;
}

/** Runs curl to its end. */
function runCurl(...args: string[]): Promise<Ran> {
  const child = spawn('curl', ['-s', ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => void child.kill());
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) =>
    child.on('close', (code) => resolve({ code, output: Buffer.concat(chunks).toString() })),
  );
}

const expected = [
  { type: 'message', data: 'one', lastEventId: '1' },
  { type: 'tick', data: '{"n":2}', lastEventId: '2' },
  { type: 'message', data: 'lines\nof\ntext 🌊', lastEventId: '3' },
];

/** Events of which each is made when the client has read the one before. */
async function stepwise(
  carrier: Carrier,
  connect: (running: Served) => Promise<{ readonly seen: () => readonly unknown[]; readonly close: () => void }>,
): Promise<void> {
  const gates = [deferred(), deferred(), deferred()] as const;
  const closed = deferred<string>();
  const running = await serve(
    carrier,
    compression(),
    sse(async function* (stream) {
      stream.onClose(closed.resolve);
      yield { id: '1', data: 'one' };
      await gates[0].promise;
      yield { event: 'tick', id: '2', data: { n: 2 } };
      await gates[1].promise;
      yield { id: '3', data: 'lines\rof\r\ntext 🌊' };
      await gates[2].promise;
    }),
  );
  const client = await connect(running);
  for (const [index, gate] of gates.entries()) {
    await until(() => client.seen().length === index + 1);
    expect(client.seen()).toEqual(expected.slice(0, index + 1));
    if (index < 2) gate.resolve();
  }
  client.close();
  expect(await closed.promise).toBe('client-closed');
}

function parse(body: AsyncIterable<Uint8Array>): () => readonly unknown[] {
  const parser = new EventParser();
  void (async () => {
    for await (const bytes of body) parser.push(bytes);
  })().catch(() => undefined);
  return () => parser.events;
}

describe.runIf(hasCurl)('curl', () => {
  const carriers: readonly (readonly [string, Carrier, readonly string[]])[] = [
    ['HTTP/1.1', bare, []],
    ['HTTP/1.0', bare, ['--http1.0']],
    ...(curlHas(/\bHTTP2\b/) ? [['HTTP/2', h2c, ['--http2-prior-knowledge']] as const] : []),
  ];

  it.each(carriers)(
    'decodes all kinds of bodies in all codings over %s, and finds their checksums right',
    async (_protocol, carrier, flags) => {
      const running = await serve(carrier, compression(), answer);
      for (const coding of curlCodings) {
        for (const path of ['/small', '/large', '/noise', '/pieces']) {
          const { code, output } = await runCurl(
            ...flags,
            '--compressed',
            '-H',
            `Accept-Encoding: ${coding}`,
            '-w',
            '\n%header{content-encoding}',
            running.origin + path,
          );
          const [seen, body] = [output.slice(output.lastIndexOf('\n') + 1), output.slice(0, output.lastIndexOf('\n'))];
          // Older ones print the field's name.
          expect([coding, path, code, body === bodies[path]!.text]).toEqual([coding, path, 0, true]);
          if (!seen.startsWith('%')) expect(seen).toBe(coding);
        }
      }
    },
  );

  it('knows a coded body that failed from one that ended', async () => {
    const running = await serve(bare, compression(), answer);
    for (const coding of curlCodings) {
      const { code } = await runCurl('--compressed', '-H', `Accept-Encoding: ${coding}`, `${running.origin}/fails`);
      // 18: transfer closed with outstanding read data remaining.
      expect([coding, code]).toEqual([coding, 18]);
    }
  });

  it.each(carriers)('--compressed gets each event as it is sent over %s', async (_protocol, carrier, flags) => {
    for (const coding of [undefined, ...curlCodings]) {
      await stepwise(carrier, async (running) => {
        const child = spawn(
          'curl',
          ['-sN', ...flags, '--compressed', ...(coding ? ['-H', `Accept-Encoding: ${coding}`] : []), running.origin],
          { stdio: ['ignore', 'pipe', 'ignore'] },
        );
        onTestFinished(() => void child.kill());
        return { seen: parse(child.stdout as AsyncIterable<Uint8Array>), close: () => void child.kill() };
      });
    }
  });
});

/** What each fetch decodes: before Node 24 that of Node leaves zstd as it is. */
const fetches: readonly (readonly [string, typeof fetch, readonly Coding[]])[] = [
  ['undici', undiciFetch as unknown as typeof fetch, codings],
  [
    'the global fetch',
    fetch,
    codings.filter((coding) => coding !== 'zstd' || Number(process.versions.node.split('.')[0]) >= 24),
  ],
];

describe.each(fetches)('%s', (_name, get, decodes) => {
  it('decodes all kinds of bodies in all codings', async () => {
    const running = await serve(bare, compression(), answer);
    for (const coding of [undefined, ...decodes]) {
      for (const path of ['/small', '/large', '/noise', '/pieces']) {
        const response = await get(running.origin + path, { headers: coding ? { 'accept-encoding': coding } : {} });
        expect([path, response.status, response.headers.get('content-encoding')]).toEqual([
          path,
          200,
          coding ?? 'gzip',
        ]);
        expect([path, (await response.text()) === bodies[path]!.text]).toEqual([path, true]);
      }
    }
  });

  it('knows a coded body that failed from one that ended', async () => {
    const running = await serve(bare, compression(), answer);
    for (const coding of decodes) {
      const response = await get(`${running.origin}/fails`, { headers: { 'accept-encoding': coding } });
      await expect(response.text()).rejects.toThrow();
    }
  });

  it.each(http1Carriers)('gets each event as it is sent, on $name', async (carrier) => {
    for (const coding of [undefined, ...decodes]) {
      await stepwise(carrier, async (running) => {
        const controller = new AbortController();
        const { body } = await get(running.origin, {
          signal: controller.signal,
          headers: coding ? { 'accept-encoding': coding } : {},
        });
        return { seen: parse(body as unknown as AsyncIterable<Uint8Array>), close: () => controller.abort() };
      });
    }
  });
});

it('eventsource gets each event as it is sent, in gzip', async () => {
  const fields: unknown[] = [];
  await stepwise(bare, async (running) => {
    const seen: unknown[] = [];
    const source = new EventSource(running.origin, {
      fetch: async (url, init) => {
        const response = await fetch(url, init as RequestInit);
        fields.push(response.headers.get('content-encoding'));
        return response as never;
      },
    });
    const listener = ({ type, data, lastEventId }: { type: string; data: unknown; lastEventId: string }): void =>
      void seen.push({ type, data: String(data), lastEventId });
    for (const type of ['message', 'tick']) source.addEventListener(type, listener);
    return { seen: () => seen, close: () => source.close() };
  });
  expect(fields).toEqual(['gzip']);
});
