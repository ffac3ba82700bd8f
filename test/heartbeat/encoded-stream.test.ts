import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { gunzipSync, constants as zlib } from 'node:zlib';
import compression from 'compression';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Registry } from '../../src/internal/health/registry.ts';
import {
  contextOf,
  deadline,
  type DeadlineOptions,
  heartbeat,
  type HeartbeatOptions,
  IdleTimeoutError,
} from '../../src/index.ts';
import { bare, type Carrier, carriers, h2c, type Middleware } from '../support/carriers.ts';
import { openCoded } from '../support/coded-clients.ts';
import { deferred } from '../support/deferred.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { serve, type Served } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { connectFrames, getFrame } from './frames.ts';

type Flushing = ServerResponse & { flush(): void };

interface Site extends Served {
  readonly registry: Registry;
  /** The response of the stream. */
  readonly opened: Promise<Flushing>;
  readonly aborted: unknown[];
}

/**
 * An event stream at `/`, encoded by a `compression` nearer to its handler than the heartbeats, as that of Next.js is;
 * and a plain one at `/plain`.
 */
async function serveEncoded(
  carrier: Carrier,
  deadlines: DeadlineOptions,
  options: HeartbeatOptions = {},
  registry: Registry = new Registry(),
): Promise<Site> {
  const aborted: unknown[] = [];
  const opened = deferred<Flushing>();
  const beats = heartbeat({ every: 15, jitter: 0, readDeadline: '5m', ...options, registry }) as Middleware;
  const inner = compression() as unknown as Middleware;
  const served = await serve(carrier, deadline(deadlines) as Middleware, beats, inner, (req, response) => {
    const res = response as Flushing;
    const { signal } = contextOf(req);
    signal.addEventListener('abort', () => aborted.push(signal.reason));
    res.setHeader('Content-Type', 'text/event-stream');
    if (req.url === '/plain') res.setHeader('Cache-Control', 'no-transform');
    res.write('data: hello\n\n');
    res.flush();
    if (req.url !== '/plain') opened.resolve(res);
  });
  return { ...served, registry, opened: opened.promise, aborted };
}

const coded = { 'accept-encoding': 'gzip' };

interface Bytes {
  bytes(): Buffer;
  pause(): void;
  readonly over: Promise<string>;
}

async function visitBytes(site: Site, { protocol }: Carrier): Promise<Bytes> {
  const reading = await settles(openCoded(site, protocol === 'http2' ? 'HTTP/2' : 'HTTP/1.1', { accept: 'gzip' }));
  onTestFinished(() => reading.destroy());
  expect(reading.coding).toBe('gzip');
  return { bytes: () => reading.content, pause: () => reading.pause(), over: reading.over };
}

/** What came so far: every event was flushed. */
function textOf(bytes: Buffer): string {
  return bytes.length === 0 ? '' : gunzipSync(bytes, { finishFlush: zlib.Z_SYNC_FLUSH }).toString();
}

describe.each(carriers)('an event stream that is encoded nearer to the handler, on $name,', (carrier) => {
  it('gets no heartbeats, and is not cut by `idle` while it is quiet; a warning says so once', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const kept = vi.spyOn(Socket.prototype, 'setKeepAlive');
    onTestFinished(() => void vi.restoreAllMocks());
    const site = await serveEncoded(carrier, { default: 100, idle: 150 });
    const reading = await visitBytes(site, carrier);
    await visitBytes(site, carrier);
    const plain = await site.visit({ path: '/plain', headers: coded });
    // Several spans of `idle`, by the heartbeats of the stream beside.
    await until(
      () => (plain.text.match(/^:$/gm) ?? []).length >= 30,
      () => plain.text,
    );
    expect(site.aborted).toEqual([]);
    const res = await site.opened;
    res.write('data: more\n\n');
    res.flush();
    await until(
      () => textOf(reading.bytes()).endsWith('data: more\n\n'),
      () => textOf(reading.bytes()),
    );
    expect(textOf(reading.bytes())).toBe('data: hello\n\ndata: more\n\n');
    expect(site.registry.connections().filter(({ label }) => label !== undefined)).toMatchObject([{ label: '/plain' }]);
    if (carrier.protocol === 'http1') expect(kept).toHaveBeenCalledWith(true, 15);
    // Once per process: for the first of these tests.
    const codeOf = (options: unknown): unknown => (options as { code?: string } | undefined)?.code;
    const warnings = warned.mock.calls.filter(([, options]) => codeOf(options) === 'SLUICE_ENCODED_EVENT_STREAM');
    expect(warnings).toHaveLength(carrier === carriers[0] ? 1 : 0);
    const text = 'gets no heartbeats: GET / had `Content-Encoding: gzip`';
    if (warnings.length > 0) expect(warnings[0]?.[0]).toContain(text);
  });
});

describe.each([bare, h2c])('an event stream that is encoded nearer to the handler, on $name,', (carrier) => {
  it('is cut by `idle` when its client does not take what waits for it', async () => {
    const site = await serveEncoded(carrier, { idle: 300 });
    const reading = await visitBytes(site, carrier);
    reading.pause();
    const res = await site.opened;
    res.write(`data: ${randomBytes(12_000_000).toString('base64')}\n\n`);
    res.flush();
    await until(() => site.aborted.length > 0);
    expect(site.aborted[0]).toBeInstanceOf(IdleTimeoutError);
  });

  it('is cut by `idle` when it is quiet, where no heartbeats are mounted', async () => {
    const aborted: unknown[] = [];
    const inner = compression() as unknown as Middleware;
    const served = await serve(carrier, deadline({ idle: 150 }) as Middleware, inner, (req, response) => {
      contextOf(req).signal.addEventListener('abort', () => aborted.push(contextOf(req).signal.reason));
      const res = response as Flushing;
      res.setHeader('Content-Type', 'text/event-stream');
      res.write('data: hello\n\n');
      res.flush();
    });
    await served.visit({ headers: coded });
    await until(() => aborted.length > 0);
    expect(aborted[0]).toBeInstanceOf(IdleTimeoutError);
  });
});

describe('an event stream that is encoded nearer to the handler, over HTTP/2,', () => {
  it('leaves with its session, when that is sent away', async () => {
    const site = await serveEncoded(h2c, {});
    const reading = await visitBytes(site, h2c);
    await site.opened;
    expect(site.registry.evict(site.registry.connections()[0]!.id)).toBe(true);
    expect(await settles(reading.over)).toBe('aborted');
    expect(site.aborted).toMatchObject([{ reason: 'draining' }]);
  });

  it('is cut with its session, when that is given up', async () => {
    const clock = new FakeClock();
    const options: HeartbeatOptions = { every: '15s', readDeadline: '30s', ackProbe: false };
    const site = await serveEncoded(h2c, {}, options, new Registry({}, clock));
    const client = connectFrames(site.port);
    client.send(getFrame(1, '/', { 'accept-encoding': 'gzip' }));
    await client.waitFor(({ type }) => type === 'DATA');
    // It answers no PING.
    for (let second = 0; second < 60; second += 1) clock.advance(1000);
    await until(() => client.isClosed && site.aborted.length > 0);
    expect(site.aborted).toMatchObject([{ reason: 'heartbeat-timeout' }]);
  });
});
