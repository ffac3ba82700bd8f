import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { sse } from '../../../src/index.ts';
import { bySse, bodyStyles } from '../../support/bodies.ts';
import { protocols } from '../../support/coded-clients.ts';
import { carrierOf, useSite } from '../../support/compress-site.ts';
import { allCodings, type Coding } from '../../support/decoders.ts';
import { deferred } from '../../support/deferred.ts';
import { prose } from '../../support/texts.ts';
import { settles, until } from '../../support/until.ts';

type Flushing = ServerResponse & { flush(callback?: () => void): void };

const types = [
  ['an event stream', 'text/event-stream'],
  ['a long body', 'text/plain; charset=utf-8'],
] as const;

/** Bytes of a body of which nothing was written. */
function emptyLength(coding: Coding): number {
  return { gzip: 20, deflate: 8, br: 2, zstd: 13, identity: 0 }[coding];
}

describe.each(protocols)('over %s', (protocol) => {
  const site = useSite(carrierOf(protocol), { threshold: 0, idleFlush: 5 });

  describe.each(allCodings)('coded with %s', (coding) => {
    it.each(bodyStyles)('HEAD of $name has no body and no coding, and varies', async (style) => {
      const reading = await site.visit(style.burst(['one', 'two']), protocol, { accept: coding, method: 'HEAD' });
      expect(await settles(reading.over)).toBe('end');
      expect([reading.status, reading.coding, reading.content.length]).toEqual([200, 'identity', 0]);
      expect(reading.headers['vary']).toBe('Accept-Encoding');
    });

    it('HEAD has no length where the body of its GET would have another', async () => {
      const reading = await site.visit(
        (_req, res) => {
          (res as ServerResponse).writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 5000 });
          res.end();
        },
        protocol,
        { accept: coding, method: 'HEAD' },
      );
      expect(await settles(reading.over)).toBe('end');
      expect(reading.headers['content-length']).toBe(coding === 'identity' ? '5000' : undefined);
      expect(reading.headers['vary']).toBe('Accept-Encoding');
      expect([reading.coding, reading.content.length]).toEqual(['identity', 0]);
    });

    it.each([204, 205, 304])('status %i has no body and no coding', async (status) => {
      const reading = await site.visit(
        (_req, res) => {
          (res as ServerResponse).writeHead(status, { 'Content-Type': 'text/plain' });
          res.end();
        },
        protocol,
        { accept: coding },
      );
      expect(await settles(reading.over)).toBe('end');
      expect([reading.status, reading.coding, reading.content.length]).toEqual([status, 'identity', 0]);
      expect(reading.headers['vary']).toBe(status === 304 ? 'Accept-Encoding' : undefined);
    });

    it.each([
      ['206', 206, { 'Content-Range': 'bytes 0-1999/5000' }],
      // What a handler means by a range is not left to guesswork.
      ['206 without a range', 206, {}],
      ['a Content-Range', 200, { 'Content-Range': 'bytes 0-1999/5000' }],
      ['multipart/byteranges', 206, { 'Content-Type': 'multipart/byteranges; boundary=x' }],
    ])('the bytes of %s are as they are', async (_name, status, fields) => {
      const body = prose(2000);
      const reading = await site.visit(
        (_req, res) => {
          const response = res as ServerResponse;
          response.setHeader('Accept-Ranges', 'bytes');
          response.writeHead(status, {
            'Content-Type': 'text/plain',
            ...fields,
            'Content-Length': Buffer.byteLength(body),
          });
          response.end(body);
        },
        protocol,
        { accept: coding },
      );
      expect(await settles(reading.over)).toBe('end');
      expect([reading.status, reading.coding, reading.decode()]).toEqual([status, 'identity', body]);
      expect(reading.headers).toMatchObject({
        'accept-ranges': 'bytes',
        'content-length': String(Buffer.byteLength(body)),
      });
    });

    it.each(types)('a flush before the first write of %s sends the head', async (_name, type) => {
      const gate = deferred();
      let flushed = 0;
      const reading = await site.visit(
        async (_req, response) => {
          const res = response as Flushing;
          res.setHeader('Content-Type', type);
          res.flush(() => flushed++);
          expect(res.headersSent).toBe(true);
          await gate.promise;
          res.end('after');
        },
        protocol,
        { accept: coding },
      );
      expect([reading.status, reading.coding]).toEqual([200, coding]);
      await until(() => flushed === 1);
      expect(reading.text).toBe('');
      gate.resolve();
      expect(await settles(reading.over)).toBe('end');
      expect([reading.decode(), flushed]).toEqual(['after', 1]);
    });

    it.each(types)(
      'a head of %s that was sent with nothing after it is a whole body of nothing',
      async (_name, type) => {
        const reading = await site.visit(
          (_req, response) => {
            const res = response as Flushing;
            res.setHeader('Content-Type', type);
            res.flushHeaders();
            res.flush();
            res.end();
          },
          protocol,
          { accept: coding },
        );
        expect(await settles(reading.over)).toBe('end');
        expect([reading.coding, reading.decode()]).toEqual([coding, '']);
        expect(reading.content.length).toBeLessThanOrEqual(emptyLength(coding));
      },
    );

    // Not of what is passed on as it is over HTTP/2: node:http2 itself sends bytes from elsewhere in memory when an
    // empty write is joined with others.
    it.each(protocol === 'HTTP/2' && coding === 'identity' ? [] : types)(
      'empty writes and flushes of %s change nothing and are called back',
      async (_name, type) => {
        const calls: string[] = [];
        const call =
          (name: string) =>
          (error?: Error | null): void =>
            void calls.push(error ? `${name} ${error.message}` : name);
        const gate = deferred();
        const reading = await site.visit(
          async (_req, response) => {
            const res = response as Flushing;
            res.setHeader('Content-Type', type);
            res.write('', call('first'));
            res.write(new Uint8Array(), call('second'));
            res.flush(call('flush'));
            res.write('one, ');
            res.write('', call('third'));
            res.flush(call('flush'));
            await gate.promise;
            for (let i = 0; i < 20; i++) res.flush(call('flush'));
            res.write('', call('fourth'));
            res.write('two');
            res.write('', call('fifth'));
            res.end(call('end'));
          },
          protocol,
          { accept: coding },
        );
        await until(() => reading.text === 'one, ');
        const before = reading.content.length;
        gate.resolve();
        expect(await settles(reading.over)).toBe('end');
        expect([reading.coding, reading.decode()]).toEqual([coding, 'one, two']);
        await until(() => calls.length === 28);
        expect(calls.filter((each) => each !== 'flush')).toEqual([
          'first',
          'second',
          'third',
          'fourth',
          'fifth',
          'end',
        ]);
        // A flush with nothing to flush is no bytes: the text and the end of the coding take fewer than twenty markers.
        expect(reading.content.length - before).toBeLessThan(40);
      },
    );
  });

  it.each(allCodings)(
    'an event stream of %s by sse has its head and first comment before the first event',
    async (coding) => {
      const gate = deferred();
      const reading = await site.visit(
        sse(async (stream) => {
          await gate.promise;
          await stream.send('late');
        }),
        protocol,
        { accept: coding },
      );
      await until(() => reading.text === ':ok\n');
      expect(reading.headers).toMatchObject({
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache, no-transform',
        vary: 'Accept-Encoding',
      });
      gate.resolve();
      expect(await settles(reading.over)).toBe('end');
      expect([reading.coding, reading.decode()]).toEqual([coding, bySse.expected(['late'])]);
    },
  );
});
