import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConnectionLimit, type Limit } from '../../../../src/internal/health/policy/connection-limit.ts';

type Admission =
  { readonly kind: 'counted'; readonly release: () => void } | { readonly kind: 'full'; readonly limit: Limit };

/** As each caller does: asks, and counts the connection if no limit is reached. */
function take(limit: ConnectionLimit, client: string): Admission {
  const reached = limit.findLimit(client);
  return reached ? { kind: 'full', limit: reached } : { kind: 'counted', release: limit.count(client) };
}

function counted(admission: Admission): () => void {
  if (admission.kind !== 'counted') expect.unreachable(`refused: ${admission.limit}`);
  return admission.release;
}

describe('the connection limit', () => {
  it.each([
    [{ total: Infinity, perClient: Infinity }, false],
    [{ total: 1, perClient: Infinity }, true],
    [{ total: Infinity, perClient: 1 }, true],
  ])('with %o are limited: %s', (limits, isLimited) => {
    expect(new ConnectionLimit(limits).isLimited).toBe(isLimited);
  });

  it('are refused when all are taken, and given when one has gone', () => {
    const limit = new ConnectionLimit({ total: 2, perClient: Infinity });
    const release = counted(take(limit, 'a'));
    counted(take(limit, 'b'));
    expect(take(limit, 'c')).toEqual({ kind: 'full', limit: 'total' });
    release();
    counted(take(limit, 'c'));
    expect(take(limit, 'a')).toEqual({ kind: 'full', limit: 'total' });
  });

  it('are refused to a client that has its own, and not to others', () => {
    const limit = new ConnectionLimit({ total: Infinity, perClient: 2 });
    const releases = [counted(take(limit, 'a')), counted(take(limit, 'a'))];
    expect(take(limit, 'a')).toEqual({ kind: 'full', limit: 'client' });
    counted(take(limit, 'b'));
    releases[1]?.();
    counted(take(limit, 'a'));
    expect(take(limit, 'a').kind).toBe('full');
  });

  it('tells of the total first: another try by another name would not help', () => {
    const limit = new ConnectionLimit({ total: 1, perClient: 1 });
    counted(take(limit, 'a'));
    expect(take(limit, 'a')).toEqual({ kind: 'full', limit: 'total' });
  });

  it('come back once, however often they are given back', () => {
    const limit = new ConnectionLimit({ total: 2, perClient: 2 });
    const release = counted(take(limit, 'a'));
    counted(take(limit, 'a'));
    for (let count = 0; count < 5; count++) release();
    counted(take(limit, 'a'));
    expect(take(limit, 'a').kind).toBe('full');
  });

  it('are for any name: no one has a seat by being called as a property of objects is', () => {
    const limit = new ConnectionLimit({ total: Infinity, perClient: 1 });
    for (const name of ['', '__proto__', 'constructor', 'toString']) counted(take(limit, name));
    for (const name of ['', '__proto__', 'constructor', 'toString']) expect(take(limit, name).kind).toBe('full');
  });

  it('may be full only when a limit is reached by someone', () => {
    const limit = new ConnectionLimit({ total: 3, perClient: 2 });
    expect(limit.mayBeFull).toBe(false);
    const release = limit.count('a');
    expect(limit.mayBeFull).toBe(false);
    limit.count('b');
    expect(limit.mayBeFull).toBe(true);
    expect(limit.findLimit('a')).toBe(undefined);
    release();
    expect(limit.mayBeFull).toBe(false);
  });

  it('are counted over a limit too, where a connection is there all the same', () => {
    const limit = new ConnectionLimit({ total: 1, perClient: Infinity });
    const releases = [limit.count('a'), limit.count('a')];
    releases[0]?.();
    expect(limit.findLimit('b')).toBe('total');
    releases[1]?.();
    expect(limit.findLimit('b')).toBe(undefined);
  });

  it('remembers no client that has no connection any more', () => {
    const limit = new ConnectionLimit({ total: Infinity, perClient: 2 });
    const releases = Array.from({ length: 1000 }, (_, index) => limit.count(`client ${index % 500}`));
    expect(limit.clients).toBe(500);
    for (const release of releases) release();
    expect(limit.clients).toBe(0);
  });

  it('are as many as a recount finds, after any coming and going', () => {
    const step = fc.oneof(fc.record({ client: fc.constantFrom('a', 'b', 'c') }), fc.record({ leaves: fc.nat() }));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 3 }),
        fc.array(step, { maxLength: 60 }),
        (total, perClient, steps) => {
          const limit = new ConnectionLimit({ total, perClient });
          const there: { client: string; release: () => void }[] = [];
          for (const each of steps) {
            if ('client' in each) {
              const admission = take(limit, each.client);
              const own = there.filter(({ client }) => client === each.client).length;
              expect(admission.kind === 'full' ? admission.limit : 'counted').toBe(
                there.length >= total ? 'total' : own >= perClient ? 'client' : 'counted',
              );
              if (admission.kind === 'counted') there.push({ client: each.client, release: admission.release });
            } else if (there.length > 0) {
              there.splice(each.leaves % there.length, 1)[0]?.release();
            }
            // A client without a connection is forgotten.
            expect(limit.clients).toBe(new Set(there.map(({ client }) => client)).size);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
