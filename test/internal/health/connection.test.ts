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
  readonly wire?: Partial<FakeTransport>;
  /** With a socket of TCP whose kernel tells. */
  readonly isProbed?: boolean;
  /** The source of all spreads. */
  readonly random?: () => number;
}

const start = 1000;

function answered(roundTrip: number): Evidence {
  return { kind: 'answered', roundTrip };
}

function bench({ options = {}, policy = {}, wire: shape = {}, isProbed = false, random = () => 0.5 }: Setting = {}) {
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
  const wire = Object.assign(new FakeTransport(), shape);
  wire.now = () => clock.now();
  const socket = { remotePort: 443, bytesWritten: 0, setKeepAlive: () => undefined } as unknown as Socket;
  const add = (other: FakeTransport): MonitoredConnection => {
    other.now = () => clock.now();
    return registry.add(other, resolved, isProbed ? socket : undefined);
  };
  const peer = add(wire);
  return {
    clock,
    registry,
    resolved,
    wire,
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
    const { advance, wire, peer } = bench({ options: { every: '10s' } });
    wire.onAsk = (now) => peer.note(heard, now);
    advance(45_000);
    expectTimes(wire.asks, [10_000, 20_000, 30_000, 40_000]);
  });

  it.each([
    ['writes', 'writes', written, 0],
    ['writes', 'signs of life', heard, 9],
    ['reads', 'signs of life', heard, 0],
  ] as const)('on a transport where %s make them superfluous: %s every second', (quietBy, _what, evidence, least) => {
    const { advance, wire, peer } = bench({ options: { every: '5s' }, wire: { quietBy } });
    advance(50_000, 1000, (now) => peer.note(evidence, now));
    if (least === 0) expect(wire.asks).toEqual([]);
    else expect(wire.asks.length).toBeGreaterThanOrEqual(least);
  });

  it('are not sent where bytes come all the time, of which no event tells', () => {
    const { advance, wire } = bench({ options: { every: '8s' }, wire: { lookEvery: 1000 } });
    advance(80_000, 500, () => (wire.bytesIn = (wire.bytesIn ?? 0) + 1));
    expect(wire.asks).toEqual([]);
  });

  it('are not sent where frames come all the time, of which events tell as well', () => {
    const { advance, wire, peer } = bench({ options: { every: '8s' } });
    advance(80_000, 500, (now) => {
      wire.bytesIn = (wire.bytesIn ?? 0) + 1;
      peer.note(heard, now);
    });
    expect(wire.asks).toEqual([]);
  });

  it('are sent after the last byte was, however often it was looked at meanwhile', () => {
    const { advance, wire, peer } = bench({ options: { every: '10s' }, wire: { quietBy: 'writes', lookEvery: 700 } });
    advance(25_000, 500, (now) => {
      peer.note(written, now);
      peer.note(heard, now);
    });
    advance(9990);
    expect(wire.asks).toEqual([]);
    advance(20 + 700);
    expect(wire.asks).toHaveLength(1);
  });

  it('vary up and down by the jitter', () => {
    for (const [random, every] of [
      [0, 9000],
      [0.5, 10_000],
      [0.999_999, 11_000],
    ] as const) {
      const { advance, wire, peer } = bench({ options: { every: '10s', jitter: 0.1 }, random: () => random });
      wire.onAsk = (now) => peer.note(heard, now);
      advance(3.5 * every);
      expectTimes(
        wire.asks,
        [every, 2 * every, 3 * every].map((at) => at - 1),
      );
    }
  });

  it('draw their interval anew each time', () => {
    let seed = 7;
    const random = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    const { advance, wire, peer } = bench({ options: { every: '10s', jitter: 0.5 }, random });
    wire.onAsk = (now) => peer.note(heard, now);
    advance(1_000_000);
    const gaps = wire.asks.map((at, index) => at - (wire.asks[index - 1] ?? start));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(5000);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(15_000 + slot);
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeGreaterThan(7000);
    expect(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length).toBeGreaterThan(9000);
    expect(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length).toBeLessThan(11_000);
  });

  it('are tried again an interval later where none could be sent', () => {
    const { advance, wire, steps } = bench({ options: { every: '5s' }, wire: { asksOk: false } });
    advance(12_000);
    wire.asksOk = true;
    advance(4000);
    expectTimes(wire.asks, [15_000], 3 * slot);
    expect(steps()).toEqual([]);
  });

  it('are never sent with `every: Infinity`, and nobody is late for them', () => {
    const { advance, wire, registry, ends } = bench({ options: { every: Infinity } });
    expect(registry.wheel.size).toBe(0);
    advance(86_400_000);
    expect([wire.asks, ends]).toEqual([[], []]);
  });
});

describe('the read clock', () => {
  it('gives up a peer that does not answer: late, then late three times and for the grace time, then moved and cut', () => {
    const { advance, clock, wire, states, ends, registry } = bench({ options: { every: '15s' } });
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
    expect([wire.moves, registry.connections()[0]?.failures]).toEqual([[], 3]);
    advance(200);
    expect(wire.moves.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(states.at(-1)).toMatchObject({ state: 'dead', previous: 'read-late' });
    expect(registry.stats()).toMatchObject({ connections: 1, transports: { socket: { dead: 1 } } });
    expect(wire.cuts).toEqual([]);
    advance(1100);
    expect(wire.cuts.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(wire.cuts[0]!.at - wire.moves[0]!.at).toBeGreaterThanOrEqual(1000);
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
    const { advance, wire } = bench({ options: { every: '10s', readDeadline: '15s', grace: '1m' } });
    advance(69_000);
    expectTimes(wire.asks, [10_000, 20_000, 30_000, 40_000, 50_000, 60_000], 2 * slot);
  });

  it.each([
    ['a sign of life that is told', (peer: MonitoredConnection, now: number): void => peer.note(heard, now)],
    [
      'bytes that came',
      (_peer: MonitoredConnection, _now: number, wire: FakeTransport): void =>
        void (wire.bytesIn = (wire.bytesIn ?? 0) + 1),
    ],
  ])('is set back by %s, and that is told', (_name, live) => {
    const { advance, wire, peer, clock, steps, registry } = bench({
      options: { every: '5s' },
      wire: { lookEvery: 500 },
    });
    advance(12_000);
    expect(steps()).toEqual(['healthy > read-late']);
    live(peer, clock.now(), wire);
    advance(500 + 2 * slot);
    expect(steps()).toEqual(['healthy > read-late', 'read-late > healthy']);
    expect(registry.stats()).toMatchObject({
      unresponsive_ratio: 0,
      transports: { socket: { healthy: 1, 'read-late': 0 } },
    });
    // From the start again: as many times late as before.
    expect(registry.connections()[0]?.failures).toBe(0);
    advance(9000);
    expect(wire.moves).toEqual([]);
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
      (_peer: MonitoredConnection, _now: number, wire: FakeTransport): void => void (wire.bytesTaken += 100),
    ],
    [
      'what its kernel acknowledges, where the peer answers itself',
      (peer: MonitoredConnection, now: number): void => peer.note({ kind: 'acknowledged', isAll: true }, now),
    ],
  ])('is not set back by %s', (_name, act) => {
    for (const quietBy of ['reads', 'writes'] as const) {
      const { advance, wire, peer, ends } = bench({ options: { every: '5s' }, wire: { quietBy, lookEvery: 500 } });
      // Its clock stands until it is asked, and that is put off by a while where writing makes it superfluous.
      advance(25_000, 400, (now) => act(peer, now, wire));
      expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    }
  });

  it('stands while nobody was asked', () => {
    const { advance, registry, states } = bench({ options: { every: '5s' }, wire: { asksOk: false } });
    advance(3_600_000);
    expect([states, registry.connections().map(({ state, silence }) => [state, silence])]).toEqual([
      [],
      [['healthy', 3_600_000]],
    ]);
  });

  it('counts from the first question that was not answered, not from the last', () => {
    const { advance, wire } = bench({ options: { every: '2s', readDeadline: '20s' } });
    advance(26_500);
    expect(wire.asks.length).toBeGreaterThan(8);
    expect(wire.cuts).toHaveLength(1);
  });

  it('leaves a part of the deadline to the answer of a question that came late', () => {
    const { advance, wire, states, peer } = bench({
      options: { every: '5s', readDeadline: '10s' },
      wire: { asksOk: false },
    });
    advance(21_000);
    wire.asksOk = true;
    wire.onAsk = () => undefined;
    advance(4000 + 3 * slot);
    expectTimes(wire.asks, [25_000], 6 * slot);
    expect(states).toEqual([]);
    advance(3000);
    peer.note(heard, start + 28_000);
    advance(1000);
    expect(states).toEqual([]);
  });

  it('is not set back by an answer of before a pause of the process: it is heard first', () => {
    const { advance, clock, wire, peer, ends } = bench({ options: { every: '5s' } });
    wire.onAsk = () => undefined;
    advance(6000);
    // Everything is long late. The answer is read in the same turn, or in the next.
    clock.pause(120_000);
    expect(wire.moves).toEqual([]);
    advance(100);
    peer.note(heard, clock.now());
    advance(4000);
    expect([ends, wire.moves]).toEqual([[], []]);
  });

  it('gives nobody up before the third look after a pause', () => {
    const { advance, clock, wire } = bench({ options: { every: '5s' } });
    advance(6000);
    clock.pause(120_000);
    const resumed = clock.now();
    advance(10_000);
    expect(wire.moves).toHaveLength(1);
    expect(wire.moves[0]!.at - resumed).toBeGreaterThanOrEqual(2 * (5000 / 3));
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
    const { advance, wire, peer, clock, ends, steps } = bench({ options: { every: '15s', writeDeadline: '10s' } });
    wire.onAsk = (now) => peer.note(heard, now);
    wire.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(9999, 1000, (now) => peer.note(heard, now));
    expect(steps()).toEqual([]);
    advance(5100 + shortMove, 1000, (now) => peer.note(heard, now));
    expect(steps()).toEqual(['healthy > write-late', 'write-late > dead']);
    expect(ends.map(({ reason }) => reason)).toEqual(['slow-consumer']);
    expect(wire.moves[0]!.at - start).toBeGreaterThanOrEqual(15_000);
  });

  it('starts with the write that found the queue full, though nobody was to look before long', () => {
    const { advance, wire, peer, clock, states } = bench({ options: { every: '5m', writeDeadline: '2s' } });
    advance(60_000);
    wire.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(1999);
    expect(states).toEqual([]);
    advance(2 * slot);
    expect(states.map(({ state }) => state)).toEqual(['write-late']);
  });

  it('starts at a look that finds something waiting, also where no write was told', () => {
    const { advance, wire, states } = bench({
      options: { every: '5m', writeDeadline: '2s' },
      wire: { lookEvery: 500 },
    });
    wire.bytesQueued = 10;
    advance(2400);
    expect(states).toEqual([]);
    advance(200);
    expect(states.map(({ state }) => state)).toEqual(['write-late']);
  });

  it.each([
    [
      'a byte that was taken',
      (_peer: MonitoredConnection, _now: number, wire: FakeTransport): void => void (wire.bytesTaken += 1),
      true,
    ],
    [
      'bytes that the kernel of the peer acknowledged',
      (peer: MonitoredConnection, now: number): void => peer.note({ kind: 'acknowledged', isAll: false }, now),
      true,
    ],
    [
      'an empty queue',
      (_peer: MonitoredConnection, _now: number, wire: FakeTransport): void => void (wire.bytesQueued = 0),
      true,
    ],
    ['a sign of life', (peer: MonitoredConnection, now: number): void => peer.note(heard, now), false],
    [
      'bytes that came',
      (_peer: MonitoredConnection, _now: number, wire: FakeTransport): void =>
        void (wire.bytesIn = (wire.bytesIn ?? 0) + 1),
      false,
    ],
    [
      'bytes that were added to the queue',
      (peer: MonitoredConnection, now: number, wire: FakeTransport): void => {
        wire.bytesQueued += 100;
        peer.note(written, now);
        peer.note(full, now);
      },
      false,
    ],
  ])('is set back by %s: %#', (_name, act, isSetBack) => {
    const { advance, wire, peer, clock, ends } = bench({ options: { every: '1h', writeDeadline: '4s' } });
    wire.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(30_000, 1000, (now) => act(peer, now, wire));
    expect(ends.map(({ reason }) => reason)).toEqual(isSetBack ? [] : ['slow-consumer']);
  });

  it('is set back only for a while by a byte now and then: a reader that is slow, and goes on, is not late', () => {
    const { advance, wire, peer, clock, states, ends } = bench({ options: { every: '1h', writeDeadline: '4s' } });
    wire.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(60_000, 3500, () => (wire.bytesTaken += 1));
    expect([states, ends]).toEqual([[], []]);
    advance(10_100 + shortMove);
    expect(ends.map(({ reason }) => reason)).toEqual(['slow-consumer']);
  });

  it('stands with a deadline of Infinity', () => {
    const { advance, wire, peer, clock, states } = bench({ options: { every: Infinity, writeDeadline: Infinity } });
    wire.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(3_600_000);
    expect(states).toEqual([]);
  });

  it('and the read clock together: dead, and given up when the first of them is over', () => {
    const { advance, wire, peer, clock, steps, ends } = bench({ options: { every: '5s', writeDeadline: '8s' } });
    wire.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(9000);
    expect(steps()).toEqual(['healthy > write-late']);
    advance(1100);
    expect(steps()).toEqual(['healthy > write-late', 'write-late > dead']);
    // Not given up yet: each is late for too short a time.
    expect([wire.moves, ends]).toEqual([[], []]);
    peer.note(heard, clock.now());
    advance(2 * slot);
    expect(steps().at(-1)).toBe('dead > write-late');
    wire.bytesQueued = 0;
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
      const { advance, wire, peer, clock, ends, states } = bench({
        options: { every: '1h', writeDeadline: '10s', minRate: 1000 },
        wire: { lookEvery: 1000 },
      });
      wire.bytesQueued = 1e6;
      peer.note(full, clock.now());
      advance(120_000, 100, () => (wire.bytesTaken += rate / 10));
      expect(ends.map(({ reason }) => reason)).toEqual(isGivenUp ? ['slow-consumer'] : []);
      if (!isGivenUp) expect(states).toEqual([]);
    });

    it('counts only while something waits', () => {
      const { advance, wire, peer, clock, ends } = bench({
        options: { every: '1h', writeDeadline: '10s', minRate: 1000 },
        wire: { lookEvery: 1000 },
      });
      for (let round = 0; round < 20; round++) {
        wire.bytesQueued = 3000;
        peer.note(full, clock.now());
        advance(6000, 1000, () => (wire.bytesTaken += 500));
        wire.bytesQueued = 0;
        advance(3000);
      }
      expect(ends).toEqual([]);
    });
  });
});

describe('the bound of what waits', () => {
  it('is looked at with each write that finds the queue full', () => {
    const { advance, wire, peer, clock, ends } = bench({ options: { every: '1h', maxBuffered: 1000 } });
    wire.bytesQueued = 1000;
    peer.note(full, clock.now());
    expect(wire.moves).toEqual([]);
    wire.bytesQueued = 1001;
    peer.note(full, clock.now());
    expect(wire.moves.map(({ reason }) => reason)).toEqual(['slow-consumer']);
    advance(shortMove + slot);
    expect(ends.map(({ reason }) => reason)).toEqual(['slow-consumer']);
  });

  it('is looked at as often as the wire has it where writes are not seen', () => {
    const { advance, wire } = bench({ options: { every: '1h', maxBuffered: 1000 }, wire: { lookEvery: 1000 } });
    advance(10_500);
    wire.bytesQueued = 1001;
    advance(500 + 12 * slot);
    expect(wire.moves.map(({ reason }) => reason)).toEqual(['slow-consumer']);
  });

  it('is none by default', () => {
    const { wire, peer, clock } = bench();
    wire.bytesQueued = 1e12;
    peer.note(full, clock.now());
    expect(wire.moves).toEqual([]);
  });
});

describe('a connection that is sent away', () => {
  it('and is closed in time is not cut', () => {
    const { advance, wire, peer, registry, ends } = bench();
    expect(registry.evict(peer.id)).toBe(true);
    expect(registry.connections()).toHaveLength(1);
    advance(900);
    peer.noteClosed('client-closed');
    advance(10_000);
    expect(wire.cuts).toEqual([]);
    // Why it was sent away, not how it went.
    expect(ends.map(({ reason }) => reason)).toEqual(['draining']);
    expect(registry.stats()).toMatchObject({ connections: 0, ended: { draining: 1 } });
    expect(registry.wheel.size).toBe(0);
  });

  it('may be closed while it is told', () => {
    const { wire, peer, registry, ends, advance } = bench();
    wire.onMove = () => peer.noteClosed('ended');
    registry.evict(peer.id, 'idle');
    expect(ends.map(({ reason }) => reason)).toEqual(['idle']);
    expect(registry.wheel.size).toBe(0);
    advance(5000);
    expect(wire.cuts).toEqual([]);
  });

  it('is not cut where it sees to its own end, as long as it is well', () => {
    const { advance, wire, peer, registry } = bench({ wire: { timeout: Infinity } });
    wire.onAsk = (now) => peer.note(answered(1), now);
    registry.evict(peer.id);
    advance(3_600_000);
    expect([wire.cuts, registry.stats().connections]).toEqual([[], 1]);
    peer.noteClosed('ended');
    expect(registry.stats()).toMatchObject({ connections: 0, ended: { draining: 1 } });
  });

  it('is cut where it sees to its own end, and is gone meanwhile', () => {
    const { advance, wire, peer, registry, ends } = bench({ wire: { timeout: Infinity } });
    registry.evict(peer.id);
    advance(40_000);
    expect(wire.cuts.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(wire.cuts[0]!.at - start).toBeLessThan(40_000);
    expect(ends.map(({ reason }) => reason)).toEqual(['draining']);
    expect([registry.wheel.size, registry.stats().connections]).toEqual([0, 0]);
  });

  it('goes by itself where it has ended: neither age, nor a producer, nor anybody else sends it away', () => {
    const { advance, wire, peer, registry } = bench({
      options: { maxAge: '1m' },
      policy: { idleProducer: 30_000 },
      wire: { isEnding: () => true, lastProduced: start },
    });
    wire.onAsk = (now) => peer.note(answered(1), now);
    advance(600_000);
    expect(registry.evict(peer.id)).toBe(true);
    expect([wire.moves, wire.cuts, registry.stats().connections]).toEqual([[], [], 1]);
  });

  it('is given up where it has ended, and is gone before it has all', () => {
    const { advance, wire } = bench({ wire: { isEnding: () => true } });
    advance(40_000);
    expect(wire.moves.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
  });

  it('is asked nothing any more, and no evidence moves it', () => {
    const { advance, wire, peer, registry, states } = bench({ options: { every: '1s' }, wire: { timeout: 60_000 } });
    registry.evict(peer.id);
    advance(30_000, 1000, (now) => {
      peer.note(heard, now);
      peer.note(written, now);
      peer.note(full, now);
      peer.note({ kind: 'acknowledged', isAll: true }, now);
    });
    expect([wire.asks, states, wire.moves.length]).toEqual([[], [], 1]);
    advance(30_000 + slot);
    expect(wire.cuts).toHaveLength(1);
  });

  it('is sent away by its id, once, for a reason', () => {
    const { wire, peer, registry } = bench();
    expect(registry.evict('socket-99')).toBe(false);
    expect(registry.evict(peer.id, 'deadline')).toBe(true);
    expect(registry.evict(peer.id, 'deadline')).toBe(false);
    peer.noteClosed('ended');
    expect(registry.evict(peer.id)).toBe(false);
    expect(wire.moves.map(({ reason, cause }) => [reason, cause])).toEqual([['deadline', undefined]]);
    expect(registry.stats().ended).toEqual({ deadline: 1 });
  });

  it('for a reason of its own words is draining, and those are the cause', () => {
    const { wire, peer, registry, ends } = bench();
    registry.evict(peer.id, 'the token has expired');
    expect(wire.moves).toMatchObject([{ reason: 'draining', cause: { message: 'the token has expired' } }]);
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
    const { advance, wire, peer } = bench({ options, random: () => random });
    advance(at - 1, 1000, (now) => peer.note(heard, now));
    expect(wire.moves).toEqual([]);
    advance(1 + slot);
    expect(wire.moves.map(({ reason }) => reason)).toEqual(['draining']);
  });

  it('spreads those that came together', () => {
    let seed = 3;
    const random = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    const { advance, add } = bench({ options: { every: Infinity, maxAge: '100s', jitter: 0.2 }, random });
    const wires = Array.from({ length: 200 }, () => new FakeTransport());
    for (const wire of wires) add(wire);
    advance(200_000);
    const ages = wires.map(({ moves }) => moves[0]!.at - start);
    expect(Math.min(...ages)).toBeGreaterThanOrEqual(80_000);
    expect(Math.max(...ages)).toBeLessThanOrEqual(120_000 + slot);
    const early = ages.filter((age) => age < 100_000).length;
    expect(early).toBeGreaterThan(60);
    expect(early).toBeLessThan(140);
  });

  it('is told in milliseconds, as is the silence', () => {
    const { advance, peer, registry, clock, wire } = bench({ options: { every: '1h' } });
    advance(5000);
    peer.note(answered(80), clock.now());
    advance(2500);
    wire.bytesQueued = 12;
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
    const { advance, wire, peer } = bench({
      options: { every: '2s' },
      policy: { idleProducer: 30_000 },
      wire: { quietBy: 'writes', lastProduced: start },
    });
    wire.onAsk = (now) => {
      peer.note(written, now);
      peer.note(heard, now);
    };
    advance(29_999);
    expect(wire.asks.length).toBeGreaterThan(10);
    expect(wire.moves).toEqual([]);
    advance(1 + 2 * slot);
    expect(wire.moves.map(({ reason }) => reason)).toEqual(['idle']);
  });

  it('that makes something now and then is not idle', () => {
    const { advance, wire } = bench({
      options: { every: '1h' },
      policy: { idleProducer: 30_000 },
      wire: { lastProduced: start },
    });
    advance(600_000, 29_000, (now) => (wire.lastProduced = now));
    expect(wire.moves).toEqual([]);
    advance(30_000 + 2 * slot);
    expect(wire.moves.map(({ reason }) => reason)).toEqual(['idle']);
  });

  it('that waits for its client is not idle: that is the write clock’s', () => {
    const { advance, wire, peer, clock } = bench({
      options: { every: '5s', writeDeadline: '10m' },
      policy: { idleProducer: 10_000 },
      wire: { lastProduced: start },
    });
    wire.onAsk = (now) => peer.note(heard, now);
    wire.bytesQueued = 1000;
    peer.note(full, clock.now());
    advance(60_000);
    expect(wire.moves).toEqual([]);
    wire.bytesQueued = 0;
    advance(5000 + 20 * slot);
    expect(wire.moves.map(({ reason }) => reason)).toEqual(['idle']);
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

/** A stream to a client that only reads: each heartbeat is 3 bytes. */
function quietStream(setting: Omit<Setting, 'isProbed' | 'wire'> = {}) {
  const made = bench({ ...setting, wire: kernelOnly, isProbed: true });
  const kernel = kernelOf(made);
  const write = (now: number, length = 3): void => {
    kernel.written += length;
    made.peer.note(written, now);
  };
  made.wire.onAsk = (now) => write(now);
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
    const { advance, wire, ends, awaited } = quietStream({ options: { every: '5s' } });
    advance(30_000);
    expect(wire.moves.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(awaited.size).toBe(0);
  });

  it('is not late for what was never looked up: the tables cannot be read', () => {
    const { advance, kernel, wire, states, registry } = quietStream({ options: { every: '5s' } });
    kernel.isReadable = false;
    advance(3_600_000);
    expect([wire.moves, states, registry.stats().connections]).toEqual([[], [], 1]);
    expect(wire.asks.length).toBeGreaterThan(600);
  });

  it('is not late any more when the tables cannot be read any more', () => {
    const { advance, kernel, ends, registry } = quietStream({ options: { every: '5s' } });
    advance(11_000);
    kernel.isReadable = false;
    advance(3_600_000);
    expect([ends, registry.connections().map(({ state }) => state)]).toEqual([[], ['healthy']]);
  });

  it('is not late for what it acknowledged long ago, before anybody looked', () => {
    // A stream that is busy, with a deadline that is shorter than the time between two looks.
    const { advance, kernel, write, states } = quietStream({ options: { every: '30s', readDeadline: '10s' } });
    advance(600_000, 1000, (now) => {
      kernel.acknowledged = kernel.written;
      write(now);
    });
    expect(states).toEqual([]);
  });

  it('is late when it is, with a deadline that is shorter than the time between two looks', () => {
    const { advance, ends, clock, wire, write } = quietStream({ options: { every: '30s', readDeadline: '10s' } });
    write(clock.now());
    advance(55_000);
    expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
    expect(wire.cuts[0]!.at - start).toBeLessThan(55_000);
  });

  it('that has closed its window lives, and whoever should read does not', () => {
    const { advance, kernel, wire, peer, clock, ends, steps, write } = quietStream({
      options: { every: '5s', writeDeadline: '8s' },
    });
    write(clock.now(), 1e6);
    wire.bytesQueued = 5000;
    peer.note(full, clock.now());
    kernel.windowClosed = true;
    advance(30_000);
    expect(steps()).toEqual(['healthy > write-late', 'write-late > dead']);
    expect(ends.map(({ reason }) => reason)).toEqual(['slow-consumer']);
  });

  it('that answers too lives by its answers alone', () => {
    const { advance, peer, ends, wire, clock } = bench({ options: { every: '5s' }, isProbed: true });
    const at = clock.now();
    wire.onAsk = (now) => peer.note(written, now);
    advance(20_000, 1000, (now) => peer.note({ kind: 'acknowledged', isAll: true }, now));
    expect(at).toBe(start);
    expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
  });

  it('that answers has its time for the answer from when the question is there, behind all that was written before', () => {
    const { advance, peer, ends, wire } = bench({
      options: { every: '5s' },
      isProbed: true,
      wire: { given: () => 1_000_000 },
    });
    wire.onAsk = (now) => peer.note(written, now);
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

  it('whose bytes nobody reads here just now may have answered', () => {
    let isHeld = true;
    const { advance, ends, peer } = bench({ options: { every: '5s' }, wire: { isHeld: () => isHeld } });
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

describe('patience', () => {
  /** When a peer is given up that never answers, on a way of which this is known. */
  function givenUpAt(prepare: (peer: MonitoredConnection, now: number) => void): number {
    const { advance, wire, peer, clock } = bench({ options: { every: '2s' } });
    prepare(peer, clock.now());
    advance(300_000);
    return wire.moves[0]!.at - start;
  }

  it('is short for a near peer, and longer for one that is far, or whose way loses packets', () => {
    const near = givenUpAt(() => undefined);
    const farther = givenUpAt((peer) => peer.note({ kind: 'path', rto: 390, isLosing: false }, start));
    const measured = givenUpAt((peer, now) => {
      for (let count = 0; count < 20; count++) peer.note(answered(390), now);
    });
    const far = givenUpAt((peer) => peer.note({ kind: 'path', rto: 700, isLosing: false }, start));
    const lossy = givenUpAt((peer, now) => {
      peer.note({ kind: 'path', rto: 200, isLosing: true }, start);
      peer.note({ kind: 'acknowledged', isAll: false }, now);
    });
    expect(near).toBeLessThan(9500);
    // Asked after 2 s: 31 times the timeout, or 255 times, and not over two minutes.
    for (const [at, patience] of [
      [farther, 12_090],
      [measured, 12_090],
      [far, 120_000],
      [lossy, 51_000],
    ] as const) {
      expect(at).toBeGreaterThanOrEqual(2000 + patience);
      expect(at).toBeLessThan(2000 + patience + 300);
    }
  });

  it('goes by the kernel, where it tells, and not by answers: those also take as long as a process is busy', () => {
    const at = givenUpAt((peer, now) => {
      peer.note(answered(390), now);
      peer.note({ kind: 'path', rto: 200, isLosing: false }, start);
    });
    expect(at).toBeLessThan(9500);
  });

  it('is not longer for what is sent a second time to somebody who is gone: only an answer makes that a loss', () => {
    const at = givenUpAt((peer) => peer.note({ kind: 'path', rto: 200, isLosing: true }, start));
    expect(at).toBeLessThan(9500);
  });

  it('forgets a loss after ten minutes', () => {
    const { advance, wire, peer, clock } = bench({ options: { every: '2s' } });
    wire.onAsk = (now) => peer.note(heard, now);
    peer.note({ kind: 'path', rto: 200, isLosing: true }, start);
    peer.note({ kind: 'acknowledged', isAll: true }, clock.now());
    advance(601_000);
    wire.onAsk = () => undefined;
    const since = clock.now();
    advance(60_000);
    expect(wire.moves[0]!.at - since).toBeLessThan(12_000);
  });
});

describe('a peer that answers by itself, and is written to without a pause', () => {
  it('is given up when it has fallen silent, though nobody asks it', () => {
    const { advance, wire, peer, ends } = bench({
      options: { every: '5s' },
      wire: { quietBy: 'writes', lookEvery: 1250 },
    });
    advance(20_000, 500, (now) => {
      peer.note(written, now);
      wire.bytesIn = (wire.bytesIn ?? 0) + 1;
    });
    expect(wire.asks).toEqual([]);
    expect(ends).toEqual([]);
    advance(20_000, 500, (now) => peer.note(written, now));
    expect(ends.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
  });

  it('is not expected to where we have ended our side', () => {
    const { advance, wire, peer, clock, states } = bench({
      options: { every: '5s' },
      wire: { quietBy: 'writes', lookEvery: 1250 },
    });
    peer.note(written, clock.now());
    wire.asksOk = false;
    advance(4000);
    advance(3_600_000);
    expect(states.filter(({ state }) => state === 'dead')).toEqual([]);
  });
});

describe('a wire that throws', () => {
  const failure = new Error('from the wire');
  const fail = (): never => {
    throw failure;
  };

  it.each(['received', 'queued', 'taken', 'ask', 'producedAt'] as const)(
    'from %s is reported, and nothing is left behind',
    (method) => {
      const errors = watchErrors();
      const { advance, wire, registry, add, clock } = bench({
        options: { every: '5s' },
        policy: { idleProducer: 60_000 },
      });
      const healthy = new FakeTransport();
      const other = add(healthy);
      healthy.onAsk = (now) => other.note(heard, now);
      wire[method] = fail;
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
        const { advance, wire, peer, registry, ends } = bench({ options: { every: '5s' } });
        for (const method of methods) wire[method] = fail;
        if (how === 'by its id') expect(() => registry.evict(peer.id, 'idle')).not.toThrow();
        advance(30_000);
        expect(errors).toContain(failure);
        expect(ends.map(({ reason }) => reason)).toEqual([how === 'by its id' ? 'idle' : 'heartbeat-timeout']);
        expect([registry.wheel.size, registry.stats().connections]).toEqual([0, 0]);
        if (methods.length === 1 && methods[0] !== 'cut') expect(wire.cuts).toHaveLength(1);
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
    const { advance, registry, wire, ends, peer } = bench({ options: { every: '5s' } });
    registry.on('state', ({ connection }) => void registry.evict(connection.id, 'error'));
    wire.onMove = () => peer.noteClosed('ended');
    advance(60_000);
    expect(ends.map(({ reason }) => reason)).toEqual(['error']);
    expect([wire.moves.length, registry.wheel.size, registry.stats().connections]).toEqual([1, 0, 0]);
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
    const { advance, registry, peer, wire, ends } = bench({ options: { every: '5s' } });
    advance(12_000);
    expect(registry.stats().unresponsive_ratio).toBe(1);
    peer.release();
    peer.release();
    expect([registry.wheel.size, registry.connections(), registry.stats()]).toMatchObject([
      0,
      [],
      { connections: 0, unresponsive_ratio: 0, ended: {} },
    ]);
    const asked = wire.asks.length;
    advance(60_000, 1000, (now) => {
      peer.note(written, now);
      peer.note(answered(100), now);
      peer.note(full, now);
    });
    peer.noteClosed('client-closed');
    expect([wire.asks.length, wire.moves, wire.cuts, ends]).toEqual([asked, [], [], []]);
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
    const { advance, registry, peer, wire, states, ends, clock, add } = bench({
      options: { every: '5s', writeDeadline: '2s' },
    });
    advance(6000);
    registry.close();
    const asked = wire.asks.length;
    wire.bytesQueued = 1000;
    advance(120_000, 1000, (now) => {
      peer.note(written, now);
      peer.note(full, now);
    });
    const newcomer = new FakeTransport();
    const late = add(newcomer);
    advance(120_000);
    expect([wire.asks.length, wire.moves, wire.cuts, newcomer.asks, states, ends, clock.timers]).toEqual([
      asked,
      [],
      [],
      [],
      [],
      [],
      0,
    ]);
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
    const { advance, add, registry, peer, wire } = bench({ options: { every: '5s' } });
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
    expect(wire.moves).toHaveLength(1);
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
        const { advance, clock, wire, peer } = bench({ options: { every }, random: random(), wire: shape });
        const answer = (): void => {
          if (clock.now() > start + moment) return;
          if (how === 'answers') peer.note(answered(30), clock.now());
          else wire.bytesIn = (wire.bytesIn ?? 0) + 1;
        };
        wire.onAsk = (now) => {
          peer.note(written, now);
          clock.startTimer(30, answer);
        };
        advance(moment + promise(every) + 60_000);
        expect(wire.cuts.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
        worst = Math.max(worst, wire.cuts[0]!.at - start - moment);
      }
      expect(worst).toBeLessThanOrEqual(promise(every));
    });

    it('a peer whose kernel alone answers is cut in time whenever it dies', () => {
      let worst = 0;
      for (const moment of momentsOf(every)) {
        const { advance, clock, kernel, wire, write } = quietStream({ options: { every }, random: random() });
        wire.onAsk = (now) => {
          write(now);
          clock.startTimer(30, () => {
            if (clock.now() <= start + moment) kernel.acknowledged = kernel.written;
          });
        };
        advance(moment + promise(every) + 60_000);
        expect(wire.cuts.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
        worst = Math.max(worst, wire.cuts[0]!.at - start - moment);
      }
      expect(worst).toBeLessThanOrEqual(promise(every));
    });

    it.each([0.14, 0.3, 0.56, 0.9])(
      'a busy stream, with an event in %d of that time, whose client dies is cut in time',
      (part) => {
        let worst = 0;
        for (const moment of momentsOf(every)) {
          const { advance, clock, kernel, wire, write } = quietStream({ options: { every }, random: random() });
          wire.onAsk = (now) => write(now);
          advance(moment + promise(every) + 60_000, every * part, (now) => {
            write(now);
            clock.startTimer(30, () => {
              if (clock.now() <= start + moment) kernel.acknowledged = kernel.written;
            });
          });
          expect(wire.cuts.map(({ reason }) => reason)).toEqual(['heartbeat-timeout']);
          worst = Math.max(worst, wire.cuts[0]!.at - start - moment);
        }
        expect(worst).toBeLessThanOrEqual(promise(every));
      },
    );

    it.each([700, 3000, 8000, 21_600, 60_000, 119_000])(
      'a peer far away (RTO 700 ms) whose answers take %d ms is never given up',
      (delay) => {
        const { advance, clock, wire, peer, ends } = bench({ options: { every }, random: random() });
        peer.note({ kind: 'path', rto: 700, isLosing: false }, start);
        wire.onAsk = (now) => {
          peer.note(written, now);
          clock.startTimer(delay, () => peer.note(answered(delay), clock.now()));
        };
        advance(20 * Math.max(every, delay));
        expect([ends, wire.moves]).toEqual([[], []]);
      },
    );

    it.each([700, 3000, 8000, 20_000, 60_000, 117_000])(
      'a peer far away (RTO 700 ms) whose kernel acknowledges after %d ms is never given up',
      (delay) => {
        const { advance, clock, kernel, wire, write, ends } = quietStream({ options: { every }, random: random() });
        kernel.rto = 700;
        wire.onAsk = (now) => {
          write(now);
          const { written } = kernel;
          clock.startTimer(delay, () => (kernel.acknowledged = Math.max(kernel.acknowledged, written)));
        };
        advance(20 * Math.max(every, delay));
        expect([ends, wire.moves]).toEqual([[], []]);
      },
    );
  });
});
