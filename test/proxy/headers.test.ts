import { BlockList } from 'node:net';
import express from 'express';
import { describe, expect, it } from 'vitest';
import { InvalidOptionError } from '../../src/errors.ts';
import { deadline } from '../../src/deadline/index.ts';
import type { ProxyOptions } from '../../src/proxy/index.ts';
import { bare, h2c, listen, type Middleware } from '../support/carriers.ts';
import { attend, serve } from '../support/serve.ts';
import { connectionOf, fieldsOf, rawUpstream, testProxy } from './upstreams.ts';

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Sends one raw request through a proxy, and returns what the upstream got. */
async function passedOn(request: string, options: ProxyOptions = {}, ...before: Middleware[]): Promise<string> {
  const upstream = await rawUpstream(({ send }) => send(ok));
  const running = await serve(bare, ...before, testProxy({ target: upstream.origin, ...options }));
  const client = await running.dial();
  client.send(request);
  await client.waitFor(/\r\n\r\nok$/);
  return (await connectionOf(upstream)).received;
}

describe('the request to the upstream', () => {
  it('has no headers that end at a hop, whichever Connection line names them', async () => {
    const got = await passedOn(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\nConnection: X-Named, close\r\nX-Named: 1\r\nKeep-Alive: 5\r\n' +
        'Proxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nTrailer: X\r\nUpgrade: h2c\r\n' +
        'HTTP2-Settings: AA\r\nX-Kept: 1\r\n\r\n',
    );
    for (const name of ['x-named', 'keep-alive', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'upgrade'])
      expect([name, fieldsOf(got, name)]).toEqual([name, []]);
    expect([fieldsOf(got, 'x-kept'), fieldsOf(got, 'http2-settings')]).toEqual([['1'], []]);
  });

  it('keeps what the proxy adds, though the client names it in Connection', async () => {
    const got = await passedOn(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: host, via, x-forwarded-for, x-secret\r\nX-Secret: no\r\n\r\n',
      { requestHeaders: { 'X-Secret': 'ours' } },
    );
    expect([fieldsOf(got, 'x-secret'), fieldsOf(got, 'x-forwarded-for'), fieldsOf(got, 'via')]).toEqual([
      ['ours'],
      ['127.0.0.1'],
      ['1.1 sluice'],
    ]);
  });

  it('says who the client is, and believes only proxies that are trusted', async () => {
    const claims =
      'GET / HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n' +
      'X-Forwarded-Port: 1\r\nForwarded: for=9.9.9.9\r\nConnection: close\r\n\r\n';
    const told = async (options: ProxyOptions): Promise<Record<string, string[]>> => {
      const got = await passedOn(claims, options);
      const names = ['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port', 'forwarded'];
      return Object.fromEntries(names.map((name) => [name.replace('x-forwarded-', ''), fieldsOf(got, name)]));
    };
    const untrusted = { for: ['127.0.0.1'], host: ['shop'], proto: ['http'], port: [], forwarded: [] };
    const trusted = { for: ['9.9.9.9, 127.0.0.1'], host: ['evil'], proto: ['https'], port: [], forwarded: [] };
    const loopback = new BlockList();
    loopback.addSubnet('127.0.0.0', 8);
    expect(await told({})).toEqual(untrusted);
    expect(await told({ trust: ['10.0.0.0/8', '::1'] })).toEqual(untrusted);
    for (const trust of [true, ['127.0.0.0/8'], loopback, (address: string) => address === '127.0.0.1'])
      expect(await told({ trust })).toEqual(trusted);
    expect(await told({ forwarded: 'forwarded' })).toEqual({
      for: [],
      host: [],
      proto: [],
      port: [],
      forwarded: ['for=127.0.0.1;host=shop;proto=http'],
    });
    expect(await told({ forwarded: 'forwarded', trust: true })).toMatchObject({
      forwarded: ['for=9.9.9.9, for=127.0.0.1;host=shop;proto=http'],
    });
    expect(await told({ forwarded: 'none' })).toEqual({ for: [], host: [], proto: [], port: [], forwarded: [] });
  });

  it('follows the trust proxy setting of Express', async () => {
    for (const [setting, expected] of [
      [false, '127.0.0.1'],
      ['loopback', '9.9.9.9, 127.0.0.1'],
    ] as const) {
      const upstream = await rawUpstream(({ send }) => send(ok));
      const app = express();
      app.set('trust proxy', setting);
      app.use(testProxy({ target: upstream.origin }) as unknown as express.RequestHandler);
      const running = attend(await listen((await import('node:http')).createServer(app)));
      await (
        await running.visit({ headers: { 'X-Forwarded-For': '9.9.9.9' } })
      ).over;
      expect(fieldsOf((await connectionOf(upstream)).received, 'x-forwarded-for')).toEqual([expected]);
    }
  });

  it('has the host that the options name, and Via continues what is there', async () => {
    const request = 'GET / HTTP/1.1\r\nHost: shop\r\nVia: 1.0 first\r\n\r\n';
    expect(fieldsOf(await passedOn(request, { host: 'client' }), 'host')).toEqual(['shop']);
    expect(fieldsOf(await passedOn(request, { host: 'inner.example' }), 'host')).toEqual(['inner.example']);
    const got = await passedOn(request);
    expect(fieldsOf(got, 'host')[0]).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(fieldsOf(got, 'via')).toEqual(['1.0 first, 1.1 sluice']);
    expect(fieldsOf(await passedOn(request, { via: 'edge' }), 'via')).toEqual(['1.0 first, 1.1 edge']);
    expect(fieldsOf(await passedOn(request, { via: false }), 'via')).toEqual(['1.0 first']);
  });

  it('has one cookie line, whatever HTTP/2 made of it, and no pseudo-headers', async () => {
    const upstream = await rawUpstream(({ send }) => send(ok));
    const running = await serve(h2c, testProxy({ target: upstream.origin }));
    await (
      await running.visit({ headers: { cookie: 'a=1; b=2' } })
    ).over;
    const got = (await connectionOf(upstream)).received;
    expect([fieldsOf(got, 'cookie'), got.includes('\r\n:'), fieldsOf(got, 'via')]).toEqual([
      ['a=1; b=2'],
      false,
      ['2.0 sluice'],
    ]);
  });

  it('asks for the path by text, joined to the target, and never for another host', async () => {
    const lines = async (path: string, options?: ProxyOptions): Promise<string> =>
      (await passedOn(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`, options)).split('\r\n', 1)[0]!;
    expect(await lines('/a%2Fb/../c?x=1&y')).toBe('GET /a%2Fb/../c?x=1&y HTTP/1.1');
    expect(await lines('//evil.example/x')).toBe('GET //evil.example/x HTTP/1.1');
    expect(await lines('http://evil.example/x?y')).toBe('GET /x?y HTTP/1.1');
    expect(await lines('http://evil.example')).toBe('GET / HTTP/1.1');
    expect(await lines('/api/x', { rewrite: (path) => path.replace(/^\/api/, '/v2') })).toBe('GET /v2/x HTTP/1.1');
  });

  it('carries what is left of the deadline', async () => {
    const request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
    const withDeadline = deadline({ default: '10s' }) as Middleware;
    const left = Number(fieldsOf(await passedOn(request, {}, withDeadline), 'x-request-timeout-ms')[0]);
    expect(left > 5_000 && left <= 10_000).toBe(true);
    expect(fieldsOf(await passedOn(request, { propagateDeadline: false }, withDeadline), 'grpc-timeout')).toEqual([]);
    expect(fieldsOf(await passedOn(request), 'x-request-timeout-ms')).toEqual([]);
  });

  it('is changed last by the rules of the application', async () => {
    const request = 'GET / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nX-Old: 1\r\n\r\n';
    const got = await passedOn(request, {
      requestHeaders: (headers, req) => {
        headers.delete('cookie');
        headers.set('X-Path', req.url ?? '');
      },
    });
    expect([fieldsOf(got, 'cookie'), fieldsOf(got, 'x-path')]).toEqual([[], ['/']]);
    expect(fieldsOf(await passedOn(request, { requestHeaders: { 'x-old': null } }), 'x-old')).toEqual([]);
  });
});

it('refuses options that cannot be meant', () => {
  const refused: [string, object][] = [
    ['proxy.target', {}],
    ['proxy.target', { target: 'localhost:3000' }],
    ['proxy.target', { target: 'ftp://a' }],
    ['proxy.target', { target: 'http://user:pass@a' }],
    ['proxy.target', { target: [] }],
    ['proxy.target', { target: 'http://a', route: () => 'http://b' }],
    ['proxy.forwarded', { target: 'http://a', forwarded: 'yes' }],
    ['proxy.trust', { target: 'http://a', trust: ['10.0.0.0/99'] }],
    ['proxy.trust', { target: 'http://a', trust: 'loopback' }],
    ['proxy.via', { target: 'http://a', via: 'two words' }],
    ['proxy.requestHeaders.Connection', { target: 'http://a', requestHeaders: { Connection: 'close' } }],
    ['proxy.responseHeaders.a b', { target: 'http://a', responseHeaders: { 'a b': 'x' } }],
    ['proxy.timeouts.head', { target: 'http://a', timeouts: { head: 0 } }],
    ['proxy.retry.limit', { target: 'http://a', retry: { limit: -1 } }],
    ['proxy.retry.statuses', { target: 'http://a', retry: { statuses: [200] } }],
    ['proxy.retry.budget', { target: 'http://a', retry: { budget: 2 } }],
    ['proxy.onClientGone', { target: 'http://a', onClientGone: {} }],
    ['proxy.health.path', { target: 'http://a', health: { path: 'x' } }],
    ['proxy.host', { target: 'http://a', host: 'a/b' }],
  ];
  for (const [option, options] of refused) {
    let error: unknown;
    try {
      testProxy(options as ProxyOptions);
    } catch (thrown) {
      error = thrown;
    }
    expect([option, error instanceof InvalidOptionError && error.option]).toEqual([option, option]);
  }
});
