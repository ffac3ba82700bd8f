import http from 'node:http';
import { gzipSync } from 'node:zlib';
import { fetch as undiciFetch } from 'undici';
import { describe, expect, it } from 'vitest';
import { pipeBody } from '../../src/index.ts';
import { bare, carriers, listen, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { attend, serve, type Served } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

const text = 'compressible '.repeat(500);

const answers: Record<string, (res: http.ServerResponse) => unknown> = {
  '/gzip': (res) =>
    res
      .writeHead(203, {
        'Content-Type': 'text/x-up',
        'Content-Encoding': 'gzip',
        'Content-Length': gzipSync(text).length,
        ETag: '"1"',
      })
      .end(gzipSync(text)),
  '/half-named': (res) => res.writeHead(200, { 'Content-Encoding': 'gzip, identity' }).end(gzipSync(text)),
  '/loose': (res) => res.writeHead(200, { 'Content-Encoding': 'gzip,' }).end(gzipSync(text)),
  '/none': (res) => res.writeHead(200, { 'Content-Encoding': 'none' }).end(text),
  '/plain': (res) => res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': text.length }).end(text),
  '/odd': (res) => res.writeHead(200, { 'Content-Encoding': 'x-unheard-of' }).end(text),
  '/hops': (res) =>
    res
      .writeHead(
        200,
        [
          ['Connection', 'close, X-Hop'],
          ['X-Hop', 'mine alone'],
          ['Keep-Alive', 'timeout=99'],
          ['Proxy-Authenticate', 'Basic'],
          ['Trailer', 'X-T'],
          ['Upgrade', 'h3'],
          ['Set-Cookie', 'a=1; Path=/'],
          ['Set-Cookie', 'b=2; Expires=Thu, 01 Jan 2099 00:00:00 GMT'],
          ['X-End', 'to end'],
        ].flat(),
      )
      .end(text),
  '/204': (res) => res.writeHead(204, { 'X-End': 'y' }).end(),
  '/304': (res) => res.writeHead(304, { ETag: '"2"' }).end(),
  '/404': (res) => res.writeHead(404, { 'Content-Type': 'text/plain' }).end('no such'),
};

async function upstream(): Promise<Served> {
  return attend(
    await listen(
      http.createServer((req, res) => {
        const answer = answers[req.url!];
        if (answer) answer(res);
      }),
    ),
  );
}

const clients: [string, (url: string) => Promise<Response>][] = [
  ['the global fetch', (url) => fetch(url)],
  ['undici', async (url) => (await undiciFetch(url)) as unknown as Response],
];

describe.each(clients)('a Response of %s', (_name, get) => {
  describe.each(carriers)('piped on $name', (carrier) => {
    it('arrives with its status and fields, decoded as they say', async () => {
      const { origin } = await upstream();
      const running = await serve(carrier, async (req, res) => pipeBody(await get(`${origin}/gzip`), req, res));
      const reading = await running.visit();
      expect(await settles(reading.over)).toBe('end');
      expect([reading.status, reading.text]).toEqual([203, text]);
      expect(reading.headers).toMatchObject({ 'content-type': 'text/x-up', etag: '"1"' });
      expect([reading.headers['content-encoding'], reading.headers['content-length']]).toEqual([undefined, undefined]);
    });

    it('arrives without the fields of one hop, and with every cookie', async () => {
      const { origin } = await upstream();
      const running = await serve(carrier, async (req, res) => {
        res.setHeader('Set-Cookie', 'own=0');
        await pipeBody(await get(`${origin}/hops`), req, res);
      });
      const reading = await running.visit();
      await settles(reading.over);
      expect(reading.text).toBe(text);
      expect(reading.headers['x-end']).toBe('to end');
      expect(reading.headers['set-cookie']).toEqual([
        'own=0',
        'a=1; Path=/',
        'b=2; Expires=Thu, 01 Jan 2099 00:00:00 GMT',
      ]);
      expect(['x-hop', 'proxy-authenticate', 'trailer', 'upgrade'].map((name) => reading.headers[name])).toEqual(
        Array(4).fill(undefined),
      );
      expect(reading.headers['keep-alive']).not.toBe('timeout=99');
    });

    it.each([
      ['/204', 204],
      ['/304', 304],
      ['/404', 404],
      ['/plain', 200],
    ])('arrives as it is: %s', async (path, status) => {
      const { origin } = await upstream();
      const running = await serve(carrier, async (req, res) => pipeBody(await get(origin + path), req, res));
      const reading = await running.visit();
      expect(await settles(reading.over)).toBe('end');
      expect(reading.status).toBe(status);
      expect(reading.text).toBe({ '/404': 'no such', '/plain': text }[path] ?? '');
      if (path === '/plain') expect(reading.headers['content-length']).toBe(String(text.length));
      expect(running.errors).toEqual([]);
    });
  });

  it('keeps a coding that was not decoded', async () => {
    const { origin } = await upstream();
    const running = await serve(bare, async (req, res) => pipeBody(await get(`${origin}/odd`), req, res));
    const reading = await running.visit();
    await settles(reading.over);
    expect([reading.headers['content-encoding'], reading.text]).toEqual(['x-unheard-of', text]);
  });

  it.each([
    ['/half-named', 'gzip, identity', '\x1f'],
    ['/loose', 'gzip,', '\x1f'],
    ['/none', 'none', 'compressible'],
  ])('of %s keeps the field, since fetch decodes nothing of %j', async (path, field, start) => {
    const { origin } = await upstream();
    const running = await serve(bare, async (req, res) => pipeBody(await get(origin + path), req, res));
    const reading = await running.visit();
    await settles(reading.over);
    expect([reading.headers['content-encoding'], reading.text.slice(0, start.length)]).toEqual([field, start]);
  });

  it('is cancelled at its origin when the client leaves', async () => {
    const cancelled = deferred();
    const origin = attend(
      await listen(
        http.createServer((_req, res) => {
          res.write('first');
          res.on('close', () => cancelled.resolve());
        }),
      ),
    );
    const piped = deferred();
    const running = await serve(bare, async (req, res) => {
      await pipeBody(await get(origin.origin), req, res);
      piped.resolve();
    });
    const reading = await running.visit();
    await until(() => reading.text === 'first');
    reading.destroy();
    await settles(cancelled.promise);
    await settles(piped.promise);
  });
});

describe('a Response made by hand', () => {
  const sending =
    (make: () => Response): Middleware =>
    (req, res) =>
      pipeBody(make(), req, res);

  it('keeps its Content-Encoding and the bytes that it says', async () => {
    const running = await serve(
      bare,
      sending(
        () =>
          new Response(gzipSync('coded'), { headers: { 'Content-Encoding': 'gzip', 'Content-Type': 'text/plain' } }),
      ),
    );
    const answer = await fetch(running.origin);
    expect(answer.headers.get('content-encoding')).toBe('gzip');
    expect(await answer.text()).toBe('coded');
  });

  it('gives way to what the application set', async () => {
    const running = await serve(bare, (req, res) => {
      res.statusCode = 500;
      res.setHeader('X-Both', 'app');
      return pipeBody(
        new Response('x', { status: 201, headers: { 'X-Both': 'response', 'X-One': 'response' } }),
        req,
        res,
        { headers: { 'x-one': 'option' } },
      );
    });
    const reading = await running.visit();
    expect(reading.status).toBe(201);
    expect(reading.headers).toMatchObject({ 'x-both': 'app', 'x-one': 'option' });
  });

  it('has its status overridden by the option', async () => {
    const running = await serve(bare, (req, res) =>
      pipeBody(new Response('x', { status: 201 }), req, res, { status: 503 }),
    );
    expect((await running.visit()).status).toBe(503);
  });

  it('sends its head before its first chunk', async () => {
    const running = await serve(
      bare,
      sending(() => new Response(new ReadableStream(), { status: 206 })),
    );
    const reading = await running.visit();
    expect([reading.status, reading.text]).toEqual([206, '']);
  });

  it.each([null, ''])('may have a body that is %j', async (body) => {
    const running = await serve(
      bare,
      sending(() => new Response(body, { status: 200, headers: { 'X-End': 'z' } })),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.headers['x-end'], reading.text]).toEqual([200, 'z', '']);
  });

  it('without a body rejects with the reason of a signal that is aborted', async () => {
    const why = new Error('too late');
    const running = await serve(bare, async (req, res) => {
      const outcome: unknown = await pipeBody(new Response(null), req, res, { signal: AbortSignal.abort(why) }).catch(
        (error: unknown) => error,
      );
      if (!res.writableEnded) res.end(outcome === why ? 'rejected' : 'no');
    });
    const reading = await running.visit();
    await settles(reading.over);
    expect(reading.text).toBe('rejected');
  });
});
