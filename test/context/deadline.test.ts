import { describe, expect, it } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { contextOf, currentContext, deadline, type RequestContext } from '../../src/deadline/index.ts';
import { type HttpRequest, pipeBody, sse } from '../../src/index.ts';
import type { Middleware } from '../support/carriers.ts';
import type { FlushingResponse } from '../support/compress-responses.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { callerOf, crowdSize } from './crowd.ts';
import { mounted, ownerOf, fewPlaces, type Row, whereSetBefore, Witness } from './witness.ts';

const before = 'stores are found as they were where `deadline` was reached';

const rows: Readonly<Record<string, Row>> = {
  'deadline trust': { sees: whereSetBefore, because: before },
  'deadline onExpired': { sees: whereSetBefore, because: before },
  'current context, in onExpired': { sees: 'own' },
  'listener of context.signal': { sees: 'own' },
  'current context, in a listener of context.signal': { sees: 'own' },
  'listener of a child of the context': { sees: 'own' },
  'callback of a late write': { sees: 'own' },
  'stream.onClose': { sees: 'own' },
  'current context, in stream.onClose': { sees: 'own' },
  'listener of stream.signal': { sees: 'own' },
  'source: cancel': { sees: 'own' },
  'after await pipeBody': { sees: 'own' },
  'current context, after await pipeBody': { sees: 'own' },
  'sluice:deadline:expired': { sees: whereSetBefore, because: before },
  'sluice:deadline:late': { sees: 'own' },
  'sluice:stream:close': { sees: 'own' },
};

interface Visit {
  readonly req: HttpRequest;
  readonly res: FlushingResponse;
  readonly next: Parameters<Middleware>[2];
  readonly watch: (callback: string) => () => void;
  /** Notes also whether the current context is that of the request. */
  readonly watchContext: (callback: string) => () => void;
  /** Resolves when the context is aborted. */
  readonly aborted: Promise<void>;
}

const kinds: Readonly<Record<string, (visit: Visit) => unknown>> = {
  async 'no answer'({ res, watch, aborted }) {
    await aborted;
    // Not in the listener, which is called before the response is taken away.
    await new Promise((resolve) => setImmediate(resolve));
    res.setHeader('X-Late', '1');
    res.write('late', watch('callback of a late write'));
  },
  'a stream': ({ req, res, next, watch, watchContext }) =>
    (
      sse((stream) => {
        stream.onClose(watch('stream.onClose'));
        stream.onClose(watchContext('stream.onClose'));
        stream.signal.addEventListener('abort', watch('listener of stream.signal'));
        void stream.send('first');
      }) as Middleware
    )(req, res, next),
  async 'a body'({ req, res, watch, watchContext }) {
    res.setHeader('Content-Type', 'text/plain');
    const source = new ReadableStream({
      start: (controller) => controller.enqueue('first'),
      cancel: watch('source: cancel'),
    });
    await pipeBody(source, req, res).catch(watch('after await pipeBody'));
    watchContext('after await pipeBody')();
  },
  'a body by hand'({ res }) {
    res.setHeader('Content-Type', 'text/plain');
    res.write('first');
  },
};

/**
 * What ends requests whose handlers do not. `hub`: another request looks at their contexts, once their time is over.
 */
const ends = { deadline: { default: 200 }, idle: { default: '1h', idle: 200 }, hub: { default: 700 } } as const;

describe.each(fewPlaces)('$carrier, stores set $mount the middlewares', (place) => {
  it('runs what the end of a deadline leads to in the context of the request', async () => {
    const witness = new Witness(rows);
    const contexts: RequestContext[] = [];
    for (const channel of ['sluice:deadline:expired', 'sluice:deadline:late', 'sluice:stream:close'])
      witness.follow(channel, () => true);
    const makeDeadline = (end: keyof typeof ends): Middleware =>
      deadline({
        ...ends[end],
        trust(req) {
          witness.see('deadline trust', ownerOf(req));
          return true;
        },
        onExpired(_error, req, res) {
          const owner = ownerOf(req);
          witness.see('deadline onExpired', owner);
          witness.see(
            'current context, in onExpired',
            owner,
            currentContext() === contextOf(req) ? owner : 'another context',
          );
          res.statusCode = 504;
          res.end('too late');
        },
      }) as Middleware;
    const deadlines = { deadline: makeDeadline('deadline'), idle: makeDeadline('idle'), hub: makeDeadline('hub') };
    const pathOf = (req: HttpRequest): [keyof typeof ends, string] =>
      decodeURIComponent(req.url!.slice(1)).split(', ') as [keyof typeof ends, string];
    const routed: Middleware = (req, res, next) => deadlines[pathOf(req)[0]](req, res, next);
    const handler: Middleware = (req, response, next) => {
      const [end, kind] = pathOf(req);
      const res = response as FlushingResponse;
      const owner = ownerOf(req);
      const context = contextOf(req);
      if (kind === 'look') {
        // Nothing else runs meanwhile, no timer either.
        while (contexts.some((each) => each.remaining() > 0));
        for (const each of contexts) expect(() => each.throwIfAborted()).toThrow();
        res.end('done');
        return;
      }
      if (end === 'hub') contexts.push(context);
      const watch = (callback: string): (() => void) => witness.watch(callback, owner);
      const watchContext = (callback: string) => (): void =>
        witness.see(
          `current context, ${callback.startsWith('after') ? '' : 'in '}${callback}`,
          owner,
          currentContext() === context ? owner : 'another context',
        );
      context.signal.addEventListener('abort', watch('listener of context.signal'));
      context.signal.addEventListener('abort', watchContext('a listener of context.signal'));
      context.child().signal.addEventListener('abort', watch('listener of a child of the context'));
      const aborted = new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()));
      return kinds[kind]!({ req, res, next, watch, watchContext, aborted });
    };
    const running = await serve(place.make, ...mounted(place.mount, routed, compress() as Middleware), handler);
    const caller = callerOf(running, place.protocol);
    const calls: Promise<unknown>[] = [];
    for (const end of Object.keys(ends)) {
      for (const kind of Object.keys(kinds)) {
        // Without a head nothing is idle.
        if (end === 'idle' && kind === 'no answer') continue;
        for (let number = 1; number <= crowdSize; number++) {
          calls.push(
            caller
              .call(`${end}, ${kind}, request ${number}`, `/${encodeURIComponent(`${end}, ${kind}`)}`)
              .then(({ over }) => over),
          );
        }
      }
    }
    const lookers = crowdSize * Object.keys(kinds).length;
    await until(() => contexts.length === lookers);
    await until(() => contexts.every((each) => each.remaining() < 300));
    calls.push(caller.call('a hub', '/deadline,%20look').then(({ over }) => over));
    await settles(Promise.all(calls));
    await until(
      () => witness.unseen(place).length === 0,
      () => `never seen: ${witness.unseen(place).join(', ')}`,
    );
    // By the source of a body that was cut.
    expect(
      running.errors.filter((error) => (error as { code?: unknown }).code !== 'ERR_SLUICE_DEADLINE_EXCEEDED'),
    ).toEqual([]);
    expect(witness.faults(place)).toEqual([]);
  });
});
