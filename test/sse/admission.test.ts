import { describe, expect, it } from 'vitest';
import { type EventStream, openEventStream, sse, type SseOptions } from '../../src/index.ts';
import { bare, carriers, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const one = (options?: SseOptions): Middleware =>
  sse(function* () {
    yield 'one';
  }, options);

describe('Accept', () => {
  const table: [accept: string | undefined, accepted: boolean][] = [
    [undefined, true],
    ['', true],
    ['text/event-stream', true],
    ['TEXT/Event-Stream', true],
    ['text/*', true],
    ['*/*', true],
    ['text/html, text/event-stream', true],
    ['text/html,text/event-stream;q=0.1', true],
    ['text/event-stream;charset=utf-8', true],
    ['text/event-stream ; q=0.001', true],
    ['text/event-stream;q=0, */*', false],
    ['text/event-stream;q=0.000', false],
    ['text/*;q=0, */*;q=1', false],
    ['text/*;q=0, text/event-stream', true],
    ['*/*;q=0', false],
    ['*/*;q=0, text/event-stream;q=0.5', true],
    ['text/event-stream;q=0, text/event-stream;q=1', true],
    ['text/html', false],
    ['application/*', false],
    ['*/event-stream', false],
    ['text', false],
    ['text/', false],
    ['/event-stream', false],
    ['text/event-stream/x', false],
    ['xtext/event-stream', false],
    ['text/event-streams', false],
    [', ,', false],
    ['garbage, text/event-stream', true],
    ['text/event-stream;q=2', false],
    ['text/event-stream;q=-1', false],
    ['text/event-stream;q=0.5555', false],
    ['text/event-stream;q=', false],
    ['text/event-stream;q=1.000', true],
    ['text/event-stream;Q=0', false],
  ];

  it.each(table)('%j is acceptable: %j', async (accept, accepted) => {
    const running = await serve(bare, one({ negotiate: 'strict' }));
    const reading = await running.visit(accept === undefined ? {} : { headers: { accept } });
    await settles(reading.over);
    expect([reading.status, reading.headers['vary']]).toEqual([accepted ? 200 : 406, 'Accept']);
    expect(reading.text).toBe(accepted ? ':ok\ndata: one\n\n' : 'Available as text/event-stream\n');
  });

  const html: Middleware = (_req, res) => void res.end('<p>');
  const events = ':ok\ndata: one\n\n';
  const negotiations: [
    SseOptions['negotiate'],
    accept: string,
    status: number,
    text: string,
    vary: string | undefined,
  ][] = [
    [undefined, 'application/json', 200, events, undefined],
    [undefined, 'text/event-stream;q=0', 200, events, undefined],
    ['ignore', 'text/html', 200, events, undefined],
    ['ignore', 'garbage', 200, events, undefined],
    ['next', 'text/html', 200, '<p>', 'Accept'],
    ['next', 'text/event-stream', 200, events, 'Accept'],
    ['strict', 'text/event-stream', 200, events, 'Accept'],
    ['strict', 'application/json', 406, 'Available as text/event-stream\n', 'Accept'],
  ];

  describe.each(carriers)('on $name', (carrier) => {
    it.each(negotiations)('is negotiated by %j for %j', async (negotiate, accept, status, text, vary) => {
      const running = await serve(carrier, one(negotiate && { negotiate }), html);
      const reading = await running.visit({ headers: { accept } });
      await settles(reading.over);
      expect([reading.status, reading.text, reading.headers['vary']]).toEqual([status, text, vary]);
    });
  });

  it('is joined with a Vary that is there already', async () => {
    const running = await serve(
      bare,
      (_req, res, next) => {
        res.setHeader('Vary', 'Origin');
        next();
      },
      one({ negotiate: 'strict' }),
    );
    const reading = await running.visit({ headers: { accept: 'text/html' } });
    expect(reading.headers['vary']).toBe('Origin, Accept');
  });

  it('that nobody else can serve is refused though it was left to next', async () => {
    const middleware = one({ negotiate: 'next' }) as (req: unknown, res: unknown) => void;
    const running = await serve(bare, (req, res) => middleware(req, res));
    const reading = await running.visit({ headers: { accept: 'text/html' } });
    expect(reading.status).toBe(406);
  });
});

describe('Last-Event-ID', () => {
  const ids: [sent: string, seen: string][] = [
    ['', ''],
    ['42', '42'],
    ['1-0', '1-0'],
    [Buffer.from('grüße-ключ-🌊').toString('latin1'), 'grüße-ключ-🌊'],
    // Not UTF-8: as Node read it.
    ['caf\xe9', 'caf\xe9'],
  ];
  it.each(ids)('%j is seen as %j', async (sent, seen) => {
    const running = await serve(
      bare,
      sse(function* (stream) {
        yield { data: { id: stream.lastEventId } };
      }),
    );
    const client = await running.dial();
    client.send(getRequest('/', sent === '' ? {} : { 'Last-Event-ID': sent }));
    const received = await client.waitFor('data:');
    const [, text = ''] = /data: (.*)\n/.exec(received) ?? [];
    expect(JSON.parse(Buffer.from(text, 'latin1').toString())).toEqual({ id: seen });
  });

  describe.each(carriers)('on $name', (carrier) => {
    it('that says sluice.stop is answered 204', async () => {
      let calls = 0;
      const running = await serve(
        carrier,
        sse(() => void calls++),
      );
      const reading = await running.visit({ headers: { 'last-event-id': 'sluice.stop' } });
      expect(await settles(reading.over)).toBe('end');
      expect([reading.status, reading.text, reading.headers['content-type'], calls]).toEqual([204, '', undefined, 0]);
    });
  });

  it('that only begins like sluice.stop is an id', async () => {
    const running = await serve(bare, one());
    const reading = await running.visit({ headers: { 'last-event-id': 'sluice.stop.1' } });
    expect(reading.status).toBe(200);
  });
});

describe('a request that is gone', () => {
  /** Queues a request behind one that is not answered yet, on the same connection. */
  async function pipelined(
    second: Middleware,
  ): Promise<{
    first: () => void;
    client: Awaited<ReturnType<Awaited<ReturnType<typeof serve>>['dial']>>;
    queued: Promise<void>;
  }> {
    const first = deferred();
    const queued = deferred();
    const running = await serve(bare, async (req, res, next) => {
      if (req.url === '/first') {
        await first.promise;
        res.end('first');
      } else {
        await second(req, res, next);
        queued.resolve();
      }
    });
    const client = await running.dial();
    client.send(getRequest('/first') + getRequest('/second'));
    return { first: () => first.resolve(), client, queued: queued.promise };
  }

  it('while it waits behind another closes its stream and runs the cleanup', async () => {
    const reasons: string[] = [];
    const cleaned = deferred();
    const { client, queued } = await pipelined(
      sse(async function* (stream) {
        stream.onClose((reason) => reasons.push(reason));
        try {
          yield 'queued';
          await new Promise((resolve) => stream.signal.addEventListener('abort', resolve));
        } finally {
          cleaned.resolve();
        }
      }),
    );
    await settles(queued);
    await turns();
    client.destroy();
    await settles(cleaned.promise);
    expect(reasons).toEqual(['client-closed']);
  });

  it('while it waits behind another never starts a handler that is reached late', async () => {
    let calls = 0;
    const decided = deferred();
    const middleware = sse(() => void calls++);
    const { client, queued } = await pipelined((req, res, next) => {
      req.socket.once('close', () => {
        middleware(req, res, next);
        decided.resolve();
      });
    });
    await settles(queued);
    client.destroy();
    await settles(decided.promise);
    await turns();
    expect(calls).toBe(0);
  });

  it('is served in its turn when it only had to wait', async () => {
    const { first, client, queued } = await pipelined(
      sse(function* () {
        yield 'queued';
      }),
    );
    await settles(queued);
    await turns();
    expect(client.received).toBe('');
    first();
    const received = await client.waitFor('0\r\n\r\n');
    const second = parseChunked(received.slice(received.indexOf('first') + 5));
    expect(second.chunks.join('')).toBe(':ok\ndata: queued\n\n');
    expect(second.complete).toBe(true);
  });

  it('gets a stream from openEventStream that is closed', async () => {
    const opened = deferred<EventStream>();
    const arrived = deferred();
    const running = await serve(bare, (req, res) => {
      res.on('close', () => opened.resolve(openEventStream(req, res)));
      arrived.resolve();
    });
    const client = await running.dial();
    client.send(getRequest());
    await settles(arrived.promise);
    client.destroy();
    const stream = await settles(opened.promise);
    expect([stream.state, stream.bufferedBytes]).toEqual(['closed', 0]);
    expect(stream.signal.reason).toMatchObject({ reason: 'client-closed' });
    await expect(stream.send('x')).rejects.toMatchObject({ reason: 'client-closed' });
    const reasons: string[] = [];
    stream.onClose((reason) => reasons.push(reason));
    await until(() => reasons.length === 1);
    await stream.end();
    await stream.reconnect();
    await stream.stop();
  });
});
