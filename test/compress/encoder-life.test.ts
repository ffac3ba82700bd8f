import type { ServerResponse } from 'node:http';
import { type Duplex, PassThrough } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Codec, compress, type CompressOptions, gzip } from '../../src/compress/index.ts';
import { ClientClosedError } from '../../src/errors.ts';
import { type BodyClient, http1Client, http2Client } from '../support/body-clients.ts';
import { bare, type Carrier, h2c, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const text = 'the same text '.repeat(200);

/** Codecs that tell what is open; they pass text through. */
class WatchedCodecs {
  made = 0;
  open = 0;
  readonly codec: Codec = {
    coding: 'x-watched',
    available: true,
    createStream: () => {
      this.#opened();
      const transform = new PassThrough();
      const { _destroy: destroy } = transform;
      transform._destroy = (error, callback) => {
        this.open -= 1;
        destroy.call(transform, error, callback);
      };
      return { transform, memory: 10, flush: (callback) => callback() };
    },
    createBlocks: () => {
      this.#opened();
      return { memory: 10, encode: (block) => block, close: () => (this.open -= 1) };
    },
  };

  #opened(): void {
    this.made += 1;
    this.open += 1;
  }
}

async function stage(carrier: Carrier, options: CompressOptions, handler: Middleware, ...above: Middleware[]) {
  const compression = compress({ threshold: 0, ...options });
  const running = await serve(carrier, ...above, compression, handler);
  const client: BodyClient = carrier.protocol === 'http1' ? http1Client(running) : http2Client(running);
  onTestFinished(() => client.close());
  return { compression, client };
}

const types = ['text/plain', 'text/event-stream'];

describe.each([bare, h2c])('over $name', (carrier) => {
  it.each(types)('an encoder of %s is closed before any other listener hears of the close', async (type) => {
    const watched = new WatchedCodecs();
    const seen: number[] = [];
    const { compression, client } = await stage(
      carrier,
      { codecs: [watched.codec] },
      (_req, res) => {
        (res as ServerResponse).setHeader('Content-Type', type);
        (res as ServerResponse).write(text);
      },
      (_req, res, next) => {
        res.once('close', () => seen.push(watched.open, compression.activeEncoders));
        next();
      },
    );
    const reading = await client.get('/', 'x-watched');
    await until(() => reading.bytes.length > 0);
    expect([watched.open, compression.activeEncoders]).toEqual([1, 1]);
    reading.destroy();
    await until(() => seen.length > 0);
    expect(seen).toEqual([0, 0]);
  });

  it.each(types)('no encoder of %s is made for a response that is gone', async (type) => {
    const watched = new WatchedCodecs();
    const native = gzip();
    let nativeMade = 0;
    const { createStream, createBlocks } = native;
    Object.assign(native, {
      createStream: (...args: never[]) => ((nativeMade += 1), createStream!(...(args as unknown as [never]))),
      createBlocks: (...args: never[]) => ((nativeMade += 1), createBlocks!(...(args as unknown as [never]))),
    });
    let written = 0;
    const { compression, client } = await stage(carrier, { codecs: [watched.codec, native] }, (_req, response) => {
      const res = response as ServerResponse & { stream?: Duplex };
      res.setHeader('Content-Type', type);
      res.once('close', () => {
        res.writeHead(200);
        res.write(text);
        written += 1;
      });
      (res.stream ?? res.socket)!.destroy();
    });
    // Not every client hears of the end of a stream without a head.
    for (const coding of ['x-watched', 'gzip']) client.get('/', coding).catch(() => undefined);
    await until(() => written === 2);
    await turns();
    expect([watched.made, nativeMade, compression.activeEncoders]).toEqual([0, 0, 0]);
  });

  it('at the close every callback of an event stream is called once, with an error', async () => {
    const started = deferred();
    const calls: [string, unknown][] = [];
    const codec: Codec = {
      coding: 'x-never',
      available: true,
      createBlocks: () => ({
        memory: 10,
        encode: () => (started.resolve(), new Promise<never>(() => undefined)),
        close: () => undefined,
      }),
    };
    const { client } = await stage(carrier, { codecs: [codec] }, async (_req, response) => {
      const res = response as ServerResponse & { flush: (callback: () => void) => void };
      const note = (name: string) => (error?: unknown) => void calls.push([name, error]);
      res.setHeader('Content-Type', 'text/event-stream');
      res.flushHeaders();
      res.write('data: under way\n\n', note('under way'));
      res.flush(note('its flush'));
      await started.promise;
      res.write('data: waits\n\n', note('waits'));
      res.flush(note('the flush that waits'));
    });
    const reading = await client.get('/', 'x-never');
    await settles(started.promise);
    await turns();
    reading.destroy();
    await until(() => calls.length >= 4);
    await turns();
    expect(calls.map(([name]) => name).sort()).toEqual(['its flush', 'the flush that waits', 'under way', 'waits']);
    for (const [name, error] of calls) expect(error, name).toBeInstanceOf(ClientClosedError);
  });
});

describe('a body in another thread', () => {
  it.each<[string, (res: ServerResponse) => void]>([
    ['whole', (res) => void res.end(text)],
    [
      'in pieces of one tick',
      (res) => {
        res.write(text.slice(0, 100));
        res.end(text.slice(100));
      },
    ],
  ])('counts with its size while it is there, %s', async (_name, send) => {
    const encoded = deferred<Uint8Array>();
    const started = deferred();
    const codec = gzip();
    Object.assign(codec, { encode: () => (started.resolve(), encoded.promise) });
    const { compression, client } = await stage(bare, { codecs: [codec] }, (_req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', 'text/plain');
      send(res);
    });
    const asked = client.get('/', 'gzip');
    await settles(started.promise);
    expect([compression.activeEncoders, compression.encoderBytes]).toEqual([1, text.length]);
    encoded.resolve(Buffer.from('coded'));
    const reading = await settles(asked);
    await settles(reading.over);
    expect([reading.bytes.toString(), compression.activeEncoders, compression.encoderBytes]).toEqual(['coded', 0, 0]);
  });

  it.each([
    [60_000, 1],
    [65_536, 1],
    [65_537, 0],
    [200_000, 0],
  ])('of %d bytes is told to the governor %d times', async (size, times) => {
    const latencies: number[] = [];
    const governor = {
      tier: 0 as const,
      load: 0,
      on: () => () => undefined,
      observe: (latency: number) => void latencies.push(latency),
      close: () => undefined,
    };
    const codecs = [gzip({ syncThreshold: 0 })];
    const { client } = await stage(bare, { codecs, governor }, (_req, response) => {
      (response as ServerResponse).setHeader('Content-Type', 'text/plain');
      response.end('x'.repeat(size));
    });
    const reading = await client.get('/', 'gzip');
    expect(reading.coding).toBe('gzip');
    await settles(reading.over);
    expect(latencies).toHaveLength(times);
  });
});
