import http from 'node:http';
import express from 'express';
import { describe, expect, it } from 'vitest';
import { deadline } from '../../src/deadline/index.ts';
import type { ProxyError, ProxyOptions } from '../../src/proxy/index.ts';
import { bare, carriers, h2c, http1Carriers, listen, type Middleware } from '../support/carriers.ts';
import { getRequest } from '../support/raw.ts';
import { attend, serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { connectionOf, rawUpstream, testProxy } from './upstreams.ts';

/** An address where nothing listens. */
async function deadOrigin(): Promise<string> {
  const upstream = await rawUpstream(() => undefined);
  await upstream.close();
  return upstream.origin;
}

const noRetry: Partial<ProxyOptions> = { retry: false };

describe.each(carriers)('without an answer, on $name', (carrier) => {
  it('a client gets 502 where the upstream cannot be reached or breaks off, and 504 where it is silent', async () => {
    const broken = await rawUpstream(({ socket }) => socket.destroy());
    const garbled = await rawUpstream(({ send }) => send('HTTP/9.9 what\r\n\r\n'));
    const silent = await rawUpstream(() => undefined);
    const codes: string[] = [];
    const rows: [string, number, string][] = [
      [await deadOrigin(), 502, 'ERR_SLUICE_PROXY_UPSTREAM_UNREACHABLE'],
      [broken.origin, 502, 'ERR_SLUICE_PROXY_UPSTREAM_UNREACHABLE'],
      [garbled.origin, 502, 'ERR_SLUICE_PROXY_UPSTREAM_UNREACHABLE'],
      [silent.origin, 504, 'ERR_SLUICE_PROXY_UPSTREAM_TIMEOUT'],
    ];
    for (const [target, status, code] of rows) {
      // A machine that is busy may take longer to tell of a connection that is refused.
      const timeouts = status === 504 ? { head: 50 } : {};
      const middleware = testProxy({ target, ...noRetry, timeouts });
      const running = await serve(carrier, middleware);
      const reading = await running.visit();
      await settles(reading.over);
      expect([reading.status, reading.headers['cache-control'], running.errors]).toEqual([status, 'no-store', []]);
      const errors: ProxyError[] = [];
      const hooked = testProxy({
        target,
        ...noRetry,
        timeouts,
        onError: (error, _req, _res, next) => {
          errors.push(error);
          next(error);
        },
      });
      const own = await serve(carrier, hooked);
      const answered = await own.visit();
      expect([answered.status, errors.map((error) => error.code), own.errors]).toEqual([status, [code], errors]);
      codes.push(code);
    }
    expect(codes).toHaveLength(rows.length);
  });

  it('the deadline of the request answers, and the upstream is told', async () => {
    const upstream = await rawUpstream(() => undefined);
    const middleware = testProxy({ target: upstream.origin });
    const running = await serve(carrier, deadline({ default: 50 }) as Middleware, middleware);
    // On a busy machine the time may be over before there is a connection.
    while (upstream.connections.length === 0) expect((await running.visit()).status).toBe(504);
    const connection = await connectionOf(upstream);
    await until(() => connection.isClosed);
    await until(() => middleware.upstreams()[0]?.active === 0);
    expect(middleware.upstreams()[0]).toMatchObject({ failures: 0 });
  });

  it('a body that stops is cut by the idle clock', async () => {
    const upstream = await rawUpstream(({ send }) =>
      send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'),
    );
    const running = await serve(carrier, testProxy({ target: upstream.origin, timeouts: { idle: 50 } }));
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text).toBe('abc');
    const connection = await connectionOf(upstream);
    await until(() => connection.isClosed);
  });
});

it('tells the client of an event stream that breaks off, where that is asked for', async () => {
  const upstream = await rawUpstream(({ send }) =>
    send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n'),
  );
  for (const carrier of [bare, h2c]) {
    const running = await serve(carrier, testProxy({ target: upstream.origin, errorEvent: true }));
    const reading = await running.visit();
    await until(() => reading.text === 'data:');
    for (const { socket } of upstream.connections) socket.destroy();
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text).toBe(
      'data:\n\nevent: error\ndata: {"code":"ERR_SLUICE_PROXY_UPSTREAM_UNREACHABLE","status":502}\n\n',
    );
  }
});

it.each(http1Carriers)('leaves nothing of an answer whose headers cannot be sent, on $name', async (carrier) => {
  const upstream = await rawUpstream(({ send }) =>
    send('HTTP/1.1 203 Odd Text\r\nX-Up: 1\r\nContent-Length: 2\r\n\r\nok'),
  );
  const passOn = testProxy({ target: upstream.origin, responseHeaders: (headers) => headers.append('X-Bad', 'a\nb') });
  const running = await serve(carrier, (req, res, next) => {
    passOn(req, res, (error) => {
      const answer = res as http.ServerResponse;
      answer.statusCode = 500;
      answer.end(`the application's: ${String((error as { code?: string }).code)}`);
      next();
    });
  });
  const reading = await running.visit();
  expect(await settles(reading.over)).toBe('end');
  expect([reading.status, reading.text]).toEqual([500, "the application's: ERR_INVALID_CHAR"]);
  expect(reading.headers).not.toHaveProperty('x-up');
});

it.each(carriers)('goes to next where a listener throws as the headers are sent, on $name', async (carrier) => {
  const upstream = await rawUpstream(({ send }) => send('HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: 2\r\n\r\nok'));
  const passOn = testProxy({ target: upstream.origin });
  const running = await serve(carrier, (req, res, next) => {
    const { writeHead } = res as http.ServerResponse;
    (res as http.ServerResponse).writeHead = () => {
      throw new Error('as the headers are sent');
    };
    passOn(req, res, (error) => {
      (res as http.ServerResponse).writeHead = writeHead;
      next(error);
    });
  });
  const reading = await running.visit();
  await settles(reading.over);
  expect([reading.status, reading.headers['x-up'], running.errors]).toMatchObject([
    500,
    undefined,
    [{ message: 'as the headers are sent' }],
  ]);
});

describe('a request that two servers could read in two ways', () => {
  it('is refused, and never passed on', async () => {
    const upstream = await rawUpstream(({ send }) => send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
    const middleware = testProxy({ target: upstream.origin });
    // Node's own parser refuses most of these unless it is told to be lenient.
    const server = http.createServer({ insecureHTTPParser: true }, (req, res) => {
      middleware(req, res, () => res.destroy());
    });
    const running = attend(await listen(server));
    for (const fields of [
      'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'Transfer-Encoding: chunked, gzip\r\n\r\n',
      'Transfer-Encoding: gzip\r\nConnection: close\r\n\r\n',
      'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
      'Content-Length: 5, 6\r\n\r\nhello',
      'Content-Length: +5\r\n\r\nhello',
      'Content-Length: 0x5\r\n\r\nhello',
    ]) {
      const client = await running.dial();
      client.send(`POST / HTTP/1.1\r\nHost: a\r\n${fields}`);
      await client.waitFor('HTTP/1.1 400');
      client.destroy();
    }
    const client = await running.dial();
    client.send('GET * HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.waitFor('HTTP/1.1 400');
    expect(upstream.connections).toHaveLength(0);
  });
});

describe('a body that a parser has read', () => {
  const site = async (): Promise<{ origin: string; bodies: unknown[] }> => {
    const bodies: unknown[] = [];
    const server = http.createServer((req, res) => {
      const chunks: Buffer[] = [];
      req.on('data', (chunk: Buffer) => chunks.push(chunk));
      req.on('end', () => {
        bodies.push([req.headers['content-length'], Buffer.concat(chunks).toString()]);
        res.end('ok');
      });
    });
    return { origin: attend(await listen(server)).origin, bodies };
  };

  it('is written again, or refused at once', async () => {
    const { origin, bodies } = await site();
    const app = express();
    app.use(express.json(), express.urlencoded(), express.text(), express.raw());
    app.use((req, _res, next) => {
      if (req.get('content-type') === 'x/eaten') req.resume().on('end', () => next());
      else next();
    });
    app.use(testProxy({ target: origin }) as unknown as express.RequestHandler);
    const running = attend(await listen(http.createServer(app)));
    const post = async (type: string, body: string): Promise<number> => {
      const answer = await fetch(running.origin, { method: 'POST', body, headers: { 'Content-Type': type } });
      await answer.text();
      return answer.status;
    };
    expect(await post('application/json', '{ "a" :  [1] }')).toBe(200);
    expect(await post('application/x-www-form-urlencoded', 'a=1&b=x+y&a=2')).toBe(200);
    expect(await post('text/plain', 'plain')).toBe(200);
    expect(await post('application/octet-stream', 'raw')).toBe(200);
    expect(await post('x/untouched', 'untouched')).toBe(200);
    expect(bodies).toEqual([
      ['9', '{"a":[1]}'],
      ['13', 'a=1&a=2&b=x+y'],
      ['5', 'plain'],
      ['3', 'raw'],
      ['9', 'untouched'],
    ]);
    expect(await post('x/eaten', 'eaten')).toBe(500);
    expect(bodies).toHaveLength(5);
  });
});

describe('a try that fails', () => {
  it('is repeated where nothing was sent, whatever the method, on another upstream', async () => {
    const good = await rawUpstream(({ send }) => send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
    const dead = await deadOrigin();
    const middleware = testProxy({ target: [dead, good.origin], retry: { minDelay: 1, maxDelay: 1 } });
    const running = await serve(bare, middleware);
    for (let round = 0; round < 12; round += 1) {
      const answer = await fetch(running.origin, { method: 'POST', body: 'hello' });
      expect([answer.status, await answer.text()]).toEqual([200, 'ok']);
    }
    const stats = Object.fromEntries(middleware.upstreams().map((each) => [each.upstream, each]));
    expect(stats[good.origin]).toMatchObject({ requests: 12, failures: 0, active: 0 });
    // Both are equal at first; after five failures in a row it gets no more.
    expect(stats[dead]?.failures).toBeLessThanOrEqual(5);
  });

  it('is repeated for an idempotent method, with its body; never for another', async () => {
    for (const [method, expected] of [
      ['GET', 3],
      ['PUT', 3],
      ['DELETE', 3],
      ['POST', 1],
      ['PATCH', 1],
    ] as const) {
      const upstream = await rawUpstream(({ socket }) => void setImmediate(() => socket.destroy()));
      const running = await serve(bare, testProxy({ target: upstream.origin, retry: { minDelay: 1, maxDelay: 1 } }));
      const answer = await fetch(running.origin, { method, ...(method !== 'GET' && { body: 'hello' }) });
      expect([method, answer.status, upstream.connections.length]).toEqual([method, 502, expected]);
    }
  });

  it('is repeated after 502, 503 and 504, at the time that the upstream names, and 429 only then', async () => {
    const rows: [head: string, tries: number][] = [
      ['503 Service Unavailable\r\nContent-Length: 3\r\n\r\nbad', 3],
      ['503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 3\r\n\r\nbad', 3],
      ['503 Service Unavailable\r\nRetry-After: 3600\r\nContent-Length: 3\r\n\r\nbad', 1],
      ['429 Too Many\r\nContent-Length: 3\r\n\r\nbad', 1],
      ['429 Too Many\r\nRetry-After: 0\r\nContent-Length: 3\r\n\r\nbad', 3],
      ['500 Oops\r\nContent-Length: 3\r\n\r\nbad', 1],
    ];
    for (const [head, tries] of rows) {
      let requests = 0;
      const upstream = await rawUpstream(({ send }) => {
        requests += 1;
        send(`HTTP/1.1 ${head}`);
      });
      const running = await serve(
        bare,
        testProxy({ target: upstream.origin, outlier: false, retry: { minDelay: 1, maxDelay: 1 } }),
      );
      const answer = await fetch(running.origin);
      expect([head, answer.status, await answer.text(), requests]).toEqual([
        head,
        Number(head.slice(0, 3)),
        'bad',
        tries,
      ]);
    }
  });

  it('is not repeated when its body was too long to keep', async () => {
    const upstream = await rawUpstream(({ socket }) => void setTimeout(() => socket.destroy(), 50));
    const running = await serve(bare, testProxy({ target: upstream.origin, retry: { minDelay: 1, maxBody: 10 } }));
    const answer = await fetch(running.origin, { method: 'PUT', body: 'x'.repeat(100) });
    expect([answer.status, upstream.connections.length]).toEqual([502, 1]);
  });

  it('is not repeated past the budget', async () => {
    const upstream = await rawUpstream(({ socket }) => void setImmediate(() => socket.destroy()));
    const retry = { minDelay: 1, maxDelay: 1, budget: 0, minBudget: 0 };
    const running = await serve(bare, testProxy({ target: upstream.origin, retry }));
    expect([(await fetch(running.origin)).status, upstream.connections.length]).toEqual([502, 1]);
  });

  it('ends when the client leaves while it waits', async () => {
    let requests = 0;
    const upstream = await rawUpstream(({ send }) => {
      requests += 1;
      send('HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n');
    });
    const middleware = testProxy({ target: upstream.origin, retry: { limit: 1 } });
    const running = await serve(bare, middleware);
    const client = await running.dial();
    client.send(getRequest());
    await until(() => requests === 1);
    client.destroy();
    // Its wait begins later, so it would end later.
    expect([(await fetch(running.origin)).status, requests]).toEqual([503, 3]);
  });
});
