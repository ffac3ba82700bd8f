import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  brotli,
  type Codec,
  compress,
  type Compression,
  type CompressionDecisionMessage,
  type CompressionProfile,
  createGovernor,
  createSwitch,
  deflate,
  gzip,
  type SwitchState,
  type Tier,
  type Tuning,
  zstd,
} from '../../src/compress/index.ts';
import { http1Client, type UndecodedReading } from '../support/body-clients.ts';
import { bare } from '../support/carriers.ts';
import { type Coding, codings, decodeStrictly, hasZstd } from '../support/decoders.ts';
import { HandGovernor } from '../support/hand-governor.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

/** What the operator of a service does, and what its clients do meanwhile. */
type Step =
  | { readonly do: 'enable' | 'disable' | 'turn' }
  | { readonly do: 'swap'; readonly profile: number; readonly waits: boolean }
  | { readonly do: 'tier'; readonly tier: Tier }
  | { readonly do: 'publish'; readonly times: number; readonly size: number }
  | { readonly do: 'open' | 'end'; readonly count: number }
  | { readonly do: 'request'; readonly count: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: 'enable' }, { do: 'disable' }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('swap' as const), profile: fc.nat({ max: 4 }), waits: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('tier' as const), tier: fc.constantFrom<Tier>(0, 1, 2, 3) }) },
  // Some make a block that goes to the thread pool.
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      times: fc.integer({ min: 1, max: 3 }),
      size: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 6 }) }, fc.constant(80)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('open', 'open', 'end'), count: fc.integer({ min: 1, max: 6 }) }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('request' as const), count: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 4, arbitrary: fc.constant<Step>({ do: 'turn' }) },
);

const accepted = [
  'gzip',
  'deflate',
  'br',
  'zstd',
  'gzip, br;q=0.5',
  'zstd, gzip',
  'gzip, deflate, br, zstd',
  'identity',
  '*',
];

// What brotli does with a block takes a moment, which is a good time for a switch to be thrown.
const profiles: readonly (() => CompressionProfile)[] = [
  () => ({
    name: 'all',
    codecs: [zstd(), brotli(), gzip({ syncThreshold: '2kb' }), deflate({ syncThreshold: '2kb' })],
  }),
  () => ({ name: 'gzip alone', codecs: [gzip({ level: 9 })] }),
  () => ({ name: 'stored', codecs: [gzip({ level: [0, 1, 0] }), deflate({ level: 0 })] }),
  () => ({ name: 'large ones only', codecs: [brotli(), gzip()], threshold: 4000 }),
  () => ({ name: 'nothing', codecs: [] }),
];

const codingsOf = (profile: CompressionProfile): string[] =>
  (profile.codecs ?? []).filter(({ available }) => available).map(({ coding }) => coding);

/** A response as its handler made it: what the client must get. */
interface Sent {
  text: string;
  res: ServerResponse | undefined;
}

interface Service {
  readonly origin: { readonly port: number };
  readonly sent: Map<string, Sent>;
}

/** Text of a response, which names it in every line: what is lost, doubled or another's is seen. */
function lines(id: string, from: number, count: number): string {
  return Array.from(
    { length: count },
    (_each, index) => `data: {"of":"${id}","line":${from + index},"symbol":"SLC","price":101.25}\n\n`,
  ).join('');
}

async function serveAll(compression: Compression): Promise<Service> {
  const sent = new Map<string, Sent>();
  const running = await serve(bare, compression, async (request, response) => {
    const [req, res] = [request as IncomingMessage, response as ServerResponse];
    const { url: id = '' } = req;
    const own: Sent = { text: '', res };
    sent.set(id, own);
    const kind = id.split('/')[1];
    res.setHeader('Content-Type', kind === 'events' ? 'text/event-stream' : 'text/plain');
    if (kind === 'events') {
      own.text = ':ok\n';
      res.write(own.text);
      return;
    }
    own.text = lines(id, 0, 10 + (id.length % 7) * 30);
    if (kind === 'whole') {
      res.end(own.text);
      return;
    }
    const third = Math.ceil(own.text.length / 3);
    for (let at = 0; at < own.text.length; at += third) {
      res.write(own.text.slice(at, at + third));
      await turns(2);
    }
    res.end();
  });
  // Node closes an idle connection after 5 s: just then the agent of a process that stood still may use it.
  Object.assign(running.server, { keepAliveTimeout: 60_000 });
  return { origin: running, sent };
}

function decisions(): CompressionDecisionMessage[] {
  const messages: CompressionDecisionMessage[] = [];
  const note = (message: unknown): void => void messages.push(message as CompressionDecisionMessage);
  subscribe('sluice:compress:decision', note);
  onTestFinished(() => void unsubscribe('sluice:compress:decision', note));
  return messages;
}

describe.each([true, false])('while everything is switched at random, live: %s,', (live) => {
  it('each response is one thing from its head to its end, whole and in order', { timeout: 180_000 }, async () => {
    const governor = new HandGovernor();
    const toggle = createSwitch(profiles[0]!());
    const compression = compress({ switch: toggle, governor, live, threshold: 100, idleFlush: 2 });
    const messages = decisions();
    const { origin, sent } = await serveAll(compression);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 12 });
    const requests = http1Client(origin, agent);
    const visits = http1Client(origin);
    onTestFinished(() => requests.close());
    // What was done, by version; not what the switch says of itself.
    const done: { readonly enabled: boolean; readonly profile: CompressionProfile }[] = [
      { enabled: true, profile: toggle.profile },
    ];
    let latest = done[0]!;
    const change = (part: Partial<typeof latest>): void => void done.push((latest = { ...latest, ...part }));

    let next = 0;
    const readings = new Map<string, UndecodedReading>();
    const open: string[] = [];
    const pending: Promise<unknown>[] = [];
    const visit = (kind: string): Promise<UndecodedReading> => {
      const id = `/${kind}/${next++}`;
      return (kind === 'events' ? visits : requests).get(id, accepted[next % accepted.length]).then((reading) => {
        readings.set(id, reading);
        return reading;
      });
    };
    const openStreams = async (count: number): Promise<void> => {
      await Promise.all(Array.from({ length: count }, () => visit('events')));
      open.splice(
        0,
        open.length,
        ...[...sent].filter(([id, { res }]) => id.startsWith('/events') && res && !res.writableEnded).map(([id]) => id),
      );
    };
    const publish = (id: string, size: number): void => {
      const own = sent.get(id)!;
      const text = lines(id, own.text.length, size);
      own.text += text;
      own.res!.write(text);
    };

    const act: { [Kind in Step['do']]: (step: Extract<Step, { do: Kind }>) => unknown } = {
      enable: () => {
        if (!latest.enabled) change({ enabled: true });
        toggle.enable();
      },
      disable: () => {
        if (latest.enabled) change({ enabled: false });
        toggle.disable();
      },
      swap: ({ profile, waits }) => {
        const made = profiles[profile]!();
        const swapped = toggle.swap(made).then(() => undefined);
        // When it happens is up to the codecs; that it is what was asked for is not.
        const undo = toggle.on('change', (state) => {
          if (state.profile.name !== made.name || state.profile.codecs?.[0] !== made.codecs?.[0] || done[state.version])
            return;
          change({ profile: state.profile });
        });
        pending.push(swapped.then(undo));
        return waits ? swapped : undefined;
      },
      tier: ({ tier }) => (governor.tier = tier),
      publish: async ({ times, size }) => {
        for (let time = 0; time < times; time++) {
          for (const [index, id] of open.entries()) if ((index + time + next) % 4 === 0) publish(id, size);
          if (time % 2 === 1) await turns(1);
        }
      },
      open: ({ count }) => openStreams(count),
      end: ({ count }) => {
        for (const id of open.splice(0, count)) sent.get(id)!.res!.end();
      },
      request: ({ count }) => {
        for (let index = 0; index < count; index++)
          pending.push(visit(index % 2 === 0 ? 'whole' : 'long').then((reading) => reading.over));
      },
      turn: () => turns(3),
    };

    await openStreams(180);
    for (const each of fc.sample(step, 900)) await act[each.do](each as never);
    await settles(Promise.all(pending), 60_000);
    for (const id of open) sent.get(id)!.res!.end('the end\n');
    for (const id of open) sent.get(id)!.text += 'the end\n';
    await settles(Promise.all([...readings.values()].map(({ over }) => over)), 60_000);

    const streams = [...readings.keys()].filter((id) => id.startsWith('/events'));
    expect([streams.length >= 200, readings.size >= 1000]).toEqual([true, true]);
    const used = new Set<string>();
    for (const [id, reading] of readings) {
      expect([id, await reading.over]).toEqual([id, 'end']);
      used.add(reading.coding);
      expect([id, decodeStrictly(reading.coding, reading.bytes).toString() === sent.get(id)!.text]).toEqual([id, true]);
      expect(reading.headers['vary']).toBe('Accept-Encoding');
    }
    expect([...used].toSorted()).toEqual([...codings, 'identity'].toSorted());

    expect(messages).toHaveLength(readings.size);
    for (const { req, coding, reason, version, tier, kind } of messages) {
      const id = req.url!;
      expect([id, coding]).toEqual([id, readings.get(id)!.coding]);
      expect(kind).toBe(id.startsWith('/events') ? 'event-stream' : id.startsWith('/whole') ? 'complete' : 'long');
      const state = done[version]!;
      if (coding !== 'identity')
        expect([id, state.enabled, tier === 3, codingsOf(state.profile).includes(coding)]).toEqual([
          id,
          true,
          false,
          true,
        ]);
      else if (reason === 'switch-off') expect([id, state.enabled]).toEqual([id, false]);
      else if (reason === 'tier-off') expect([id, tier, state.enabled]).toEqual([id, 3, true]);
      else expect(['below-threshold', 'not-acceptable', 'identity-preferred', 'no-codec', 'no-gain']).toContain(reason);
    }
    expect(done.length).toBeGreaterThan(50);
    expect(toggle.version).toBe(done.length - 1);
    await until(() => compression.activeEncoders === 0 && compression.encoderBytes === 0);
  });
});

// One stream, looked at byte by byte.

/** A codec of event streams that tells what becomes of each. */
function watched(codec: Codec, log: unknown[]): Codec {
  return {
    ...codec,
    createBlocks: (settings) => {
      const blocks = codec.createBlocks!(settings);
      log.push({ tier: settings.tier });
      const retune = blocks.retune?.bind(blocks);
      return {
        memory: blocks.memory,
        encode: (text, last) => blocks.encode(text, last),
        close: () => blocks.close(),
        ...(retune && {
          retune: (tuning: Tuning) => {
            log.push(tuning === 'stored' ? tuning : { tier: tuning.tier });
            retune(tuning);
          },
        }),
      };
    },
  };
}

interface OneStream {
  readonly reading: UndecodedReading;
  /** Writes the same event again, and resolves with the bytes that it became. */
  publish(): Promise<Buffer>;
  end(): Promise<Buffer>;
}

async function openOne(compression: Compression, coding: Coding): Promise<OneStream> {
  const { origin, sent } = await serveAll(compression);
  const reading = await http1Client(origin).get('/events/one', coding);
  onTestFinished(() => reading.destroy());
  await until(() => reading.bytes.length > 0);
  const own = sent.get('/events/one')!;
  return {
    reading,
    publish: async () => {
      const before = reading.bytes.length;
      own.text += event;
      own.res!.write(event);
      await until(() => reading.bytes.length > before);
      await turns(2);
      return reading.bytes.subarray(before);
    },
    end: async () => {
      own.res!.end();
      expect(await settles(reading.over)).toBe('end');
      expect(decodeStrictly(coding, reading.bytes).toString()).toBe(own.text);
      return reading.bytes;
    },
  };
}

const event = 'data: {"symbol":"SLC","price":101.25,"size":300,"venue":"XETR"}\n\n';

/** Codecs whose event streams follow a switch, and the bytes that they put around what is stored. */
const followers: { coding: Coding; make: typeof gzip | typeof zstd; around: number }[] = [
  // The head of a stored block, and an empty one as the mark of the flush.
  { coding: 'gzip', make: gzip, around: 5 + 5 },
  { coding: 'deflate', make: deflate, around: 5 + 5 },
  // The head of a raw block.
  ...(hasZstd ? [{ coding: 'zstd' as Coding, make: zstd, around: 3 }] : []),
];

describe.each(followers)('an open $coding stream', ({ coding, make, around }) => {
  it('that is live is stored while the switch is off, and deflated again when it is on', async () => {
    const compression = compress({ live: true });
    const stream = await openOne(compression, coding);
    await stream.publish();
    expect((await stream.publish()).length).toBeLessThan(20);
    compression.switch.disable();
    for (let time = 0; time < 3; time++) {
      const bytes = await stream.publish();
      expect([bytes.includes(event), bytes.length]).toEqual([true, event.length + around]);
    }
    compression.switch.enable();
    const again = await stream.publish();
    // It refers to what was stored.
    expect([again.includes(event), again.length < 20]).toEqual([false, true]);
    await stream.end();
  });

  // zstd has no level 0.
  const levelled = coding === 'zstd' ? [] : [{ level: 0 }];

  it.each(levelled)('that is live is stored while the profile lacks its coding, and at level $level', async () => {
    const log: unknown[] = [];
    const governor = new HandGovernor();
    const compression = compress({ live: true, governor, codecs: [watched(make(), log)] });
    const stream = await openOne(compression, coding);
    await compression.switch.swap({ codecs: [brotli()] });
    expect((await stream.publish()).includes(event)).toBe(true);
    await compression.switch.swap({ codecs: [make({ level: 0 })] });
    // Level 0 is stored too, but by zlib.
    expect((await stream.publish()).includes(event)).toBe(true);
    await compression.switch.swap({ codecs: [make({ level: [0, 9, 0] })] });
    expect((await stream.publish()).includes(event)).toBe(true);
    governor.tier = 1;
    expect((await stream.publish()).length).toBeLessThan(20);
    governor.tier = 3;
    expect((await stream.publish()).includes(event)).toBe(true);
    await stream.end();
    expect(log).toEqual([
      { tier: 0 },
      { tier: 0 },
      'stored',
      { tier: 0 },
      { tier: 0 },
      { tier: 1 },
      { tier: 3 },
      { tier: 3 },
    ]);
  });

  it('that is not live keeps what it began with to its end', async () => {
    const log: unknown[] = [];
    const governor = new HandGovernor();
    const compression = compress({ governor, codecs: [watched(make(), log)] });
    const stream = await openOne(compression, coding);
    // The first is too short to be remembered.
    await stream.publish();
    await stream.publish();
    const plain = await stream.publish();
    compression.switch.disable();
    expect(await stream.publish()).toEqual(plain);
    governor.tier = 3;
    expect(await stream.publish()).toEqual(plain);
    await compression.switch.swap({ codecs: [make({ level: 0 })], live: true });
    compression.switch.enable();
    expect(await stream.publish()).toEqual(plain);
    await stream.end();
    expect(log).toEqual([{ tier: 0 }]);
  });

  it('that ends while the switch is off is whole', async () => {
    const compression = compress({ live: true });
    const stream = await openOne(compression, coding);
    compression.switch.disable();
    await stream.end();
  });
});

it('an open br stream that is live goes on as it is', async () => {
  const compression = compress({ live: true });
  const stream = await openOne(compression, 'br');
  await stream.publish();
  compression.switch.disable();
  expect((await stream.publish()).includes(event)).toBe(false);
  await compression.switch.swap({ codecs: [gzip()] });
  expect((await stream.publish()).includes(event)).toBe(false);
  await stream.end();
});

it('whether a stream follows is what its profile said at its head', async () => {
  const compression = compress({ live: true });
  const follows = await openOne(compression, 'gzip');
  await compression.switch.swap({ live: false });
  const stays = await openOne(compression, 'gzip');
  for (const stream of [follows, stays]) await stream.publish();
  compression.switch.disable();
  expect((await follows.publish()).includes(event)).toBe(true);
  expect((await stays.publish()).includes(event)).toBe(false);
  await follows.end();
  await stays.end();
});

it('a governor that samples moves the levels of new responses, and the last tier sends them as they are', async () => {
  let load = 0;
  const governor = createGovernor({ interval: 5, dwell: 0, sample: () => load });
  const compression = compress({ governor, threshold: 0, serverTiming: true });
  onTestFinished(() => governor.close());
  const messages = decisions();
  const { origin } = await serveAll(compression);
  const client = http1Client(origin);
  const visit = async (): Promise<UndecodedReading> => {
    const reading = await client.get('/whole/one', 'gzip');
    expect(await settles(reading.over)).toBe('end');
    return reading;
  };
  expect((await visit()).headers['server-timing']).toBe('compress;desc="gzip"');
  load = 2;
  await until(() => governor.tier === 3);
  const loaded = await visit();
  expect([loaded.coding, loaded.headers['server-timing']]).toEqual(['identity', 'compress;desc="tier-off"']);
  load = 0;
  await until(() => governor.tier === 0);
  expect((await visit()).coding).toBe('gzip');
  expect(messages.map(({ tier }) => tier)).toEqual([0, 3, 0]);
  compression.close();
  load = 2;
  await turns(20);
  // It was given, so it is not closed with the middleware.
  await until(() => governor.tier > 0);
});

it('a shared switch turns all of its middlewares at once, and each keeps its own options', async () => {
  const toggle = createSwitch();
  const [one, other] = [
    compress({ switch: toggle, threshold: 0 }),
    compress({ switch: toggle, codecs: [deflate()], threshold: 0 }),
  ];
  const states: SwitchState[] = [];
  toggle.on('change', (state) => states.push(state));
  const read = async (compression: Compression): Promise<string> => {
    const { origin } = await serveAll(compression);
    const reading = await http1Client(origin).get('/whole/one', 'gzip, deflate');
    await settles(reading.over);
    return reading.coding;
  };
  expect([await read(one), await read(other)]).toEqual(['gzip', 'deflate']);
  one.switch.disable();
  expect([await read(one), await read(other)]).toEqual(['identity', 'identity']);
  other.switch.enable();
  await toggle.swap({ threshold: '1mb' });
  expect([await read(one), await read(other)]).toEqual(['identity', 'identity']);
  expect(states.map(({ version }) => version)).toEqual([1, 2, 3]);
});
