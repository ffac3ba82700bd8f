import express from 'express';
import express4 from 'express4';
import http from 'node:http';
import { describe, expect, it } from 'vitest';
import { type EventStream, sse } from '../../src/index.ts';
import { bare, carriers, listen } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { parseEvents } from '../support/event-parser.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { attend, serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

describe.each([true, false])('on the wire with directChunks %j', (directChunks) => {
  it('several sends of one tick leave in one chunk', async () => {
    const kept = deferred<EventStream>();
    const running = await serve(
      bare,
      sse((stream) => kept.resolve(stream), { directChunks }),
    );
    const client = await running.dial();
    client.send(getRequest());
    const stream = await settles(kept.promise);
    await client.waitFor(':ok');
    void stream.send('one');
    void stream.send('two');
    await stream.send('three');
    await stream.comment('promise callbacks belong to the tick');
    await client.waitFor('callbacks');
    void stream.send('next tick');
    await client.waitFor('next tick\n\n\r\n');
    expect(parseChunked(client.received).chunks).toEqual([
      ':ok\n',
      'data: one\n\ndata: two\n\ndata: three\n\n:promise callbacks belong to the tick\n',
      'data: next tick\n\n',
    ]);
  });

  it('sends leave when the tick ends, and do not wait for the turn of the loop', async () => {
    const kept = deferred<EventStream>();
    const running = await serve(
      bare,
      sse((stream) => kept.resolve(stream), { directChunks }),
    );
    const client = await running.dial();
    client.send(getRequest());
    const stream = await settles(kept.promise);
    await client.waitFor(':ok');
    let turned = false;
    setImmediate(() => (turned = true));
    void stream.send('one');
    expect(stream.bufferedBytes).toBe('data: one\n\n'.length);
    // One tick for the write and one for what Node holds back until a tick ends.
    for (let tick = 0; tick < 3; tick++) await new Promise<void>((resolve) => void process.nextTick(resolve));
    expect([stream.bufferedBytes, turned]).toEqual([0, false]);
  });

  it('flush sends at once what waits for the end of the tick', async () => {
    const kept = deferred<EventStream>();
    const running = await serve(
      bare,
      sse((stream) => kept.resolve(stream), { directChunks }),
    );
    const client = await running.dial();
    client.send(getRequest());
    const stream = await settles(kept.promise);
    await client.waitFor(':ok');
    void stream.send('one');
    stream.flush();
    void stream.send('two');
    stream.flush();
    stream.flush();
    await client.waitFor('two\n\n\r\n');
    const { chunks } = parseChunked(client.received);
    expect(chunks.join('')).toBe(':ok\ndata: one\n\ndata: two\n\n');
    // Node may join what is written in one tick; an empty chunk would be the end.
    expect(client.received).not.toContain('\r\n0\r\n');
  });

  it('flush sends the head in the first tick of the handler', async () => {
    const headSent: boolean[] = [];
    const running = await serve(bare, (req, res, next) =>
      sse(
        (stream) => {
          headSent.push(res.headersSent);
          stream.flush();
          headSent.push(res.headersSent);
        },
        { directChunks },
      )(req, res, next),
    );
    const client = await running.dial();
    client.send(getRequest());
    await client.waitFor(':ok\n\r\n');
    expect(headSent).toEqual([false, true]);
  });

  it('bytes of every kind of text arrive as they were sent', async () => {
    const texts = [
      'plain',
      'grüße',
      '水🌊',
      '\u2028\u2029',
      'tab\tand\u0000nul',
      ' leading space',
      '',
      'lines\nof\rtext\r\nhere',
      '\uFEFFbom',
      '0\r\n\r\n',
    ];
    const running = await serve(
      bare,
      sse(
        function* () {
          yield* texts;
        },
        { directChunks },
      ),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect(parseEvents(reading.text).map((event) => event.data)).toEqual(
      texts.map((text) => text.split(/\r\n|\r|\n/).join('\n')),
    );
  });

  it('a complete stream leaves the connection for the next request', async () => {
    const running = await serve(
      bare,
      sse(
        function* (_stream, req) {
          yield String(req.url);
        },
        { directChunks },
      ),
    );
    const client = await running.dial();
    client.send(getRequest('/one'));
    const one = parseChunked(await client.waitFor('0\r\n\r\n'));
    expect(one.head).toMatch(/\r\nconnection: keep-alive\r\n/i);
    client.send(getRequest('/two'));
    await client.waitFor((received) => received.endsWith('0\r\n\r\n') && received.includes('/two'));
    const [, two] = [one, parseChunked(client.received.slice(client.received.indexOf('0\r\n\r\n') + 5))];
    expect([one.chunks.join(''), two.chunks.join('')]).toEqual([':ok\ndata: /one\n\n', ':ok\ndata: /two\n\n']);
  });

  it('a client of HTTP/1.0 gets the events unframed and the end as a close', async () => {
    const running = await serve(
      bare,
      sse(
        async function* () {
          yield 'one';
          await turns();
          yield 'two';
        },
        { directChunks },
      ),
    );
    const client = await running.dial();
    client.send(getRequest('/', {}, '1.0'));
    expect(await settles(client.closed)).toBe('end');
    const [head = '', body] = client.received.split(/\r\n\r\n/);
    expect(head).not.toMatch(/transfer-encoding/i);
    expect(body).toBe(':ok\ndata: one\n\ndata: two\n\n');
  });

  it('the retry option goes out with the head', async () => {
    const running = await serve(
      bare,
      sse(
        function* () {
          yield 'one';
        },
        { directChunks, retry: '1.5s' },
      ),
    );
    const reading = await running.visit();
    await settles(reading.over);
    expect(reading.text).toBe(':ok\nretry: 1500\ndata: one\n\n');
  });
});

describe('response fields', () => {
  it("of the application win over the stream's own, and a foreign length goes", async () => {
    const running = await serve(
      bare,
      (_req, res, next) => {
        res.setHeader('Cache-Control', 'private');
        res.setHeader('X-Accel-Buffering', 'yes');
        res.setHeader('Content-Length', 5);
        next();
      },
      sse(
        function* () {
          yield 'one';
        },
        { headers: { 'X-One': '1', 'X-Two': ['a', 'b'], 'x-n': 7 } },
      ),
    );
    const reading = await running.visit();
    await settles(reading.over);
    expect(reading.headers).toMatchObject({
      'cache-control': 'private',
      'x-accel-buffering': 'yes',
      'x-one': '1',
      'x-two': 'a, b',
      'x-n': '7',
    });
    expect(reading.headers['content-length']).toBeUndefined();
  });

  it('given as an option replace the defaults whatever their case', async () => {
    const running = await serve(
      bare,
      sse(() => undefined, { headers: { 'cache-CONTROL': 'no-store', 'x-accel-buffering': 'yes' } }),
    );
    const reading = await running.visit();
    expect(reading.headers).toMatchObject({ 'cache-control': 'no-store', 'x-accel-buffering': 'yes' });
  });
});

describe.each([
  ['Express 5', express],
  ['Express 4', express4],
] as const)('a POST on %s', (_name, framework) => {
  it('whose body was consumed keeps its stream', async () => {
    const kept = deferred<EventStream>();
    const closes: string[] = [];
    const app = framework();
    app.use(framework.json());
    app.post(
      '/chat',
      sse((stream, req) => {
        req.on('close', () => closes.push('req'));
        stream.onClose((reason) => closes.push(reason));
        void stream.send({ data: req.body });
        kept.resolve(stream);
      }),
    );
    const running = attend(await listen(http.createServer(app)));
    const client = await running.dial();
    const body = JSON.stringify({ prompt: 'hi' });
    client.send(
      `POST /chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    const stream = await settles(kept.promise);
    await client.waitFor(`data: ${body}\n\n`);
    await turns(10);
    expect(stream.state).toBe('open');
    expect(closes).not.toContain('client-closed');
    await stream.send('still here');
    await client.waitFor('still here');
    client.destroy();
    await until(() => closes.includes('client-closed'));
  });
});

describe.each(carriers)('pipe on $name', (carrier) => {
  it('sends every event of a source and leaves the stream open', async () => {
    const running = await serve(
      carrier,
      sse(async (stream) => {
        await stream.pipe(
          (async function* () {
            yield 'a';
            yield { event: 'b', data: 1 };
          })(),
        );
        await stream.pipe(['c']);
        await stream.pipe(
          new ReadableStream<string>({
            start(controller) {
              controller.enqueue('d');
              controller.close();
            },
          }),
        );
        await stream.send(stream.state);
      }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect(parseEvents(reading.text).map(({ type, data }) => `${type} ${data}`)).toEqual([
      'message a',
      'b 1',
      'message c',
      'message d',
      'message open',
    ]);
  });
});
