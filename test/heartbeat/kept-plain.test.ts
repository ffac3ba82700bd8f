import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { compress, type ConnectionRegistry, contextOf, createRegistry, deadline, heartbeat } from '../../src/index.ts';
import { type Carrier, carriers, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { yoga } from '../support/graphql-yoga.ts';
import { serve, type Served } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

// So many heartbeats take several spans of the idle deadline.
const every = 15;
const idle = 150;
const manyBeats = 30;

interface Site extends Served {
  readonly registry: ConnectionRegistry;
  readonly aborted: unknown[];
}

/** Compression, heartbeats and an idle deadline, as a service has them. */
async function serveBehindStack(carrier: Carrier, handler: Middleware): Promise<Site> {
  const registry = createRegistry();
  const aborted: unknown[] = [];
  const beats = heartbeat({ registry, every, jitter: 0, readDeadline: '5m' }) as Middleware;
  const limits = deadline({ default: '1m', idle }) as Middleware;
  const served = await serve(carrier, limits, compress(), beats, (req, res, next) => {
    const { signal } = contextOf(req);
    signal.addEventListener('abort', () => aborted.push(signal.reason));
    return handler(req, res, next);
  });
  return { ...served, registry, aborted };
}

function beatsIn(text: string): number {
  return (text.match(/^:$/gm) ?? []).length;
}

const coded = { 'accept-encoding': 'gzip, br' };

describe.each(carriers)('a stream with `Content-Encoding: none` on $name', (carrier) => {
  it('stays plain, gets heartbeats, is in the registry, and is not cut while it is quiet', async () => {
    const opened = deferred<ServerResponse>();
    const served = await serveBehindStack(carrier, (_req, response) => {
      const res = response as ServerResponse;
      res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Content-Encoding': 'none' });
      res.write('data: hello\n\n');
      opened.resolve(res);
    });
    const reading = await served.visit({ headers: coded });
    await until(
      () => beatsIn(reading.text) >= manyBeats,
      () => reading.text,
    );
    expect(reading.headers['content-encoding']).toBe('none');
    const session = carrier.protocol === 'http2' ? [{ transport: 'http2' }] : [];
    expect(served.registry.connections()).toMatchObject([{ state: 'healthy', label: '/' }, ...session]);
    expect(served.aborted).toEqual([]);
    (await opened.promise).end('data: bye\n\n');
    await settles(reading.over);
    expect(reading.text.replaceAll(/^:\n+/gm, '')).toBe('data: hello\n\ndata: bye\n\n');
    const transport = carrier.protocol === 'http2' ? 'http2-stream' : 'http1';
    await until(() => served.registry.stats().transports[transport]?.healthy === 0);
  });
});

const some = carriers.filter(({ name }) => ['Express 5', 'node:http', 'node:http2'].includes(name));

describe.each(some)('a subscription of graphql-yoga on $name', (carrier) => {
  it('is such a stream', async () => {
    const subscriptions = yoga.createYoga({
      logging: false,
      schema: yoga.createSchema({
        typeDefs: 'type Query { a: Int } type Subscription { ticks: Int }',
        resolvers: { Subscription: { ticks: { subscribe: (): AsyncIterable<unknown> => quietAfter({ ticks: 1 }) } } },
      }),
    });
    const served = await serveBehindStack(carrier, (req, res) => subscriptions(req, res));
    const path = `/graphql?query=${encodeURIComponent('subscription { ticks }')}`;
    const reading = await served.visit({ path, headers: { ...coded, accept: 'text/event-stream' } });
    await until(
      () => reading.text.includes('"ticks":1') && beatsIn(reading.text) >= manyBeats,
      () => reading.text,
    );
    expect(reading.headers['content-encoding']).toBe('none');
    expect(served.registry.connections()[0]).toMatchObject({ state: 'healthy', label: '/graphql' });
    expect(served.aborted).toEqual([]);
  });
});

async function* quietAfter<T>(first: T): AsyncGenerator<T> {
  yield first;
  await new Promise(() => undefined);
}
