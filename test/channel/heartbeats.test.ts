import { expect, it, onTestFinished } from 'vitest';
import { compress, createSwitch } from '../../src/compress/index.ts';
import { type Channels, createChannels, type SubscribeOptions } from '../../src/channel/index.ts';
import { heartbeat, type HeartbeatOptions } from '../../src/heartbeat/index.ts';
import { Registry } from '../../src/internal/health/registry.ts';
import { bare, type Carrier, type Middleware } from '../support/carriers.ts';
import { type CodedReading, openCoded, type Protocol } from '../support/coded-clients.ts';
import { carrierOf } from '../support/compress-site.ts';
import { hasZstd } from '../support/decoders.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { serve } from '../support/serve.ts';
import { SharedTextWatch } from '../support/shared-texts.ts';
import { turns, until } from '../support/until.ts';
import { channelOf } from './site.ts';

const every = 1000;
const quiet = { every, jitter: 0, readDeadline: Infinity, writeDeadline: Infinity, ackProbe: false } as const;

interface Route {
  readonly heartbeats?: HeartbeatOptions;
  readonly subscribe?: SubscribeOptions;
}

/** A server of one channel by several routes, on a clock that is moved by hand. */
async function serveBeats(routes: Record<string, Route>, carrier: Carrier = bare) {
  const watch = new SharedTextWatch();
  const channel = channelOf();
  const clock = new FakeClock(1);
  const registry = new Registry({}, clock);
  const toggle = createSwitch();
  const shared = { ...quiet, registry };
  const handlers = new Map(
    Object.entries(routes).map(([path, { heartbeats, subscribe }]) => [
      path,
      [heartbeat({ ...shared, ...heartbeats }), channel.subscribe(subscribe)] as const,
    ]),
  );
  const running = await serve(
    carrier,
    compress({ switch: toggle, live: true, threshold: 0 }) as Middleware,
    (req, res) => {
      const [beat, subscribe] = handlers.get(req.url ?? '')!;
      beat(req as never, res as never, () => subscribe(req as never, res as never));
    },
  );
  return {
    watch,
    toggle,
    channel,
    clock,
    registry,
    async join(path: string, accept = 'gzip', protocol: Protocol = 'HTTP/1.1'): Promise<CodedReading> {
      const before = channel.subscribers().length;
      const reading = await openCoded(running, protocol, { path, accept });
      onTestFinished(() => reading.destroy());
      await until(() => channel.subscribers().length > before);
      return reading;
    },
    /** Gives all clients more text than they remember. */
    async fill(readings: readonly CodedReading[]): Promise<void> {
      for (let number = 0; number < 12; number++) {
        void channel.publish(`fill ${number} ${'abcdefghij'.repeat(10)}`);
        await turns();
      }
      await until(() => readings.every(({ text }) => text.includes('fill 11')));
    },
    /** How often something is compressed meanwhile. */
    async compressionsOf(act: () => void, isDone: () => boolean): Promise<number> {
      const before = watch.compressions;
      act();
      await until(isDone);
      await turns();
      return watch.compressions - before;
    },
  };
}

/** The heartbeats at the end of a text. */
function beatsAfter(text: string, mark: string): string[] {
  const lines = text.slice(text.lastIndexOf(mark)).split('\n');
  return lines.filter((line) => line.startsWith(':'));
}

function joinAll(site: { join(path: string, accept?: string): Promise<CodedReading> }, paths: readonly string[]) {
  return Promise.all(paths.map((path) => site.join(path)));
}

it.each([['gzip', 'HTTP/1.1'], ['gzip', 'HTTP/2'], ...(hasZstd ? [['zstd', 'HTTP/1.1'] as const] : [])] as const)(
  'a heartbeat to all clients in %s over %s is compressed once, and keeps them in step',
  async (accept, protocol) => {
    const site = await serveBeats({ '/a': {} }, carrierOf(protocol));
    const readings = await Promise.all(Array.from({ length: 40 }, () => site.join('/a', accept, protocol)));
    await site.fill(readings);
    for (let round = 1; round <= 3; round++) {
      const beats = await site.compressionsOf(
        () => site.clock.advance(every + 20),
        () => readings.every(({ text }) => beatsAfter(text, 'fill 11').length === round),
      );
      expect(beats).toBe(1);
    }
    const events = await site.compressionsOf(
      () => void site.channel.publish('after'),
      () => readings.every(({ text }) => text.includes('after')),
    );
    expect(events).toBe(1);
    // Over HTTP/2 those of the sessions count as well.
    if (protocol === 'HTTP/1.1') expect(site.registry.stats().heartbeats).toBe(3 * readings.length);
  },
);

it('clients that came one after the other get their heartbeats together', async () => {
  const site = await serveBeats({ '/a': {} });
  const readings: CodedReading[] = [];
  for (let number = 0; number < 5; number++) {
    readings.push(await site.join('/a'));
    site.clock.advance(150);
  }
  site.clock.advance(every - 5 * 150 + 20);
  await until(() => readings.every(({ text }) => beatsAfter(text, ':ok\n').length === 2));
  expect(site.registry.stats().heartbeats).toBe(5);
  expect(site.watch.compressions).toBe(1);
});

it('more clients than one turn of the event loop has time for get one heartbeat each', async () => {
  const site = await serveBeats({ '/a': {} });
  const readings: CodedReading[] = [];
  for (let number = 0; number < 12; number++) readings.push(...(await joinAll(site, Array<string>(50).fill('/a'))));
  await site.fill(readings);
  const beats = await site.compressionsOf(
    () => site.clock.advance(every + 20),
    () => readings.every(({ text }) => beatsAfter(text, 'fill 11').length === 1),
  );
  expect(beats).toBe(1);
  expect(site.registry.stats().heartbeats).toBe(600);
});

it('events reset the clock for those that get them, and only for those', async () => {
  const site = await serveBeats({ '/a': {}, '/none': { subscribe: { filter: () => false } } });
  const all = await joinAll(site, ['/a', '/a', '/a']);
  const none = await site.join('/none');
  for (let number = 0; number < 5; number++) {
    await site.channel.publish(`event ${number}`);
    await until(() => all.every(({ text }) => text.includes(`event ${number}`)));
    site.clock.advance(600);
  }
  await until(() => beatsAfter(none.text, ':ok\n').length === 3);
  expect(all.map(({ text }) => beatsAfter(text, ':ok\n').length)).toEqual([1, 1, 1]);
  expect(site.registry.stats().heartbeats).toBe(2);
  // And when the channel is silent, it is one of them.
  const beats = await site.compressionsOf(
    () => site.clock.advance(every + 20),
    () => [...all, none].every(({ text }) => text.endsWith(':\n')),
  );
  expect(beats).toBe(1);
});

it('clients with another interval, or other heartbeats, keep their own', async () => {
  const site = await serveBeats({
    '/a': {},
    '/rare': { heartbeats: { every: 10 * every } },
    '/block': { heartbeats: { comments: 'block' } },
    '/named': { heartbeats: { event: 'beat' } },
    '/quiet': { heartbeats: { filter: () => false } },
  });
  const readings = await joinAll(site, [...Array<string>(6).fill('/a'), '/rare', '/block', '/named', '/quiet']);
  await site.fill(readings);
  site.clock.advance(every + 20);
  const ends = (): string[] => readings.map(({ text }) => text.slice(text.lastIndexOf('j\n\n') + 3));
  const expected = [...Array<string>(6).fill(':\n'), '', ':\n\n', 'event: beat\ndata:\n\n', ''];
  await until(
    () => ends().join('|') === expected.join('|'),
    () => JSON.stringify(ends()),
  );
  const events = await site.compressionsOf(
    () => void site.channel.publish('after'),
    () => readings.every(({ text }) => text.includes('after')),
  );
  // Those of the majority are in step, and the others share what they get.
  expect(events).toBe(2);
});

it('heartbeats of a few do not take the others out of step', async () => {
  const site = await serveBeats({ '/a': { heartbeats: { every: 10 * every } }, '/often': {} });
  const many = await joinAll(site, Array<string>(10).fill('/a'));
  const few = await joinAll(site, ['/often', '/often', '/often']);
  await site.fill([...many, ...few]);
  for (let round = 1; round <= 3; round++) {
    site.clock.advance(every + 20);
    await until(() => few.every(({ text }) => beatsAfter(text, 'fill 11').length === round));
  }
  for (const { text } of many) expect(beatsAfter(text, 'fill 11')).toEqual([]);
  for (const reading of few) reading.destroy();
  await until(() => site.channel.subscribers().length === many.length);
  const events = await site.compressionsOf(
    () => void site.channel.publish('after'),
    () => many.every(({ text }) => text.includes('after')),
  );
  expect(events).toBe(1);
  // One for the text of the channel that is in step: all others were compressed without what came before.
  expect([...site.watch.texts].map(({ length }) => length)).toEqual([13, 3]);
});

it.each([
  ['ndjson', 'identity', 'HTTP/1.1'],
  ['ndjson', 'gzip', 'HTTP/1.1'],
  ['sse', 'identity', 'HTTP/1.1'],
  ['sse', 'identity', 'HTTP/1.0'],
  ['sse', 'gzip', 'HTTP/1.0'],
  ['sse', 'deflate', 'HTTP/1.1'],
  ['sse', 'br', 'HTTP/1.1'],
  ['sse', 'identity', 'HTTP/2'],
  ['sse', 'gzip', 'HTTP/2'],
] as const)('%s clients in %s over %s get them', async (as, accept, protocol) => {
  const site = await serveBeats({ '/a': { subscribe: { as } } }, carrierOf(protocol));
  const readings = await Promise.all([1, 2, 3].map(() => site.join('/a', accept, protocol)));
  await site.channel.publish('before');
  await until(() => readings.every(({ text }) => text.includes('before')));
  site.clock.advance(every + 20);
  await site.channel.publish('after');
  await until(() => readings.every(({ text }) => text.includes('after')));
  const beat = as === 'sse' ? ':\n' : '\n';
  const [first] = readings.map(({ text }) => text);
  expect(first).toMatch(
    as === 'sse' ? /before\n\n:\nid: \S+\ndata: after\n\n$/ : /"before"\}\n\n\{"id":.*"after"\}\n$/,
  );
  expect(readings.map(({ text }) => text)).toEqual([first, first, first]);
  // Over HTTP/2 those of the sessions count as well.
  if (protocol !== 'HTTP/2') expect(site.registry.stats().heartbeats).toBe(3);
  expect([...site.watch.texts][0]?.tail.toString()).toContain(beat);
});

it('a stream that is stored and not compressed shares them', async () => {
  const site = await serveBeats({ '/a': {} });
  const readings = await joinAll(site, ['/a', '/a']);
  site.toggle.disable();
  await site.channel.publish('before');
  await until(() => readings.every(({ text }) => text.endsWith('before\n\n')));
  site.clock.advance(every + 20);
  await until(() => readings.every(({ text }) => text.endsWith('before\n\n:\n')));
  expect(site.watch.compressions).toBe(0);
});

it('a client that does not read gets none, and the others do', async () => {
  const site = await serveBeats({ '/a': { subscribe: { maxBuffered: Infinity } } });
  const [slow, ...others] = await Promise.all([1, 2, 3].map(() => site.join('/a', 'identity')));
  slow!.pause();
  const noise = Array.from({ length: 150 }, () =>
    Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('base64'),
  );
  for (const data of noise) await site.channel.publish(data);
  await until(() => others.every(({ text }) => text.length > 150 * 80_000));
  site.clock.advance(every + 20);
  await until(() => others.every(({ text }) => text.endsWith(':\n')));
  await turns();
  const { heartbeats } = site.registry.stats();
  slow!.resume();
  await until(() => slow!.text.length > 150 * 80_000);
  expect([heartbeats, beatsAfter(slow!.text, 'data:')]).toEqual([2, []]);
});

it('the clock of a producer goes on: heartbeats do not hide that nothing is published', async () => {
  const site = await serveBeats({ '/a': { heartbeats: { idleProducer: 3 * every } } });
  const readings = await joinAll(site, ['/a', '/a']);
  for (let round = 0; round < 3; round++) {
    site.clock.advance(every + 20);
    await turns();
  }
  await until(() => site.channel.subscribers().length === 0);
  // The clients may still have it to read.
  await until(() => readings.every(({ text }) => text.includes('retry:') && text.endsWith('\n')));
  for (const { text } of readings) expect(text).toMatch(/^:ok\n:\n:\nretry: \d+\n$/);
});

it('a filter that lets all pass costs no compression of its own', async () => {
  const site = await serveBeats({ '/a': {}, '/pass': { subscribe: { filter: () => true, map: (event) => event } } });
  const readings = await joinAll(site, ['/a', '/a', '/pass', '/pass']);
  await site.fill(readings);
  const events = await site.compressionsOf(
    () => void site.channel.publish('after'),
    () => readings.every(({ text }) => text.includes('after')),
  );
  expect(events).toBe(1);
});

function roomsOf(): Channels {
  const rooms = createChannels();
  onTestFinished(() => rooms.close());
  return rooms;
}

it('clients on the same channels share theirs, also when they join and leave channels', async () => {
  const watch = new SharedTextWatch();
  const rooms = roomsOf();
  const clock = new FakeClock(1);
  const registry = new Registry({}, clock);
  const running = await serve(
    bare,
    compress({ threshold: 0 }) as Middleware,
    heartbeat({ ...quiet, registry }) as Middleware,
    rooms.subscribe((req) => new URL(req.url ?? '', 'http://a').searchParams.getAll('key')) as Middleware,
  );
  const join = async (path: string): Promise<CodedReading> => {
    const reading = await openCoded(running, 'HTTP/1.1', { path, accept: 'gzip' });
    onTestFinished(() => reading.destroy());
    return reading;
  };
  const both = await Promise.all([1, 2, 3].map(() => join('/?key=a&key=b')));
  const one = await Promise.all([1, 2].map(() => join('/?key=a')));
  const all = [...both, ...one];
  await until(() => rooms.subscribers().length === 5);
  let fills = 0;
  const fill = async (): Promise<void> => {
    const mark = String(++fills);
    await rooms.publish('a', mark.padStart(2000, 'x'));
    await until(() => all.every(({ text }) => text.endsWith(`${mark}\n\n`)));
  };
  await fill();
  const beat = async (): Promise<number> => {
    const { compressions } = watch;
    const lengths = all.map(({ text }) => text.length);
    clock.advance(every + 20);
    await until(() => all.every(({ text }, index) => text.length >= lengths[index]! + 2));
    await turns();
    expect(all.map(({ text }, index) => text.slice(lengths[index]))).toEqual(Array<string>(5).fill(':\n'));
    return watch.compressions - compressions;
  };
  // Once for those on both channels, and once for those on one.
  expect(await beat()).toBe(2);
  for (const subscriber of rooms.subscribers()) subscriber.leave('b');
  await fill();
  // All have the text of one channel now.
  expect(await beat()).toBe(1);
  for (const subscriber of rooms.subscribers()) subscriber.join('c');
  await fill();
  expect(await beat()).toBe(1);
  expect(registry.stats().heartbeats).toBe(15);
});
