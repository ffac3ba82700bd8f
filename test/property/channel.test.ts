import { spawnSync } from 'node:child_process';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { between, createRandom, pick } from '../../bench/support/random.js';
import { brotli, compress, createSwitch, deflate, gzip, zstd } from '../../src/compress/index.ts';
import { createChannel, type SubscribeOptions } from '../../src/channel/index.ts';
import { heartbeat } from '../../src/heartbeat/index.ts';
import { Registry } from '../../src/internal/health/registry.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { type CodedReading, openCoded } from '../support/coded-clients.ts';
import { codings, decodeStrictly, hasZstd } from '../support/decoders.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { HandGovernor } from '../support/hand-governor.ts';
import { serve } from '../support/serve.ts';
import { SharedTextWatch } from '../support/shared-texts.ts';
import { settles, turns, until } from '../support/until.ts';
import { parseZstdFrames } from '../support/zstd-addon.ts';

// Longer, for a change of the engine: SLUICE_SEGMENT_TICKS=5000.
const ticks = Number(process.env['SLUICE_SEGMENT_TICKS'] ?? 160);
const every = 1000;

/** An event as a client gets it. */
interface Got {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** What clients of a path get of the events. */
const routes = {
  '/all': (event: Got) => event,
  '/some': (event: Got) => (event.event === 'b' ? event : undefined),
  '/short': (event: Got) => ({ ...event, data: event.data.slice(0, 20) }),
} as const;

type Path = keyof typeof routes;
const paths: readonly Path[] = ['/all', '/all', '/all', '/all', '/some', '/short'];

/** Fields of one line only. Far faster than a parser for browsers, for megabytes of text. */
function readText(text: string): { readonly events: Got[]; readonly notes: string[]; readonly lastEventId: string } {
  const events: Got[] = [];
  const notes: string[] = [];
  let fields: Record<string, string> = {};
  let lastEventId = '';
  for (const line of text.split('\n').slice(0, -1)) {
    if (line === '') {
      lastEventId = fields['id'] ?? lastEventId;
      const { event = '', data } = fields;
      if (data !== undefined) events.push({ id: lastEventId, event, data });
      fields = {};
    } else if (line.startsWith(':note')) notes.push(line);
    else if (!line.startsWith(':')) {
      const [name = ''] = line.split(':', 1);
      fields[name] = line.slice(name.length + 1).replace(/^ /, '');
    }
  }
  return { events, notes, lastEventId };
}

/** A client, and what it is to get. */
interface Client {
  readonly path: Path;
  readonly reading: CodedReading;
  /** How many events there were when it came. */
  readonly from: number;
  readonly notes: string[];
  readonly res: ServerResponse;
}

async function serveTicks() {
  const watch = new SharedTextWatch();
  const channel = createChannel({ name: 'random', history: { count: 1_000_000, bytes: Infinity } });
  onTestFinished(() => channel.close());
  const governor = new HandGovernor();
  const makeCodecs = (level: number) => [
    gzip({ level, syncThreshold: '16kb' }),
    deflate({ level, syncThreshold: '16kb' }),
    brotli(),
    zstd(),
  ];
  const profiles = [1, 6, 9].map((level) => ({ codecs: makeCodecs(level) }));
  const toggle = createSwitch(profiles[1]);
  const clock = new FakeClock();
  const registry = new Registry({}, clock);
  const quiet = { jitter: 0, readDeadline: Infinity, writeDeadline: Infinity, ackProbe: false } as const;
  const responses = new Map<string, ServerResponse>();
  const unbounded: SubscribeOptions = { maxBuffered: Infinity };
  const handlers: Record<Path, ReturnType<typeof channel.subscribe>> = {
    '/all': channel.subscribe(unbounded),
    '/some': channel.subscribe({ ...unbounded, filter: ({ event }) => event === 'b' }),
    '/short': channel.subscribe({
      ...unbounded,
      map: ({ event, data }) => ({ event, data: String(data).slice(0, 20) }),
    }),
  };
  const running = await serve(
    bare,
    compress({ switch: toggle, governor, live: true, threshold: 0 }) as Middleware,
    heartbeat({ every, registry, ...quiet }) as Middleware,
    (req, res, next) => {
      const [path = '', number = ''] = (req.url ?? '').split('?');
      responses.set(number, res as ServerResponse);
      return handlers[path as Path](req as never, res as never, next);
    },
  );
  let visits = 0;
  const used = new Set<string>();
  return {
    watch,
    channel,
    governor,
    toggle,
    profiles,
    registry,
    /** Content-codings of all clients. */
    used,
    beat: () => clock.advance(every + 20),
    async join(path: Path, accept: string, from: number, lastEventId?: string): Promise<Client> {
      const number = String(visits++);
      const headers = { accept: 'text/event-stream', ...(lastEventId && { 'last-event-id': lastEventId }) };
      const reading = await openCoded(running, 'HTTP/1.1', { path: `${path}?${number}`, accept, headers });
      onTestFinished(() => reading.destroy());
      used.add(reading.coding);
      return { path, reading, from, notes: [], res: responses.get(number)! };
    },
  };
}

const words = ['{"price":', '"volume":', 'AAPL', 'é', '}', ' ', 'symbol', '101.25'];

/** Much of it repeats what came before, which a block then refers to: a wrong history gives another text. */
function randomData(random: () => number, length: number): string {
  let text = String(Math.floor(random() * 1e6));
  while (text.length < length && text.length < 5000) text += pick(random, words) + String(Math.floor(random() * 1e4));
  if (text.length < length) text = text.repeat(Math.ceil(length / text.length));
  return text.slice(0, length);
}

function randomLength(random: () => number): number {
  const kind = random();
  if (kind < 0.85) return between(random, 1, 300);
  if (kind < 0.95) return between(random, 900, 1100);
  return kind < 0.99 ? between(random, 5000, 20_000) : 70_000;
}

it('a channel gives each client one valid member with exactly its events', async () => {
  const random = createRandom(Number(process.env['SLUICE_SEED'] ?? 7));
  const site = await serveTicks();
  const published: Got[] = [];
  const clients: Client[] = [];
  let resumed = 0;
  const accepts: readonly string[] = [
    'gzip',
    'gzip',
    'gzip',
    'deflate',
    'br',
    'identity',
    ...(hasZstd ? ['zstd'] : []),
  ];
  const publish = async (length: number): Promise<void> => {
    const entry = { event: pick(random, ['a', 'b', 'c']), data: randomData(random, length) };
    published.push({ id: await site.channel.publish(entry), ...entry });
  };
  const join = async (): Promise<void> => {
    clients.push(await site.join(pick(random, paths), pick(random, accepts), published.length));
  };
  const expected = ({ path, from }: Client): Got[] => published.slice(from).flatMap((each) => routes[path](each) ?? []);
  const leave = async (): Promise<void> => {
    const [client] = clients.splice(between(random, 0, clients.length - 1), 1);
    if (!client) return;
    client.reading.resume();
    await turns(5);
    client.reading.destroy();
    const { events, lastEventId } = readText(client.reading.text);
    expect(events).toEqual(expected(client).slice(0, events.length));
    if (random() < 0.3) return;
    // One that read nothing comes as a new one.
    const last = published.findIndex(({ id }) => id === lastEventId);
    const from = lastEventId === '' ? published.length : last + 1;
    clients.push(await site.join(client.path, pick(random, accepts), from, lastEventId));
    resumed += 1;
  };
  const note = ({ res, notes }: Client): void => {
    notes.push(`:note ${randomData(random, 40)}`);
    res.write(`${notes.at(-1)}\n`);
  };

  for (const accept of accepts) clients.push(await site.join('/all', accept, 0));
  for (const path of paths) clients.push(await site.join(path, 'gzip', 0));
  for (let tick = 0; tick < ticks; tick++) {
    const kind = random();
    if (kind < 0.06 && clients.length < 40) await join();
    else if (kind < 0.1) await leave();
    else if (kind < 0.16) note(pick(random, clients));
    else if (kind < 0.2) pick(random, clients).reading.pause();
    else if (kind < 0.25) for (const { reading } of clients) reading.resume();
    else if (kind < 0.31) site.beat();
    else if (kind < 0.34) site.toggle.disable();
    else if (kind < 0.4) site.toggle.enable();
    else if (kind < 0.43) site.governor.tier = pick(random, [0, 1, 2] as const);
    else if (kind < 0.45) await site.toggle.swap(pick(random, site.profiles));
    else {
      const length = tick === Math.floor(ticks / 2) ? 1_000_000 : undefined;
      for (let more = between(random, 1, 3); more > 0; more--) await publish(length ?? randomLength(random));
    }
    // Some of what comes next meets a block that is still being made, or a socket that is full.
    if (random() < 0.8) await turns(2);
    else if (random() < 0.3) await sleep(2);
  }
  for (const { reading } of clients) reading.resume();
  await site.channel.end();
  await settles(Promise.all(clients.map(({ reading }) => reading.over)));

  for (const client of clients) {
    const { reading, path, notes } = client;
    const about = `${path} from ${client.from}, ${reading.coding}`;
    expect([about, await reading.over]).toEqual([about, 'end']);
    const text = decodeStrictly(reading.coding, reading.content).toString();
    const got = readText(text);
    expect([about, got.notes]).toEqual([about, notes]);
    expect([about, got.events]).toEqual([about, expected(client)]);
    // Decoders of Node 22 lose a frame that comes in one piece with the end of another.
    if (reading.coding === 'zstd') expect([about, parseZstdFrames(reading.content).length]).toEqual([about, 1]);
    if (reading.coding !== 'gzip') continue;
    const { stdout, status } = spawnSync('gunzip', { input: reading.content, maxBuffer: 2 ** 28 });
    expect([about, status, stdout.toString() === text]).toEqual([about, 0, true]);
  }
  expect([...site.used].toSorted()).toEqual([...codings, 'identity'].toSorted());
  expect(resumed).toBeGreaterThan(0);
  expect(site.registry.stats().heartbeats).toBeGreaterThan(clients.length);
  // Once for those in step, and once for the others, by deflate and by zstd. What is put in a pool thread counts as one
  // too.
  for (const text of site.watch.texts) expect(text.compressions).toBeLessThanOrEqual((hasZstd ? 4 : 2) * text.length);
  expect(site.registry.stats().connections).toBe(0);
});

/** Codings whose blocks are alike. */
const families = [
  { count: 1, accepts: ['gzip'] },
  { count: 300, accepts: ['gzip', 'gzip', 'deflate'] },
  ...(hasZstd ? [{ count: 60, accepts: ['zstd'] }] : []),
];

it.each(families)('$count clients with $accepts cost at most two compressions a tick', async ({ count, accepts }) => {
  const random = createRandom(count);
  const site = await serveTicks();
  const join = (index: number, from: number): Promise<Client> =>
    site.join('/all', accepts[index % accepts.length]!, from);
  const clients: Client[] = [];
  for (let index = 0; index < count; index += 30)
    clients.push(...(await Promise.all(Array.from({ length: Math.min(30, count) }, (_, at) => join(index + at, 0)))));
  const perTick: number[] = [];
  for (let tick = 0; tick < 30; tick++) {
    // From here on some have other text before the next segment, and one has missed all.
    if (tick === 6) for (const { res } of clients.slice(0, count / 3)) res.write(':note of its own\n');
    if (tick === 8) site.toggle.disable();
    if (tick === 10) site.toggle.enable();
    if (tick === 12) clients.push(await join(0, tick));
    // A heartbeat counts as one more tick: it is compressed once, and all stay in step.
    if (tick === 20) {
      const heartbeats = site.registry.stats().heartbeats;
      const before = site.watch.compressions;
      site.beat();
      await until(() => site.registry.stats().heartbeats === heartbeats + clients.length);
      expect(site.watch.compressions - before).toBe(1);
    }
    const before = site.watch.compressions;
    await site.channel.publish(`tick ${tick}: ${randomData(random, 200)}`);
    // The one that came last is the last of each round.
    await until(() => clients.at(-1)?.reading.text.includes(`tick ${tick}:`) === true);
    perTick.push(site.watch.compressions - before);
  }
  await site.channel.end();
  for (const { reading, from } of clients) {
    expect(await settles(reading.over)).toBe('end');
    const got = readText(decodeStrictly(reading.coding, reading.content).toString());
    expect(got.events.map(({ data }) => data.split(':')[0])).toEqual(
      Array.from({ length: 30 - from }, (_, index) => `tick ${from + index}`),
    );
  }
  expect(Math.max(...perTick)).toBe(2);
  expect(perTick.slice(0, 6)).toEqual([1, 1, 1, 1, 1, 1]);
  // What is stored is shared too.
  expect(perTick.slice(8, 10)).toEqual([0, 0]);
  // By then all have the same text behind them again, as far back as they remember.
  expect(perTick.slice(-12)).toEqual(Array.from({ length: 12 }, () => 1));
});
