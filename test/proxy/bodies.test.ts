import http from 'node:http';
import type http2 from 'node:http2';
import { Transform } from 'node:stream';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { heartbeat } from '../../src/heartbeat/index.ts';
import type { BodyTransform, ProxyOptions, TappedEvent } from '../../src/proxy/index.ts';
import { bare, carriers, h2c, listen, type Middleware } from '../support/carriers.ts';
import { openCoded } from '../support/coded-clients.ts';
import { parseEvents } from '../support/event-parser.ts';
import { attend, serve } from '../support/serve.ts';
import { parked, settles, until } from '../support/until.ts';
import { connectionOf, rawUpstream, testProxy } from './upstreams.ts';

const eventStream = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';

function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

describe('modifyResponse', () => {
  const transforms: [string, () => BodyTransform][] = [
    [
      'a stream',
      () => new Transform({ transform: (data: Buffer, _encoding, done) => done(null, String(data).toUpperCase()) }),
    ],
    [
      'a web stream',
      () =>
        new TransformStream({
          transform: (data: Uint8Array, controller) =>
            controller.enqueue(Buffer.from(Buffer.from(data).toString().toUpperCase())),
        }),
    ],
    [
      'a function',
      () =>
        async function* (source) {
          for await (const data of source) yield String(data).toUpperCase();
        },
    ],
  ];

  it.each(transforms)('changes the body by %s as it passes', async (_name, transform) => {
    const upstream = await rawUpstream(({ send }) =>
      send('HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Old: 1\r\n\r\nabc'),
    );
    const running = await serve(
      bare,
      testProxy({
        target: upstream.origin,
        modifyResponse: (response) => {
          response.status = 203;
          response.headers.set('X-New', '1');
          response.headers.delete('x-old');
          return transform();
        },
      }),
    );
    const reading = await running.visit();
    expect([
      reading.status,
      reading.headers['x-new'],
      reading.headers['x-old'],
      reading.headers['content-length'],
    ]).toEqual([203, '1', undefined, undefined]);
    await until(() => reading.text === 'ABC');
    (await connectionOf(upstream)).send('def');
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe('ABCDEF');
  });

  it('gives an error of its own to the application, or cuts', async () => {
    const failing: [NonNullable<ProxyOptions['modifyResponse']>, boolean][] = [
      [
        () => {
          throw new Error('no');
        },
        false,
      ],
      [(response) => response.headers.set('X', 'a\nb'), false],
      [
        () =>
          async function* (source) {
            for await (const data of source) {
              yield data;
              throw new Error('no');
            }
          },
        true,
      ],
    ];
    for (const [modifyResponse, isCut] of failing) {
      const upstream = await rawUpstream(({ send }) => send('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc'));
      const running = await serve(bare, testProxy({ target: upstream.origin, modifyResponse }));
      const reading = await running.visit();
      expect([reading.status, await settles(reading.over)]).toEqual(isCut ? [200, 'aborted'] : [500, 'end']);
      expect(running.errors).toHaveLength(1);
      const connection = await connectionOf(upstream);
      await until(() => connection.isClosed);
    }
  });

  it('holds the upstream back while the client does not read', async () => {
    let sent = 0;
    const upstream = http.createServer((_req, res) => {
      const data = Buffer.alloc(64 * 1024);
      const more = (): void => {
        while (res.write(data)) sent += data.length;
        sent += data.length;
        res.once('drain', more);
      };
      more();
    });
    const { origin: target } = attend(await listen(upstream));
    const modifyResponse = () => new Transform({ transform: (data: Buffer, _encoding, done) => done(null, data) });
    const running = await serve(bare, testProxy({ target, modifyResponse }));
    const reading = await running.visit();
    reading.pause();
    await parked(() => sent);
    expect(sent).toBeLessThan(32 << 20);
    reading.destroy();
  });
});

describe('tap', () => {
  it('gets each event, whatever the pieces, and changes nothing', async () => {
    const events: TappedEvent[] = [];
    const upstream = await rawUpstream(({ send }) => send(eventStream));
    const running = await serve(bare, testProxy({ target: upstream.origin, tap: (event) => events.push(event) }));
    const reading = await running.visit();
    const text =
      '\uFEFF: hi\r\nevent: a\rdata: é1\ndata:2\n\nid: 7\ndata\n\n\nretry: 5\nid: 8\n\ndata: {"usage":{}}\r\n\r\ndata: half';
    const connection = await connectionOf(upstream);
    const bytes = Buffer.from(text).toString('latin1');
    for (const byte of bytes) connection.send(`1\r\n${byte}\r\n`);
    connection.send('0\r\n\r\n');
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe(text);
    expect(events).toEqual([
      { type: 'a', data: 'é1\n2', id: undefined },
      { type: 'message', data: '', id: '7' },
      { type: 'message', data: '{"usage":{}}', id: '8' },
    ]);
  });

  it('goes on after the client has left, within bounds', async () => {
    const drain = { timeout: '20s', maxBytes: 1000, concurrent: 1 } as const;
    const events: string[] = [];
    const upstream = await rawUpstream(({ send }) => send(eventStream + chunk('data: 1\n\n')));
    const middleware = testProxy({
      target: upstream.origin,
      onClientGone: { drain },
      tap: ({ data }) => events.push(data),
    });
    const running = await serve(bare, middleware);
    const readings = [await running.visit(), await running.visit()];
    await until(() => events.length === 2);
    for (const reading of readings) reading.destroy();
    // One may be read on; the other is ended.
    await until(() => upstream.connections.filter(({ isClosed }) => isClosed).length === 1);
    const open = upstream.connections.find(({ isClosed }) => !isClosed)!;
    open.send(chunk('data: usage\n\n'));
    await until(() => events.includes('usage'));
    open.send(chunk(`data: ${'x'.repeat(1000)}\n\n`));
    await until(() => open.isClosed);
    await until(() => middleware.upstreams()[0]?.active === 0);
    // Its place is free again.
    const third = await running.visit();
    await until(() => events.filter((data) => data === '1').length === 3);
    third.destroy();
    const last = upstream.connections.find(({ isClosed, received }) => !isClosed && received !== '')!;
    last.send(`${chunk('data: end\n\n')}0\r\n\r\n`);
    await until(() => events.includes('end') && middleware.upstreams()[0]?.active === 0);
    expect(last.isClosed).toBe(false);
  });

  it('takes no place for an answer that was complete when its client left', async () => {
    const upstream = await rawUpstream(({ send, received }) =>
      send(received.includes('GET / ') ? eventStream : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
    );
    const events: string[] = [];
    let response: http2.Http2ServerResponse | undefined;
    const middleware = testProxy({
      target: upstream.origin,
      onClientGone: { drain: { timeout: '20s', maxBytes: 1000, concurrent: 1 } },
      tap: ({ data }) => events.push(data),
      // In the tick that has read the answer, before it goes on.
      responseHeaders: (_headers, { url }) => {
        if (url === '/whole') process.nextTick(() => response?.stream.destroy());
      },
    });
    const running = await serve(
      h2c,
      (_req, res, next) => {
        response = res as http2.Http2ServerResponse;
        next();
      },
      middleware,
    );
    void running.visit({ path: '/whole' }).catch(() => undefined);
    await until(() => response?.stream.closed === true);
    const reading = await running.visit();
    reading.destroy();
    await until(() => response?.stream.closed === true);
    const open = upstream.connections.find(({ received }) => received.includes('GET / '))!;
    open.send(`${chunk('data: usage\n\n')}0\r\n\r\n`);
    await until(() => events.includes('usage'));
    expect(open.isClosed).toBe(false);
  });
});

describe.each(carriers)('with other middlewares, on $name', (carrier) => {
  const protocol = carrier.protocol === 'http2' ? 'HTTP/2' : 'HTTP/1.1';

  it('is compressed event by event, and not twice', async () => {
    const upstream = await rawUpstream(({ send, received }) =>
      send(
        received.startsWith('GET /coded')
          ? `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: ${coded.length}\r\n\r\n${coded.toString('latin1')}`
          : eventStream,
      ),
    );
    const coded = gzipSync('x'.repeat(5000));
    const running = await serve(carrier, compress() as Middleware, testProxy({ target: upstream.origin }));
    const stream = await openCoded(running, protocol, { path: '/', accept: 'gzip' });
    onTestFinished(() => stream.destroy());
    const connection = await connectionOf(upstream);
    for (const [at, text] of ['one', 'two', 'three'].entries()) {
      connection.send(chunk(`data: ${text}\n\n`));
      await until(() => parseEvents(stream.text).length === at + 1);
    }
    expect(stream.headers['content-encoding']).toBe('gzip');
    const whole = await running.visit({ path: '/coded', headers: { 'accept-encoding': 'gzip' } });
    expect([whole.headers['content-encoding'], whole.headers['content-length']]).toEqual([
      'gzip',
      String(coded.length),
    ]);
    await settles(whole.over);
  });

  it('has heartbeats between its events, and none within', async () => {
    const upstream = await rawUpstream(({ send }) => send(eventStream));
    const running = await serve(
      carrier,
      heartbeat({ every: 5, readDeadline: '5m', failures: 1000 }) as Middleware,
      testProxy({ target: upstream.origin }),
    );
    const reading = await running.visit();
    await until(() => reading.text.startsWith(':\n:\n'));
    const connection = await connectionOf(upstream);
    connection.send(chunk('data: o'));
    await until(() => reading.text.endsWith('data: o'));
    connection.send(chunk('ne\n\n'));
    await until(() => /data: one\n\n:\n:\n/.test(reading.text));
    expect(parseEvents(reading.text)).toMatchObject([{ data: 'one' }]);
  });
});

it('the small body of an answer is compressed in one piece, with its length', async () => {
  const text = JSON.stringify({ list: Array.from({ length: 200 }, (_, n) => n) });
  const upstream = await rawUpstream(({ send }) =>
    send(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`),
  );
  const running = await serve(bare, compress({ threshold: 0 }) as Middleware, testProxy({ target: upstream.origin }));
  const client = await running.dial();
  client.send('GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n');
  await client.waitFor(/Content-Length: \d+/i);
  const length = Number(/Content-Length: (\d+)/i.exec(client.received)![1]);
  const start = client.received.indexOf('\r\n\r\n') + 4;
  await client.waitFor((received) => received.length >= start + length);
  expect(gunzipSync(Buffer.from(client.received.slice(start), 'latin1')).toString()).toBe(text);
});
