import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import v8 from 'node:v8';
import vm from 'node:vm';
import { describe, expect, it, onTestFinished } from 'vitest';
import { pipeBody } from '../../../src/body/index.ts';
import { compress } from '../../../src/compress/index.ts';
import { contextOf, currentContext, deadline } from '../../../src/deadline/index.ts';
import { createRegistry, heartbeat } from '../../../src/heartbeat/index.ts';
import { whenOver } from '../../../src/internal/seam/lifetime.ts';
import type { HttpResponse } from '../../../src/internal/http/message.ts';
import { sse } from '../../../src/sse/index.ts';
import { bare, carriers, h2c, http1Carriers, type Middleware } from '../../support/carriers.ts';
import { getRequest } from '../../support/raw.ts';
import { serve } from '../../support/serve.ts';
import { settles, turns, until } from '../../support/until.ts';
import { makeLife, serveAttached } from '../../lifecycle/support.ts';

/** More than the kernel takes for a client that does not read. */
const large = Buffer.alloc(16 * 1024 * 1024, 'x');

/** Errors that no caller was told of, from now on. */
function watchErrors(): unknown[] {
  const errors: unknown[] = [];
  const onMessage = (message: unknown): void => void errors.push((message as { error: unknown }).error);
  subscribe('sluice:stream:error', onMessage);
  onTestFinished(() => void unsubscribe('sluice:stream:error', onMessage));
  return errors;
}

/** Warnings of the process, from now on. */
function watchWarnings(): string[] {
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(`${warning.name}: ${warning.message}`);
  process.on('warning', onWarning);
  onTestFinished(() => void process.off('warning', onWarning));
  return warnings;
}

describe('the end of a response', () => {
  it.each(carriers)(
    'is told once over $name, after its close, to each that waits and took nothing back',
    async (carrier) => {
      const told: string[] = [];
      const running = await serve(carrier, (_req, res) => {
        whenOver(res, () => void told.push('first'));
        whenOver(res, () => void told.push('taken back'))();
        (res as EventEmitter).on('close', () => told.push('close'));
        whenOver(res, (over) => void told.push(String(over === res)));
        res.end('body');
      });
      const reading = await running.visit();
      await settles(reading.over);
      await until(() => told.length >= 3);
      await turns();
      expect(told).toEqual(['close', 'first', 'true']);
    },
  );

  it.each(carriers)('is not there over $name while an ended body waits for its client', async (carrier) => {
    let response: HttpResponse | undefined;
    const told: string[] = [];
    const running = await serve(carrier, (_req, res) => {
      response = res;
      whenOver(res, () => void told.push('before the end'));
      res.end(large);
      whenOver(res, () => void told.push('after the end'));
    });
    const reading = await running.visit();
    reading.pause();
    await turns(20);
    whenOver(response!, () => void told.push('later'));
    await turns(20);
    expect(response!.writableEnded).toBe(true);
    expect(told).toEqual([]);
    reading.resume();
    expect(await settles(reading.over)).toBe('end');
    await until(() => told.length >= 3);
    expect(told).toEqual(['before the end', 'after the end', 'later']);
  });

  it.each(carriers)(
    'is told over $name to one that waits for the first time when all is ended and not sent',
    async (carrier) => {
      let response: HttpResponse | undefined;
      let told = 0;
      const running = await serve(carrier, (_req, res) => {
        response = res;
        res.end(large);
      });
      const reading = await running.visit();
      reading.pause();
      whenOver(response!, () => void (told += 1));
      await turns(20);
      expect(told).toBe(0);
      reading.resume();
      await settles(reading.over);
      await until(() => told > 0);
      whenOver(response!, () => void (told += 1));
      await until(() => told > 1);
      await turns();
      expect(told).toBe(2);
    },
  );

  it.each(carriers)('is told over $name to one that waits for the first time when all is over', async (carrier) => {
    const responses: HttpResponse[] = [];
    let closed = 0;
    const running = await serve(carrier, (req, res) => {
      responses.push(res);
      (res as EventEmitter).on('close', () => void (closed += 1));
      if (req.url === '/ended') res.end();
      else (res as ServerResponse).write('begun');
    });
    await settles((await running.visit({ path: '/ended' })).over);
    (await running.visit({ path: '/left' })).destroy();
    await until(() => closed === 2);
    await turns();
    const told: HttpResponse[] = [];
    for (const res of responses) whenOver(res, () => void told.push(res));
    expect(told).toEqual([]);
    await until(() => told.length === 2);
  });

  it.each(carriers)('is told over $name when the client leaves', async (carrier) => {
    const told: string[] = [];
    const running = await serve(carrier, (_req, res) => {
      whenOver(res, () => void told.push('over'));
      (res as ServerResponse).write('begun');
    });
    const reading = await running.visit();
    reading.destroy();
    await until(() => told.length > 0);
    await turns();
    expect(told).toEqual(['over']);
  });

  it.each(http1Carriers)(
    'is told over $name when the connection dies before the response had its turn',
    async (carrier) => {
      const told: string[] = [];
      const running = await serve(carrier, (req, res) => {
        whenOver(res, () => void told.push(req.url!));
        whenOver(res, () => void told.push(req.url!));
        if (req.url === '/ended') res.end('never sent');
      });
      const client = await running.dial();
      client.send(getRequest('/first') + getRequest('/open') + getRequest('/ended'));
      await turns(20);
      client.destroy();
      await until(() => told.length >= 6);
      expect(told.sort()).toEqual(['/ended', '/ended', '/first', '/first', '/open', '/open']);
    },
  );

  it('is told when an HTTP/2 client resets without an error while bytes wait', async () => {
    let told = 0;
    const running = await serve(h2c, (_req, res) => {
      whenOver(res, () => void (told += 1));
      (res as ServerResponse).write(large);
    });
    const session = http2.connect(running.origin);
    onTestFinished(() => session.destroy());
    const request = session.request({ ':path': '/' });
    request.on('error', () => undefined);
    await new Promise((resolve) => request.once('response', resolve));
    request.close(http2.constants.NGHTTP2_NO_ERROR);
    await until(() => told > 0);
    expect(session.destroyed).toBe(false);
  });

  it.each([bare, h2c])('is not an error over $name that somebody emits on a connection that lives', async (carrier) => {
    let told = 0;
    const running = await serve(carrier, (req, res) => {
      const stream = 'stream' in res ? res.stream : (req.socket as Socket);
      const listeners = stream.listeners('error');
      whenOver(res, () => void (told += 1));
      const added = stream.listeners('error').filter((each) => !listeners.includes(each));
      // As an emitter would call them, without what Node's own do about it.
      for (const each of added) each.call(stream, new Error('of somebody else'));
      setImmediate(() => res.end(String(told)));
    });
    const reading = await running.visit();
    await settles(reading.over);
    expect(reading.text).toBe('0');
    await until(() => told === 1);
  });

  it('is told to the others when one throws, and the error is reported', async () => {
    const [errors, told] = [watchErrors(), [] as string[]];
    const running = await serve(bare, (_req, res) => {
      whenOver(res, () => {
        throw new RangeError('mine');
      });
      whenOver(res, () => void told.push('next'));
      res.end();
    });
    await settles((await running.visit()).over);
    await until(() => told.length > 0);
    expect(errors).toEqual([expect.any(RangeError)]);
  });
});

describe('the encoder of a response', () => {
  it.each(carriers)('is freed over $name before anyone is told that its client has left', async (carrier) => {
    const compression = compress();
    const encoders: number[] = [];
    const running = await serve(
      carrier,
      (_req, res, next) => {
        whenOver(res, () => void encoders.push(compression.activeEncoders));
        next();
      },
      compression as Middleware,
      (_req, res) => {
        (res as ServerResponse).setHeader('Content-Type', 'text/plain');
        (res as ServerResponse).write(large);
      },
    );
    const reading = await running.visit({ headers: { 'accept-encoding': 'gzip' } });
    expect(compression.activeEncoders).toBe(1);
    reading.destroy();
    await until(() => encoders.length > 0);
    expect(encoders).toEqual([0]);
  });

  it.each(http1Carriers)('is freed first over $name too where the response had no turn yet', async (carrier) => {
    const compression = compress();
    const encoders: number[] = [];
    const running = await serve(
      carrier,
      (_req, res, next) => {
        whenOver(res, () => void encoders.push(compression.activeEncoders));
        next();
      },
      compression as Middleware,
      (_req, res) => {
        (res as ServerResponse).setHeader('Content-Type', 'text/plain');
        (res as ServerResponse).write(large);
      },
    );
    const client = await running.dial();
    client.send(getRequest('/', { 'Accept-Encoding': 'gzip' }).repeat(3));
    await until(() => compression.activeEncoders === 3);
    client.socket.resetAndDestroy();
    await until(() => encoders.length === 3);
    // Its own, and those of the others when it is their turn.
    expect(encoders.map((count, index) => count < 3 - index)).toEqual([true, true, true]);
  });
});

describe('what waits behind others on a connection', () => {
  v8.setFlagsFromString('--expose-gc');
  const collectGarbage = vm.runInNewContext('gc') as () => void;

  it('is let go of when it is over, while the connection lives', async () => {
    const responses: WeakRef<HttpResponse>[] = [];
    const running = await serve(bare, (_req, res) => {
      responses.push(new WeakRef(res));
      whenOver(res, () => undefined);
      setImmediate(() => res.end('x'));
    });
    const client = await running.dial();
    const requests = 50;
    client.send(getRequest().repeat(requests));
    await client.waitFor((received) => received.split('HTTP/1.1 200').length > requests);
    const alive = (): number => responses.filter((each) => each.deref() !== undefined).length;
    // The last few are held by Node, and by the frame of a test.
    await until(
      () => {
        collectGarbage();
        return alive() < 10;
      },
      () => `${alive()} of ${requests} responses are still held`,
    );
    expect(client.socket.destroyed).toBe(false);
  });
});

describe('the listeners of one response', () => {
  // on-finished is the one that listens to the 'end' of a response, which has none.
  it.each(http1Carriers)('are those of on-finished over $name, unless its handler ends it at once', async (carrier) => {
    const counts = new Map<string, number>();
    const told: string[] = [];
    const running = await serve(carrier, (req, res) => {
      whenOver(res, () => void told.push(req.url!));
      if (req.url === '/at-once') res.end('x');
      setImmediate(() => {
        counts.set(req.url!, (res as EventEmitter).listenerCount('end'));
        res.end();
      });
    });
    for (const path of ['/at-once', '/later']) await settles((await running.visit({ path })).over);
    await until(() => told.length === 2);
    expect(told).toEqual(['/at-once', '/later']);
    expect(Object.fromEntries(counts)).toEqual({ '/at-once': 0, '/later': 1 });
  });

  /** Counts the most that were there at once. */
  function countCloses(counts: Map<string, number>): Middleware {
    return (req, res, next) => {
      const emitter = res as EventEmitter;
      const before = emitter.listenerCount('close');
      emitter.on('newListener', (event) => {
        if (event === 'close')
          counts.set(req.url!, Math.max(counts.get(req.url!) ?? 0, emitter.listenerCount('close') + 1 - before));
      });
      // Those of an application.
      emitter.on('close', () => undefined);
      emitter.on('close', () => undefined);
      next();
    };
  }

  /** One that counts whom it has: each of its streams has a seat to give back. */
  function limitedHeartbeat(): Middleware {
    const registry = createRegistry({ maxConnections: 100, maxPerClient: 50 });
    onTestFinished(() => registry.close());
    return heartbeat({ registry }) as Middleware;
  }

  const text = 'a line of text\n'.repeat(5000);
  const handler: Middleware = async (req, res, next) => {
    // In all ways to wait that there are.
    const { signal } = contextOf(req);
    for (let count = 0; count < 20; count++) signal.addEventListener('abort', () => count);
    for (let count = 0; count < 20; count++)
      currentContext()
        .child()
        .signal.addEventListener('abort', () => count);
    if (req.url!.startsWith('/events')) {
      sse(async function* (stream) {
        for (let count = 0; count < 20; count++) stream.signal.addEventListener('abort', () => count);
        for (let count = 0; count < 3; count++) yield { data: text };
      })(req, res, next);
      return;
    }
    res.setHeader('Content-Type', 'text/plain');
    await pipeBody(
      Array.from({ length: 20 }, () => text),
      req,
      res,
    );
  };

  it.each(carriers)('are at most three of ours for its close over $name, under the full stack', async (carrier) => {
    const [counts, warnings] = [new Map<string, number>(), watchWarnings()];
    const stack: Middleware[] = [
      countCloses(counts),
      deadline({ default: '1m', idle: '1m' }),
      deadline({ max: '2m', idle: '1m' }),
      compress() as Middleware,
      limitedHeartbeat(),
      handler,
    ];
    const running = await serveAttached(carrier, makeLife(), ...stack);
    for (const path of ['/events', '/events?again', '/body']) {
      const reading = await running.visit({
        path,
        headers: { accept: 'text/event-stream, */*', 'accept-encoding': path === '/events' ? 'identity' : 'gzip' },
      });
      reading.pause();
      await turns(10);
      reading.resume();
      expect(await settles(reading.over)).toBe('end');
    }
    await turns();
    expect([...counts.keys()]).toEqual(['/events', '/events?again', '/body']);
    // Beside two of the application.
    for (const count of counts.values()) expect(count - 2).toBeLessThanOrEqual(3);
    expect(warnings).toEqual([]);
  });

  it.each(http1Carriers)('are no more over $name for responses that wait behind others', async (carrier) => {
    const [counts, warnings] = [new Map<string, number>(), watchWarnings()];
    const stack: Middleware[] = [
      countCloses(counts),
      deadline({ default: '1m', idle: '1m' }),
      compress() as Middleware,
      limitedHeartbeat(),
      handler,
    ];
    const running = await serveAttached(carrier, makeLife(), ...stack);
    const client = await running.dial();
    const paths = Array.from({ length: 15 }, (_, index) => `/${index % 2 ? 'events' : 'body'}?${index}`);
    client.send(paths.map((path) => getRequest(path, { Accept: 'text/event-stream' })).join(''));
    await until(
      () => counts.size === paths.length && client.received.split('HTTP/1.1 200').length > paths.length,
      () => `${counts.size} began`,
    );
    await turns();
    for (const count of counts.values()) expect(count - 2).toBeLessThanOrEqual(3);
    expect(warnings).toEqual([]);
  });
});

describe('who is told that a request is aborted', () => {
  const store = new AsyncLocalStorage<string>();

  it.each(carriers)(
    'finds the store of the request over $name, when its client leaves and when the process drains',
    async (carrier) => {
      const seen: [string, string | undefined][] = [];
      const life = makeLife({ drainTimeout: 50 });
      const stores: Middleware = (req, _res, next) => store.run(req.url!, next);
      const running = await serveAttached(carrier, life, stores, deadline({ default: '1m' }), (req, res) => {
        contextOf(req).signal.addEventListener('abort', () => void seen.push([req.url!, store.getStore()]));
        (res as ServerResponse).write('begun');
      });
      const leaving = await running.visit({ path: '/leaves' });
      await running.visit({ path: '/stays' });
      leaving.destroy();
      await until(() => seen.length === 1);
      await settles(life.drain());
      expect(seen).toEqual([
        ['/leaves', '/leaves'],
        ['/stays', '/stays'],
      ]);
    },
  );
});
