import { AsyncResource } from 'node:async_hooks';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type Codec, compress, gzip } from '../../src/compress/index.ts';
import { contextOf, deadline } from '../../src/deadline/index.ts';
import { type HttpRequest, ndjson, pipeBody, sse, waitWritable } from '../../src/index.ts';
import type { Middleware } from '../support/carriers.ts';
import type { FlushingResponse } from '../support/compress-responses.ts';
import { serve } from '../support/serve.ts';
import { noise } from '../support/texts.ts';
import { settles, until } from '../support/until.ts';
import { type Call, callerOf, crowdSize } from './crowd.ts';
import { signed, watchedCodec } from './watched-codec.ts';
import { mounted, ownerOf, places, type Row, whereSetBefore, Witness } from './witness.ts';

const rows: Readonly<Record<string, Row>> = {
  'res close': { sees: 'none', because: 'Node emits it in the context of the connection' },
  'callback of a write that failed': { sees: 'own' },
  'callback of a flush that failed': { sees: 'own' },
  'after await waitWritable': { sees: 'own' },
  'after await pipeBody': { sees: 'own' },
  'after await send': { sees: 'own' },
  'source: return': { sees: 'own' },
  'source: destroy': { sees: 'own' },
  'source: cancel': { sees: 'own' },
  'generator: finally': { sees: 'own' },
  'stream.onClose': { sees: 'own' },
  'listener of stream.signal': { sees: 'own' },
  'listener of context.signal': { sees: 'own' },
  'listener of a child of the context': { sees: 'own' },
  'option onError': { sees: 'own' },
  'codec.createStream': { sees: 'own' },
  'codec stream: transform': { sees: 'own' },
  'codec stream: flush': { sees: 'own' },
  'codec stream: destroy': { sees: 'own' },
  'codec.createBlocks': { sees: 'own' },
  'codec blocks: encode': { sees: 'own' },
  'codec blocks: close': { sees: 'own' },
  'sluice:stream:close': { sees: 'own' },
  'sluice:stream:error': { sees: 'own' },
  'sluice:compress:error': { sees: 'own' },
  'deadline trust': { sees: whereSetBefore, because: 'it is asked before' },
};

/** One request whose client will leave. */
interface Visit {
  readonly req: HttpRequest;
  readonly res: FlushingResponse;
  readonly next: Parameters<Middleware>[2];
  readonly owner: string;
  readonly watch: (callback: string) => () => void;
  /** What is to happen has begun: the client may leave. */
  readonly ready: () => void;
}

interface Situation {
  /** Whether the server cuts the response. */
  readonly isCut?: boolean;
  readonly codings?: readonly string[];
  readonly run: (visit: Visit) => unknown;
}

const never = new Promise<never>(() => undefined);

const filler = noise(80_000);

async function fill({ req, res, watch }: Visit): Promise<void> {
  // Where it is Node's own, a callback of what waited in a stream of HTTP/2 is called in the context of the session.
  const isNodes = req.httpVersionMajor === 2 && req.headers['accept-encoding'] === 'identity';
  const callback = isNodes ? (): void => undefined : watch('callback of a write that failed');
  // The kernel takes some megabytes.
  for (let count = 0; count < 400; count++) {
    if (res.write(filler, callback)) continue;
    const isStuck = await Promise.race([
      once(res, 'drain').then(() => false),
      new Promise((resolve) => setTimeout(resolve, 200, true)),
    ]);
    if (isStuck) return;
  }
  throw new Error('a client that does not read takes everything');
}

const situations: Readonly<Record<string, Situation>> = {
  'a stream whose handler waits': {
    run({ req, res, next, owner, watch, ready }) {
      const middleware = sse(async function* (stream) {
        stream.onClose(watch('stream.onClose'));
        stream.signal.addEventListener('abort', watch('listener of stream.signal'));
        contextOf(req).signal.addEventListener('abort', watch('listener of context.signal'));
        contextOf(req).child().signal.addEventListener('abort', watch('listener of a child of the context'));
        try {
          yield { data: signed(owner, 'first') };
          ready();
          await once(stream.signal, 'abort');
        } finally {
          watch('generator: finally')();
        }
      }) as Middleware;
      middleware(req, res, next);
    },
  },
  'a stream whose source waits': {
    run({ req, res, next, owner, watch, ready }) {
      const middleware = ndjson(async (stream) => {
        await stream.send(signed(owner, 'first'));
        ready();
        await stream
          .pipe({
            [Symbol.asyncIterator]: () => ({
              next: () => never,
              return: () => Promise.resolve(watch('source: return')()) as never,
            }),
          })
          .catch(() => undefined);
        await stream.send('late').catch(() => undefined);
        watch('after await send')();
      }) as Middleware;
      middleware(req, res, next);
    },
  },
  'a handler that fails': {
    isCut: true,
    run({ req, res, next, owner, watch, ready }) {
      const middleware = sse(
        async (stream) => {
          stream.onClose(watch('stream.onClose'));
          await stream.send({ data: signed(owner, 'first') });
          ready();
          throw new Error('a handler that fails');
        },
        { onError: watch('option onError') },
      ) as Middleware;
      middleware(req, res, next);
    },
  },
  'a stream whose encoder fails': {
    isCut: true,
    codings: ['x-broken'],
    async run({ req, res, next, watch, ready }) {
      const middleware = sse(async (stream) => {
        stream.onClose(watch('stream.onClose'));
        await stream.send('first');
        ready();
        await never;
      }) as Middleware;
      middleware(req, res, next);
    },
  },
  'a long body whose encoder fails': {
    isCut: true,
    codings: ['x-broken'],
    run({ res, ready }) {
      res.setHeader('Content-Type', 'text/plain');
      res.write('first');
      ready();
    },
  },
  'a body whose client does not read': {
    codings: ['identity', 'x-watched'],
    async run(visit) {
      const { res, owner, watch, ready } = visit;
      res.setHeader('Content-Type', 'text/plain');
      res.write(signed(owner, 'first'));
      res.flush();
      await fill(visit);
      ready();
      res.flush(watch('callback of a flush that failed'));
      await waitWritable(res).catch(watch('after await waitWritable'));
    },
  },
  'a Readable': {
    async run({ req, res, owner, watch, ready }) {
      res.setHeader('Content-Type', 'text/plain');
      const source = new Readable({
        read() {},
        destroy(error, callback) {
          watch('source: destroy')();
          callback(error);
        },
      });
      source.push(signed(owner, 'first'));
      setImmediate(ready);
      await pipeBody(source, req, res);
      watch('after await pipeBody')();
    },
  },
  'a Readable that fails on its way down': {
    async run({ req, res, owner, ready }) {
      res.setHeader('Content-Type', 'text/plain');
      const source = new Readable({
        read() {},
        destroy: (_error, callback) => elsewhere(() => callback(new Error('a source that fails late'))),
      });
      source.push(signed(owner, 'first'));
      setImmediate(ready);
      await pipeBody(source, req, res);
    },
  },
  'a web stream': {
    async run({ req, res, owner, watch, ready }) {
      res.setHeader('Content-Type', 'text/plain');
      const source = new ReadableStream({
        start: (controller) => controller.enqueue(signed(owner, 'first')),
        cancel: watch('source: cancel'),
      });
      setImmediate(ready);
      await pipeBody(source, req, res);
      watch('after await pipeBody')();
    },
  },
};

// As what comes from a pool, which was made for another request.
const pool = new AsyncResource('pool');
const elsewhere = (call: () => void): void => void pool.runInAsyncScope(setImmediate, undefined, call);

/** Fails at whatever it has to encode. */
const brokenCodec: Codec = {
  coding: 'x-broken',
  available: true,
  createStream: () => {
    throw new Error('a stream encoder that fails');
  },
  createBlocks: () => ({
    memory: 0,
    encode: () => Promise.reject(new Error('a block encoder that fails')),
    close: () => undefined,
  }),
};

describe.each(places)('$carrier, stores set $mount the middlewares', (place) => {
  it('runs what follows from the end of a connection in the context of the request', async () => {
    const witness = new Witness(rows);
    const ready = new Set<string>();
    const closed = new Set<string>();
    const handler: Middleware = (req, response, next) => {
      const owner = ownerOf(req);
      const res = response as FlushingResponse;
      res.on('close', witness.watch('res close', owner));
      res.on('close', () => closed.add(owner));
      const { run } = situations[decodeURIComponent(req.url!.slice(1))]!;
      return run({
        req,
        res,
        next,
        owner,
        watch: (callback) => witness.watch(callback, owner),
        ready: () => ready.add(owner),
      });
    };
    const compression = compress({ threshold: 0, codecs: [gzip(), watchedCodec(witness), brokenCodec] });
    for (const channel of ['sluice:stream:close', 'sluice:stream:error', 'sluice:compress:error'])
      witness.follow(channel, () => true);
    const trust = (req: HttpRequest): boolean => {
      witness.see('deadline trust', ownerOf(req));
      return true;
    };
    const running = await serve(
      place.make,
      ...mounted(place.mount, compression as Middleware, deadline({ default: '1h', trust }) as Middleware),
      handler,
    );
    const caller = callerOf(running, place.protocol);
    const calls: Promise<Call>[] = [];
    const owners: string[] = [];
    for (const [name, { codings = ['identity', 'gzip', 'x-watched'] }] of Object.entries(situations)) {
      for (const coding of codings) {
        for (let number = 1; number <= crowdSize; number++) {
          const owner = `${name}, ${coding}, request ${number}`;
          owners.push(owner);
          calls.push(caller.call(owner, `/${encodeURIComponent(name)}`, { 'accept-encoding': coding }));
        }
      }
    }
    for (const call of calls) void call.then(({ pause }) => pause());
    await until(
      () => owners.every((owner) => ready.has(owner)),
      () => `not ready: ${owners.filter((owner) => !ready.has(owner)).join('; ')}`,
    );
    for (const call of await settles(Promise.all(calls))) call.leave();
    await until(
      () => owners.every((owner) => closed.has(owner)),
      () => `not closed: ${owners.filter((owner) => !closed.has(owner)).join('; ')}`,
    );
    await until(
      () => witness.unseen(place).length === 0,
      () => `never seen: ${witness.unseen(place).join(', ')}`,
    );
    expect(running.errors).toEqual([]);
    expect(witness.faults(place)).toEqual([]);
  });
});
