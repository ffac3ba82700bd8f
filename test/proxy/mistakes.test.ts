import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import http from 'node:http';
import { format } from 'node:util';
import debug from 'debug';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { ProxyOptions } from '../../src/proxy/index.ts';
import { listen } from '../support/carriers.ts';
import { rawUpstream, testProxy } from './upstreams.ts';

// What a new user gets wrong, and how the proxy tells.

/** A server that is a proxy and nothing else. */
async function alone(options: ProxyOptions): Promise<string> {
  const running = await listen(http.createServer(testProxy(options)));
  onTestFinished(() => running.close());
  return running.origin;
}

/** The lines of `DEBUG=sluice:proxy` from now on. */
function watchLog(): readonly string[] {
  const lines: string[] = [];
  const spy = vi.spyOn(debug, 'log').mockImplementation((...values: unknown[]) => void lines.push(format(...values)));
  debug.enable('sluice:proxy');
  onTestFinished(() => {
    debug.disable();
    spy.mockRestore();
  });
  return lines;
}

describe('a proxy without an application around it', () => {
  it('answers 500 where a function of its options throws', async () => {
    const errors: unknown[] = [];
    const onError = (message: unknown): void => void errors.push((message as { error: unknown }).error);
    subscribe('sluice:proxy:error', onError);
    onTestFinished(() => void unsubscribe('sluice:proxy:error', onError));
    const failure = new Error('there is no tenant of that name');
    const origin = await alone({
      route: () => {
        throw failure;
      },
    });
    expect((await fetch(origin)).status).toBe(500);
    expect(errors).toEqual([failure]);
  });
});

describe('rewrite', () => {
  const answering = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

  it('may leave nothing of a path, or its query', async () => {
    const upstream = await rawUpstream(({ send }) => send(answering));
    const origin = await alone({ target: upstream.origin, rewrite: (path) => path.replace(/^\/chat/, '') });
    for (const path of ['/chat', '/chat?a=1', '/chat/room']) expect((await fetch(origin + path)).status).toBe(200);
    const received = upstream.connections.map((each) => each.received).join('');
    expect(received.match(/^GET .*(?= HTTP)/gm)).toEqual(['GET /', 'GET /?a=1', 'GET /room']);
  });

  it('that returns no path is a fault of the application, and not of the client', async () => {
    const errors: Error[] = [];
    const middleware = testProxy({ target: 'http://127.0.0.1:9', rewrite: () => 'nope' });
    const server = http.createServer((req, res) => {
      middleware(req, res, (error) => {
        errors.push(error as Error);
        res.writeHead(500).end();
      });
    });
    const running = await listen(server);
    onTestFinished(() => running.close());
    expect((await fetch(running.origin)).status).toBe(500);
    expect(errors[0]?.message).toBe(
      'Expected `proxy.rewrite` to be a function that returns a path with a slash first, got "nope" (string)',
    );
  });
});

describe('a function that sets headers of requests', () => {
  it.each(['X A', 'Transfer-Encoding', 'Connection', 'X-Lines'])(
    'is at fault for %s, and not the client',
    async (name) => {
      const errors: Error[] = [];
      const requestHeaders: ProxyOptions['requestHeaders'] = (headers) => headers.set(name, 'secret\r\nX: y');
      const middleware = testProxy({ target: 'http://127.0.0.1:9', requestHeaders });
      const server = http.createServer((req, res) => {
        middleware(req, res, (error) => {
          errors.push(error as Error);
          res.writeHead(500).end();
        });
      });
      const running = await listen(server);
      onTestFinished(() => running.close());
      expect((await fetch(running.origin)).status).toBe(500);
      expect(errors[0]?.message).toMatch(
        new RegExp(`^Option .proxy.requestHeaders. has set a header that .*: "${name}"$`),
      );
    },
  );
});

describe('the log', () => {
  it('names the body parser that has read a body', async () => {
    const middleware = testProxy({ target: 'http://127.0.0.1:9' });
    const server = http.createServer((req, res) => void req.resume().on('end', () => middleware(req, res)));
    const running = await listen(server);
    onTestFinished(() => running.close());
    const lines = watchLog();
    expect((await fetch(running.origin, { method: 'POST', body: 'x' })).status).toBe(500);
    expect(lines.join('\n')).toContain('mount `proxy` before the body parser');
  });

  it('says that `tap` cannot read a stream that is encoded', async () => {
    const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: 0';
    const upstream = await rawUpstream(({ send }) => send(`${head}\r\n\r\n`));
    const origin = await alone({ target: upstream.origin, tap: () => undefined });
    const lines = watchLog();
    expect((await fetch(origin)).status).toBe(200);
    expect(lines.join('\n')).toContain('`tap` gets nothing');
  });

  it('names `attach` for a WebSocket that comes as a plain request', async () => {
    const upstream = await rawUpstream(({ send }) =>
      send('HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n'),
    );
    const origin = await alone({ target: upstream.origin });
    const lines = watchLog();
    const headers = { Connection: 'Upgrade', Upgrade: 'websocket' };
    const res = await new Promise<http.IncomingMessage>((resolve) => http.get(`${origin}/chat`, { headers }, resolve));
    expect(res.resume().statusCode).toBe(426);
    expect(lines.join('\n')).toMatch(/GET \/chat asks for a WebSocket.* Call `attach\(server\)`/);
  });

  it('says why an upstream cannot be reached', async () => {
    const upstream = await rawUpstream(() => undefined);
    await upstream.close();
    const origin = await alone({ target: upstream.origin, retry: false });
    const lines = watchLog();
    expect((await fetch(origin)).status).toBe(502);
    expect(lines.join('\n')).toContain('could not be reached, or broke off: ECONNREFUSED');
  });
});
