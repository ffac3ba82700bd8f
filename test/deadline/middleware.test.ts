import { AsyncLocalStorage } from 'node:async_hooks';
import http from 'node:http';
import http2 from 'node:http2';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { Readable } from 'node:stream';
import cookieParser from 'cookie-parser';
import express from 'express';
import session, { MemoryStore } from 'express-session';
import helmet from 'helmet';
import morgan from 'morgan';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  backgroundContext,
  ClientClosedError,
  compress,
  contextOf,
  currentContext,
  deadline,
  DeadlineExceededError,
  type DeadlineExpiredMessage,
  type DeadlineOptions,
  type HttpRequest,
  type HttpResponse,
  pipeBody,
  type RequestContext,
  runInContext,
} from '../../src/index.ts';
import {
  bare,
  type Carrier,
  carriers,
  express5,
  h2c,
  http1Carriers,
  listen,
  type Middleware,
} from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest } from '../support/raw.ts';
import { attend, serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const never: Middleware = () => undefined;

let expired: DeadlineExpiredMessage[];
const onExpiredMessage = (message: unknown): void => void expired.push(message as DeadlineExpiredMessage);

beforeEach(() => {
  expired = [];
  subscribe('sluice:deadline:expired', onExpiredMessage);
});

afterEach(() => {
  unsubscribe('sluice:deadline:expired', onExpiredMessage);
});

describe.each(carriers)('deadline on $name', (carrier) => {
  const isHttp1 = carrier.protocol === 'http1';

  it('answers 504 when the deadline passes before the head', async () => {
    const signals: AbortSignal[] = [];
    const running = await serve(carrier, deadline({ default: 40 }), (req) => void signals.push(contextOf(req).signal));
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect(reading).toMatchObject({ status: 504, text: 'Gateway Timeout\n' });
    expect(reading.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(reading.headers['connection']).toBe(isHttp1 ? 'close' : undefined);
    expect(signals[0]!.aborted).toBe(true);
    expect(signals[0]!.reason).toBeInstanceOf(DeadlineExceededError);
    expect(expired.map(({ req, reason, outcome }) => [req.method, reason.name, outcome])).toEqual([
      ['GET', 'DeadlineExceededError', 'answer'],
    ]);
  });

  it('answers 504 without a body to HEAD', async () => {
    const running = await serve(carrier, deadline({ default: 40 }), never);
    const reading = await settles(running.visit({ method: 'HEAD' }));
    expect(await settles(reading.over)).toBe('end');
    expect(reading).toMatchObject({ status: 504, text: '' });
  });

  it.each([
    ['grpc-timeout', '30m'],
    ['grpc-timeout', '1n'],
    ['x-request-timeout-ms', '30'],
    ['x-envoy-expected-rq-timeout-ms', '30'],
    ['x-request-deadline', () => new Date(Date.now() + 30).toISOString()],
  ] as const)('takes %s from the request', async (field, value) => {
    const running = await serve(carrier, deadline({ default: '1h' }), never);
    const reading = await settles(running.visit({ headers: { [field]: typeof value === 'string' ? value : value() } }));
    expect(reading.status).toBe(504);
  });

  it.each([
    ['grpc-timeout', '0m'],
    ['x-request-timeout-ms', '0'],
    ['x-request-deadline', '2020-01-01T00:00:00Z'],
    ['x-request-deadline', '5'],
    ['prefer', 'wait=0'],
  ])(
    'answers 504 to a request that is late when it comes, %s: %s, and never starts its handler',
    async (field, value) => {
      let started = 0;
      const running = await serve(carrier, deadline({ default: '1h' }), (_req, res) => {
        started++;
        res.end();
      });
      const reading = await settles(running.visit({ headers: { [field]: value } }));
      expect(await settles(reading.over)).toBe('end');
      expect([reading.status, started]).toEqual([504, 0]);
      expect(expired).toHaveLength(1);
    },
  );

  it('cuts a body that is not at its end when the deadline passes', async () => {
    const reasons: unknown[] = [];
    const running = await serve(carrier, deadline({ default: 600 }), (req, res) => {
      contextOf(req).signal.addEventListener('abort', () => reasons.push(contextOf(req).signal.reason));
      res.setHeader('Content-Type', 'text/plain');
      (res as http.ServerResponse).write('a part');
    });
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading).toMatchObject({ status: 200, text: 'a part' });
    expect(reasons).toEqual([expect.any(DeadlineExceededError)]);
    expect(expired.map(({ outcome }) => outcome)).toEqual(['cut']);
  });

  it('leaves a response alone that its handler has ended, however slowly its client takes it', async () => {
    const size = 8_000_000;
    const signals: AbortSignal[] = [];
    const running = await serve(carrier, deadline({ default: 60 }), (req, res) => {
      signals.push(contextOf(req).signal);
      res.end(Buffer.alloc(size));
    });
    const reading = await settles(running.visit());
    reading.pause();
    await until(() => signals[0]!.aborted);
    await turns();
    reading.resume();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toHaveLength(size);
    expect(expired).toEqual([]);
  });

  it('lets an answer in time pass as it is, and does not abort', async () => {
    const contexts: RequestContext[] = [];
    const closed = deferred();
    const running = await serve(carrier, deadline({ default: 800 }), (req, res) => {
      contexts.push(contextOf(req));
      contextOf(req).signal.addEventListener('abort', () => contexts.push(backgroundContext));
      (res as EventEmitter).on('close', () => setImmediate(closed.resolve));
      res.setHeader('X-Mine', 'yes');
      res.end('in time');
    });
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect(reading).toMatchObject({ status: 200, text: 'in time' });
    expect(reading.headers['x-mine']).toBe('yes');
    await settles(closed.promise);
    await until(() => contexts[0]!.remaining() === 0);
    await turns();
    expect(contexts).toHaveLength(1);
    expect(contexts[0]!.signal.aborted).toBe(false);
    expect(expired).toEqual([]);
  });

  it('aborts with ClientClosedError when the client leaves before the head', async () => {
    const contexts: RequestContext[] = [];
    const running = await serve(carrier, deadline({ default: '1h' }), (req) => void contexts.push(contextOf(req)));
    running.visit().catch(() => undefined);
    await until(() => contexts.length === 1);
    const { signal } = contexts[0]!;
    expect(signal.aborted).toBe(false);
    await running.close();
    await until(() => signal.aborted);
    expect(signal.reason).toBeInstanceOf(ClientClosedError);
    expect(() => contexts[0]!.throwIfAborted()).toThrow(ClientClosedError);
    expect(expired).toEqual([]);
  });

  it('aborts with ClientClosedError when the client leaves in the middle of a body', async () => {
    const signals: AbortSignal[] = [];
    const running = await serve(carrier, deadline({ default: '1h' }), (req, res) => {
      signals.push(contextOf(req).signal);
      (res as http.ServerResponse).write('a part');
    });
    const reading = await settles(running.visit());
    await until(() => reading.text === 'a part');
    reading.destroy();
    await until(() => signals[0]!.aborted);
    expect(signals[0]!.reason).toBeInstanceOf(ClientClosedError);
  });

  it('answers by onExpired, and with the status where that leaves the response as it was', async () => {
    const seen: unknown[] = [];
    const answers = (req: HttpRequest): boolean => req.url === '/mine';
    const running = await serve(
      carrier,
      deadline({
        default: 40,
        status: 503,
        onExpired(error, req, res) {
          seen.push(error, currentContext() === contextOf(req), contextOf(req).signal.aborted);
          if (!answers(req)) return;
          res.statusCode = 529;
          res.setHeader('Content-Type', 'application/json');
          res.end('{"late":true}');
        },
      }),
      (req) => void contextOf(req).signal,
    );
    const mine = await settles(running.visit({ path: '/mine' }));
    expect(await settles(mine.over)).toBe('end');
    expect(mine).toMatchObject({ status: 529, text: '{"late":true}' });
    expect(mine.headers['content-type']).toBe('application/json');
    const theirs = await settles(running.visit({ path: '/theirs' }));
    expect(await settles(theirs.over)).toBe('end');
    expect(theirs).toMatchObject({ status: 503, text: 'Service Unavailable\n' });
    expect(seen.filter((each) => each instanceof DeadlineExceededError)).toHaveLength(2);
  });

  it('answers with the status when onExpired throws, and cuts what it does not end', async () => {
    const running = await serve(
      carrier,
      deadline({
        default: 40,
        onExpired(_error, req, res) {
          if (req.url === '/throws') throw new RangeError('mine');
          (res as http.ServerResponse).write('a part');
        },
      }),
      never,
    );
    const throws = await settles(running.visit({ path: '/throws' }));
    expect(await settles(throws.over)).toBe('end');
    expect(throws.status).toBe(504);
    const parts = await settles(running.visit({ path: '/parts' })).catch(() => undefined);
    if (parts) expect(await settles(parts.over)).toBe('aborted');
  });

  it('keeps what is not about the body, and drops what is', async () => {
    const running = await serve(carrier, deadline({ default: 40 }), (_req, response) => {
      const res = response as http.ServerResponse;
      const fields = {
        'Access-Control-Allow-Origin': '*',
        Vary: 'Origin',
        'Set-Cookie': ['a=1', 'b=2'],
        'Content-Security-Policy': "default-src 'none'",
        'X-Request-Id': '7',
        'Content-Length': '1000',
        'Content-Type': 'image/png',
        'Content-Encoding': 'br',
        'Content-Disposition': 'attachment',
        'Content-Range': 'bytes 0-9/100',
        'Cache-Control': 'public, max-age=31536000',
        Expires: 'Thu, 01 Jan 2037 00:00:00 GMT',
        ETag: '"a"',
        'Last-Modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
        'Accept-Ranges': 'bytes',
        Location: '/elsewhere',
      };
      for (const [name, value] of Object.entries(fields)) res.setHeader(name, value);
      res.statusCode = 206;
      if (isHttp1) res.statusMessage = 'All Is Well';
    });
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect(reading).toMatchObject({ status: 504, text: 'Gateway Timeout\n' });
    const { headers } = reading;
    expect(headers).toMatchObject({
      'access-control-allow-origin': '*',
      vary: 'Origin',
      'set-cookie': ['a=1', 'b=2'],
      'content-security-policy': "default-src 'none'",
      'x-request-id': '7',
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'no-store',
    });
    for (const name of [
      'content-encoding',
      'content-disposition',
      'content-range',
      'expires',
      'etag',
      'last-modified',
      'accept-ranges',
      'location',
    ])
      expect(headers).not.toHaveProperty(name);
    expect(headers['content-length'] ?? '16').toBe('16');
  });

  it('is found by contextOf and currentContext, in whatever the handler starts', async () => {
    const found = new Map<string, boolean>();
    const own = new EventEmitter();
    const running = await serve(carrier, deadline({ default: '1h' }), async (req, res) => {
      const context = contextOf(req);
      const look = (where: string): void => void found.set(where, currentContext() === context);
      look('handler');
      await Promise.resolve();
      look('microtask');
      await new Promise((resolve) => setTimeout(resolve, 1));
      look('timer');
      await new Promise((resolve) => setImmediate(resolve));
      look('immediate');
      process.nextTick(() => look('tick'));
      queueMicrotask(() => look('queueMicrotask'));
      own.once('event', () => look('listener'));
      setTimeout(() => own.emit('event'), 1);
      await new Promise((resolve) => own.once('event', resolve));
      for await (const where of Readable.from(['source'])) look(where as string);
      runInContext(backgroundContext, () => found.set('background', currentContext() === backgroundContext));
      look('after background');
      res.end();
    });
    await settles((await settles(running.visit())).over);
    expect(Object.fromEntries(found)).toEqual({
      handler: true,
      microtask: true,
      timer: true,
      immediate: true,
      tick: true,
      queueMicrotask: true,
      listener: true,
      source: true,
      background: true,
      'after background': true,
    });
  });
});

describe('the default', () => {
  it('is not lengthened by a client', async () => {
    const remaining: number[] = [];
    const running = await serve(bare, deadline({ default: '10s' }), (req, res) => {
      remaining.push(contextOf(req).remaining());
      res.end();
    });
    for (const timeout of ['1H', '99999999H', '5S', '0S, 5S', 'x'])
      await settles((await running.visit({ headers: { 'grpc-timeout': timeout } })).over);
    expect(remaining.map((each) => each <= 5000)).toEqual([false, false, true, false, false]);
    for (const each of remaining) expect(each).toBeLessThanOrEqual(10_000);
  });

  it('is no deadline at all without options, and a client may still ask for one', async () => {
    const running = await serve(bare, deadline(), (req, res) => {
      const { deadline: at } = contextOf(req);
      res.end(String([at, contextOf(req).remaining() === Infinity, at - Date.now() > 50_000]));
    });
    const [without, asked] = [
      await running.visit(),
      await running.visit({ headers: { 'x-request-timeout-ms': '60000' } }),
    ];
    await Promise.all([without.over, asked.over]);
    expect(without.text).toBe('Infinity,true,true');
    expect(asked.text).toMatch(/^\d+(\.\d+)?,false,true$/);
  });

  it('longer than a timer of Node can be is no deadline at once', async () => {
    const running = await serve(bare, deadline({ default: '60 days' }), async (req, res) => {
      const { signal } = contextOf(req);
      // Where Node finds a delay too long, it takes 1 ms.
      await new Promise((resolve) => setTimeout(resolve, 2));
      res.end(String(signal.aborted));
    });
    for (const headers of [
      {},
      { 'grpc-timeout': '99999999H' },
      { 'x-request-timeout-ms': '2147483648' },
      { 'x-request-deadline': '999999999999999' },
    ]) {
      const reading = await settles(running.visit({ headers: headers as Record<string, string> }));
      await settles(reading.over);
      expect(reading).toMatchObject({ status: 200, text: 'false' });
    }
  });
});

describe('trust', () => {
  const ask = { headers: { 'grpc-timeout': '0m' } };

  it.each<[string, DeadlineOptions, number]>([
    ['true', { trust: true }, 504],
    ['false', { trust: false }, 200],
    ['a function that says yes', { trust: () => true }, 504],
    ['a function that says no', { trust: () => false }, 200],
    ['a function that looks at the request', { trust: (req) => req.headers['x-peer'] === 'known' }, 200],
    ['sources without the field', { sources: ['prefer'] }, 200],
    ['sources with the field', { sources: ['prefer', 'grpc-timeout'] }, 504],
  ])('%s', async (_name, options, status) => {
    const running = await serve(bare, deadline(options), (_req, res) => res.end());
    expect((await settles(running.visit(ask))).status).toBe(status);
  });

  it('that throws is an error of the request', async () => {
    const running = await serve(
      express5,
      deadline({
        trust: () => {
          throw new RangeError('mine');
        },
      }),
      (_req, res) => res.end(),
    );
    const reading = await settles(running.visit(ask));
    expect(reading.status).toBe(500);
    expect(running.errors).toEqual([expect.any(RangeError)]);
  });
});

describe('without the middleware', () => {
  it('contextOf and currentContext give a context of the background', async () => {
    const running = await serve(bare, (req, res) => {
      const [mine, current] = [contextOf(req), currentContext()];
      mine.throwIfAborted();
      const child = mine.child({ timeout: '1h' });
      const facts = [
        mine === backgroundContext,
        current === backgroundContext,
        mine.deadline,
        mine.remaining(),
        mine.signal.aborted,
        child.remaining() > 3_000_000,
      ];
      child.dispose();
      res.end(facts.join());
    });
    const reading = await running.visit();
    await settles(reading.over);
    expect(reading.text).toBe('true,true,Infinity,Infinity,false,true');
  });

  it('the background cannot be ended', () => {
    const { abort, dispose } = backgroundContext as unknown as { abort(): void; dispose(): void };
    abort.call(backgroundContext);
    dispose.call(backgroundContext);
    expect(backgroundContext.signal.aborted).toBe(false);
    expect(() => backgroundContext.throwIfAborted()).not.toThrow();
  });
});

describe('asyncContext: false', () => {
  it('leaves currentContext alone, and contextOf is there', async () => {
    const running = await serve(bare, deadline({ default: 50_000, asyncContext: false }), (req, res) => {
      res.end(
        `${currentContext() === backgroundContext} ${contextOf(req).remaining() <= 50_000} ${runInContext(contextOf(req), currentContext) === contextOf(req)}`,
      );
    });
    const reading = await running.visit();
    await settles(reading.over);
    expect(reading.text).toBe('true true true');
  });
});

describe('requests at the same time', () => {
  it.each([bare, h2c])('have contexts of their own over $name, also when one is over', async (carrier) => {
    const seen: [url: string | undefined, isOwn: boolean][] = [];
    const running = await serve(
      carrier,
      deadline({
        default: 800,
        onExpired: (_error, req) => void seen.push([req.url, currentContext() === contextOf(req)]),
      }),
      async (req, res) => {
        const context = contextOf(req);
        context.signal.addEventListener('abort', () => void seen.push([req.url, currentContext() === context]));
        if (req.url !== '/3') return;
        await new Promise((resolve) => setTimeout(resolve, 5));
        res.end(String(currentContext() === context));
      },
    );
    const readings = await Promise.all(['/1', '/2', '/3', '/4'].map((path) => settles(running.visit({ path }))));
    expect(readings.map(({ status }) => status)).toEqual([504, 504, 200, 504]);
    // Nobody is told in the context of somebody else.
    expect(seen).toHaveLength(6);
    expect(seen.filter(([, isOwn]) => !isOwn)).toEqual([]);
  });
});

describe('an application that has a store of its own for each request', () => {
  const store = new AsyncLocalStorage<string>();

  it.each([bare, h2c])('finds that of the request over $name, wherever it is told of the end', async (carrier) => {
    const seen: [string, string | undefined, string][] = [];
    const tell = (req: HttpRequest, where: string): void => void seen.push([req.url!, store.getStore(), where]);
    const running = await serve(
      carrier,
      (req, _res, next) => store.run(req.url!, next),
      deadline({ default: 80, onExpired: (_error, req) => tell(req, 'onExpired') }),
      (req) => {
        contextOf(req).signal.addEventListener('abort', () => tell(req, 'signal'));
        contextOf(req)
          .child()
          .signal.addEventListener('abort', () => tell(req, 'child'));
      },
    );
    await Promise.all(['/1', '/2', '/3'].map((path) => settles(running.visit({ path }))));
    expect(seen).toHaveLength(9);
    expect(seen.filter(([url, found]) => found !== url)).toEqual([]);
  });
});

describe('the connection', () => {
  it('of HTTP/1.1 is closed behind a 504, and the next request is not served on it', async () => {
    let started = 0;
    const running = await serve(bare, deadline({ default: 40 }), () => void started++);
    const client = await running.dial();
    client.send(getRequest('/first') + getRequest('/second'));
    expect(await settles(client.closed)).toBe('end');
    expect(client.received).toMatch(/^HTTP\/1\.1 504 Gateway Timeout\r\n/);
    expect(client.received).toMatch(/\r\nConnection: close\r\n/);
    expect(client.received).toMatch(/\r\nContent-Length: 16\r\n/);
    expect(client.received.endsWith('\r\n\r\nGateway Timeout\n')).toBe(true);
    expect(client.received.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it('of HTTP/1.0 gets the 504 too', async () => {
    const running = await serve(bare, deadline({ default: 40 }), never);
    const client = await running.dial();
    client.send(getRequest('/', {}, '1.0'));
    expect(await settles(client.closed)).toBe('end');
    expect(client.received).toMatch(/^HTTP\/1\.1 504 [\s\S]*\r\n\r\nGateway Timeout\n$/);
  });

  it('is closed behind an answer of onExpired as well, since an error of its handler would end it', async () => {
    const running = await serve(
      bare,
      deadline({ default: 40, onExpired: (_error, _req, res) => void res.end('mine') }),
      never,
    );
    const client = await running.dial();
    client.send(getRequest());
    expect(await settles(client.closed)).toBe('end');
    expect(client.received).toMatch(/\r\nConnection: close\r\n/);
  });

  it('is kept alive behind an answer in time, with a deadline for each request', async () => {
    const running = await serve(bare, deadline({ default: 150 }), (req, res) => {
      if (req.url !== '/never') res.end(`at ${req.url}`);
    });
    const client = await running.dial();
    for (let n = 0; n < 3; n++) {
      client.send(getRequest(`/${n}`));
      await client.waitFor(`at /${n}`);
    }
    // A deadline that began later has passed: so have those of the three.
    expect((await settles(running.visit({ path: '/never' }))).status).toBe(504);
    client.send(getRequest('/4'));
    await client.waitFor('at /4');
    client.send(getRequest('/never'));
    expect(await settles(client.closed)).toBe('end');
    expect(client.received.match(/HTTP\/1\.1 \d+/g)).toEqual([
      'HTTP/1.1 200',
      'HTTP/1.1 200',
      'HTTP/1.1 200',
      'HTTP/1.1 200',
      'HTTP/1.1 504',
    ]);
  });

  it('of HTTP/2 goes on with its other streams', async () => {
    const running = await serve(h2c, deadline({ default: 60 }), (req, res) => {
      if (req.url === '/quick') res.end('quick');
      else if (req.url === '/part') (res as http.ServerResponse).write('part');
    });
    const client = http2.connect(running.origin);
    const ask = (path: string): Promise<[number | undefined, number | undefined]> =>
      new Promise((resolve) => {
        let status: number | undefined;
        const req = client.request({ ':path': path });
        req.on('response', (fields) => (status = fields[':status']));
        req.on('error', () => undefined);
        req.on('close', () => resolve([status, req.rstCode]));
        req.resume();
      });
    expect(await settles(Promise.all([ask('/never'), ask('/part'), ask('/quick')]))).toEqual([
      [504, 0],
      [200, 2],
      [200, 0],
    ]);
    expect(await settles(ask('/quick'))).toEqual([200, 0]);
    client.destroy();
  });

  it.each([bare, h2c])('of $name gets the 504 while the request is still being sent', async (carrier) => {
    const running = await serve(
      carrier,
      deadline({ default: 60 }),
      (req) => void (req as http.IncomingMessage).resume(),
    );
    if (carrier === bare) {
      const client = await running.dial();
      client.send('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n');
      client.send('x'.repeat(1000));
      await client.waitFor(/504[\s\S]*Gateway Timeout\n$/);
      await settles(client.closed);
    } else {
      const client = http2.connect(running.origin);
      const req = client.request({ ':method': 'POST' });
      req.on('error', () => undefined);
      req.write('x'.repeat(1000));
      const fields = await settles(new Promise<http2.IncomingHttpHeaders>((resolve) => req.once('response', resolve)));
      expect(fields[':status']).toBe(504);
      client.destroy();
    }
  });
});

describe('a client that leaves', () => {
  it('before a request is served that waits behind another on its connection aborts both', async () => {
    const signals: AbortSignal[] = [];
    const running = await serve(bare, deadline({ default: '1h' }), (req) => void signals.push(contextOf(req).signal));
    const client = await running.dial();
    client.send(getRequest('/first') + getRequest('/second'));
    await until(() => signals.length === 2);
    client.destroy();
    await until(
      () => signals.every(({ aborted }) => aborted),
      () => `aborted: ${signals.map(({ aborted }) => aborted).join()}`,
    );
    for (const signal of signals) expect(signal.reason).toBeInstanceOf(ClientClosedError);
  });

  it.each([bare, h2c])('before the middleware is reached over $name does not start the handler', async (carrier) => {
    const arrived = deferred();
    const gone = deferred();
    let started = 0;
    const reached = deferred();
    const within = deadline({ default: '1h' });
    const running = await serve(
      carrier,
      (_req, res, next) => {
        (res as EventEmitter).on('close', () => setImmediate(gone.resolve));
        arrived.resolve();
        void gone.promise.then(() => {
          next();
          reached.resolve();
        });
      },
      within,
      () => void started++,
    );
    running.visit().catch(() => undefined);
    await settles(arrived.promise);
    await running.close();
    await settles(reached.promise);
    expect(started).toBe(0);
  });

  it.each([0, 2, 8])('over HTTP/2 with a reset of code %d aborts, also while it takes nothing', async (code) => {
    const signals: AbortSignal[] = [];
    const running = await serve(h2c, deadline({ default: '1h' }), (req, res) => {
      signals.push(contextOf(req).signal);
      if (req.url === '/full') (res as http.ServerResponse).write(Buffer.alloc(5_000_000));
    });
    const client = http2.connect(running.origin);
    client.on('error', () => undefined);
    const requests = ['/silent', '/full'].map((path) => client.request({ ':path': path }));
    for (const req of requests) req.on('error', () => undefined).pause();
    await until(() => signals.length === 2);
    await turns(5);
    for (const req of requests) req.close(code);
    await until(
      () => signals.every(({ aborted }) => aborted),
      () => `aborted: ${signals.map(({ aborted }) => aborted).join()}`,
    );
    for (const signal of signals) expect(signal.reason).toBeInstanceOf(ClientClosedError);
    client.destroy();
  });
});

describe('beside other middlewares', () => {
  const asMiddleware = (middleware: unknown): Middleware => middleware as Middleware;
  const makeSession = (store: MemoryStore): Middleware =>
    asMiddleware(session({ secret: 's', resave: true, saveUninitialized: true, store }));

  it.each(http1Carriers)('answers 504 through all of them on $name', async (carrier) => {
    const lines: string[] = [];
    const store = new MemoryStore();
    const running = await serve(
      carrier,
      asMiddleware(morgan(':method :url :status', { stream: { write: (line) => void lines.push(line) } })),
      asMiddleware(helmet()),
      asMiddleware(cookieParser()),
      makeSession(store),
      compress(),
      deadline({ default: 60 }),
      never,
    );
    const reading = await settles(running.visit({ headers: { 'accept-encoding': 'gzip' } }));
    expect(await settles(reading.over)).toBe('end');
    expect(reading).toMatchObject({ status: 504, text: 'Gateway Timeout\n' });
    expect(reading.headers).toMatchObject({
      'content-security-policy': expect.any(String),
      'set-cookie': [expect.stringContaining('connect.sid')],
    });
    await until(() => lines.length === 1);
    expect(lines).toEqual(['GET / 504\n']);
  });

  describe.each([
    ['outside', (inner: Middleware[], limit: Middleware) => [limit, ...inner]],
    ['inside', (inner: Middleware[], limit: Middleware) => [...inner, limit]],
  ] as const)('with the session %s', (_name, stack) => {
    it.each([
      ['a body', (res: HttpResponse) => res.end('{"late":true}'), '{"late":true}'],
      ['a body of one byte', (res: HttpResponse) => res.end('x'), 'x'],
      ['no body', (res: HttpResponse) => res.end(), ''],
    ])('sends what onExpired answers, with %s, when the session is saved', async (_what, answer, text) => {
      const store = new MemoryStore();
      const limit = deadline({
        default: 60,
        onExpired: (_error, _req, res) => {
          res.statusCode = 503;
          answer(res);
        },
      });
      const late = deferred();
      const running = await serve(bare, ...stack([makeSession(store)], limit), (req, res) => {
        contextOf(req).signal.addEventListener('abort', () =>
          setImmediate(() => {
            (res as http.ServerResponse).writeHead(200, { 'X-Late': 'yes' });
            res.end('late');
            late.resolve();
          }),
        );
      });
      const reading = await settles(running.visit());
      expect(await settles(reading.over)).toBe('end');
      expect(reading).toMatchObject({ status: 503, text });
      await settles(late.promise);
      expect(limit.lateCalls).toBe(2);
    });
  });

  describe.each([bare, h2c])('with compress over $name', (carrier) => {
    const big = JSON.stringify(Array.from({ length: 30_000 }, (_, id) => ({ id })));

    it.each(['outside', 'inside'])('mounted %s sends a large answer of onExpired, encoded', async (where) => {
      const late: unknown[] = [];
      const limit = deadline({
        default: 60,
        onExpired: (_error, _req, res) => {
          res.statusCode = 503;
          res.setHeader('Content-Type', 'application/json');
          res.end(big);
        },
      });
      const over = deferred();
      const handler: Middleware = (req, response) => {
        const res = response as http.ServerResponse;
        const use = (): void => {
          try {
            res.setHeader('X-Late', 'yes');
            res.write('late');
          } catch (error) {
            late.push(error);
          }
        };
        contextOf(req).signal.addEventListener('abort', () => {
          setImmediate(use);
          (res as EventEmitter).on('finish', () => {
            use();
            over.resolve();
          });
        });
      };
      const running = await serve(
        carrier,
        ...(where === 'outside' ? [compress(), limit] : [limit, compress()]),
        handler,
      );
      const response = await settles(carrier === bare ? fetch(running.origin) : fetchHttp2(running.origin));
      expect(response.status).toBe(503);
      expect(response.headers.get('x-late')).toBeNull();
      expect(await settles(response.text())).toBe(big);
      await settles(over.promise);
      expect(late).toEqual([]);
      expect(limit.lateCalls).toBe(4);
    });

    it('cuts a body that is being encoded', async () => {
      // Long enough for its head to be out.
      const running = await serve(carrier, compress(), deadline({ default: 1000 }), (_req, response) => {
        const res = response as http.ServerResponse;
        res.setHeader('Content-Type', 'text/plain');
        res.write('x'.repeat(100_000));
      });
      const reading = await settles(running.visit({ headers: { 'accept-encoding': 'gzip' } }));
      expect(await settles(reading.over)).toBe('aborted');
    });
  });

  it('does not crash on a patch of somebody that throws', async () => {
    const running = await serve(
      bare,
      (_req, res, next) => {
        (res as unknown as { end: unknown }).end = () => {
          throw new RangeError('mine');
        };
        next();
      },
      deadline({ default: 40 }),
      never,
    );
    await expect(settles(running.visit())).rejects.toThrow();
  });
});

async function fetchHttp2(origin: string): Promise<Response> {
  const { gunzipSync, brotliDecompressSync } = await import('node:zlib');
  const client = http2.connect(origin);
  const req = client.request({ ':path': '/', 'accept-encoding': 'gzip, br' });
  let fields: http2.IncomingHttpHeaders = {};
  req.on('response', (each) => (fields = each));
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  client.destroy();
  const body = Buffer.concat(chunks);
  const decode = fields['content-encoding'] === 'br' ? brotliDecompressSync : gunzipSync;
  return new Response(new Uint8Array(decode(body)), {
    status: Number(fields[':status']),
    headers: fields['x-late'] ? { 'x-late': 'yes' } : {},
  });
}

describe('throwIfAborted', () => {
  it('answers as soon as somebody finds the deadline passed, however busy the process was', async () => {
    const thrown: unknown[] = [];
    const running = await serve(bare, deadline({ default: 20 }), (req) => {
      const context = contextOf(req);
      // No timer can come between.
      while (context.remaining() > 0);
      try {
        context.throwIfAborted();
      } catch (error) {
        thrown.push(error, context.signal.aborted);
      }
    });
    expect((await settles(running.visit())).status).toBe(504);
    expect(thrown).toEqual([expect.any(DeadlineExceededError), true]);
  });
});

describe('leaks', () => {
  it('2,000 requests leave no timer, no listener and no context behind', { timeout: 120_000 }, async () => {
    const { setFlagsFromString } = await import('node:v8');
    const { runInNewContext } = await import('node:vm');
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const references: WeakRef<RequestContext>[] = [];
    const app = express();
    app.use(deadline({ default: '1h', idle: '1h' }) as unknown as express.RequestHandler);
    app.use((req, res) => {
      const context = contextOf(req);
      const child = context.child({ timeout: '30m' });
      references.push(new WeakRef<RequestContext>(context), new WeakRef<RequestContext>(child));
      child.signal.addEventListener('abort', () => undefined);
      child.dispose();
      if (req.url === '/pieces') res.write('x');
      res.end('x');
    });
    const running = attend(await listen(http.createServer(app)));
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    const sockets = new Set<import('node:net').Socket>();
    running.server.on('connection', (socket: import('node:net').Socket) => sockets.add(socket));
    const ask = (path: string): Promise<void> =>
      new Promise((resolve, reject) => {
        http.get(`${running.origin}${path}`, { agent }, (res) => res.resume().on('end', resolve)).on('error', reject);
      });
    const batch = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n += 20)
        await Promise.all(Array.from({ length: 20 }, (_, each) => ask(each % 2 === 0 ? '/' : '/pieces')));
    };
    await batch(40);
    const listeners = (): number =>
      [...sockets].reduce(
        (sum, socket) => sum + socket.eventNames().reduce((count, name) => count + socket.listenerCount(name), 0),
        0,
      );
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    await turns(20);
    const before = [sockets.size, listeners(), timers()];
    references.length = 0;
    await batch(2000);
    await turns(20);
    expect([sockets.size, listeners()]).toEqual(before.slice(0, 2));
    await until(
      () => timers() <= before[2]!,
      () => `${timers()} timers, ${before[2]} before`,
    );
    await until(
      () => {
        collect();
        return references.filter((reference) => reference.deref()).length <= 20;
      },
      () => `${references.filter((reference) => reference.deref()).length} contexts are left`,
    );
    agent.destroy();
  });
});

describe('aborts at every point', () => {
  const points = ['before the handler', 'in the handler', 'after the head', 'after a write', 'after end'] as const;

  describe.each([bare, h2c] satisfies Carrier[])('over $name', (carrier) => {
    it.each(points)('a client that leaves %s ends the context once, and nothing is thrown', async (point) => {
      const outcomes: unknown[] = [];
      const here = deferred();
      const leaves = deferred();
      const over = deferred();
      const pause = async (at: string): Promise<void> => {
        if (at !== point) return;
        here.resolve();
        await leaves.promise;
      };
      const limit = deadline({ default: '1h', idle: '1h' });
      const running = await serve(
        carrier,
        async (_req, res, next) => {
          (res as EventEmitter).on('close', () => setImmediate(over.resolve));
          await pause('before the handler');
          next();
        },
        limit,
        async (req, response) => {
          const res = response as http.ServerResponse;
          contextOf(req).signal.addEventListener('abort', () => outcomes.push(contextOf(req).signal.reason));
          await pause('in the handler');
          res.writeHead(200, { 'Content-Type': 'text/plain' });
          res.flushHeaders();
          await pause('after the head');
          res.write('x'.repeat(100));
          await pause('after a write');
          res.end('x');
          await pause('after end');
        },
      );
      const visit = running.visit();
      visit.catch(() => undefined);
      await settles(here.promise);
      if (point !== 'before the handler' && point !== 'in the handler') (await settles(visit)).destroy();
      else await running.close();
      await settles(over.promise);
      leaves.resolve();
      await turns(10);
      const isTold = point !== 'before the handler' && point !== 'after end';
      expect(outcomes).toEqual(isTold ? [expect.any(ClientClosedError)] : []);
      expect([limit.lateCalls, running.errors, expired]).toEqual([0, [], []]);
    });
  });
});

describe('pipeBody', () => {
  describe.each(carriers)('on $name', (carrier) => {
    it.each([
      ['before the head', []],
      ['after the head', ['a part']],
    ])('rejects with DeadlineExceededError %s, and cancels its source', async (when, chunks) => {
      const outcome = deferred<unknown>();
      const source = new Readable({ read: () => undefined });
      for (const chunk of chunks) source.push(chunk);
      // A part has to be at the client when the body is cut.
      const running = await serve(carrier, deadline({ default: when === 'before the head' ? 80 : 600 }), (req, res) => {
        pipeBody(source, req, res).then(() => outcome.resolve('resolved'), outcome.resolve);
      });
      const reading = await settles(running.visit());
      const over = await settles(reading.over);
      expect(await settles(outcome.promise)).toBeInstanceOf(DeadlineExceededError);
      expect(source.destroyed).toBe(true);
      if (when === 'before the head')
        expect([reading.status, reading.text, over]).toEqual([504, 'Gateway Timeout\n', 'end']);
      else expect([reading.status, reading.text, over]).toEqual([200, 'a part', 'aborted']);
    });

    it('is left alone when all was handed over, however slowly its client takes it', async () => {
      const outcome = deferred<unknown>();
      const size = 4_000_000;
      const signals: AbortSignal[] = [];
      const running = await serve(carrier, deadline({ default: 15_000 }), (req, res) => {
        signals.push(contextOf(req).signal);
        pipeBody(new Blob([new Uint8Array(size)]), req, res).then(() => outcome.resolve('resolved'), outcome.resolve);
      });
      const reading = await settles(running.visit());
      expect(await settles(reading.over)).toBe('end');
      expect(await settles(outcome.promise)).toBe('resolved');
      expect(reading.text).toHaveLength(size);
    });
  });
});
