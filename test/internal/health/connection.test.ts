import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Probed } from '../../../src/internal/health/ack-probe.ts';
import { Acknowledgements } from '../../../src/internal/health/acknowledgements.ts';
import type { ConnectionEnd, ConnectionStateChange } from '../../../src/internal/health/connection-info.ts';
import {
  type HealthOptions,
  type ResolvedHealthOptions,
  resolveHealthOptions,
} from '../../../src/internal/health/options.ts';
import type { HeartbeatErrorMessage } from '../../../src/heartbeat/index.ts';
import type { MonitoredConnection } from '../../../src/internal/health/connection.ts';
import type { Evidence } from '../../../src/internal/health/policy/liveness.ts';
import { full, heard, written } from '../../../src/internal/health/policy/note.ts';
import { type ConnectionTransport, shortMove, type Transport } from '../../../src/internal/health/transport.ts';
import { Registry } from '../../../src/internal/health/registry.ts';
import type { AckSample } from '../../../src/internal/health/policy/tcp-table.ts';
import type { CloseReason } from '../../../src/index.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { useRandom } from '../../support/random.ts';

// What comes at its time may come a slot later, and so may each look after it.
const slot = 17;

/** A transport whose peer does what a test says. */
class FakeTransport implements ConnectionTransport {
  transport: Transport = 'socket';
  answers = true;
  quietBy: 'writes' | 'reads' = 'reads';
  lookEvery?: number;
  remoteAddress: string | undefined = '192.0.2.7';
  label: string | undefined = '/label';
  bytesIn: number | undefined = 0;
  bytesQueued = 0;
  bytesTaken = 0;
  lastProduced: number | undefined;
  timeout = shortMove;
  given?: () => number;
  isHeld?: () => boolean;
  isEnding?: () => boolean;
  /** Whether it can be asked. */
  asksOk = true;
  readonly asks: number[] = [];
  readonly moves: { reason: CloseReason; cause: Error | undefined; at: number }[] = [];
  readonly cuts: { reason: CloseReason; at: number }[] = [];
  onAsk: (now: number) => void = () => undefined;
  onMove: () => void = () => undefined;
  now: () => number = () => 0;

  received(): number | undefined {
    return this.bytesIn;
  }

  queued(): number {
    return this.bytesQueued;
  }

  taken(): number {
    return this.bytesTaken;
  }

  producedAt(): number {
    return this.lastProduced ?? Infinity;
  }

  ask(now: number): boolean {
    if (!this.asksOk) return false;
    this.asks.push(now);
    this.onAsk(now);
    return true;
  }

  move(reason: CloseReason, cause?: Error): void {
    this.moves.push({ reason, cause, at: this.now() });
    this.onMove();
  }

  moveTimeout(): number {
    return this.timeout;
  }

  cut(reason: CloseReason): void {
    this.cuts.push({ reason, at: this.now() });
  }
}

interface Setting {
  readonly options?: HealthOptions;
  readonly policy?: Partial<ResolvedHealthOptions>;
  readonly transport?: Partial<FakeTransport>;
  /** With a socket of TCP whose kernel tells. */
  readonly isProbed?: boolean;
  /** The source of all spreads. */
  readonly random?: () => number;
}

const start = 1000;

function answered(roundTrip: number): Evidence {
  return { kind: 'answered', roundTrip };
}

function bench({
  options = {},
  policy = {},
  transport: shape = {},
  isProbed = false,
  random = () => 0.5,
}: Setting = {}) {
  useRandom(random);
  const clock = new FakeClock(start);
  const registry = new Registry({}, clock);
  // In place of the tables of this machine.
  const awaited = new Set<Probed>();
  registry.probe = (connection) => void awaited.add((connection.probed ??= new Acknowledgements(connection, socket)));
  registry.forgetProbe = (connection) => {
    if (connection.probed) awaited.delete(connection.probed);
    connection.probed = undefined;
  };
  const health = resolveHealthOptions('test', { registry, ackProbe: false, ...options });
  const resolved = { ...health, isProbing: isProbed, ...policy };
  const states: ConnectionStateChange[] = [];
  const ends: ConnectionEnd[] = [];
  registry.on('state', (change) => void states.push(change));
  registry.on('end', (end) => void ends.push(end));
  const transport = Object.assign(new FakeTransport(), shape);
  transport.now = () => clock.now();
  const socket = { remotePort: 443, bytesWritten: 0, setKeepAlive: () => undefined } as unknown as Socket;
  const add = (other: FakeTransport): MonitoredConnection => {
    other.now = () => clock.now();
    return registry.add(other, resolved, isProbed ? socket : undefined);
  };
  const peer = add(transport);
  return {
    clock,
    registry,
    resolved,
    transport,
    peer,
    add,
    states,
    ends,
    awaited,
    socket,
    steps(): string[] {
      return states.map(({ previous, state }) => `${previous} > ${state}`);
    },
    /** Calls something every so often while time goes by. */
    advance(duration: number, every?: number, call?: (now: number) => void): void {
      const end = clock.now() + duration;
      while (every !== undefined && call && clock.now() + every <= end) {
        clock.advance(every);
        call(clock.now());
      }
      clock.advance(end - clock.now());
    },
  };
}

/** Whether each time is its point or up to some slots after it. */
function expectTimes(times: readonly number[], points: readonly number[], slack = slot): void {
  expect(
    times.map((time, index) => time - start >= points[index]! && time - start <= points[index]! + slack * (index + 1)),
  ).toEqual(points.map(() => true));
}

function watchErrors(): unknown[] {
  const errors: unknown[] = [];
  const note = (message: unknown): void => void errors.push((message as HeartbeatErrorMessage).error);
  subscribe('sluice:heartbeat:error', note);
  onTestFinished(() => void unsubscribe('sluice:heartbeat:error', note));
  return errors;
}

describe('heartbeats', () => {
  it('are sent while nothing else is: each time an interval after the one before', () => {
    const { advance, transport, peer } = bench({ options: { every: '10s' } });
    transport.onAsk = (now) => peer.note(heard, now);
    advance(45_000);
    expectTimes(transport.asks, [10_000, 20_000, 30_000, 40_000]);
  });

  it.each([
    ['writes', 'writes', written, 0],
    ['writes', 'signs of life', heard, 9],
    ['reads', 'signs of life', heard, 0],
  ] as const)('on a transport where %s make them superfluous: %s every second', (quietBy, _what, evidence, least) => {
    const { advance, transport, peer } = bench({ options: { every: '5s' }, transport: { quietBy } });
    advance(50_000, 1000, (now) => peer.note(evidence, now));
    if (least === 0) expect(transport.asks).toEqual([]);
    else expect(transport.asks.length).toBeGreaterThanOrEqual(least);
  });

  it('are not sent where bytes come all the time, of which no event tells', () => {
    const { advance, transport } = bench({ options: { every: '8s' }, transport: { lookEvery: 1000 } });
    advance(80_000, 500, () => (transport.bytesIn = (transport.bytesIn ?? 0) + 1));
    expect(transport.asks).toEqual([]);
  });

  it('are not sent where frames come all the time, of which events tell as well', () => {
    const { advance, transport, peer } = bench({ options: { every: '8s' } });
    advance(80_000, 500, (now) => {
      transport.bytesIn = (transport.bytesIn ?? 0) + 1;
      peer.note(heard, now);
    });
    expect(transport.asks).toEqual([]);
  });

  it('are sent after the last byte was, however often it was looked at meanwhile', () => {
    const { advance, transport, peer } = bench({
      options: { every: '10s' },
      transport: { quietBy: 'writes', lookEvery: 700 },
    });
    advance(25_000, 500, (now) => {
      peer.note(written, now);
      peer.note(heard, now);
    });
    advance(9990);
    expect(transport.asks).toEqual([]);
    advance(20 + 700);
    expect(transport.asks).toHaveLength(1);
  });

  it('vary up and down by the jitter', () => {
    for (const [random, every] of [
      [0, 9000],
      [0.5, 10_000],
      [0.999_999, 11_000],
    ] as const) {
      const { advance, transport, peer } = bench({ options: { every: '10s', jitter: 0.1 }, random: () => random });
      transport.onAsk = (now) => peer.note(heard, now);
      advance(3.5 * every);
      expectTimes(
        transport.asks,
        [every, 2 * every, 3 * every].map((at) => at - 1),
      );
    }
  });

  it('draw their interval anew each time', () => {
    let seed = 7;
    const random = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    const { advance, transport, peer } = bench({ options: { every: '10s', jitter: 0.5 }, random });
    transport.onAsk = (now) => peer.note(heard, now);
    advance(1_000_000);
    const gaps = transport.asks.map((at, index) => at - (transport.asks[index - 1] ?? start));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(5000);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(15_000 + slot);
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeGreaterThan(7000);
    expect(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length).toBeGreaterThan(9000);
    expect(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length).toBeLessThan(11_000);
  });

  it('are tried again an interval later where none could be sent', () => {
    const { advance, transport, steps } = bench({ options: { every: '5s' }, transport: { asksOk: false } });
    advance(12_000);
    transport.asksOk = true;
    advance(4000);
    expectTimes(transport.asks, [15_000], 3 * slot);
    expect(steps()).toEqual([]);
  });

  it('are never sent with `every: Infinity`, and no peer is late for them', () => {
    const { advance, transport, registry, ends } = bench({ options: { every: Infinity } });
    expect(registry.wheel.size).toBe(0);
    advance(86_400_000);
    expect([transport.asks, ends]).toEqual([[], []]);
  });
});

describe('the read clock', () => {
  it('gives up a peer that does not answer: late, then late three times and for the grace time, then moved and cut', () => {
    const { advance, clock, transport, states, ends, registry } = bench({ options: { every: '15s' } });
    advance(29_999);
    expect(registry.stats()).toMatchObject({ connections: 1, unresponsive_ratio: 0 });
    advance(2 * slot);
    expect(states.map(({ state, previous, connection }) => [state, previous, connection.id, connection.state])).toEqual(
      [['read-late', 'healthy', 'socket-1', 'read-late']],
    );
    expect(registry.stats()).toMatchObject({
      unresponsive_ratio: 1,
      transports: { socket: { healthy: 0, 'read-late': 1, 'write-late': 0, dead: 0 } },
    });
    expect(registry.connections()[0]).toMatchObject({ state: 'read-late', failures: 1 });
    advance(4900);
    expect([transport.moves, registry.connections()[0]?.failures]).toEqual([[], 3]);
    advance(200);
    expect(transport.moves.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(states.at(-1)).toMatchObject({ state: 'dead', previous: 'read-late' });
    expect(registry.stats()).toMatchObject({ connections: 1, transports: { socket: { dead: 1 } } });
    expect(transport.cuts).toEqual([]);
    advance(1100);
    expect(transport.cuts.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(transport.cuts[0]!.at - transport.moves[0]!.at).toBeGreaterThanOrEqual(1000);
    expect(ends.map(({ reason, connection }) => [reason, connection.id, connection.state])).toEqual([
      ['heartbeat-timeout', 'socket-1', 'dead'],
    ]);
    expect(registry.stats()).toMatchObject({
      connections: 0,
      unresponsive_ratio: 0,
      ended: { 'heartbeat-timeout': 1 },
      transports: { socket: { dead: 0 } },
    });
    expect([registry.wheel.size, clock.timers]).toEqual([0, 0]);
  });

  it('asks no more often while it is late', () => {
    const { advance, transport } = bench({ options: { every: '10s', readDeadline: '15s', grace: '1m' } });
    advance(69_000);
    expectTimes(transport.asks, [10_000, 20_000, 30_000, 40_000, 50_000, 60_000], 2 * slot);
  });

  it.each([
    ['a sign of life that is told', (peer: MonitoredConnection, now: number): void => peer.note(heard, now)],
    [
      'bytes that came',
      (_peer: MonitoredConnection, _now: number, transport: FakeTransport): void =>
        void (transport.bytesIn = (transport.bytesIn ?? 0) + 1),
    ],
  ])('is set back by %s, and that is told', (_name, live) => {
    const { advance, transport, peer, clock, steps, registry } = bench({
      options: { every: '5s' },
      transport: { lookEvery: 500 },
    });
    advance(12_000);
    expect(steps()).toEqual(['healthy > read-late']);
    live(peer, clock.now(), transport);
    advance(500 + 2 * slot);
    expect(steps()).toEqual(['healthy > read-late', 'read-late > healthy']);
    expect(registry.stats()).toMatchObject({
      unresponsive_ratio: 0,
      transports: { socket: { healthy: 1, 'read-late': 0 } },
    });
    // From the start again: as many times late as before.
    expect(registry.connections()[0]?.failures).toBe(0);
    advance(9000);
    expect(transport.moves).toEqual([]);
  });

  it('tells of a recovery at once, not at the next look', () => {
    const { advance, peer, clock, states } = bench({ options: { every: '5s' } });
    advance(10_000 + slot);
    peer.note(heard, clock.now());
    const at = clock.now();
    advance(slot);
    expect(states.map(({ state }) => state)).toEqual(['read-late', 'healthy']);
    expect(states[1]!.connection.silence).toBeLessThanOrEqual(clock.now() - at);
  });

  it.each([
    ['what is written', (peer: MonitoredConnection, now: number): void => peer.note(written, now)],
    [
      'what is taken of it',
      (_peer: MonitoredConnection, _now: number, transport: FakeTransport): void => void (transport.bytesTaken += 100),
    ],
    [
      'what its kernel acknowledges, where the peer answers itself',
      (peer: MonitoredConnection, now: number): void => peer.note({ kind: 'acknowledged', isAll: true }, now),
    ],
  ])('is not set back by %s', (_name, act) => {
    for (const quietBy of ['reads', 'writes'] as const) {
      const { advance, transport, peer, ends } = bench({
        options: { every: '5s' },
        transport: { quietBy, lookEvery: 500 },
      });
      // Its clock stands until it is asked, and that is put off by a while where writing makes it superfluous.
      advance(25_000, 400, (now) => act(peer, now, transport));
      expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    }
  });

  it('stands while the peer was not asked', () => {
    const { advance, registry, states } = bench({ options: { every: '5s' }, transport: { asksOk: false } });
    advance(3_600_000);
    expect([states, registry.connections().map(({ state, silence }) => [state, silence])]).toEqual([
      [],
      [['healthy', 3_600_000]],
    ]);
  });

  it('counts from the first question that was not answered, not from the last', () => {
    const { advance, transport } = bench({ options: { every: '2s', readDeadline: '20s' } });
    advance(26_500);
    expect(transport.asks.length).toBeGreaterThan(8);
    expect(transport.cuts).toHaveLength(1);
  });

  it('leaves a part of the deadline to the answer of a question that came late', () => {
    const { advance, transport, states, peer } = bench({
      options: { every: '5s', readDeadline: '10s' },
      transport: { asksOk: false },
    });
    advance(21_000);
    transport.asksOk = true;
    transport.onAsk = () => undefined;
    advance(4000 + 3 * slot);
    expectTimes(transport.asks, [25_000], 6 * slot);
    expect(states).toEqual([]);
    advance(3000);
    peer.note(heard, start + 28_000);
    advance(1000);
    expect(states).toEqual([]);
  });

  it('is not set back by an answer of before a pause of the process: it is heard first', () => {
    const { advance, clock, transport, peer, ends } = bench({ options: { every: '5s' } });
    transport.onAsk = () => undefined;
    advance(6000);
    // Everything is long late. The answer is read in the same turn, or in the next.
    clock.pause(120_000);
    expect(transport.moves).toEqual([]);
    advance(100);
    peer.note(heard, clock.now());
    advance(4000);
    expect([ends, transport.moves]).toEqual([[], []]);
  });

  it('gives no peer up before the third look after a pause', () => {
    const { advance, clock, transport } = bench({ options: { every: '5s' } });
    advance(6000);
    clock.pause(120_000);
    const resumed = clock.now();
    advance(10_000);
    expect(transport.moves).toHaveLength(1);
    expect(transport.moves[0]!.at - resumed).toBeGreaterThanOrEqual(2 * (5000 / 3));
  });

  it('varies by a fifteenth, and by no more than 2 s', () => {
    for (const [every, least, most] of [
      [15_000, 28_000, 32_000],
      [3000, 5600, 6400],
      [60_000, 118_000, 122_000],
    ] as const) {
      for (const [random, lateAt] of [
        [0, least],
        [0.999_999, most],
      ] as const) {
        const { advance, states } = bench({ options: { every, jitter: 0 }, random: () => random });
        advance(lateAt - 1);
        expect(states).toEqual([]);
        advance(1 + 2 * slot);
        expect(states.map(({ state }) => state)).toEqual(['read-late']);
      }
    }
  });
});

describe('the write clock', () => {
  it('gives up a peer that takes nothing, while it is alive', () => {
    const { advance, transport, peer, clock, ends, steps } = bench({ options: { every: '15s', writeDeadline: '10s' } });
    transport.onAsk = (now) => peer.note(heard, now);
    transport.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(9999, 1000, (now) => peer.note(heard, now));
    expect(steps()).toEqual([]);
    advance(5100 + shortMove, 1000, (now) => peer.note(heard, now));
    expect(steps()).toEqual(['healthy > write-late', 'write-late > dead']);
    expect(ends.map(({ reason }) => reason)).toEqual(['slow-consumer']);
    expect(transport.moves[0]!.at - start).toBeGreaterThanOrEqual(15_000);
  });

  it('starts with the write that found the queue full, though no look was due before long', () => {
    const { advance, transport, peer, clock, states } = bench({ options: { every: '5m', writeDeadline: '2s' } });
    advance(60_000);
    transport.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(1999);
    expect(states).toEqual([]);
    advance(2 * slot);
    expect(states.map(({ state }) => state)).toEqual(['write-late']);
  });

  it('starts at a look that finds something waiting, also where no write was told', () => {
    const { advance, transport, states } = bench({
      options: { every: '5m', writeDeadline: '2s' },
      transport: { lookEvery: 500 },
    });
    transport.bytesQueued = 10;
    advance(2400);
    expect(states).toEqual([]);
    advance(200);
    expect(states.map(({ state }) => state)).toEqual(['write-late']);
  });

  it.each([
    [
      'a byte that was taken',
      (_peer: MonitoredConnection, _now: number, transport: FakeTransport): void => void (transport.bytesTaken += 1),
      true,
    ],
    [
      'bytes that the kernel of the peer acknowledged',
      (peer: MonitoredConnection, now: number): void => peer.note({ kind: 'acknowledged', isAll: false }, now),
      true,
    ],
    [
      'an empty queue',
      (_peer: MonitoredConnection, _now: number, transport: FakeTransport): void => void (transport.bytesQueued = 0),
      true,
    ],
    ['a sign of life', (peer: MonitoredConnection, now: number): void => peer.note(heard, now), false],
    [
      'bytes that came',
      (_peer: MonitoredConnection, _now: number, transport: FakeTransport): void =>
        void (transport.bytesIn = (transport.bytesIn ?? 0) + 1),
      false,
    ],
    [
      'bytes that were added to the queue',
      (peer: MonitoredConnection, now: number, transport: FakeTransport): void => {
        transport.bytesQueued += 100;
        peer.note(written, now);
        peer.note(full, now);
      },
      false,
    ],
  ])('is set back by %s: %#', (_name, act, isSetBack) => {
    const { advance, transport, peer, clock, ends } = bench({ options: { every: '1h', writeDeadline: '4s' } });
    transport.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(30_000, 1000, (now) => act(peer, now, transport));
    expect(ends.map(({ reason }) => reason)).toEqual(isSetBack ? [] : ['slow-consumer']);
  });

  it('is set back only for a while by a byte now and then: a reader that is slow, and goes on, is not late', () => {
    const { advance, transport, peer, clock, states, ends } = bench({ options: { every: '1h', writeDeadline: '4s' } });
    transport.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(60_000, 3500, () => (transport.bytesTaken += 1));
    expect([states, ends]).toEqual([[], []]);
    advance(10_100 + shortMove);
    expect(ends.map(({ reason }) => reason)).toEqual(['slow-consumer']);
  });

  it('stands with a deadline of Infinity', () => {
    const { advance, transport, peer, clock, states } = bench({
      options: { every: Infinity, writeDeadline: Infinity },
    });
    transport.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(3_600_000);
    expect(states).toEqual([]);
  });

  it('and the read clock together: dead, and given up when the first of them is over', () => {
    const { advance, transport, peer, clock, steps, ends } = bench({ options: { every: '5s', writeDeadline: '8s' } });
    transport.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(9000);
    expect(steps()).toEqual(['healthy > write-late']);
    advance(1100);
    expect(steps()).toEqual(['healthy > write-late', 'write-late > dead']);
    // Not given up yet: each is late for too short a time.
    expect([transport.moves, ends]).toEqual([[], []]);
    peer.note(heard, clock.now());
    advance(2 * slot);
    expect(steps().at(-1)).toBe('dead > write-late');
    transport.bytesQueued = 0;
    advance(2000);
    expect(steps().at(-1)).toBe('write-late > healthy');
    advance(2000);
    expect(ends).toEqual([]);
  });

  describe('with a least rate', () => {
    it.each([
      [500, true],
      [1500, false],
    ])('of 1,000 bytes a second, a reader of %d is given up: %s', (rate, isGivenUp) => {
      const { advance, transport, peer, clock, ends, states } = bench({
        options: { every: '1h', writeDeadline: '10s', minRate: 1000 },
        transport: { lookEvery: 1000 },
      });
      transport.bytesQueued = 1e6;
      peer.note(full, clock.now());
      advance(120_000, 100, () => (transport.bytesTaken += rate / 10));
      expect(ends.map(({ reason }) => reason)).toEqual(isGivenUp ? ['slow-consumer'] : []);
      if (!isGivenUp) expect(states).toEqual([]);
    });

    it('counts only while something waits', () => {
      const { advance, transport, peer, clock, ends } = bench({
        options: { every: '1h', writeDeadline: '10s', minRate: 1000 },
        transport: { lookEvery: 1000 },
      });
      for (let round = 0; round < 20; round++) {
        transport.bytesQueued = 3000;
        peer.note(full, clock.now());
        advance(6000, 1000, () => (transport.bytesTaken += 500));
        transport.bytesQueued = 0;
        advance(3000);
      }
      expect(ends).toEqual([]);
    });
  });
});

describe('the bound of what waits', () => {
  it('is looked at with each write that finds the queue full', () => {
    const { advance, transport, peer, clock, ends } = bench({ options: { every: '1h', maxBuffered: 1000 } });
    transport.bytesQueued = 1000;
    peer.note(full, clock.now());
    expect(transport.moves).toEqual([]);
    transport.bytesQueued = 1001;
    peer.note(full, clock.now());
    expect(transport.moves.map(({ reason }) => reason)).toEqual(['slow-consumer']);
    advance(shortMove + slot);
    expect(ends.map(({ reason }) => reason)).toEqual(['slow-consumer']);
  });

  it('is looked at as often as the transport has it where writes are not seen', () => {
    const { advance, transport } = bench({
      options: { every: '1h', maxBuffered: 1000 },
      transport: { lookEvery: 1000 },
    });
    advance(10_500);
    transport.bytesQueued = 1001;
    advance(500 + 12 * slot);
    expect(transport.moves.map(({ reason }) => reason)).toEqual(['slow-consumer']);
  });

  it('is none by default', () => {
    const { transport, peer, clock } = bench();
    transport.bytesQueued = 1e12;
    peer.note(full, clock.now());
    expect(transport.moves).toEqual([]);
  });
});

describe('a connection that is sent away', () => {
  it('and is closed in time is not cut', () => {
    const { advance, transport, peer, registry, ends } = bench();
    expect(registry.evict(peer.id)).toBe(true);
    expect(registry.connections()).toHaveLength(1);
    advance(900);
    peer.noteClosed('client-closed');
    advance(10_000);
    expect(transport.cuts).toEqual([]);
    // Why it was sent away, not how it went.
    expect(ends.map(({ reason }) => reason)).toEqual(['draining']);
    expect(registry.stats()).toMatchObject({ connections: 0, ended: { draining: 1 } });
    expect(registry.wheel.size).toBe(0);
  });

  it('may be closed while it is told', () => {
    const { transport, peer, registry, ends, advance } = bench();
    transport.onMove = () => peer.noteClosed('ended');
    registry.evict(peer.id, 'idle');
    expect(ends.map(({ reason }) => reason)).toEqual(['idle']);
    expect(registry.wheel.size).toBe(0);
    advance(5000);
    expect(transport.cuts).toEqual([]);
  });

  it('is not cut where it sees to its own end, as long as it is well', () => {
    const { advance, transport, peer, registry } = bench({ transport: { timeout: Infinity } });
    transport.onAsk = (now) => peer.note(answered(1), now);
    registry.evict(peer.id);
    advance(3_600_000);
    expect([transport.cuts, registry.stats().connections]).toEqual([[], 1]);
    peer.noteClosed('ended');
    expect(registry.stats()).toMatchObject({ connections: 0, ended: { draining: 1 } });
  });

  it('is cut where it sees to its own end, and is gone meanwhile', () => {
    const { advance, transport, peer, registry, ends } = bench({ transport: { timeout: Infinity } });
    registry.evict(peer.id);
    advance(40_000);
    expect(transport.cuts.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(transport.cuts[0]!.at - start).toBeLessThan(40_000);
    expect(ends.map(({ reason }) => reason)).toEqual(['draining']);
    expect([registry.wheel.size, registry.stats().connections]).toEqual([0, 0]);
  });

  it('goes by itself where it has ended: neither age, nor a producer, nor other code sends it away', () => {
    const { advance, transport, peer, registry } = bench({
      options: { maxAge: '1m' },
      policy: { idleProducer: 30_000 },
      transport: { isEnding: () => true, lastProduced: start },
    });
    transport.onAsk = (now) => peer.note(answered(1), now);
    advance(600_000);
    expect(registry.evict(peer.id)).toBe(true);
    expect([transport.moves, transport.cuts, registry.stats().connections]).toEqual([[], [], 1]);
  });

  it('is given up where it has ended, and is gone before it has all', () => {
    const { advance, transport } = bench({ transport: { isEnding: () => true } });
    advance(40_000);
    expect(transport.moves.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
  });

  it('is asked nothing any more, and no evidence moves it', () => {
    const { advance, transport, peer, registry, states } = bench({
      options: { every: '1s' },
      transport: { timeout: 60_000 },
    });
    registry.evict(peer.id);
    advance(30_000, 1000, (now) => {
      peer.note(heard, now);
      peer.note(written, now);
      peer.note(full, now);
      peer.note({ kind: 'acknowledged', isAll: true }, now);
    });
    expect([transport.asks, states, transport.moves.length]).toEqual([[], [], 1]);
    advance(30_000 + slot);
    expect(transport.cuts).toHaveLength(1);
  });

  it('is sent away by its id, once, for a reason', () => {
    const { transport, peer, registry } = bench();
    expect(registry.evict('socket-99')).toBe(false);
    expect(registry.evict(peer.id, 'deadline')).toBe(true);
    expect(registry.evict(peer.id, 'deadline')).toBe(false);
    peer.noteClosed('ended');
    expect(registry.evict(peer.id)).toBe(false);
    expect(transport.moves.map(({ reason, cause }) => [reason, cause])).toEqual([['deadline', undefined]]);
    expect(registry.stats().ended).toEqual({ deadline: 1 });
  });

  it('for a reason of its own words is draining, and those are the cause', () => {
    const { transport, peer, registry, ends } = bench();
    registry.evict(peer.id, 'the token has expired');
    expect(transport.moves).toMatchObject([{ reason: 'draining', cause: { message: 'the token has expired' } }]);
    peer.noteClosed('ended');
    expect(ends[0]?.reason).toBe('draining');
  });
});

describe('the age', () => {
  it.each([
    [0, 54_000],
    [0.5, 60_000],
    [0.999_999, 66_000],
  ])('of %d is drawn once: it ends gently', (random, at) => {
    const options = { every: '1h', maxAge: '60s', jitter: 0.1 };
    const { advance, transport, peer } = bench({ options, random: () => random });
    advance(at - 1, 1000, (now) => peer.note(heard, now));
    expect(transport.moves).toEqual([]);
    advance(1 + slot);
    expect(transport.moves.map(({ reason }) => reason)).toEqual(['draining']);
  });

  it('spreads those that came together', () => {
    let seed = 3;
    const random = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    const { advance, add } = bench({ options: { every: Infinity, maxAge: '100s', jitter: 0.2 }, random });
    const transports = Array.from({ length: 200 }, () => new FakeTransport());
    for (const transport of transports) add(transport);
    advance(200_000);
    const ages = transports.map(({ moves }) => moves[0]!.at - start);
    expect(Math.min(...ages)).toBeGreaterThanOrEqual(80_000);
    expect(Math.max(...ages)).toBeLessThanOrEqual(120_000 + slot);
    const early = ages.filter((age) => age < 100_000).length;
    expect(early).toBeGreaterThan(60);
    expect(early).toBeLessThan(140);
  });

  it('is told in milliseconds, as is the silence', () => {
    const { advance, peer, registry, clock, transport } = bench({ options: { every: '1h' } });
    advance(5000);
    peer.note(answered(80), clock.now());
    advance(2500);
    transport.bytesQueued = 12;
    expect(registry.connections()).toEqual([
      {
        id: 'socket-1',
        transport: 'socket',
        state: 'healthy',
        remoteAddress: '192.0.2.7',
        label: '/label',
        age: 7500,
        silence: 2500,
        roundTrip: 80,
        bufferedBytes: 12,
        failures: 0,
      },
    ]);
    expect(registry.stats().avg_heartbeat_rt).toBe(80);
    peer.noteClosed('ended');
    expect(registry.stats().avg_heartbeat_rt).toBeNull();
  });
});

describe('a producer', () => {
  it('that makes nothing is seen, whatever heartbeats are sent and answered', () => {
    const { advance, transport, peer } = bench({
      options: { every: '2s' },
      policy: { idleProducer: 30_000 },
      transport: { quietBy: 'writes', lastProduced: start },
    });
    transport.onAsk = (now) => {
      peer.note(written, now);
      peer.note(heard, now);
    };
    advance(29_999);
    expect(transport.asks.length).toBeGreaterThan(10);
    expect(transport.moves).toEqual([]);
    advance(1 + 2 * slot);
    expect(transport.moves.map(({ reason }) => reason)).toEqual(['idle']);
  });

  it('that makes something now and then is not idle', () => {
    const { advance, transport } = bench({
      options: { every: '1h' },
      policy: { idleProducer: 30_000 },
      transport: { lastProduced: start },
    });
    advance(600_000, 29_000, (now) => (transport.lastProduced = now));
    expect(transport.moves).toEqual([]);
    advance(30_000 + 2 * slot);
    expect(transport.moves.map(({ reason }) => reason)).toEqual(['idle']);
  });

  it('that waits for its client is not idle: that is the write clock’s', () => {
    const { advance, transport, peer, clock } = bench({
      options: { every: '5s', writeDeadline: '10m' },
      policy: { idleProducer: 10_000 },
      transport: { lastProduced: start },
    });
    transport.onAsk = (now) => peer.note(heard, now);
    transport.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(60_000);
    expect(transport.moves).toEqual([]);
    transport.bytesQueued = 0;
    advance(5000 + 20 * slot);
    expect(transport.moves.map(({ reason }) => reason)).toEqual(['idle']);
  });
});

/** The kernel's account of a connection: read a second after it is asked for, and each second for as long as it is. */
function kernelOf({ clock, awaited, registry }: ReturnType<typeof bench>) {
  const kernel = {
    written: 0,
    acknowledged: 0,
    retransmits: 0,
    rto: 200,
    windowClosed: false,
    isReadable: true,
    readings: 0,
  };
  let isTimed = false;
  const rest = (): void => {
    isTimed = true;
    clock.startTimer(1000, read);
  };
  const read = (): void => {
    isTimed = false;
    for (const each of kernel.isReadable ? [...awaited] : []) {
      kernel.readings += 1;
      const unacked = kernel.written - kernel.acknowledged;
      const sample: AckSample = {
        row: {
          unacked,
          unread: 0,
          timer: kernel.windowClosed ? 'window-probe' : unacked > 0 ? 'retransmit' : 'none',
          retransmits: kernel.retransmits,
          unansweredProbes: 0,
          rto: kernel.rto,
          state: 1,
        },
        writtenBefore: kernel.written,
        writtenAfter: kernel.written,
      };
      each.onRow(sample, clock.now());
    }
    if (awaited.size > 0 && !isTimed) rest();
  };
  const { probe } = registry;
  registry.probe = (connection) => {
    probe(connection);
    if (!isTimed) rest();
  };
  return kernel;
}

const kernelOnly = { transport: 'http1', answers: false, quietBy: 'writes' } as const;

// Not to be had by options.
const shortDeadline = { every: 30_000, readDeadline: 10_000 };

/** A stream to a client that only reads: each heartbeat is 3 bytes. */
function quietStream(setting: Omit<Setting, 'isProbed' | 'transport'> = {}) {
  const made = bench({ ...setting, transport: kernelOnly, isProbed: true });
  const kernel = kernelOf(made);
  const write = (now: number, length = 3): void => {
    kernel.written += length;
    made.peer.note(written, now);
  };
  made.transport.onAsk = (now) => write(now);
  return Object.assign(made, { kernel, write });
}

describe('a peer whose kernel alone answers', () => {
  it('lives as long as that acknowledges, and is asked for it only while something waits', () => {
    const { advance, kernel, states, awaited, registry } = quietStream({ options: { every: '5s' } });
    advance(123_000, 10, () => (kernel.acknowledged = kernel.written));
    expect([states, awaited.size]).toEqual([[], 0]);
    expect(kernel.readings).toBeGreaterThan(15);
    // Each heartbeat takes one reading.
    expect(kernel.readings).toBeLessThanOrEqual(24);
    expect(registry.connections()[0]!.silence).toBeLessThanOrEqual(7000);
  });

  it('is given up when it acknowledges nothing more', () => {
    const { advance, transport, ends, awaited } = quietStream({ options: { every: '5s' } });
    advance(30_000);
    expect(transport.moves.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(awaited.size).toBe(0);
  });

  it('is sent no heartbeats while its kernel is waited for: what is sent again keeps the path open by itself', () => {
    const { advance, transport, kernel } = quietStream({ options: { every: '1s', readDeadline: '1m' } });
    advance(30_000);
    const { length } = transport.asks;
    expect(length).toBeLessThanOrEqual(3);
    kernel.acknowledged = kernel.written;
    advance(3000);
    expect(transport.asks.length).toBeGreaterThan(length);
  });

  it('is not late for what was never looked up: the tables cannot be read', () => {
    const { advance, kernel, transport, states, registry } = quietStream({ options: { every: '5s' } });
    kernel.isReadable = false;
    advance(3_600_000);
    expect([transport.moves, states, registry.stats().connections]).toEqual([[], [], 1]);
    expect(transport.asks.length).toBeGreaterThan(600);
  });

  it('is not late any more when the tables cannot be read any more', () => {
    const { advance, kernel, ends, registry } = quietStream({ options: { every: '5s' } });
    advance(11_000);
    kernel.isReadable = false;
    advance(3_600_000);
    expect([ends, registry.connections().map(({ state }) => state)]).toEqual([[], ['healthy']]);
  });

  it('is not late for what it acknowledged long ago, before the first look', () => {
    // A stream that is busy, with a deadline that is shorter than the time between two looks.
    const { advance, kernel, write, states } = quietStream({ policy: shortDeadline });
    advance(600_000, 1000, (now) => {
      kernel.acknowledged = kernel.written;
      write(now);
    });
    expect(states).toEqual([]);
  });

  it('is late when it is, with a deadline that is shorter than the time between two looks', () => {
    const { advance, ends, clock, transport, write } = quietStream({ policy: shortDeadline });
    write(clock.now());
    advance(55_000);
    expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(transport.cuts[0]!.at - start).toBeLessThan(55_000);
  });

  it('that has closed its window lives, and the code that should read does not', () => {
    const { advance, kernel, transport, peer, clock, ends, steps, write } = quietStream({
      options: { every: '5s', writeDeadline: '8s' },
    });
    write(clock.now(), 1e6);
    transport.bytesQueued = 5000;
    peer.note(full, clock.now());
    kernel.windowClosed = true;
    advance(30_000);
    expect(steps()).toEqual(['healthy > write-late', 'write-late > dead']);
    expect(ends.map(({ reason }) => reason)).toEqual(['slow-consumer']);
  });

  it('that answers too lives by its answers alone', () => {
    const { advance, peer, ends, transport, clock } = bench({ options: { every: '5s' }, isProbed: true });
    const at = clock.now();
    transport.onAsk = (now) => peer.note(written, now);
    advance(20_000, 1000, (now) => peer.note({ kind: 'acknowledged', isAll: true }, now));
    expect(at).toBe(start);
    expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
  });

  it('that answers has its time for the answer from when the question is there, behind all that was written before', () => {
    const { advance, peer, ends, transport } = bench({
      options: { every: '5s' },
      isProbed: true,
      transport: { given: () => 1_000_000 },
    });
    transport.onAsk = (now) => peer.note(written, now);
    let delivered = 0;
    // 16 kB a second, and the question behind a million.
    advance(60_000, 1000, (now) => {
      peer.note({ kind: 'delivered', bytes: (delivered += 16_000), isCompared: true }, now);
      peer.note({ kind: 'acknowledged', isAll: false }, now);
    });
    expect([ends, peer.liveness.state]).toEqual([[], 'healthy']);
    // Now it is there, and bytes behind it say nothing of an answer.
    advance(20_000, 1000, (now) => {
      peer.note({ kind: 'delivered', bytes: (delivered += 16_000), isCompared: true }, now);
      peer.note({ kind: 'acknowledged', isAll: false }, now);
    });
    expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
  });

  it('whose bytes are not read here just now may have answered', () => {
    let isHeld = true;
    const { advance, ends, peer } = bench({ options: { every: '5s' }, transport: { isHeld: () => isHeld } });
    advance(300_000);
    expect([ends, peer.liveness.state]).toEqual([[], 'healthy']);
    isHeld = false;
    advance(20_000);
    expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
  });

  it('has the round trip that TCP reckons: what its timeout is over the least', () => {
    const { advance, kernel, registry } = quietStream({ options: { every: '5s' } });
    kernel.rto = 280;
    advance(20_000, 10, () => (kernel.acknowledged = kernel.written));
    expect(registry.connections()[0]?.roundTrip).toBe(80);
    expect(registry.stats().avg_heartbeat_rt).toBe(80);
  });
});

describe('the allowance for retransmissions', () => {
  const path = (rto: number, isLosing = false): Evidence => ({ kind: 'path', rto, isLosing });

  // Asked after 2 s, and late after four more: 31 times the timeout, or 255 times, and not over two minutes.
  it.each<[way: string, evidence: readonly Evidence[], from: number, to: number]>([
    ['is short for a near peer', [], 0, 9500],
    ['is longer for one that is farther', [path(390)], 14_090, 14_390],
    ['is longer where answers say so', new Array<Evidence>(20).fill(answered(390)), 14_090, 14_390],
    ['is long for one that is far', [path(700)], 122_000, 122_300],
    ['is long where packets get lost', [path(200, true), { kind: 'acknowledged', isAll: false }], 53_000, 53_300],
    [
      'goes by the kernel, where it tells, and not by answers: those also take as long as a process is busy',
      [answered(390), path(200)],
      0,
      9500,
    ],
    [
      'is not longer for what is sent a second time to a peer that is gone: only an answer makes that a loss',
      [path(200, true)],
      0,
      9500,
    ],
  ])('%s', (_way, evidence, from, to) => {
    const { advance, transport, peer } = bench({ options: { every: '2s' } });
    for (const each of evidence) peer.note(each, start);
    advance(300_000);
    expect(transport.moves[0]!.at - start).toBeGreaterThanOrEqual(from);
    expect(transport.moves[0]!.at - start).toBeLessThan(to);
  });

  it('forgets a loss after ten minutes', () => {
    const { advance, transport, peer, clock } = bench({ options: { every: '2s' } });
    transport.onAsk = (now) => peer.note(heard, now);
    peer.note({ kind: 'path', rto: 200, isLosing: true }, start);
    peer.note({ kind: 'acknowledged', isAll: true }, clock.now());
    advance(601_000);
    transport.onAsk = () => undefined;
    const since = clock.now();
    advance(60_000);
    expect(transport.moves[0]!.at - since).toBeLessThan(12_000);
  });
});

describe('a peer that answers by itself, and is written to without a pause', () => {
  it('is given up when it has fallen silent, though it is not asked', () => {
    const { advance, transport, peer, ends } = bench({
      options: { every: '5s' },
      transport: { quietBy: 'writes', lookEvery: 1250 },
    });
    advance(20_000, 500, (now) => {
      peer.note(written, now);
      transport.bytesIn = (transport.bytesIn ?? 0) + 1;
    });
    expect(transport.asks).toEqual([]);
    expect(ends).toEqual([]);
    advance(20_000, 500, (now) => peer.note(written, now));
    expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
  });

  it('is not expected to where we have ended our side', () => {
    const { advance, transport, peer, clock, states } = bench({
      options: { every: '5s' },
      transport: { quietBy: 'writes', lookEvery: 1250 },
    });
    peer.note(written, clock.now());
    transport.asksOk = false;
    advance(4000);
    advance(3_600_000);
    expect(states.filter(({ state }) => state === 'dead')).toEqual([]);
  });
});

describe('a transport that throws', () => {
  const failure = new Error('from the transport');
  const fail = (): never => {
    throw failure;
  };

  it.each(['received', 'queued', 'taken', 'ask', 'producedAt'] as const)(
    'from %s is reported, and nothing is left behind',
    (method) => {
      const errors = watchErrors();
      const { advance, transport, registry, add, clock } = bench({
        options: { every: '5s' },
        policy: { idleProducer: 60_000 },
      });
      const healthy = new FakeTransport();
      const other = add(healthy);
      healthy.onAsk = (now) => other.note(heard, now);
      transport[method] = fail;
      advance(30_000);
      expect(errors).toContain(failure);
      expect(registry.stats()).toMatchObject({ connections: 1, ended: { error: 1 } });
      expect(registry.wheel.size).toBe(1);
      // Others go on.
      expect(healthy.asks.length).toBeGreaterThan(4);
      other.noteClosed('ended');
      advance(60_000);
      expect([registry.wheel.size, registry.stats().connections, clock.timers]).toEqual([0, 0, 0]);
    },
  );

  it.each([
    ['move', ['move']],
    ['cut', ['cut']],
    ['both', ['move', 'cut']],
    ['moveTimeout', ['moveTimeout']],
    ['all three', ['moveTimeout', 'move', 'cut']],
  ] as const)(
    'from %s is reported, and the connection is gone at the latest when it was to be cut',
    (_name, methods) => {
      for (const how of ['by its id', 'by verdict'] as const) {
        const errors = watchErrors();
        const { advance, transport, peer, registry, ends } = bench({ options: { every: '5s' } });
        for (const method of methods) transport[method] = fail;
        if (how === 'by its id') expect(() => registry.evict(peer.id, 'idle')).not.toThrow();
        advance(30_000);
        expect(errors).toContain(failure);
        expect(ends.map(({ reason }) => reason)).toEqual([how === 'by its id' ? 'idle' : 'heartbeat-timeout']);
        expect([registry.wheel.size, registry.stats().connections]).toEqual([0, 0]);
        if (methods.length === 1 && methods[0] !== 'cut') expect(transport.cuts).toHaveLength(1);
      }
    },
  );
});

describe('a listener', () => {
  it('that throws is reported, and the others are called', () => {
    const errors = watchErrors();
    const failure = new Error('from a listener');
    const { advance, registry, states, ends } = bench({ options: { every: '5s' } });
    const after: string[] = [];
    for (const event of ['state', 'end'] as const) {
      registry.on(event as 'state', () => {
        throw failure;
      });
      registry.on(event as 'state', () => void after.push(event));
    }
    advance(30_000);
    expect([states.map(({ state }) => state), ends.length]).toEqual([['read-late', 'dead'], 1]);
    expect(after).toEqual(['state', 'state', 'end']);
    expect(errors).toEqual([failure, failure, failure]);
    expect(registry.stats()).toMatchObject({ connections: 0, ended: { 'heartbeat-timeout': 1 } });
  });

  it('may end the connection that it is told of', () => {
    const { advance, registry, transport, ends, peer } = bench({ options: { every: '5s' } });
    registry.on('state', ({ connection }) => void registry.evict(connection.id, 'error'));
    transport.onMove = () => peer.noteClosed('ended');
    advance(60_000);
    expect(ends.map(({ reason }) => reason)).toEqual(['error']);
    expect([transport.moves.length, registry.wheel.size, registry.stats().connections]).toEqual([1, 0, 0]);
  });

  it('is not called after its undo, which may be called twice', () => {
    const { advance, registry, peer } = bench({ options: { every: '5s' } });
    const seen: string[] = [];
    const undos = [
      registry.on('state', () => void seen.push('state')),
      registry.on('end', () => void seen.push('end')),
    ];
    for (const undo of [...undos, ...undos]) undo();
    advance(11_000);
    peer.noteClosed('ended');
    expect(seen).toEqual([]);
  });
});

describe('a connection that is not watched any more', () => {
  it('by an undo goes on: it is not told, not cut, not counted as ended', () => {
    const { advance, registry, peer, transport, ends } = bench({ options: { every: '5s' } });
    advance(12_000);
    expect(registry.stats().unresponsive_ratio).toBe(1);
    peer.release();
    peer.release();
    expect([registry.wheel.size, registry.connections(), registry.stats()]).toMatchObject([
      0,
      [],
      { connections: 0, unresponsive_ratio: 0, ended: {} },
    ]);
    const asked = transport.asks.length;
    advance(60_000, 1000, (now) => {
      peer.note(written, now);
      peer.note(answered(100), now);
      peer.note(full, now);
    });
    peer.noteClosed('client-closed');
    expect([transport.asks.length, transport.moves, transport.cuts, ends]).toEqual([asked, [], [], []]);
    expect([registry.wheel.size, registry.stats()]).toMatchObject([
      0,
      { connections: 0, avg_heartbeat_rt: null, ended: {} },
    ]);
  });

  it('because it was closed ends once', () => {
    const { registry, peer, ends } = bench();
    peer.noteClosed('client-closed');
    peer.noteClosed('ended');
    peer.release();
    expect(ends.map(({ reason }) => reason)).toEqual(['client-closed']);
    expect(registry.stats()).toMatchObject({ connections: 0, ended: { 'client-closed': 1 } });
  });

  it('because its registry was closed is left alone, whatever happens on it', () => {
    const { advance, registry, peer, transport, states, ends, clock, add } = bench({
      options: { every: '5s', writeDeadline: '2s' },
    });
    advance(6000);
    registry.close();
    const asked = transport.asks.length;
    transport.bytesQueued = 1000;
    advance(120_000, 1000, (now) => {
      peer.note(written, now);
      peer.note(full, now);
    });
    const newcomer = new FakeTransport();
    const late = add(newcomer);
    advance(120_000);
    expect([transport.asks.length, transport.moves, transport.cuts, newcomer.asks, states, ends, clock.timers]).toEqual(
      [asked, [], [], [], [], [], 0],
    );
    // What is counted stays right.
    peer.noteClosed('ended');
    late.noteClosed('ended');
    expect(registry.stats()).toMatchObject({ connections: 0, ended: { ended: 2 } });
  });
});

it('a registry that was closed asks the kernel nothing any more', () => {
  const clock = new FakeClock(start);
  const registry = new Registry({}, clock);
  const policy = { ...resolveHealthOptions('test', { registry, every: Infinity, ackProbe: false }), isProbing: true };
  const socket = { remotePort: 443, bytesWritten: 0 } as unknown as Socket;
  registry.probe(registry.add(new FakeTransport(), policy, socket));
  expect(clock.timers).toBe(1);
  registry.close();
  expect(clock.timers).toBe(0);
});

describe('the numbers', () => {
  it('are right at each step', () => {
    const { advance, add, registry, peer, transport } = bench({ options: { every: '5s' } });
    const second = Object.assign(new FakeTransport(), {
      transport: 'http2' as const,
      remoteAddress: undefined,
      label: undefined,
    });
    const other = add(second);
    second.onAsk = (now) => other.note(answered(40), now);
    expect(registry.stats()).toEqual({
      connections: 2,
      unresponsive_ratio: 0,
      avg_heartbeat_rt: null,
      transports: {
        socket: { healthy: 1, 'read-late': 0, 'write-late': 0, dead: 0 },
        http2: { healthy: 1, 'read-late': 0, 'write-late': 0, dead: 0 },
      },
      ended: {},
      refused: { total: 0, client: 0 },
      heartbeats: 0,
    });
    expect(registry.connections().map(({ id }) => id)).toEqual(['socket-1', 'http2-2']);
    advance(6000);
    expect(registry.stats()).toMatchObject({ avg_heartbeat_rt: 40, unresponsive_ratio: 0 });
    advance(5000);
    expect(registry.stats()).toMatchObject({
      unresponsive_ratio: 0.5,
      transports: { socket: { 'read-late': 1 }, http2: { healthy: 1 } },
    });
    advance(6000);
    expect(transport.moves).toHaveLength(1);
    advance(1000);
    expect(registry.stats()).toMatchObject({
      connections: 1,
      unresponsive_ratio: 0,
      ended: { 'heartbeat-timeout': 1 },
    });
    expect(registry.connections()).toMatchObject([
      { id: 'http2-2', remoteAddress: undefined, label: undefined, roundTrip: 40 },
    ]);
    other.noteClosed('ended');
    expect(registry.stats()).toMatchObject({
      connections: 0,
      avg_heartbeat_rt: null,
      ended: { 'heartbeat-timeout': 1, ended: 1 },
    });
    expect(peer.liveness.state).toBe('dead');
  });
});

// What the library promises: a client that is gone is seen, and its connection ended, within two heartbeats and 10 s.
const everies = [1000, 2000, 5000, 15_000, 30_000];
const promise = (every: number): number => 2 * every + 10_000;

/** The worst draws for the one and for the other span, the best, and some between. */
const draws: readonly (readonly [name: string, random: () => () => number])[] = [
  ['the longest', () => () => 1 - Number.EPSILON],
  ['the shortest', () => () => 0],
  ['in the middle', () => () => 0.5],
  [
    'in turn',
    () => {
      let isHigh = false;
      return () => {
        isHigh = !isHigh;
        return isHigh ? 1 - Number.EPSILON : 0;
      };
    },
  ],
];

/** Moments to die at: one after the other in the time of some heartbeats, and right before and after each of those. */
function momentsOf(every: number): number[] {
  const moments = Array.from({ length: 40 }, (_, index) => 2 * every + (index * 2.7 * every) / 40);
  const beats = [0.9, 1, 1.1, 1.8, 2, 2.2, 2.7, 3, 3.3, 4.4].map((factor) => factor * every);
  return [...moments, ...beats.flatMap((at) => [at - 1, at + 1, at + slot + 1, at + 2 * slot + 1, at + 60, at + 1100])];
}

describe.each(everies)('with a heartbeat every %d ms', (every) => {
  describe.each(draws)('and the spans that are drawn %s', (_name, random) => {
    it.each([
      ['answers', 'reads', undefined],
      ['answers', 'writes', every / 4],
      ['answers by bytes alone', 'reads', undefined],
      ['answers by bytes alone', 'writes', every / 4],
    ] as const)('a peer that %s, where %s count, is cut in time whenever it dies', (how, quietBy, lookEvery) => {
      let worst = 0;
      for (const moment of momentsOf(every)) {
        const shape = { quietBy, ...(lookEvery !== undefined && { lookEvery }) };
        const { advance, clock, transport, peer } = bench({ options: { every }, random: random(), transport: shape });
        const answer = (): void => {
          if (clock.now() > start + moment) return;
          if (how === 'answers') peer.note(answered(30), clock.now());
          else transport.bytesIn = (transport.bytesIn ?? 0) + 1;
        };
        transport.onAsk = (now) => {
          peer.note(written, now);
          clock.startTimer(30, answer);
        };
        advance(moment + promise(every) + 60_000);
        expect(transport.cuts.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
        worst = Math.max(worst, transport.cuts[0]!.at - start - moment);
      }
      expect(worst).toBeLessThanOrEqual(promise(every));
    });

    it('a peer whose kernel alone answers is cut in time whenever it dies', () => {
      let worst = 0;
      for (const moment of momentsOf(every)) {
        const { advance, clock, kernel, transport, write } = quietStream({ options: { every }, random: random() });
        transport.onAsk = (now) => {
          write(now);
          clock.startTimer(30, () => {
            if (clock.now() <= start + moment) kernel.acknowledged = kernel.written;
          });
        };
        advance(moment + promise(every) + 60_000);
        expect(transport.cuts.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
        worst = Math.max(worst, transport.cuts[0]!.at - start - moment);
      }
      expect(worst).toBeLessThanOrEqual(promise(every));
    });

    it.each([0.14, 0.3, 0.56, 0.9])(
      'a busy stream, with an event in %d of that time, whose client dies is cut in time',
      (part) => {
        let worst = 0;
        for (const moment of momentsOf(every)) {
          const { advance, clock, kernel, transport, write } = quietStream({ options: { every }, random: random() });
          transport.onAsk = (now) => write(now);
          advance(moment + promise(every) + 60_000, every * part, (now) => {
            write(now);
            clock.startTimer(30, () => {
              if (clock.now() <= start + moment) kernel.acknowledged = kernel.written;
            });
          });
          expect(transport.cuts.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
          worst = Math.max(worst, transport.cuts[0]!.at - start - moment);
        }
        expect(worst).toBeLessThanOrEqual(promise(every));
      },
    );

    it.each([700, 3000, 8000, 21_600, 60_000, 119_000])(
      'a peer far away (RTO 700 ms) whose answers take %d ms is never given up',
      (delay) => {
        const { advance, clock, transport, peer, ends } = bench({ options: { every }, random: random() });
        peer.note({ kind: 'path', rto: 700, isLosing: false }, start);
        transport.onAsk = (now) => {
          peer.note(written, now);
          clock.startTimer(delay, () => peer.note(answered(delay), clock.now()));
        };
        advance(20 * Math.max(every, delay));
        expect([ends, transport.moves]).toEqual([[], []]);
      },
    );

    it.each([700, 3000, 8000, 20_000, 60_000, 117_000])(
      'a peer far away (RTO 700 ms) whose kernel acknowledges after %d ms is never given up',
      (delay) => {
        const { advance, clock, kernel, transport, write, ends } = quietStream({
          options: { every },
          random: random(),
        });
        kernel.rto = 700;
        transport.onAsk = (now) => {
          write(now);
          const { written } = kernel;
          clock.startTimer(delay, () => (kernel.acknowledged = Math.max(kernel.acknowledged, written)));
        };
        advance(20 * Math.max(every, delay));
        expect([ends, transport.moves]).toEqual([[], []]);
      },
    );
  });
});
