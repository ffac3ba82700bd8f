import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RegistryCounters, type RegistryStats } from '../../../../src/internal/health/policy/counters.ts';
import type { Transport } from '../../../../src/internal/health/transport.ts';
import type { HealthState } from '../../../../src/internal/health/policy/liveness.ts';
import type { CloseReason } from '../../../../src/index.ts';

const transports: readonly Transport[] = ['http1', 'http2', 'http2-stream', 'websocket', 'socket'];
const states: readonly HealthState[] = ['healthy', 'read-late', 'write-late', 'dead'];
const reasons: readonly CloseReason[] = [
  'ended',
  'client-closed',
  'deadline',
  'idle',
  'draining',
  'slow-consumer',
  'heartbeat-timeout',
  'error',
];

const none: RegistryStats = {
  connections: 0,
  unresponsive_ratio: 0,
  avg_heartbeat_rt: null,
  transports: {},
  ended: {},
  refused: { total: 0, client: 0 },
  heartbeats: 0,
};

describe('the counters', () => {
  it('has all its numbers before anything has happened', () => {
    expect(new RegistryCounters().stats()).toEqual(none);
  });

  it('counts a connection by its transport and state, and the part that does not respond', () => {
    const counters = new RegistryCounters();
    for (const transport of ['http1', 'http1', 'http1', 'websocket'] as const) counters.added(transport);
    counters.changed('http1', 'healthy', 'read-late');
    counters.changed('websocket', 'healthy', 'dead');
    expect(counters.stats()).toMatchObject({
      connections: 4,
      unresponsive_ratio: 0.5,
      transports: {
        http1: { healthy: 2, 'read-late': 1, 'write-late': 0, dead: 0 },
        websocket: { healthy: 0, 'read-late': 0, 'write-late': 0, dead: 1 },
      },
    });
    counters.changed('http1', 'read-late', 'write-late');
    expect(counters.stats().unresponsive_ratio).toBe(0.5);
    counters.changed('http1', 'write-late', 'healthy');
    counters.removed('websocket', 'dead', undefined, 'heartbeat-timeout');
    expect(counters.stats()).toMatchObject({
      connections: 3,
      unresponsive_ratio: 0,
      ended: { 'heartbeat-timeout': 1 },
    });
    expect(counters.stats().transports.websocket).toEqual({ healthy: 0, 'read-late': 0, 'write-late': 0, dead: 0 });
  });

  it('is the mean of the round trips that were measured, of connections that are there', () => {
    const counters = new RegistryCounters();
    for (let count = 0; count < 3; count++) counters.added('http2');
    counters.measured(undefined, 100);
    expect(counters.stats().avg_heartbeat_rt).toBe(100);
    counters.measured(undefined, 300);
    expect(counters.stats().avg_heartbeat_rt).toBe(200);
    counters.measured(100, 500);
    expect(counters.stats().avg_heartbeat_rt).toBe(400);
    counters.removed('http2', 'healthy', 500, 'ended');
    expect(counters.stats().avg_heartbeat_rt).toBe(300);
    counters.removed('http2', 'healthy', undefined, 'ended');
    expect(counters.stats().avg_heartbeat_rt).toBe(300);
    counters.removed('http2', 'healthy', 300, 'ended');
    expect(counters.stats().avg_heartbeat_rt).toBeNull();
  });

  it('counts no end for a connection that is not watched any more', () => {
    const counters = new RegistryCounters();
    counters.added('socket');
    counters.removed('socket', 'healthy', undefined, undefined);
    expect(counters.stats()).toMatchObject({ connections: 0, ended: {} });
  });

  it('gives away copies', () => {
    const counters = new RegistryCounters();
    counters.added('http1');
    const stats = counters.stats() as { refused: { total: number }; transports: { http1: { healthy: number } } };
    stats.refused.total = 99;
    stats.transports.http1.healthy = 99;
    expect(counters.stats()).toMatchObject({ refused: { total: 0 }, transports: { http1: { healthy: 1 } } });
  });
});

interface Member {
  readonly transport: Transport;
  state: HealthState;
  roundTrip: number | undefined;
}

/** The numbers by a walk over all that are there. */
function recount(
  members: readonly Member[],
  seen: ReadonlySet<Transport>,
  ended: readonly CloseReason[],
  heartbeats: number,
  refused: RegistryStats['refused'],
): RegistryStats {
  const trips = members.flatMap(({ roundTrip }) => (roundTrip === undefined ? [] : [roundTrip]));
  const count = (transport: Transport, state: HealthState): number =>
    members.filter((member) => member.transport === transport && member.state === state).length;
  return {
    connections: members.length,
    unresponsive_ratio:
      members.length === 0 ? 0 : members.filter(({ state }) => state !== 'healthy').length / members.length,
    avg_heartbeat_rt: trips.length === 0 ? null : trips.reduce((sum, trip) => sum + trip, 0) / trips.length,
    transports: Object.fromEntries(
      [...seen].map((transport) => [
        transport,
        Object.fromEntries(states.map((state) => [state, count(transport, state)])),
      ]),
    ),
    ended: Object.fromEntries(
      reasons.flatMap((reason) => {
        const times = ended.filter((each) => each === reason).length;
        return times === 0 ? [] : [[reason, times]];
      }),
    ),
    refused,
    heartbeats,
  };
}

it('after any sequence of steps the numbers are those of a recount', () => {
  const index = fc.nat();
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('came' as const), transport: fc.constantFrom(...transports) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('moved' as const), index, state: fc.constantFrom(...states) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('measured' as const),
        index,
        roundTrip: fc.oneof(fc.double({ min: 0, max: 1e5, noNaN: true }), fc.constant(0)),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('left' as const),
        index,
        reason: fc.option(fc.constantFrom(...reasons), { nil: undefined }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('beat' as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('refused' as const),
        limit: fc.constantFrom('total' as const, 'client' as const),
      }),
    },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const counters = new RegistryCounters();
      const members: Member[] = [];
      const seen = new Set<Transport>();
      const ended: CloseReason[] = [];
      const refused = { total: 0, client: 0 };
      let heartbeats = 0;
      for (const each of steps) {
        if (each.kind === 'came') {
          counters.added(each.transport);
          seen.add(each.transport);
          members.push({ transport: each.transport, state: 'healthy', roundTrip: undefined });
        } else if (each.kind === 'beat') {
          counters.heartbeats = heartbeats += 1;
        } else if (each.kind === 'refused') {
          counters.refused[each.limit] += 1;
          refused[each.limit] += 1;
        } else if (members.length > 0) {
          const at = each.index % members.length;
          const member = members[at]!;
          if (each.kind === 'moved') {
            counters.changed(member.transport, member.state, each.state);
            member.state = each.state;
          } else if (each.kind === 'measured') {
            counters.measured(member.roundTrip, each.roundTrip);
            member.roundTrip = each.roundTrip;
          } else {
            counters.removed(member.transport, member.state, member.roundTrip, each.reason);
            members.splice(at, 1);
            if (each.reason) ended.push(each.reason);
          }
        }
        const { avg_heartbeat_rt: mean, ...counts } = counters.stats();
        const { avg_heartbeat_rt: expectedMean, ...expected } = recount(members, seen, ended, heartbeats, refused);
        expect(counts).toEqual(expected);
        // It is added to and taken from: what rounding leaves is far below a microsecond.
        if (expectedMean === null) expect(mean).toBeNull();
        else expect(mean).toBeCloseTo(expectedMean, 4);
      }
    }),
    { numRuns: 300 },
  );
});
