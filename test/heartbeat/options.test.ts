import { Duplex } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AckProbe } from '../../src/internal/health/ack-probe.ts';
import { encodeHeartbeat } from '../../src/internal/format/frame.ts';
import { createRegistry, heartbeat, watchHttp2, watchSocket, watchWebSockets } from '../../src/heartbeat/index.ts';
import { type HeartbeatOptions, resolveHeartbeatOptions } from '../../src/heartbeat/options.ts';
import { Registry } from '../../src/internal/health/registry.ts';
import { InvalidOptionError } from '../../src/index.ts';

type Row = readonly [option: string, value: unknown, expected: string];

const span = (option: string): Row[] =>
  [0, -1, NaN, '', 'soon', '-5s', true, [15_000], {}, 5n].map((value) => [
    option,
    value,
    'a duration: milliseconds or a string like "30s", >= 1',
  ]);

const health: readonly Row[] = [
  ...['every', 'readDeadline', 'writeDeadline', 'maxAge'].flatMap(span),
  ...[-0.1, 1.1, NaN, '0.1', Infinity, {}].map((value): Row => ['jitter', value, 'a number from 0 to 1']),
  ...[-1, NaN, '', 'fast', '1e3', Infinity, [1]].map((value): Row => [
    'minRate',
    value,
    'a size: bytes or a string like "64kb", >= 0',
  ]),
  ...[0, -1, 1.5, NaN, Infinity, '3'].map((value): Row => ['failures', value, 'an integer, >= 1']),
  ...[-1, NaN, '', 'soon', Infinity, false].map((value): Row => [
    'grace',
    value,
    'a duration: milliseconds or a string like "30s", >= 0',
  ]),
  ...['yes', 1, 0, {}].map((value): Row => ['ackProbe', value, 'one of "auto"']),
  ...[-1, NaN, '', '64 potatoes', {}].map((value): Row => [
    'maxBuffered',
    value,
    'a size: bytes or a string like "64kb", >= 0',
  ]),
  ...[{}, 'mine', 5, new Map()].map((value): Row => ['registry', value, 'a registry: `heartbeat().registry`']),
];

const own: readonly Row[] = [
  ...[-1, 0.5, 8193, NaN, '16'].map((value): Row => ['padding', value, 'an integer, from 0 to 8192']),
  ...['two\nlines', 'a\rb', 'nul\0', 5, {}].map((value): Row => ['event', value, 'the name of an event']),
  ...[5n, () => 0, Symbol('none')].map((value): Row => ['record', value, 'a value that JSON can hold']),
  ...['write', 5, ['write'], true].map((value): Row => ['frames', value, 'an object']),
  ['frames', { 'application/x-a': 'writes' }, 'an object'],
  ...span('idleProducer'),
  ...[true, 'GET', {}].map((value): Row => ['filter', value, 'a function']),
  ...[0, -1, Infinity, 2 ** 31, '', 'soon'].map((value): Row => [
    'reconnectDelay',
    value,
    'a duration: milliseconds or a string like "30s", from 1 to 2147483647',
  ]),
  ...[-1, Infinity, 2 ** 31, '', 'soon'].map((value): Row => [
    'retryAfter',
    value,
    'a duration: milliseconds or a string like "30s", from 0 to 2147483647',
  ]),
];

const factories: readonly (readonly [owner: string, factory: (options: never) => unknown, rows: readonly Row[]])[] = [
  ['heartbeat', (options) => heartbeat(options), [...health, ...own]],
  // Options are looked at before the target is, so that a bad one shows without any.
  [
    'watchHttp2',
    (options) => watchHttp2(undefined as never, options),
    [
      ...health,
      ...[-1, Infinity, '', 'soon'].map((value): Row => [
        'minInterval',
        value,
        'a duration: milliseconds or a string like "30s", >= 0',
      ]),
      ...[0, 'no', {}].map((value): Row => ['whileIdle', value, 'a boolean']),
    ],
  ],
  [
    'watchWebSockets',
    (options) => watchWebSockets(undefined as never, options),
    [
      ...health,
      ...[0, 101, 1.5, '3', NaN].map((value): Row => ['maxPendingPings', value, 'an integer, from 1 to 100']),
    ],
  ],
  [
    'watchSocket',
    (options) => watchSocket(undefined as never, options),
    [
      ...health,
      ...[0, 'no', {}].flatMap((value): Row[] => [
        ['send', value, 'a boolean'],
        ['answers', value, 'a boolean'],
      ]),
      ...[true, 'always', {}].map((value): Row => ['atBoundary', value, 'a function']),
    ],
  ],
  [
    'registry',
    (options) => createRegistry(options),
    [
      ...['maxConnections', 'maxPerClient'].flatMap((option) =>
        [0, -1, 1.5, NaN, '10', {}].map((value): Row => [option, value, 'an integer, >= 1']),
      ),
      ...[5, 'ip', {}].map((value): Row => ['clientKey', value, 'a function']),
    ],
  ],
];

function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

const wrong = factories.flatMap(([owner, factory, rows]) =>
  rows.map(([option, value, expected]) => ({ owner, option, value, expected, factory })),
);

describe('an option that is wrong', () => {
  it.each(wrong)(
    '$owner: $option = $value is named, with what was expected',
    ({ owner, option, value, expected, factory }) => {
      const error = thrownBy(() => factory({ [option]: value } as never));
      expect(error).toBeInstanceOf(InvalidOptionError);
      const { option: named, message, code } = error as InvalidOptionError;
      // That of one media type has the type in its name.
      expect(named.split('.').slice(0, 2).join('.')).toBe(`${owner}.${option}`);
      expect(message).toContain(`to be ${expected}`);
      expect(code).toBe('ERR_SLUICE_OPTION_INVALID');
    },
  );

  it.each(factories.map(([owner, factory]) => ({ owner, factory })))(
    'a bag of $owner that is none is refused',
    ({ owner, factory }) => {
      for (const value of [null, 'fast', 15, []])
        expect(thrownBy(() => factory(value as never))).toMatchObject({ option: owner });
    },
  );

  it.each([
    ['lengthBytes', { lengthBytes: 3 }, '1, 2, 4 or 8'],
    ['lengthBytes', {}, '1, 2, 4 or 8'],
    ['offset', { lengthBytes: 4, offset: -1 }, 'an integer, >= 0'],
    ['includesHeader', { lengthBytes: 4, includesHeader: 1 }, 'a boolean'],
    ['littleEndian', { lengthBytes: 4, littleEndian: 'yes' }, 'a boolean'],
  ])('heartbeat.frames of a media type: %s of %o is refused by its whole name', (option, value, expected) => {
    const error = thrownBy(() => heartbeat({ frames: { 'application/x-own': value as never } }));
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ option: `heartbeat.frames.application/x-own.${option}` });
    expect((error as Error).message).toContain(expected);
  });

  it('is what a registry is asked for too', () => {
    const registry = createRegistry();
    expect(thrownBy(() => registry.on('change' as never, () => undefined))).toMatchObject({ option: 'registry.on' });
    expect(thrownBy(() => registry.on('state', undefined as never))).toMatchObject({ option: 'registry.on.listener' });
    expect(thrownBy(() => registry.on('end', 'log' as never))).toMatchObject({ option: 'registry.on.listener' });
    expect(thrownBy(() => registry.evict('http1-1', 5 as never))).toMatchObject({ option: 'evict.reason' });
  });

  it('is a target that is none', () => {
    const targets = [undefined, null, {}, 'socket', new EventTarget()];
    for (const target of targets) {
      expect(thrownBy(() => watchHttp2(target as never))).toMatchObject({ option: 'watchHttp2.target' });
      expect(thrownBy(() => watchWebSockets(target as never))).toMatchObject({ option: 'watchWebSockets.target' });
      expect(thrownBy(() => watchSocket(target as never))).toMatchObject({ option: 'watchSocket.duplex' });
    }
  });
});

describe('the options of heartbeat', () => {
  afterEach(() => void vi.restoreAllMocks());

  it('have defaults', () => {
    const { registry, formatOf, ...others } = resolveHeartbeatOptions(undefined);
    expect(registry).toBeInstanceOf(Registry);
    expect(formatOf('text/event-stream')?.heartbeat).toBe(':\n');
    expect(others).toMatchObject({
      every: 15_000,
      jitter: 0.1,
      readDeadline: 30_000,
      writeDeadline: 10_000,
      minRate: 0,
      failures: 3,
      grace: 5000,
      maxAge: Infinity,
      idleProducer: Infinity,
      maxBuffered: Infinity,
      isProbing: process.platform === 'linux',
      filter: undefined,
      reconnectDelay: 2000,
      retryAfter: 5000,
    });
  });

  it('have a read deadline of two heartbeats, also where those never come', () => {
    expect(resolveHeartbeatOptions({ every: '2s' }).readDeadline).toBe(4000);
    expect(resolveHeartbeatOptions({ every: Infinity })).toMatchObject({ every: Infinity, readDeadline: Infinity });
    expect(resolveHeartbeatOptions({ every: Infinity, readDeadline: '1m' })).toMatchObject({ readDeadline: 60_000 });
  });

  it('are read as durations, sizes and shares are', () => {
    const given = {
      every: '1.5s',
      jitter: 0,
      writeDeadline: Infinity,
      minRate: '1kb',
      grace: 0,
      maxAge: '1h',
      idleProducer: '30s',
      maxBuffered: '1mb',
      reconnectDelay: 1,
      retryAfter: 0,
      failures: 1,
    };
    expect(resolveHeartbeatOptions(given)).toMatchObject({
      every: 1500,
      jitter: 0,
      writeDeadline: Infinity,
      minRate: 1024,
      grace: 0,
      maxAge: 3_600_000,
      idleProducer: 30_000,
      maxBuffered: 2 ** 20,
      reconnectDelay: 1,
      retryAfter: 0,
      failures: 1,
    });
  });

  it.each([['nonsense'], ['text/event-stream'], ['application/x-ndjson; charset=utf-8'], ['a/b/c'], ['/']])(
    'take no frames for %s',
    (type) => {
      expect(() => resolveHeartbeatOptions({ frames: { [type]: 'write' } })).toThrow(/heartbeat\.frames/);
    },
  );

  it('take a registry of others, and their functions', () => {
    const registry = createRegistry();
    const filter = (): boolean => false;
    const resolved = resolveHeartbeatOptions({ registry, filter });
    expect(resolved).toMatchObject({ registry, filter });
    expect(heartbeat({ registry }).registry).toBe(registry);
    expect(heartbeat().registry).not.toBe(heartbeat().registry);
  });

  it.each([
    [undefined, true, true],
    ['auto', true, true],
    [true, true, true],
    [false, true, false],
    [undefined, false, false],
    ['auto', false, false],
    [false, false, false],
  ] as const)(
    'ackProbe %o, where the kernel can be asked: %s, looks at acknowledgements: %s',
    (ackProbe, isAvailable, isProbing) => {
      vi.spyOn(AckProbe, 'isAvailable').mockReturnValue(isAvailable);
      expect(resolveHeartbeatOptions(ackProbe === undefined ? {} : { ackProbe }).isProbing).toBe(isProbing);
    },
  );

  it('refuse a probe that is asked for where the kernel cannot be', () => {
    vi.spyOn(AckProbe, 'isAvailable').mockReturnValue(false);
    expect(thrownBy(() => heartbeat({ ackProbe: true }))).toMatchObject({
      option: 'heartbeat.ackProbe',
      message: expect.stringContaining('"auto" or false where there is no /proc/net/tcp') as string,
    });
  });
});

describe('what carries heartbeats', () => {
  const beatOf = (type: string, options?: HeartbeatOptions): string | Uint8Array | undefined =>
    resolveHeartbeatOptions(options).formatOf(type)?.heartbeat;
  const record = { alive: true };

  it.each([
    ['text/event-stream', ':\n'],
    ['application/x-ndjson', '\n'],
    ['application/ndjson', '\n'],
    ['application/json-seq', '\u001e\n'],
    ['application/json', undefined],
    ['text/plain', undefined],
    ['application/octet-stream', undefined],
    ['constructor', undefined],
    ['', undefined],
  ])('%s gets %j', (type, beat) => {
    expect(beatOf(type)).toBe(beat);
  });

  it('is longer by the padding', () => {
    for (const type of ['text/event-stream', 'application/x-ndjson', 'application/json-seq']) {
      for (const padding of [1, 1024, 8192])
        expect(beatOf(type, { padding })).toHaveLength((beatOf(type)?.length ?? 0) + padding);
    }
  });

  it('is seen by its reader where that is asked for', () => {
    const options = { event: 'alive', record };
    expect(beatOf('text/event-stream', options)).toBe('event: alive\ndata:\n\n');
    expect(beatOf('application/x-ndjson', options)).toBe('{"alive":true}\n');
    expect(beatOf('application/json-seq', options)).toBe('\u001e{"alive":true}\n');
    // Null is a record.
    expect(beatOf('application/x-ndjson', { record: null })).toBe('null\n');
  });

  it('is a frame on the media types that were named, however they were written', () => {
    const { formatOf } = resolveHeartbeatOptions({
      frames: { 'Application/X-Frames; v=2': 'write', 'application/x-length': { lengthBytes: 2 } },
    });
    expect(formatOf('application/x-frames')).toMatchObject({ heartbeat: encodeHeartbeat(), isEventStream: false });
    expect(formatOf('application/x-length')).toMatchObject({ heartbeat: encodeHeartbeat(), isEventStream: false });
    expect(formatOf('application/x-other')).toBeUndefined();
    const boundary = formatOf('application/x-length')?.makeBoundary();
    boundary?.push(Uint8Array.of(0, 1));
    expect(boundary?.atBoundary).toBe(false);
    boundary?.push(Uint8Array.of(9));
    expect(boundary?.atBoundary).toBe(true);
    // Each response has its own.
    expect(formatOf('application/x-length')?.makeBoundary().atBoundary).toBe(true);
  });
});

describe('the options of a registry', () => {
  it('limit nothing by default', () => {
    expect(new Registry().limit.isLimited).toBe(false);
    expect(new Registry({ maxConnections: Infinity, maxPerClient: Infinity }).limit.isLimited).toBe(false);
    expect(new Registry({ maxPerClient: 1 }).limit.isLimited).toBe(true);
  });
});

it('what is refused leaves nothing behind', () => {
  const duplex = new Duplex({ read: () => undefined, write: () => undefined });
  const registry = createRegistry();
  expect(() => watchSocket(duplex, { registry, every: 0 })).toThrow(InvalidOptionError);
  expect([registry.connections(), duplex.listenerCount('close'), Object.hasOwn(duplex, 'push')]).toEqual([
    [],
    0,
    false,
  ]);
});
