import { describe, expect, it, onTestFinished } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { contextOf } from '../../src/deadline/index.ts';
import { heartbeat } from '../../src/heartbeat/index.ts';
import { type HttpRequest, ndjson, sse } from '../../src/index.ts';
import { lifecycle } from '../../src/lifecycle/index.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import type { FlushingResponse } from '../support/compress-responses.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { type Call, callerOf, crowdSize } from './crowd.ts';
import {
  followUnowned,
  mounted,
  overHttp2,
  ownerOf,
  fewPlaces,
  type Place,
  type Row,
  whereSetBefore,
  Witness,
  withStore,
} from './witness.ts';

const ofNobody = 'the lifecycle is older than all requests';
const ofConnection = 'Node emits it in the context of the connection';

const rows: Readonly<Record<string, Row>> = {
  'lifecycle exempt': { sees: whereSetBefore, because: 'it is asked before' },
  'listener of life.signal': { sees: 'none', because: ofNobody },
  'lifecycle state': { sees: 'none', because: ofNobody },
  'lifecycle state, for a request that listens': { sees: 'own' },
  'sluice:lifecycle:state': { sees: 'none', because: ofNobody },
  'sluice:lifecycle:drain': { sees: 'none', because: ofNobody },
  'after await drain': { sees: 'own' },
  'stream.onClose': { sees: 'own' },
  'listener of stream.signal': { sees: 'own' },
  'listener of context.signal': { sees: 'own' },
  'sluice:stream:close': { sees: 'own' },
  'req aborted': { sees: overHttp2, because: ofConnection },
  'res close': { sees: 'none', because: ofConnection },
};

interface Visit {
  readonly req: HttpRequest;
  readonly res: FlushingResponse;
  readonly next: Parameters<Middleware>[2];
  readonly watch: (callback: string) => () => void;
}

/** The handlers by what becomes of their responses. */
const kinds: Readonly<Record<string, (visit: Visit) => unknown>> = {
  'an event stream that is told': ({ req, res, next, watch }) =>
    (
      sse((stream) => {
        stream.onClose(watch('stream.onClose'));
        stream.signal.addEventListener('abort', watch('listener of stream.signal'));
        void stream.send({ id: '1', data: 'first' });
      }) as Middleware
    )(req, res, next),
  'records that are told': ({ req, res, next, watch }) =>
    (
      ndjson(
        (stream) => {
          stream.onClose(watch('stream.onClose'));
          void stream.send('first');
        },
        { drain: 'resumable' },
      ) as Middleware
    )(req, res, next),
  'an event stream that is cut': ({ req, res, next, watch }) =>
    (
      sse(
        (stream) => {
          stream.onClose(watch('stream.onClose'));
          stream.signal.addEventListener('abort', watch('listener of stream.signal'));
          void stream.send('first');
        },
        { drain: 'finite' },
      ) as Middleware
    )(req, res, next),
  'events by hand that are told': ({ res }) =>
    void res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('id: 1\ndata: first\n\n'),
  'a body by hand that is cut': ({ res }) => {
    res.writeHead(200, { 'Content-Type': 'text/plain' }).write('first');
    res.flush();
  },
};

const codings = ['identity', 'gzip'];

it('ends a drain in the context of the lifecycle, whichever response was the last', async () => {
  const witness = new Witness({
    'lifecycle state': { sees: 'none', because: ofNobody },
    'sluice:lifecycle:drain': { sees: 'none', because: ofNobody },
  });
  const life = lifecycle({ signals: false, preDrain: 0, spread: 0 });
  onTestFinished(() => life.close());
  followUnowned(witness, 'sluice:lifecycle:drain');
  life.on('state', witness.watch('lifecycle state', 'nobody'));
  const running = await serve(bare, withStore, life as Middleware, (_req, res) => {
    void life.drain();
    // When the drain waits for nothing else.
    setTimeout(() => res.end('the last'), 100);
  });
  const caller = callerOf(running, 'http1');
  await settles((await caller.call('the last', '/')).over);
  const place: Place = { carrier: bare.name, protocol: 'http1', mount: 'before' };
  await until(
    () => witness.unseen(place).length === 0,
    () => `never seen: ${witness.unseen(place).join(', ')}`,
  );
  expect(witness.faults(place)).toEqual([]);
});

describe.each(fewPlaces)('$carrier, stores set $mount the middlewares', (place) => {
  it('runs what a drain leads to in the context of the request, whichever request began it', async () => {
    const witness = new Witness(rows);
    const closed = new Set<string>();
    const life = lifecycle({ signals: false, preDrain: 20, spread: 50, drainTimeout: 2500 });
    const refusing = lifecycle({
      signals: false,
      preDrain: 0,
      exempt(req) {
        witness.see('lifecycle exempt', ownerOf(req));
        return true;
      },
    });
    await refusing.drain();
    for (const each of [life, refusing]) onTestFinished(() => each.close());
    life.on('state', witness.watch('lifecycle state', 'nobody'));
    for (const channel of ['sluice:lifecycle:state', 'sluice:lifecycle:drain']) followUnowned(witness, channel);
    witness.follow('sluice:stream:close', () => true);
    const handler: Middleware = async (req, response, next) => {
      const res = response as FlushingResponse;
      const kind = decodeURIComponent(req.url!.slice(1));
      const owner = ownerOf(req);
      const watch = (callback: string): (() => void) => witness.watch(callback, owner);
      if (kind === 'drain') {
        await life.drain();
        watch('after await drain')();
        return;
      }
      res.on('close', watch('res close'));
      res.on('close', () => closed.add(owner));
      if (kind !== 'a body by hand that is cut') req.on('aborted', watch('req aborted'));
      contextOf(req).signal.addEventListener('abort', watch('listener of context.signal'));
      life.signal.addEventListener('abort', watch('listener of life.signal'));
      onTestFinished(life.on('state', watch('lifecycle state, for a request that listens')));
      kinds[kind]!({ req, res, next, watch });
    };
    const beats = heartbeat({ every: '1h', ackProbe: false });
    onTestFinished(() => beats.registry.close());
    const stack = mounted(
      place.mount,
      refusing as Middleware,
      life as Middleware,
      beats as Middleware,
      compress({ threshold: 0 }) as Middleware,
    );
    const running = await serve(place.make, ...stack, handler);
    onTestFinished(life.attach(running.server));
    const caller = callerOf(running, place.protocol);
    const owners: string[] = [];
    const calls: Promise<Call>[] = [];
    for (const kind of Object.keys(kinds)) {
      for (const coding of codings) {
        for (let number = 1; number <= crowdSize; number++) {
          const owner = `${kind}, ${coding}, request ${number}`;
          owners.push(owner);
          calls.push(caller.call(owner, `/${encodeURIComponent(kind)}`, { 'accept-encoding': coding }));
        }
      }
    }
    await settles(Promise.all(calls));
    void caller.call('an administrator', '/drain');
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
