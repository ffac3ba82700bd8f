import http from 'node:http';
import http2 from 'node:http2';
import { describe, expect, it, onTestFinished } from 'vitest';
import { carriers, h2c, http1Carriers, listen } from '../support/carriers.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { attend, serve } from '../support/serve.ts';
import { parked, settles, until } from '../support/until.ts';
import { connectionOf, fieldsOf, rawUpstream, testProxy } from './upstreams.ts';

describe.each(carriers)('a proxied answer on $name', (carrier) => {
  it('has its headers before its body is there, and each chunk at once', async () => {
    const upstream = await rawUpstream(({ send }) =>
      send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n'),
    );
    const running = await serve(carrier, testProxy({ target: upstream.origin }));
    const reading = await running.visit();
    expect([reading.status, reading.headers['content-type'], reading.text]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
      '',
    ]);
    const connection = await connectionOf(upstream);
    for (const count of [1, 2, 3]) {
      connection.send('9\r\ndata: x\n\n\r\n');
      await until(() => reading.text === 'data: x\n\n'.repeat(count));
    }
    connection.send('0\r\n\r\n');
    expect(await settles(reading.over)).toBe('end');
  });

  it('is cut where the upstream breaks off, with and without a length', async () => {
    for (const head of ['Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'Content-Length: 10\r\n\r\nabc']) {
      const upstream = await rawUpstream(({ send }) => send(`HTTP/1.1 200 OK\r\n${head}`));
      const running = await serve(carrier, testProxy({ target: upstream.origin }));
      const reading = await running.visit();
      await until(() => reading.text === 'abc');
      (await connectionOf(upstream)).socket.destroy();
      expect(await settles(reading.over)).toBe('aborted');
      expect(reading.text).toBe('abc');
    }
  });

  it('ends its upstream when the client leaves, before and after the headers', async () => {
    for (const answer of ['', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n']) {
      const upstream = await rawUpstream(({ send }) => send(answer));
      const middleware = testProxy({ target: upstream.origin });
      const running = await serve(carrier, middleware);
      if (answer === '') {
        const client = await running.dial();
        client.send(carrier.protocol === 'http1' ? getRequest() : h2Request);
        await connectionOf(upstream);
        client.destroy();
      } else {
        const reading = await running.visit();
        await until(() => reading.text === 'abc');
        reading.destroy();
      }
      const connection = await connectionOf(upstream);
      await until(() => connection.isClosed);
      await until(() => middleware.upstreams()[0]?.active === 0);
      expect([middleware.upstreams()[0]?.failures, running.errors]).toEqual([0, []]);
    }
  });

  it('has the status, the cookies and the headers of the upstream, and none that end at a hop', async () => {
    const upstream = await rawUpstream(({ send }) =>
      send(
        'HTTP/1.1 404 Nothing Here\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Kept: yes\r\nConnection: x-hop, close\r\n' +
          'X-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nVary: Origin\r\n' +
          'Content-Length: 4\r\n\r\nnone',
      ),
    );
    const running = await serve(
      carrier,
      (_req, res, next) => {
        (res as http.ServerResponse).setHeader('Vary', 'Cookie');
        next();
      },
      testProxy({ target: upstream.origin }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text]).toEqual([404, 'none']);
    expect(reading.headers).toMatchObject({ 'set-cookie': ['a=1', 'b=2'], 'x-kept': 'yes', vary: 'Cookie, Origin' });
    for (const name of ['x-hop', 'proxy-authenticate', 'upgrade']) expect(reading.headers).not.toHaveProperty(name);
    expect(reading.headers['keep-alive']).not.toBe('timeout=9');
  });
});

// The preface, empty settings, and HEADERS of `GET / http://a` by the static table.
const h2Request =
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0' + '\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a';

describe.each(http1Carriers)('bytes on $name', (carrier) => {
  it('passes bodies of requests on, of a known length or none, with any method', async () => {
    const upstream = http.createServer((req, res) => {
      const chunks: Buffer[] = [];
      req.on('data', (chunk: Buffer) => chunks.push(chunk));
      req.on('end', () => {
        const { 'content-length': length, 'transfer-encoding': coding } = req.headers;
        res.end(JSON.stringify({ method: req.method, length, coding, body: Buffer.concat(chunks).toString() }));
      });
    });
    const { origin } = attend(await listen(upstream));
    const running = await serve(carrier, testProxy({ target: origin }));
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      for (const framing of [
        'Content-Length: 5\r\n\r\nhello',
        'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      ]) {
        const client = await running.dial();
        client.send(`${method} /x HTTP/1.1\r\nHost: a\r\n${framing}`);
        await client.waitFor(/\}$/);
        expect(JSON.parse(client.received.slice(client.received.indexOf('\r\n\r\n') + 4))).toEqual(
          framing.startsWith('Content')
            ? { method, length: '5', body: 'hello' }
            : { method, coding: 'chunked', body: 'hello' },
        );
        client.destroy();
      }
    }
  });

  it('has its trailers, announced or not', async () => {
    for (const announced of ['Trailer: X-Sum\r\n', '']) {
      const upstream = await rawUpstream(({ send }) =>
        send(
          `HTTP/1.1 200 OK\r\n${announced}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n` +
            '0\r\nX-Sum: 9\r\nSet-Cookie: a=1\r\nKeep-Alive: 1\r\n\r\n',
        ),
      );
      const running = await serve(carrier, testProxy({ target: upstream.origin }));
      const client = await running.dial();
      client.send(getRequest('/', { TE: 'trailers', Connection: 'TE' }));
      await client.waitFor(/\r\n0\r\n(.|\r\n)*\r\n\r\n$/);
      expect(client.received.toLowerCase()).toMatch(/\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n$/);
      expect(fieldsOf(client.received, 'trailer')).toEqual(announced === '' ? [] : ['X-Sum']);
      expect(fieldsOf((await connectionOf(upstream)).received, 'te')).toEqual(['trailers']);
    }
  });

  it('passes early hints on, and none to a client of HTTP/1.0', async () => {
    const upstream = await rawUpstream(({ send }) =>
      send(
        'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na',
      ),
    );
    const running = await serve(carrier, testProxy({ target: upstream.origin }));
    const client = await running.dial();
    client.send(getRequest());
    await client.waitFor(/\r\n\r\na$/);
    expect(client.received).toMatch(
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200/,
    );
    const old = await running.dial();
    old.send(getRequest('/', {}, '1.0'));
    await old.waitFor(/\r\n\r\na$/);
    expect(old.received).toMatch(/^HTTP\/1\.1 200/);
  });

  it('resets a client of HTTP/1.0, to whom the end of the connection is the end of the body', async () => {
    const upstream = await rawUpstream(({ send }) =>
      send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'),
    );
    const running = await serve(carrier, testProxy({ target: upstream.origin }));
    const client = await running.dial();
    client.send(getRequest('/', {}, '1.0'));
    await client.waitFor(/abc$/);
    (await connectionOf(upstream)).socket.destroy();
    expect(await settles(client.closed)).toBe('error');
  });

  it('does not end what was cut', async () => {
    const upstream = await rawUpstream(({ send }) =>
      send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'),
    );
    const running = await serve(carrier, testProxy({ target: upstream.origin }));
    const client = await running.dial();
    client.send(getRequest());
    await client.waitFor('abc');
    (await connectionOf(upstream)).socket.destroy();
    await settles(client.closed);
    expect(parseChunked(client.received)).toMatchObject({ chunks: ['abc'], complete: false });
  });

  it('answers HEAD and 304 with the headers alone, and goes on with the connection', async () => {
    const upstream = await rawUpstream(({ send, received }) =>
      send(
        received.startsWith('HEAD')
          ? 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'
          : 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
      ),
    );
    const running = await serve(carrier, testProxy({ target: upstream.origin }));
    const client = await running.dial();
    client.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.waitFor(/\r\n\r\n$/);
    expect(fieldsOf(client.received, 'content-length')).toEqual(['5']);
    (await connectionOf(upstream)).socket.destroy();
    client.send(getRequest());
    await client.waitFor('304 Not Modified');
  });
});

it('reads from the upstream only as fast as the client takes', async () => {
  const size = 64 * 1024 * 1024;
  let sent = 0;
  const upstream = http.createServer((_req, res) => {
    res.writeHead(200, { 'Content-Length': String(size) });
    const chunk = Buffer.alloc(64 * 1024);
    const more = (): void => {
      while (sent < size) {
        sent += chunk.length;
        if (!res.write(chunk)) {
          res.once('drain', more);
          return;
        }
      }
      res.end();
    };
    more();
  });
  const { origin } = attend(await listen(upstream));
  for (const carrier of [http1Carriers[0]!, h2c]) {
    sent = 0;
    const running = await serve(carrier, testProxy({ target: origin }));
    const reading = await running.visit();
    reading.pause();
    await parked(() => sent);
    expect(sent).toBeLessThan(size / 2);
    reading.resume();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text.length).toBe(size);
  }
});

it('passes the body of a request over HTTP/2 on, whose length is not known', async () => {
  const upstream = await rawUpstream(() => undefined);
  const running = await serve(h2c, testProxy({ target: upstream.origin }));
  const session = http2.connect(running.origin);
  onTestFinished(() => session.destroy());
  const req = session.request({ ':method': 'POST', ':path': '/up' });
  req.write('hello');
  const connection = await connectionOf(upstream);
  await until(() => connection.received.endsWith('\r\n5\r\nhello'));
  expect(fieldsOf(connection.received, 'transfer-encoding')).toEqual(['chunked']);
  req.end();
  await until(() => connection.received.endsWith('\r\nhello\r\n0\r\n\r\n'));
  connection.send('HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n');
  const head = await new Promise<http2.IncomingHttpHeaders>((resolve) => req.once('response', resolve));
  expect(head[':status']).toBe(201);
});
