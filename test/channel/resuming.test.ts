import http from 'node:http';
import fc from 'fast-check';
import { expect, it, onTestFinished } from 'vitest';
import {
  type Backplane,
  type ChannelEntry,
  createChannel,
  createChannels,
  createMemoryBackplane,
  type KeysOf,
  type LogPage,
} from '../../src/index.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { EventParser } from '../support/event-parser.ts';
import { serve } from '../support/serve.ts';
import { until } from '../support/until.ts';
import { lateBackplane } from './late-backplane.ts';
import { eventSource } from './site.ts';

/** A client that reconnects with its last id each time it is cut, and keeps all that it got. */
class Follower {
  readonly seen: (number | 'reset')[] = [];
  readonly #port: number;
  #last = '';
  #parser = new EventParser();
  #read = 0;
  #request: http.ClientRequest | undefined;
  #isDone = false;

  constructor(port: number) {
    this.#port = port;
    this.#open();
  }

  /** Whether its place is known, so that it may be cut. */
  get hasPlace(): boolean {
    return this.#last !== '';
  }

  cut(): void {
    this.#request?.destroy();
  }

  close(): void {
    this.#isDone = true;
    this.cut();
  }

  #open(): void {
    if (this.#isDone) return;
    this.#parser = new EventParser();
    this.#read = 0;
    const headers = { ...eventSource, ...(this.#last !== '' && { 'last-event-id': this.#last }) };
    const request = http.get({ port: this.#port, host: '127.0.0.1', headers, agent: false }, (res) => {
      res.on('data', (bytes: Buffer) => this.#take(request, bytes));
      res.on('error', () => undefined);
    });
    this.#request = request;
    request.on('error', () => undefined);
    request.on('close', () => this.#open());
  }

  #take(request: http.ClientRequest, bytes: Buffer): void {
    if (request.destroyed) return;
    this.#parser.push(bytes);
    for (const { type, data } of this.#parser.events.slice(this.#read))
      this.seen.push(type === 'sluice.reset' ? 'reset' : Number(data));
    this.#read = this.#parser.events.length;
    if (this.#parser.lastEventId !== '') this.#last = this.#parser.lastEventId;
  }
}

/** Numbers ascend by one, but where a reset says that some are missing. */
function faultOf(seen: readonly (number | 'reset')[]): string | undefined {
  let before: number | undefined;
  for (const [index, each] of seen.entries()) {
    if (each === 'reset') {
      before = undefined;
      continue;
    }
    if (before !== undefined && each !== before + 1)
      return `${String(each)} after ${String(before)} at ${String(index)}`;
    before = each;
  }
  return undefined;
}

interface Step {
  /** How many events are published in one tick. */
  readonly publish: number;
  /** Who is cut, if that one is there. */
  readonly cut: number;
  /** How many turns pass. */
  readonly turns: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  publish: fc.nat({ max: 6 }),
  cut: fc.nat({ max: 9 }),
  turns: fc.nat({ max: 6 }),
});

const backplanes: Record<string, (random: () => number) => Backplane> = {
  'in memory': createMemoryBackplane,
  'that answers late': lateBackplane,
};

it.each(Object.keys(backplanes))(
  'over a backplane %s every follower gets every event once, in order, or is told of a reset',
  async (name) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 10, maxLength: 40 }),
        fc.constantFrom(5, 30, 1000),
        fc.integer(),
        async (steps, count, seed) => {
          const backplane = (backplanes[name] as (random: () => number) => Backplane)(randomOf(seed));
          // As in two processes: both have clients, and one publishes.
          const publisher = createChannel({ name: 'log', history: { count }, backplane });
          const processes = [publisher, createChannel({ name: 'log', history: { count }, backplane })];
          const followers: Follower[] = [];
          const sites = await Promise.all(processes.map((each) => serve(bare, each.subscribe() as Middleware)));
          const stop = (): void => {
            for (const each of followers) each.close();
            for (const each of processes) each.close();
          };
          onTestFinished(stop);
          for (const index of [0, 1, 0, 1]) followers.push(new Follower((sites[index] as { port: number }).port));
          let published = 0;
          await until(() => followers.every(({ hasPlace }) => hasPlace));
          for (const { publish, cut, turns } of steps) {
            for (let n = 0; n < publish; n++) void publisher.publish(String(published++));
            followers[cut]?.cut();
            for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
          }
          // A client that was reset begins with what comes next: on until all have the last one.
          const haveAll = (): boolean => followers.every(({ seen }) => seen.at(-1) === published - 1);
          do await publisher.publish(String(published++));
          while (!(await comesTrue(haveAll)));
          expect(followers.map(({ seen }) => faultOf(seen))).toEqual(followers.map(() => undefined));
          // With enough history none has to be told of a reset, so all have everything.
          if (count === 1000) for (const { seen } of followers) expect(seen.length).toBe(published);
          stop();
        },
      ),
      { numRuns: 8 },
    );
  },
);

/** A backplane in memory that counts how often the data of an entry are read. */
function countingBackplane(): { readonly backplane: Backplane; readonly reads: Map<string, number> } {
  const memory = createMemoryBackplane();
  const reads = new Map<string, number>();
  const counted = new WeakMap<ChannelEntry, ChannelEntry>();
  const count = (entry: ChannelEntry): ChannelEntry => {
    const before = counted.get(entry);
    if (before) return before;
    const { id, data } = entry;
    const copy = { ...entry };
    Object.defineProperty(copy, 'data', {
      get() {
        reads.set(id, (reads.get(id) ?? 0) + 1);
        return data;
      },
    });
    counted.set(entry, copy);
    return copy;
  };
  const backplane: Backplane = {
    open(channel, limits, receiver) {
      const log = memory.open(channel, limits, receiver);
      const read: typeof log.read = (after, most) => {
        const page = log.read(after, most) as LogPage;
        return page.lost === undefined ? { ...page, entries: page.entries.map(count) } : page;
      };
      return { ...log, read };
    },
    close: () => memory.close(),
  };
  return { backplane, reads };
}

it.each(['sse', 'ndjson'] as const)('an event is framed once for all clients that read it again: %s', async (as) => {
  const { backplane, reads } = countingBackplane();
  const rooms = createChannels({ backplane });
  onTestFinished(() => rooms.close());
  const keysOf: KeysOf = (req) => req.url.slice(1).split(',');
  const site = await serve(bare, rooms.subscribe(keysOf, { as, from: 'earliest' }) as Middleware);
  for (let n = 0; n < 300; n++) await rooms.publish('a', { event: 'n', data: { n, text: 'é' } });
  const texts: string[] = [];
  // On one channel, and on two, where the ids are others.
  for (const path of ['/a', '/a', '/a,b', '/a,b', '/a']) {
    const reading = await site.visit({ path });
    await until(() => reading.text.includes('"n":299'));
    texts.push(reading.text);
    reading.destroy();
    if (path === '/a,b') await rooms.publish('b', { event: 'b', data: 'moves on' });
  }
  expect(reads.size).toBeGreaterThanOrEqual(300);
  expect([...new Set(reads.values())]).toEqual([1]);
  expect([texts[1], texts[4]]).toEqual([texts[0], texts[0]]);
  const id = as === 'sse' ? /^id: (\S+)$/gm : /^\{"id":"([^"]+)"/gm;
  const idsIn = (text: string | undefined): (string | undefined)[] =>
    Array.from(text?.matchAll(id) ?? [], ([, each]) => each);
  const plain = idsIn(texts[0]);
  expect(plain).toHaveLength(300);
  // Of two channels the ids differ alone.
  const composite = idsIn(texts[2]).slice(0, 300);
  expect(composite.map((each) => each?.split(/[:,]/)[1])).toEqual(plain);
  expect(texts[2]?.replaceAll(id, '').slice(0, 5000)).toBe(texts[0]?.replaceAll(id, '').slice(0, 5000));
});

function comesTrue(condition: () => boolean): Promise<boolean> {
  return until(condition, undefined, 200).then(
    () => true,
    () => false,
  );
}

/** Numbers from 0 to 1 that look like chance (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
