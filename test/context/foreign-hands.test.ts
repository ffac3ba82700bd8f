import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { compress, gzip } from '../../src/compress/index.ts';
import {
  type EventStream,
  type HttpRequest,
  jsonSeq,
  ndjson,
  type RecordStream,
  sse,
  type SseOptions,
} from '../../src/index.ts';
import type { Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { serve } from '../support/serve.ts';
import { noise } from '../support/texts.ts';
import { settles, turns } from '../support/until.ts';
import { callerOf, crowdSize } from './crowd.ts';
import { signed, watchedCodec } from './watched-codec.ts';
import { mounted, overHttp1, overHttp2, ownerOf, places, type Row, Witness } from './witness.ts';

const whoEnds = 'Node emits it for a stream of HTTP/2 in the context of its session';

const rows: Readonly<Record<string, Row>> = {
  'res finish': { sees: overHttp1, because: whoEnds },
  'res close': { sees: overHttp1, because: whoEnds },
  'res close, after a cut': { sees: 'none', because: 'Node emits it in the context of the connection' },
  'req aborted, after a cut': { sees: overHttp2, because: 'Node emits it in the context of the connection' },
  'res drain': { sees: 'own' },
  'compress filter': { sees: 'own' },
  'codec.createBlocks': { sees: 'own' },
  'codec blocks: encode': { sees: 'own' },
  'codec blocks: close': { sees: 'own' },
  'onClose of the handler': { sees: 'own' },
  'onClose of the hub': { sees: 'own' },
  'onClose after the close': { sees: 'own' },
  'listener of stream.signal': { sees: 'own' },
  'listener of stream.context.signal': { sees: 'own' },
  'listener of a child of stream.context': { sees: 'own' },
  'option onError': { sees: 'own' },
  'option gap': { sees: 'own' },
  'option key': { sees: 'own' },
  'sluice:compress:decision': { sees: 'own' },
  'sluice:stream:close': { sees: 'own' },
  'sluice:stream:error': { sees: 'own' },
  'after await send, in the hub': { sees: 'own' },
};

type Watch = (callback: string) => () => void;

/** A stream that others write, as its handler has left it. */
interface Member {
  readonly owner: string;
  readonly stream: EventStream | RecordStream;
  readonly watch: Watch;
}

interface Crowd {
  readonly members: Member[];
  /** Resolves when all are there. */
  readonly joined: Promise<void>;
  readonly open: () => void;
}

function makeCrowd(): Crowd {
  const { promise: joined, resolve } = deferred();
  return { members: [], joined, open: () => resolve() };
}

interface Situation {
  readonly name: string;
  readonly options?: (watch: Watch) => SseOptions;
  /** What the hub does, in the context of another request. */
  act(members: readonly Member[], watch: Watch): Promise<void>;
  /** Whether that cuts the responses. */
  readonly isCut?: boolean;
}

// More than any version of Node takes at once: 64 kB.
const big = noise(80_000);

const failingSource: AsyncIterable<never> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('a source that fails')) }),
};

/** Resolves when all take more. */
async function sendAll(members: readonly Member[], text: string, event?: string): Promise<void> {
  const named = event === undefined ? {} : { event };
  await Promise.all(
    members.map(({ stream, owner }) => (stream as EventStream).send({ ...named, data: signed(owner, text) })),
  );
}

async function endAll(members: readonly Member[]): Promise<void> {
  await Promise.all(members.map(({ stream }) => stream.end()));
}

/** Leaves each of them with more than it takes. */
async function overwhelm(members: readonly Member[]): Promise<void> {
  await sendAll(members, 'first');
  await turns();
  await Promise.allSettled([1, 2, 3, 4].map(() => sendAll(members, big, 'same')));
}

const situations: readonly Situation[] = [
  {
    name: 'asks, sends and ends',
    async act(members, watch) {
      for (const { stream, watch: watchMember } of members) {
        stream.onClose(watchMember('onClose of the hub'));
        // Before the handler asks for its signals.
        if (stream.signal.aborted || stream.context.signal.aborted) throw new Error('aborted');
      }
      await sendAll(members, 'first');
      await turns();
      await sendAll(members, 'second');
      watch('after await send, in the hub')();
      await sendAll(members, big);
      await endAll(members);
      for (const { stream, watch: watchMember } of members) stream.onClose(watchMember('onClose after the close'));
    },
  },
  {
    name: 'sends what is no item',
    async act(members) {
      const cycle: Record<string, unknown> = { event: 'two\nlines' };
      cycle['itself'] = cycle;
      await sendAll(members, 'first');
      for (const { stream } of members) void (stream as RecordStream).send(cycle);
      for (const { stream } of members) void (stream as RecordStream).pipe(failingSource);
      await turns();
      await endAll(members);
    },
  },
  {
    name: 'flushes and destroys',
    isCut: true,
    async act(members) {
      for (const { stream, owner } of members) {
        stream.flush();
        void (stream as RecordStream).send({ data: signed(owner, 'first') });
        stream.flush();
      }
      await turns();
      for (const { stream } of members) stream.destroy();
    },
  },
  {
    name: 'destroys with an error',
    isCut: true,
    async act(members) {
      await sendAll(members, 'first');
      await turns();
      for (const { stream } of members) stream.destroy(new Error('by the hub'));
    },
  },
  {
    name: 'overwhelms those who miss items then',
    options: (watch) => ({
      maxBuffered: 1,
      overflow: 'drop',
      gap() {
        watch('option gap')();
        throw new Error('a gap that fails');
      },
    }),
    async act(members) {
      await overwhelm(members);
      await endAll(members);
    },
  },
  {
    name: 'overwhelms those who get the newest',
    options: (watch) => ({
      overflow: 'latest',
      key() {
        watch('option key')();
        throw new Error('a key that fails');
      },
    }),
    async act(members) {
      await overwhelm(members);
      await endAll(members);
    },
  },
  { name: 'overwhelms those who are closed then', options: () => ({ maxBuffered: 1 }), isCut: true, act: overwhelm },
];

const kinds = { sse, ndjson, jsonSeq };
const codings = ['identity', 'gzip', 'x-watched'];

describe.each(places)('$carrier, stores set $mount the middlewares', (place) => {
  it('runs callbacks of a stream in the context of its own request, whatever code writes and closes it', async () => {
    const witness = new Witness(rows);
    const crowds = new Map<string, Crowd>();
    const handler: Middleware = async (req, response, next) => {
      const res = response as ServerResponse;
      const owner = ownerOf(req);
      const watch: Watch = (callback) => witness.watch(callback, owner);
      const [kind, coding, number, isHub] = JSON.parse(decodeURIComponent(req.url!.slice(1))) as [
        keyof typeof kinds,
        string,
        number,
        boolean,
      ];
      const situation = situations[number]!;
      const key = `${kind} ${coding} ${number}`;
      const crowd = crowds.get(key) ?? makeCrowd();
      crowds.set(key, crowd);
      const { members, joined, open } = crowd;
      if (isHub) {
        // At once: before the head of the last one has gone out.
        await joined;
        await situation.act(members, watch);
        res.end('done');
        return;
      }
      for (const event of ['finish', 'drain']) res.on(event, watch(`res ${event}`));
      res.on('close', watch(situation.isCut ? 'res close, after a cut' : 'res close'));
      if (situation.isCut) req.on('aborted', watch('req aborted, after a cut'));
      const options = {
        ...situation.options?.(watch),
        onError: (_error: unknown, of: HttpRequest) => witness.see('option onError', ownerOf(of)),
      };
      const make = kinds[kind] as typeof sse;
      const middleware = make(async (stream) => {
        members.push({ owner, stream, watch });
        if (members.length === crowdSize) open();
        stream.onClose(watch('onClose of the handler'));
        await turns(2);
        const { signal, context } = stream;
        signal.addEventListener('abort', watch('listener of stream.signal'));
        context.signal.addEventListener('abort', watch('listener of stream.context.signal'));
        context.child().signal.addEventListener('abort', watch('listener of a child of stream.context'));
        await new Promise(() => undefined);
      }, options) as Middleware;
      middleware(req, res, next);
    };
    const compression = compress({
      threshold: 0,
      codecs: [gzip(), watchedCodec(witness)],
      filter(req) {
        witness.see('compress filter', ownerOf(req));
        return true;
      },
    });
    const isMember = (owner: string): boolean => !owner.startsWith('hub');
    for (const channel of ['sluice:compress:decision', 'sluice:stream:close', 'sluice:stream:error'])
      witness.follow(channel, isMember);
    const running = await serve(place.make, ...mounted(place.mount, compression as Middleware), handler);
    const caller = callerOf(running, place.protocol);
    const calls: Promise<unknown>[] = [];
    for (const kind of Object.keys(kinds)) {
      for (const coding of codings) {
        for (const [number, { name, isCut }] of situations.entries()) {
          const pathOf = (isHub: boolean): string =>
            `/${encodeURIComponent(JSON.stringify([kind, coding, number, isHub]))}`;
          const where = `a hub that ${name}, ${kind}, ${coding}`;
          calls.push(caller.call(where, pathOf(true)).then(({ over }) => over));
          for (let member = 1; member <= crowdSize; member++) {
            calls.push(
              caller
                .call(`${where}, member ${member}`, pathOf(false), { 'accept-encoding': coding })
                .then(async (call) => {
                  expect([where, await call.over]).toEqual([where, isCut ? 'cut' : 'end']);
                  if (!isCut) expect([where, call.coding]).toEqual([where, coding]);
                }),
            );
          }
        }
      }
    }
    await settles(Promise.all(calls));
    expect(running.errors).toEqual([]);
    expect(witness.faults(place)).toEqual([]);
    expect(witness.unseen(place)).toEqual([]);
  });
});
