import type http from 'node:http';
import type { ServerResponse } from 'node:http';
import http2 from 'node:http2';
import { describe, expect, it, type Mock, onTestFinished, vi } from 'vitest';
import { IdleLayer } from '../../src/deadline/idle.ts';
import { contextOf, deadline, DeadlineExceededError, IdleTimeoutError, ndjson, sse } from '../../src/index.ts';
import type { Head } from '../../src/internal/seam/layer.ts';
import { bare, type Carrier, carriers, h2c } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const protocols: readonly Carrier[] = [bare, h2c];

describe.each(carriers.filter((each) => ['Express 5', 'node:http', 'node:http2'].includes(each.name)))(
  'idle on $name',
  (carrier) => {
    it('takes the place of default once the head of a body in pieces is out, and ends it when nothing moves', async () => {
      const aborted = deferred<unknown>();
      const written = { count: 0 };
      const running = await serve(carrier, deadline({ default: 240, idle: 1000 }), async (req, response) => {
        const res = response as http.ServerResponse;
        const { signal } = contextOf(req);
        signal.addEventListener('abort', () => aborted.resolve(signal.reason));
        res.setHeader('Content-Type', 'text/plain');
        // Three times as long as `default`, and never as long as `idle` without a byte.
        for (; written.count < 9 && !signal.aborted; written.count++) {
          res.write('x');
          await pause(80);
        }
      });
      const reading = await settles(running.visit());
      expect(await settles(reading.over)).toBe('aborted');
      expect(reading.text).toBe('x'.repeat(9));
      expect(await settles(aborted.promise)).toBeInstanceOf(IdleTimeoutError);
    });

    it('leaves default in force before the head', async () => {
      const running = await serve(carrier, deadline({ default: 60, idle: '1h' }), () => undefined);
      expect((await settles(running.visit())).status).toBe(504);
    });

    it('counts max from the arrival of the request, however late its head is', async () => {
      const deadlines: number[] = [];
      const running = await serve(
        carrier,
        deadline({ default: '5m', max: '10m', idle: '1m' }),
        async (req, response) => {
          const res = response as http.ServerResponse;
          const arrived = Date.now();
          await pause(60);
          res.write('x');
          deadlines.push(contextOf(req).deadline - arrived);
          res.end();
        },
      );
      expect(await settles((await settles(running.visit())).over)).toBe('end');
      // Computed, and not waited for: counted from the head it would be the pause later.
      expect(deadlines[0]).toBeLessThan(600_000 + 30);
      expect(deadlines[0]).toBeGreaterThan(590_000);
    });

    it.each([
      ['max', { max: 700 }, {}],
      ['the deadline of the client', {}, { 'x-request-timeout-ms': '700' }],
      ['max, with a longer deadline of the client', { max: 700 }, { 'x-request-timeout-ms': '900000' }],
    ])('never voids %s, however busy the response is', async (_name, options, headers) => {
      const aborted = deferred<unknown>();
      const running = await serve(carrier, deadline({ default: 100, idle: 600, ...options }), async (req, response) => {
        const res = response as http.ServerResponse;
        const { signal } = contextOf(req);
        signal.addEventListener('abort', () => aborted.resolve(signal.reason));
        while (!signal.aborted) {
          res.write('x');
          await pause(10);
        }
      });
      const reading = await settles(running.visit({ headers: headers as Record<string, string> }));
      expect(await settles(reading.over)).toBe('aborted');
      expect(await settles(aborted.promise)).toBeInstanceOf(DeadlineExceededError);
    });

    it('is over with the response', async () => {
      const signals: AbortSignal[] = [];
      const running = await serve(carrier, deadline({ idle: 600 }), (req, response) => {
        signals.push(contextOf(req).signal);
        const res = response as http.ServerResponse;
        res.write('a');
        res.end('b');
      });
      const reading = await settles(running.visit());
      expect(await settles(reading.over)).toBe('end');
      await pause(900);
      expect([reading.text, signals[0]!.aborted]).toEqual(['ab', false]);
    });
  },
);

describe.each(protocols)('idle over $name', (carrier) => {
  const isHttp1 = carrier.protocol === 'http1';

  it('does not cut one large write that its client takes slowly, for as long as it does', async () => {
    const size = 24_000_000;
    const aborted: unknown[] = [];
    const running = await serve(carrier, deadline({ default: 500, idle: 1000 }), (req, response) => {
      const res = response as http.ServerResponse;
      contextOf(req).signal.addEventListener('abort', () => aborted.push(contextOf(req).signal.reason));
      res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': size });
      res.write(Buffer.alloc(size), () => res.end());
    });
    const reading = await settles(running.visit());
    // A bit at a time, for several spans of `idle`: as much as makes the kernel take more.
    while (reading.length < size) {
      reading.pause();
      await pause(250);
      const enough = Math.min(reading.length + 2_000_000, size);
      reading.resume();
      await until(() => reading.length >= enough);
    }
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toHaveLength(size);
    expect(aborted).toEqual([]);
  });

  it('ends a write that its client does not take at all', async () => {
    const aborted = deferred<unknown>();
    const running = await serve(carrier, deadline({ idle: 400 }), (req, response) => {
      const { signal } = contextOf(req);
      signal.addEventListener('abort', () => aborted.resolve(signal.reason));
      (response as http.ServerResponse).write(Buffer.alloc(24_000_000));
    });
    const reading = await settles(running.visit());
    reading.pause();
    expect(await settles(aborted.promise)).toBeInstanceOf(IdleTimeoutError);
    reading.resume();
    expect(await settles(reading.over)).toBe('aborted');
  });

  it('is renewed by what is read', async () => {
    const aborted: unknown[] = [];
    const received = { bytes: 0 };
    const running = await serve(carrier, deadline({ default: 500, idle: 1000 }), (req, response) => {
      const res = response as http.ServerResponse;
      contextOf(req).signal.addEventListener('abort', () => aborted.push(contextOf(req).signal.reason));
      res.writeHead(200, { 'Content-Type': 'text/plain' });
      res.flushHeaders();
      (req as http.IncomingMessage).on('data', (chunk: Buffer) => (received.bytes += chunk.length));
      (req as http.IncomingMessage).on('end', () => res.end(`read ${received.bytes}`));
    });
    let text = '';
    if (isHttp1) {
      const client = await running.dial();
      client.send('POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 12\r\n\r\n');
      for (let n = 0; n < 12; n++) {
        client.send('x');
        await pause(150);
      }
      await settles(client.closed);
      text = client.received;
    } else {
      const client = http2.connect(running.origin);
      const req = client.request({ ':method': 'POST' });
      req.on('error', () => undefined);
      req.on('data', (chunk: Buffer) => (text += chunk.toString()));
      const closed = new Promise((resolve) => req.on('close', resolve));
      for (let n = 0; n < 12; n++) {
        if (!req.destroyed) req.write('x');
        await pause(150);
      }
      req.end();
      await settles(closed);
      client.destroy();
    }
    expect(aborted).toEqual([]);
    expect(text).toContain('read 12');
  });

  it('closes a stream with the reason idle', async () => {
    const reasons: unknown[] = [];
    const running = await serve(
      carrier,
      deadline({ idle: 120 }),
      sse((stream) => {
        stream.onClose((reason) => reasons.push(reason, stream.signal.reason));
        void stream.send('one');
      }),
    );
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text).toContain('data: one\n\n');
    await until(() => reasons.length > 0);
    expect(reasons).toEqual(['idle', expect.any(IdleTimeoutError)]);
  });

  it('lets a busy stream outlive default', async () => {
    const running = await serve(
      carrier,
      deadline({ default: 200, idle: 2000 }),
      ndjson(async function* () {
        for (let n = 0; n < 10; n++) {
          yield n;
          await pause(60);
        }
      }),
    );
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text.trim().split('\n')).toHaveLength(10);
  });
});

describe('idle', () => {
  it('leaves a response alone that is written while it waits behind another on its connection', async () => {
    const aborted: unknown[] = [];
    const turn = deferred();
    const running = await serve(bare, deadline({ idle: 800 }), async (req, response) => {
      const res = response as http.ServerResponse;
      contextOf(req).signal.addEventListener('abort', () => aborted.push([req.url, contextOf(req).signal.reason]));
      if (req.url === '/first') {
        // Nothing of it is out yet: its idle deadline has not begun.
        await turn.promise;
        res.end('first');
        return;
      }
      for (let n = 0; n < 12; n++) {
        res.write('x');
        await pause(150);
      }
      turn.resolve();
      res.end();
    });
    const client = await running.dial();
    client.send(getRequest('/first') + getRequest('/second', { Connection: 'close' }));
    await settles(client.closed);
    expect(aborted).toEqual([]);
    expect(client.received).toContain('first');
    expect(client.received.endsWith('0\r\n\r\n')).toBe(true);
  });

  it('brings back deadlines of children that the traded deadline stood for', async () => {
    const order: string[] = [];
    const running = await serve(bare, deadline({ default: 150, idle: '1h' }), (req, response) => {
      const context = contextOf(req);
      const [longer, endless] = [context.child({ timeout: 300 }), context.child()];
      longer.signal.addEventListener('abort', () => order.push('longer'));
      endless.signal.addEventListener('abort', () => order.push('endless'));
      context.signal.addEventListener('abort', () => order.push('request'));
      (response as http.ServerResponse).write('x');
    });
    const reading = await settles(running.visit());
    await until(() => order.length > 0);
    expect(order).toEqual(['longer']);
    reading.destroy();
    await until(() => order.length === 3);
  });
});

describe('the clock of idle', () => {
  function open(): { layer: IdleLayer; socket: { bytesWritten: number; bytesRead: number }; onIdle: Mock } {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const socket = { bytesWritten: 0, bytesRead: 0 };
    const res = { writableLength: 0, socket } as unknown as ServerResponse;
    const onIdle = vi.fn();
    const layer = new IdleLayer({ res, idle: 400, onStart: () => undefined, onIdle });
    layer.head({} as Head);
    return { layer, socket, onIdle };
  }

  it('is over after idle at the earliest, and a quarter of it later at the latest', () => {
    const { socket, onIdle } = open();
    vi.advanceTimersByTime(201);
    socket.bytesWritten += 10;
    vi.advanceTimersByTime(399);
    expect(onIdle).not.toHaveBeenCalled();
    vi.advanceTimersByTime(101);
    expect(onIdle).toHaveBeenCalledOnce();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('leaves no timer when the response is closed', () => {
    const { layer } = open();
    expect(vi.getTimerCount()).toBe(1);
    layer.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
