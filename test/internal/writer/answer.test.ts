import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import {
  compress,
  deadline,
  heartbeat,
  ndjson,
  openEventStream,
  sse,
  type HttpRequest,
  type HttpResponse,
} from '../../../src/index.ts';
import { Registry } from '../../../src/internal/health/registry.ts';
import { carriers, type Carrier, type Middleware } from '../../support/carriers.ts';
import type { Reading, RequestInput } from '../../support/clients.ts';
import { serve } from '../../support/serve.ts';
import { settles } from '../../support/until.ts';
import { makeLife } from '../../lifecycle/support.ts';

/** What an application may say of all that it sends, and what belongs to one representation. */
const fields: Readonly<Record<string, string>> = {
  'cache-control': 'public, max-age=600',
  'cdn-cache-control': 'max-age=600',
  'cloudflare-cdn-cache-control': 'max-age=600',
  'surrogate-control': 'max-age=600',
  'x-accel-expires': '600',
  expires: 'Wed, 21 Oct 2065 07:28:00 GMT',
  age: '5',
  etag: '"mine"',
  'last-modified': 'Wed, 21 Oct 2015 07:28:00 GMT',
  'content-disposition': 'attachment',
  'content-encoding': 'identity',
  'content-length': '999',
  'repr-digest': 'sha-256=:AAAA:',
};

const kept: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'content-security-policy': "default-src 'self'",
  'set-cookie': 'a=b',
  vary: 'Origin',
  'x-request-id': '7',
};

const cacheable: Middleware = (_req, res, next) => {
  for (const [name, value] of Object.entries({ ...fields, ...kept })) (res as ServerResponse).setHeader(name, value);
  next();
};

const never: Middleware = () => undefined;

/** Each way in which the library answers in place of a handler. */
interface Case {
  readonly name: string;
  readonly stack: () => readonly Middleware[];
  readonly request?: RequestInput;
  readonly status: number;
  readonly text: string | RegExp;
  /** @defaultValue `no-store` */
  readonly cacheControl?: string;
}

const events = { headers: { accept: 'text/event-stream' } };

function full(): Middleware {
  const registry = new Registry({ maxConnections: 1 });
  registry.count({ socket: {} } as HttpRequest);
  return heartbeat({ registry }) as Middleware;
}

const cases: readonly Case[] = [
  {
    name: 'a deadline that passes',
    stack: () => [deadline({ default: 20 }), never],
    status: 504,
    text: 'Gateway Timeout\n',
  },
  {
    name: 'a deadline of the client',
    stack: () => [deadline(), never],
    request: { headers: { prefer: 'wait=0' } },
    status: 504,
    text: 'Gateway Timeout\n',
  },
  {
    name: 'onExpired',
    stack: () => [
      deadline({ default: 20, onExpired: (_error, _req, res) => void ((res.statusCode = 200), res.end('mine')) }),
      never,
    ],
    status: 200,
    text: 'mine',
  },
  {
    name: 'onExpired that does not answer',
    stack: () => [deadline({ default: 20, status: 503, onExpired: () => undefined }), never],
    status: 503,
    text: 'Service Unavailable\n',
  },
  {
    name: 'a stream that is stopped',
    stack: () => [sse(never as never)],
    request: { headers: { 'last-event-id': 'sluice.stop' } },
    status: 204,
    text: '',
  },
  {
    name: 'a stream that is not acceptable',
    stack: () => [sse(never as never, { negotiate: 'strict' })],
    request: { headers: { accept: 'image/png' } },
    status: 406,
    text: /^Available as/,
  },
  {
    name: 'a handler that fails, where nothing is behind it',
    stack: () => [
      (req, res) =>
        sse(
          () => {
            throw new Error('mine');
          },
          { onError: () => undefined },
        )(req, res, undefined as never),
    ],
    status: 500,
    text: '',
  },
  {
    name: 'records that are not acceptable',
    stack: () => [ndjson(never as never, { negotiate: 'strict' })],
    request: { headers: { accept: 'image/png' } },
    status: 406,
    text: /^Available as/,
  },
  {
    name: 'a stream that is opened without a handler',
    stack: () => [(req, res) => void openEventStream(req, res, { negotiate: 'strict' })],
    request: { headers: { accept: 'image/png' } },
    status: 406,
    text: /^Available as/,
  },
];

async function check({ status, text, cacheControl = 'no-store' }: Case, reading: Reading): Promise<void> {
  expect(await settles(reading.over)).toBe('end');
  expect([reading.status, reading.text]).toEqual([
    status,
    typeof text === 'string' ? text : expect.stringMatching(text),
  ]);
  const length = reading.headers['content-length'];
  if (length !== undefined) expect(length).toBe(String(reading.text.length));
  const gone = Object.keys(fields).filter((name) => name !== 'content-length' && name !== 'cache-control');
  for (const name of gone) expect([name, reading.headers[name]]).toEqual([name, undefined]);
  expect(reading.headers['cache-control']).toBe(cacheControl);
  for (const [name, value] of Object.entries(kept)) {
    const found = String(reading.headers[name]);
    expect([name, name === 'vary' ? found.split(', ')[0] : found]).toEqual([name, value]);
  }
}

describe.each(carriers)('no cache keeps an answer in place of a representation on $name', (carrier: Carrier) => {
  it.each(cases.map((each) => ({ of: each.name, each })))('of $of', async ({ each }) => {
    const running = await serve(carrier, cacheable, ...each.stack());
    await check(each, await settles(running.visit(each.request)));
  });

  it('and an answer in time keeps what its handler says of it', async () => {
    const running = await serve(carrier, cacheable, deadline({ default: '1m' }), (_req, res) =>
      res.end('x'.repeat(999)),
    );
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text.length]).toEqual([200, 999]);
    expect(reading.headers).toMatchObject({ ...fields, vary: 'Origin' });
  });

  it('of a deadline behind compress', async () => {
    const running = await serve(
      carrier,
      cacheable,
      compress({ threshold: 0 }) as Middleware,
      deadline({ default: 20 }),
      never,
    );
    await check(
      { name: '', stack: () => [], status: 504, text: 'Gateway Timeout\n' },
      await settles(running.visit({ headers: { 'accept-encoding': 'identity' } })),
    );
  });

  it('of a process that drains, of one that is full, and of probes', async () => {
    const life = makeLife({ preDrain: 0, exempt: (req) => req.url === '/readyz' });
    const answers: Readonly<Record<string, Middleware>> = {
      '/drains': life as Middleware,
      '/readyz': life.ready,
      '/full': full(),
    };
    const running = await serve(carrier, cacheable, (req, res, next) =>
      answers[req.url!]!(req, res as HttpResponse, next),
    );
    await check(
      { name: '', stack: () => [], status: 200, text: '{"state":"active"}' },
      await settles(running.visit({ path: '/readyz' })),
    );
    const hold = life.hold();
    void life.drain();
    await check(
      { name: '', stack: () => [], status: 503, text: /./ },
      await settles(running.visit({ path: '/drains' })),
    );
    await check(
      { name: '', stack: () => [], status: 200, text: /retry: \d+/, cacheControl: 'no-cache, no-transform' },
      uncut(await settles(running.visit({ path: '/full', ...events }))),
    );
    hold();
  });
});

/** A stream that tells its client to come back is closed without its end. */
function uncut(reading: Reading): Reading {
  return Object.create(reading, { over: { value: reading.over.then(() => 'end') } }) as Reading;
}
