import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import express from 'express';
import express4 from 'express4';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress } from '../../../src/compress/index.ts';
import { subscribe } from '../../../src/diagnostics.ts';
import { InvalidOptionError } from '../../../src/errors.ts';
import { createRegistry, heartbeat } from '../../../src/heartbeat/index.ts';
import { lifecycle } from '../../../src/lifecycle/index.ts';
import { monitor, type Monitor, type MonitorOptions } from '../../../src/monitor/index.ts';
import { createCanary } from '../../../src/proxy/index.ts';
import { sse } from '../../../src/sse/index.ts';
import { allCarriers, bare, express5, h2c, type Middleware, type Running } from '../../support/carriers.ts';
import { EventParser } from '../../support/event-parser.ts';
import { serve, type Served } from '../../support/serve.ts';
import { until } from '../../support/until.ts';

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

interface Question {
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | Buffer;
}

/** Sends a request, as a tool that is no browser does. */
function ask({ port }: Running, path: string, { method = 'GET', headers = {}, body }: Question = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = http.request({ port, path, method, headers, agent: false }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, text }));
    });
    req.on('error', reject);
    req.end(body);
  });
}

const marked = { 'content-type': 'application/json', 'x-sluice': '1' };

function post(
  server: Running,
  path: string,
  body: unknown,
  headers: http.OutgoingHttpHeaders = marked,
): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return ask(server, path, { method: 'POST', headers, body: text });
}

function testMonitor(options?: MonitorOptions): Monitor {
  const watch = monitor(options);
  onTestFinished(() => watch.close());
  return watch;
}

/** A service with all that can be changed. */
async function service(options: MonitorOptions = {}): Promise<{ watch: Monitor; server: Served; parts: Parts }> {
  const parts = makeParts();
  const { beats, compression, life, canary } = parts;
  const watch = testMonitor({
    authorize: () => true,
    registry: beats.registry,
    compress: compression,
    profiles: { fast: { level: 1 }, plain: { codecs: [] } },
    lifecycle: life,
    canaries: { checkout: canary },
    interval: 100,
    ...options,
  });
  const stream = sse((events) => void events.send('hello'));
  const app = express();
  app.use(watch, beats, compression);
  app.use('/sluice', watch.dashboard);
  app.get('/stream', stream);
  const server = await serve(bare, app as unknown as Middleware);
  return { watch, server, parts };
}

interface Parts {
  readonly beats: ReturnType<typeof heartbeat>;
  readonly compression: ReturnType<typeof compress>;
  readonly life: ReturnType<typeof lifecycle>;
  readonly canary: ReturnType<typeof createCanary>;
}

function makeParts(): Parts {
  const compression = compress();
  const life = lifecycle({ signals: false });
  onTestFinished(() => {
    compression.close();
    life.close();
  });
  const arms = {
    stable: { target: 'http://127.0.0.1:1', weight: 95 },
    next: { target: 'http://127.0.0.1:2', weight: 5 },
  };
  return { beats: heartbeat(), compression, life, canary: createCanary({ arms }) };
}

const files = [
  '/',
  '/app.js',
  '/actions.js',
  '/charts.js',
  '/format.js',
  '/overview.js',
  '/table.js',
  '/style.css',
  '/uplot.js',
  '/uplot.css',
];
const data = ['/events', '/connections', '/snapshot', '/metrics'];
const actions = ['/switch', '/evict', '/canary', '/drain'];

describe('who may see the dashboard', () => {
  it.each<[string, MonitorOptions]>([
    ['without `authorize`', {}],
    ['if it answers false', { authorize: () => false }],
    ['if it promises false', { authorize: () => Promise.resolve(false) }],
    ['if it answers anything but true', { authorize: (() => 'yes') as unknown as () => boolean }],
    [
      'if it throws',
      {
        authorize: () => {
          throw new Error('no session');
        },
      },
    ],
    ['if it rejects', { authorize: () => Promise.reject(new Error('no session')) }],
  ])('refuses everything %s', async (_name, options) => {
    const { compression, life } = makeParts();
    const watch = testMonitor({ compress: compression, lifecycle: life, ...options });
    const server = await serve(bare, watch.dashboard);
    // What `authorize` throws is published, and would be a warning.
    onTestFinished(subscribe('sluice:monitor:error', () => undefined));
    for (const path of [...files, ...data, '/nothing']) {
      const { status, text } = await ask(server, path);
      expect
        .soft([path, status, JSON.parse(text)])
        .toEqual([path, 403, { code: 'forbidden', message: expect.any(String) }]);
    }
    for (const path of actions) expect.soft([path, (await post(server, path, {})).status]).toEqual([path, 403]);
    expect((await post(server, '/switch', { enabled: false })).status).toBe(403);
    expect([compression.switch.enabled, life.state]).toEqual([true, 'active']);
  });

  it('asks with the request, for each path', async () => {
    const { server } = await service({
      authorize: ({ headers }) => headers.authorization === 'Basic b3BzOnNlY3JldA==',
    });
    expect((await ask(server, '/sluice/')).status).toBe(403);
    const headers = { authorization: 'Basic b3BzOnNlY3JldA==' };
    expect((await ask(server, '/sluice/', { headers })).status).toBe(200);
    expect((await post(server, '/sluice/switch', { enabled: false }, { ...marked, ...headers })).status).toBe(200);
  });

  it('refuses what a page of another origin asks for, and changes nothing', async () => {
    const { server, parts } = await service();
    const host = `localhost:${server.port}`;
    const strangers: http.OutgoingHttpHeaders[] = [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `http://localhost:${server.port + 1}` },
    ];
    for (const headers of strangers) {
      for (const [path, body] of [
        ['switch', { enabled: false }],
        ['drain', {}],
      ] as const) {
        const { status, text } = await post(server, `/sluice/${path}`, body, { ...marked, host, ...headers });
        expect.soft([status, JSON.parse(text)]).toEqual([403, expect.objectContaining({ code: 'other-origin' })]);
      }
      expect.soft((await ask(server, '/sluice/snapshot', { headers: { host, ...headers } })).status).toBe(403);
    }
    expect([parts.compression.switch.enabled, parts.life.state]).toEqual([true, 'active']);
  });

  it('takes what its own page asks for, in old browsers too', async () => {
    const { server, parts } = await service();
    const { 'content-type': type } = marked;
    const host = `ops.example:${server.port}`;
    const own = { 'content-type': type, host, origin: `http://${host}` };
    expect((await post(server, '/sluice/switch', { enabled: false }, own)).status).toBe(200);
    expect(parts.compression.switch.enabled).toBe(false);
    const modern = { 'content-type': type, 'sec-fetch-site': 'same-origin' };
    expect((await post(server, '/sluice/switch', { enabled: true }, modern)).status).toBe(200);
    expect(parts.compression.switch.enabled).toBe(true);
  });

  it('refuses a client that names no origin and has no mark', async () => {
    const { server, parts } = await service();
    const { status, text } = await post(server, '/sluice/drain', {}, { 'content-type': 'application/json' });
    expect([status, (JSON.parse(text) as { code: string }).code]).toEqual([403, 'unknown-origin']);
    expect(parts.life.state).toBe('active');
  });

  it.each(actions)('changes nothing by GET: %s', async (path) => {
    const { server, parts } = await service();
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await ask(server, `/sluice${path}?enabled=false`, {
        method,
        headers: { 'x-sluice': '1' },
      });
      expect.soft([method, status, headers.allow]).toEqual([method, 405, 'POST']);
    }
    expect([parts.compression.switch.enabled, parts.life.state]).toEqual([true, 'active']);
  });

  it('has GET and HEAD for what is read', async () => {
    const { server } = await service();
    for (const path of ['/', '/app.js', '/snapshot', '/connections']) {
      const answer = await ask(server, `/sluice${path}`, { method: 'POST', headers: marked, body: '{}' });
      expect.soft([path, answer.status, answer.headers.allow]).toEqual([path, 405, 'GET, HEAD']);
      const [head, get] = [
        await ask(server, `/sluice${path}`, { method: 'HEAD' }),
        await ask(server, `/sluice${path}`),
      ];
      expect.soft([path, head.status, head.text]).toEqual([path, 200, '']);
      expect.soft(head.headers['content-type']).toBe(get.headers['content-type']);
    }
    const events = await ask(server, '/sluice/events', { method: 'HEAD' });
    expect([events.status, events.headers['content-type']]).toEqual([200, 'text/event-stream; charset=utf-8']);
  });
});

describe('over HTTP/2', () => {
  it('the page changes things, and a page of another origin does not', async () => {
    const { compression } = makeParts();
    const watch = testMonitor({ authorize: () => true, compress: compression });
    const server = await serve(h2c, watch.dashboard);
    const session = http2.connect(server.origin);
    onTestFinished(() => session.destroy());
    const change = async (origin: string): Promise<number> => {
      const fields = { ':method': 'POST', ':path': '/switch', 'content-type': 'application/json', origin };
      const stream = session.request(fields).setEncoding('utf8');
      stream.end('{"enabled":false}');
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders & { ':status': number }];
      stream.resume();
      await once(stream, 'end');
      return headers[':status'];
    };
    expect(await change('http://evil.example')).toBe(403);
    expect(compression.switch.enabled).toBe(true);
    expect(await change(server.origin)).toBe(200);
    expect(compression.switch.enabled).toBe(false);
  });
});

describe('the files of the page', () => {
  it.each(allCarriers)('are all there, from this server alone, on $name', async (carrier) => {
    const watch = testMonitor({ authorize: () => true });
    const server = await serve(carrier, watch.dashboard);
    for (const path of files) {
      const reading = await server.visit({ path });
      await reading.over;
      expect.soft([path, reading.status]).toEqual([path, 200]);
      expect.soft(reading.headers['content-type']).toMatch(/^text\/(html|css|javascript); charset=utf-8$/);
      // What a file of this kind would load, from here or elsewhere.
      if (/^\/uplot/.test(path)) continue;
      const loaded = [...reading.text.matchAll(/(?:src=|href=|from |import\(|url\(|@import )["']([^"'#]+)["']/g)].map(
        ([, name]) => name!,
      );
      const strange = loaded.filter(
        (name) => !name.startsWith('data:image/svg') && !files.includes(`/${name.replace(/^\.\//, '')}`),
      );
      expect.soft([path, strange]).toEqual([path, []]);
    }
  });

  it('run no inline code: the headers forbid it, and there is none', async () => {
    const { server } = await service();
    const { headers, text } = await ask(server, '/sluice/');
    expect(text).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:/i);
    expect(headers).toMatchObject({
      'content-security-policy': expect.stringMatching(/^default-src 'none'; script-src 'self'; style-src 'self';/),
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'same-origin',
      'x-frame-options': 'DENY',
      'cross-origin-resource-policy': 'same-origin',
    });
    expect(headers['content-security-policy']).not.toMatch(/unsafe|https?:|\*/);
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
  });

  it('have the same headers on each answer, over those of the application', async () => {
    const watch = testMonitor({ authorize: () => true });
    const server = await serve(
      bare,
      (_req, res, next) => {
        (res as http.ServerResponse).setHeader('Content-Security-Policy', "script-src 'unsafe-inline'");
        next();
      },
      watch.dashboard,
    );
    for (const path of [...files, '/snapshot', '/connections', '/nothing', '/switch']) {
      const { headers } = await ask(server, path);
      expect
        .soft([path, headers['content-security-policy']])
        .toEqual([path, expect.stringMatching(/^default-src 'none'/)]);
      expect
        .soft([path, headers['cache-control']])
        .toEqual([path, files.includes(path) ? 'private, no-cache' : 'no-store']);
    }
  });

  it('are not sent again while they stay the same', async () => {
    const { server } = await service();
    const { headers } = await ask(server, '/sluice/app.js');
    const again = (tag: string): Promise<Answer> =>
      ask(server, '/sluice/app.js', { headers: { 'if-none-match': tag } });
    expect(await again(headers.etag!)).toMatchObject({ status: 304, text: '' });
    expect((await again(`"other", W/${headers.etag!}`)).status).toBe(304);
    expect((await again('"other"')).status).toBe(200);
  });

  it('are all in the package, with the licence of what they use', () => {
    const packed = readdirSync(new URL('../../../dist/monitor/dashboard/page', import.meta.url));
    const own = readdirSync(new URL('../../../src/monitor/dashboard/page', import.meta.url));
    expect(packed.toSorted()).toEqual([...own, 'uPlot.LICENSE', 'uPlot.iife.min.js', 'uPlot.min.css'].toSorted());
    // Each of them is served.
    expect(own.map((name) => (name === 'index.html' ? '/' : `/${name}`)).toSorted()).toEqual(
      files.filter((path) => !path.startsWith('/uplot')).toSorted(),
    );
  });

  it('are found from any mount: the path of the page ends in a slash', async () => {
    const watch = testMonitor({ authorize: () => true });
    const app = express();
    app.use('/deep/:name', watch.dashboard);
    const server = await serve(bare, app as unknown as Middleware);
    for (const path of ['/deep/ops:1', '/deep/ops:1?x=1']) {
      const { status, headers } = await ask(server, path);
      expect([status, headers.location]).toEqual([308, './ops:1/']);
      expect(new URL(headers.location!, `http://host${path}`).pathname).toBe('/deep/ops:1/');
    }
    expect((await ask(server, '/deep/ops:1/')).status).toBe(200);
    expect((await ask(server, '/deep/ops:1/app.js')).status).toBe(200);
  });

  it.each([
    '/app.mjs',
    '/index.html',
    '/../package.json',
    '/%2e%2e/index.js',
    '//app.js',
    '/constructor',
    '/uPlot.min.css',
  ])('nothing else is served: %s', async (path) => {
    const watch = testMonitor({ authorize: () => true });
    const server = await serve(bare, watch.dashboard);
    const { status, text } = await ask(server, path);
    expect([status, JSON.parse(text)]).toEqual([404, { code: 'not-found', message: expect.any(String) }]);
  });
});

describe('changes', () => {
  it('the switch flips, and a profile is chosen by its name', async () => {
    const { server, parts } = await service();
    const control = parts.compression.switch;
    expect(JSON.parse((await post(server, '/sluice/switch', { enabled: false })).text)).toEqual({
      enabled: false,
      version: 1,
    });
    expect(control.enabled).toBe(false);
    const swapped = await post(server, '/sluice/switch', { profile: 'fast' });
    expect(JSON.parse(swapped.text)).toEqual({ enabled: false, version: 2, profile: 'fast' });
    expect(control.profile).toMatchObject({ name: 'fast', level: 1 });
    for (const profile of ['slow', 'constructor', '__proto__']) {
      const { status, text } = await post(server, '/sluice/switch', { profile });
      expect([status, JSON.parse(text)]).toEqual([
        404,
        { code: 'unknown-profile', message: expect.stringContaining(profile) },
      ]);
    }
    expect(control.version).toBe(2);
  });

  it('weights of a canary change, and bad ones change nothing', async () => {
    const { server, parts } = await service();
    const weights = (): unknown => Object.values(parts.canary.config.arms).map(({ weight }) => weight);
    expect((await post(server, '/sluice/canary', { name: 'checkout', weights: { next: 50, stable: 50 } })).status).toBe(
      200,
    );
    expect(weights()).toEqual([50, 50]);
    for (const [body, status] of [
      [{ name: 'checkout', weights: { next: -1 } }, 400],
      [{ name: 'checkout', weights: { next: 0, stable: 0 } }, 400],
      [{ name: 'checkout', weights: { other: 1 } }, 400],
      [{ name: 'other', weights: { next: 1 } }, 404],
      [{ name: 'toString', weights: { next: 1 } }, 404],
    ] as const)
      expect([body, (await post(server, '/sluice/canary', body)).status]).toEqual([body, status]);
    expect(weights()).toEqual([50, 50]);
  });

  it('a client is sent away, and an unknown one is none', async () => {
    const { server, parts } = await service();
    const reading = await server.visit({ path: '/stream', headers: { accept: 'text/event-stream' } });
    await until(() => parts.beats.registry.stats().connections === 1);
    const [info] = parts.beats.registry.connections();
    for (const id of ['http1-999', '', 'x'.repeat(5_000)])
      expect((await post(server, '/sluice/evict', { id })).status).toBe(404);
    expect((await post(server, '/sluice/evict', { id: info!.id, registry: 1 })).status).toBe(404);
    expect((await post(server, '/sluice/evict', { id: info!.id })).status).toBe(200);
    await reading.over;
    expect(reading.text).toContain('retry:');
    await until(() => parts.beats.registry.stats().connections === 0);
    expect(parts.beats.registry.stats().ended).toEqual({ draining: 1 });
  });

  it('a drain begins', async () => {
    const { server, parts } = await service();
    const { status, text } = await post(server, '/sluice/drain', {});
    expect([status, JSON.parse(text)]).toEqual([202, { state: 'draining' }]);
    expect(parts.life.state).not.toBe('active');
    await parts.life.drain();
  });

  it.each([
    ['/switch', { enabled: true }],
    ['/switch', { profile: 'fast' }],
    ['/evict', { id: 'http1-1' }],
    ['/canary', { name: 'checkout', weights: { next: 1 } }],
    ['/drain', {}],
  ])('what the monitor was not given is not there: %s %j', async (path, body) => {
    const server = await serve(bare, testMonitor({ authorize: () => true }).dashboard);
    const { status, text } = await post(server, path, body);
    expect([status, JSON.parse(text)]).toEqual([
      404,
      { code: 'not-available', message: expect.stringContaining('option') },
    ]);
  });

  it('each is published with the request that `authorize` let pass, also one that fails', async () => {
    const published: unknown[] = [];
    onTestFinished(
      subscribe('sluice:monitor:action', ({ req, ...action }) =>
        published.push({ user: (req as { user?: unknown }).user, ...action }),
      ),
    );
    const { server, parts } = await service({
      authorize(req) {
        Object.assign(req, { user: req.headers['x-user'] });
        return req.headers['x-user'] === 'ada';
      },
    });
    const ada = { ...marked, 'x-user': 'ada' };
    await post(server, '/sluice/switch', { enabled: false }, ada);
    await post(server, '/sluice/switch', { profile: 'fast' }, ada);
    await post(server, '/sluice/switch', { profile: 'none' }, ada);
    await post(server, '/sluice/evict', { id: 'http1-999' }, ada);
    await post(server, '/sluice/canary', { name: 'checkout', weights: { next: 50 } }, ada);
    await post(server, '/sluice/canary', { name: 'checkout', weights: { next: -1 } }, ada);
    // Refused before they are an action.
    await post(server, '/sluice/drain', {}, { ...marked, 'x-user': 'eve' });
    await post(server, '/sluice/switch', { enabled: 1 }, ada);
    await post(server, '/sluice/drain', {}, ada);
    const done = { user: 'ada', ok: true, code: undefined, from: expect.stringContaining('127.0.0.1') };
    const failed = (code: string): object => ({ ...done, ok: false, code });
    expect(published).toEqual([
      { ...done, action: 'switch', target: undefined, value: false },
      { ...done, action: 'profile', target: undefined, value: 'fast' },
      { ...failed('unknown-profile'), action: 'profile', target: undefined, value: 'none' },
      { ...failed('unknown-connection'), action: 'evict', target: 'http1-999', value: undefined },
      { ...done, action: 'canary', target: 'checkout', value: { next: 50 } },
      { ...failed('ERR_SLUICE_OPTION_INVALID'), action: 'canary', target: 'checkout', value: { next: -1 } },
      { ...done, action: 'drain', target: undefined, value: undefined },
    ]);
    await parts.life.drain();
  });

  it('a swap that fails says why', async () => {
    const { server, parts } = await service();
    parts.compression.switch.swap = () =>
      Promise.reject(Object.assign(new Error('no such coding'), { code: 'ERR_SLUICE_X' }));
    const { status, text } = await post(server, '/sluice/switch', { profile: 'fast' });
    expect([status, JSON.parse(text)]).toEqual([500, { code: 'ERR_SLUICE_X', message: 'no such coding' }]);
  });

  it.each<[string, string | Buffer, http.OutgoingHttpHeaders, number, string]>([
    ['of another type', '{"enabled":false}', { 'content-type': 'text/plain' }, 415, 'unsupported-media-type'],
    [
      'of a form',
      'enabled=false',
      { 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'unsupported-media-type',
    ],
    ['that is compressed', Buffer.from([31, 139, 8]), { 'content-encoding': 'gzip' }, 415, 'unsupported-encoding'],
    ['that is no JSON', '{"enabled":', {}, 400, 'invalid-json'],
    ['that is empty', '', {}, 400, 'invalid-json'],
    ['that is no object', '[false]', {}, 400, 'invalid-body'],
    ['with a strange field', '{"enabled":false,"x":1}', {}, 400, 'invalid-body'],
    ['over the limit', `{"x":"${'x'.repeat(70_000)}"}`, {}, 413, 'body-too-large'],
    [
      'over the limit, of unknown length',
      `{"x":"${'x'.repeat(70_000)}"}`,
      { 'transfer-encoding': 'chunked' },
      413,
      'body-too-large',
    ],
  ])('a body %s is refused', async (_name, body, headers, status, code) => {
    const { server, parts } = await service();
    const answer = await ask(server, '/sluice/switch', { method: 'POST', headers: { ...marked, ...headers }, body });
    expect([answer.status, JSON.parse(answer.text)]).toEqual([status, { code, message: expect.any(String) }]);
    expect(answer.headers['content-type']).toBe('application/json');
    expect(parts.compression.switch.version).toBe(0);
    // The connection is still good for the next.
    expect((await post(server, '/sluice/switch', { enabled: false })).status).toBe(200);
  });

  it.each<[string, Middleware]>([
    ['express.json of Express 5', express.json() as unknown as Middleware],
    ['express.json of Express 4', express4.json() as unknown as Middleware],
    [
      'express.urlencoded of Express 4, which leaves an empty body',
      express4.urlencoded({ extended: false }) as unknown as Middleware,
    ],
    ['express.text', express.text({ type: '*/*' }) as unknown as Middleware],
    ['express.raw', express.raw({ type: '*/*' }) as unknown as Middleware],
  ])('behind %s', async (_name, parser) => {
    const { compression } = makeParts();
    const watch = testMonitor({ authorize: () => true, compress: compression });
    const server = await serve(express5, parser, watch.dashboard);
    expect((await post(server, '/switch', { enabled: false })).status).toBe(200);
    expect(compression.switch.enabled).toBe(false);
    expect((await post(server, '/switch', '{"enabled":')).status).toBeGreaterThanOrEqual(400);
    expect(compression.switch.version).toBe(1);
  });

  it('a client that leaves in its body changes nothing, and leaves nothing', async () => {
    const { server, parts } = await service();
    const requests: http.IncomingMessage[] = [];
    server.server.prependListener('request', (req: http.IncomingMessage) => requests.push(req));
    const client = await server.dial();
    client.send(
      'POST /sluice/switch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Sluice: 1\r\nContent-Length: 17\r\n\r\n{"enabled"',
    );
    await until(() => requests[0]?.listenerCount('data') === 1);
    client.destroy();
    await until(() => requests[0]?.listenerCount('data') === 0);
    expect((await post(server, '/sluice/switch', { enabled: true })).status).toBe(200);
    expect(parts.compression.switch.version).toBe(0);
  });
});

describe('connections', () => {
  it('come in pages, with the number of their registry', async () => {
    const [first, second] = [heartbeat(), heartbeat({ registry: createRegistry() })];
    const watch = testMonitor({ authorize: () => true, registry: [first.registry, second.registry] });
    const app = express();
    app.use('/sluice', watch.dashboard);
    app.get(
      '/one',
      first,
      sse((stream) => void stream.send('a')),
    );
    app.get(
      '/two',
      second,
      sse((stream) => void stream.send('a')),
    );
    const server = await serve(bare, app as unknown as Middleware);
    for (const path of ['/one', '/one', '/two']) await server.visit({ path });
    await until(() => first.registry.stats().connections + second.registry.stats().connections === 3);

    const page = async (
      search: string,
    ): Promise<{ total: number; rows: { registry: number; label: string; id: string }[] }> =>
      JSON.parse((await ask(server, `/sluice/connections${search}`)).text) as never;
    expect(await page('')).toMatchObject({
      total: 3,
      rows: [
        { registry: 0, label: '/one', state: 'healthy', transport: 'http1' },
        { registry: 0, label: '/one' },
        { registry: 1, label: '/two' },
      ],
    });
    expect(await page('?offset=2&limit=1')).toMatchObject({ total: 3, rows: [{ label: '/two' }] });
    expect(await page('?filter=TWO')).toMatchObject({ total: 1, rows: [{ label: '/two' }] });
    // The ids of two registries may be the same.
    const { rows } = await page('?filter=two');
    expect((await post(server, '/sluice/evict', { id: rows[0]!.id, registry: 1 })).status).toBe(200);
    await until(() => second.registry.stats().connections === 0);
    expect(first.registry.stats().connections).toBe(2);
  });

  it('refuses a query that is wrong', async () => {
    const { server } = await service();
    const { status, text } = await ask(server, '/sluice/connections?limit=100000');
    expect([status, JSON.parse(text)]).toEqual([
      400,
      { code: 'invalid-query', message: expect.stringContaining('limit') },
    ]);
  });
});

describe('the numbers', () => {
  it('are served as JSON, and to Prometheus', async () => {
    const { server } = await service();
    const { headers, text } = await ask(server, '/sluice/snapshot');
    expect(headers['content-type']).toBe('application/json');
    const snapshot = JSON.parse(text) as ReturnType<Monitor['snapshot']>;
    expect(snapshot).toMatchObject({ compression: { enabled: true }, lifecycle: 'active', streams: { active: 0 } });
    expect(snapshot.roundTrip.buckets.at(-1)).toEqual({ le: '+Inf', count: 0 });
    expect((await ask(server, '/sluice/metrics')).text).toContain('sluice_streams_active 0');
  });

  it('come as a stream: settings, what was before, a snapshot each interval, and at once after a change', async () => {
    const { server, watch } = await service({ interval: 100_000, alerts: { avg_heartbeat_rt: false } });
    const reading = await server.visit({ path: '/sluice/events' });
    const parser = new EventParser();
    let read = 0;
    const events = (): { type: string; data: string }[] => {
      parser.push(Buffer.from(reading.text.slice(read)));
      read = reading.text.length;
      return parser.events;
    };
    await until(() => events().length === 3);
    expect(reading.headers).toMatchObject({
      'cache-control': 'no-store',
      'content-type': 'text/event-stream; charset=utf-8',
    });
    const [settings, history, snapshot] = events().map(({ data: text }) => JSON.parse(text) as unknown);
    expect(events().map(({ type }) => type)).toEqual(['settings', 'history', 'snapshot']);
    expect(settings).toEqual({
      interval: 100_000,
      alerts: [{ name: 'unresponsive_ratio', above: 0.05, for: 60_000 }],
      actions: { switch: true, evict: true, canary: true, drain: true },
      profiles: ['fast', 'plain'],
    });
    expect(history).toEqual([]);
    expect(snapshot).toMatchObject({ compression: { enabled: true }, streams: { active: 0 } });
    await post(server, '/sluice/switch', { enabled: false });
    await until(() => events().length === 4);
    expect(JSON.parse(events()[3]!.data)).toMatchObject({ compression: { enabled: false } });
    watch.close();
    expect(await reading.over).toBe('end');
    expect((await ask(server, '/sluice/events')).status).toBe(503);
  });

  it('of the last minutes are there for a page that is opened late', async () => {
    const { server } = await service();
    // Some intervals pass.
    const early = await server.visit({ path: '/sluice/events' });
    await until(() => (early.text.match(/"point"/g) ?? []).length > 2);
    const late = await server.visit({ path: '/sluice/events' });
    await until(() => late.text.includes('event: snapshot') || late.text.includes('event:snapshot'));
    const [, points = '[]'] = /event: ?history\ndata: ?(.*)\n/.exec(late.text) ?? [];
    expect((JSON.parse(points) as object[]).length).toBeGreaterThan(2);
    expect((JSON.parse(points) as object[])[0]).toMatchObject({
      streams: 0,
      in: 0,
      out: 0,
      tier: null,
      unresponsive: 0,
    });
  });

  it('leave out those who look at them', async () => {
    const { server, watch } = await service();
    const reading = await server.visit({ path: '/sluice/events', headers: { 'accept-encoding': 'gzip' } });
    await until(() => reading.length > 0);
    await ask(server, '/sluice/');
    await server.visit({ path: '/stream' });
    await until(() => watch.snapshot().streams.active === 1);
    reading.destroy();
    await reading.over;
    const before = watch.snapshot();
    expect(before.streams).toMatchObject({ opened: 1, ended: {}, codings: { identity: 1 } });
    expect(Object.keys(before.routes)).toEqual(['/stream']);
    expect(Object.keys(before.bytes)).toEqual(['identity']);
  });
});

describe('options', () => {
  it('checks profiles', () => {
    for (const profiles of [[], 'fast', { fast: 'fast' }, { fast: { level: 99 } }, { fast: { levels: 1 } }])
      expect(() => monitor({ profiles: profiles as never })).toThrow(InvalidOptionError);
  });
});

describe('an error of the server', () => {
  it('goes to `next`', async () => {
    const thrown = new Error('no connections');
    const registry = Object.defineProperty(createRegistry(), 'members', {
      get() {
        throw thrown;
      },
    });
    const server = await serve(bare, testMonitor({ authorize: () => true, registry }).dashboard);
    await ask(server, '/connections');
    expect(server.errors).toEqual([thrown]);
  });
});
