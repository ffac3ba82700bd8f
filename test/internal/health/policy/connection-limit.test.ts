import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Limit, Seats } from '../../../../src/internal/health/policy/connection-limit.ts';

type Admission =
  { readonly kind: 'seat'; readonly release: () => void } | { readonly kind: 'full'; readonly limit: Limit };

/** As each caller does: asks, and takes a seat if there is one. */
function take(seats: Seats, client: string): Admission {
  const limit = seats.findLimit(client);
  return limit ? { kind: 'full', limit } : { kind: 'seat', release: seats.occupy(client) };
}

function seat(admission: Admission): () => void {
  if (admission.kind !== 'seat') expect.unreachable(`no seat: ${admission.limit}`);
  return admission.release;
}

describe('seats', () => {
  it.each([
    [{ total: Infinity, perClient: Infinity }, false],
    [{ total: 1, perClient: Infinity }, true],
    [{ total: Infinity, perClient: 1 }, true],
  ])('with %o are limited: %s', (limits, isLimited) => {
    expect(new Seats(limits).isLimited).toBe(isLimited);
  });

  it('are refused when all are taken, and given when one has gone', () => {
    const seats = new Seats({ total: 2, perClient: Infinity });
    const release = seat(take(seats, 'a'));
    seat(take(seats, 'b'));
    expect(take(seats, 'c')).toEqual({ kind: 'full', limit: 'total' });
    release();
    seat(take(seats, 'c'));
    expect(take(seats, 'a')).toEqual({ kind: 'full', limit: 'total' });
  });

  it('are refused to a client that has its own, and not to others', () => {
    const seats = new Seats({ total: Infinity, perClient: 2 });
    const releases = [seat(take(seats, 'a')), seat(take(seats, 'a'))];
    expect(take(seats, 'a')).toEqual({ kind: 'full', limit: 'client' });
    seat(take(seats, 'b'));
    releases[1]?.();
    seat(take(seats, 'a'));
    expect(take(seats, 'a').kind).toBe('full');
  });

  it('tells of the total first: another try by another name would not help', () => {
    const seats = new Seats({ total: 1, perClient: 1 });
    seat(take(seats, 'a'));
    expect(take(seats, 'a')).toEqual({ kind: 'full', limit: 'total' });
  });

  it('come back once, however often they are given back', () => {
    const seats = new Seats({ total: 2, perClient: 2 });
    const release = seat(take(seats, 'a'));
    seat(take(seats, 'a'));
    for (let count = 0; count < 5; count++) release();
    seat(take(seats, 'a'));
    expect(take(seats, 'a').kind).toBe('full');
  });

  it('are for any name: no one has a seat by being called as a property of objects is', () => {
    const seats = new Seats({ total: Infinity, perClient: 1 });
    for (const name of ['', '__proto__', 'constructor', 'toString']) seat(take(seats, name));
    for (const name of ['', '__proto__', 'constructor', 'toString']) expect(take(seats, name).kind).toBe('full');
  });

  it('may be full only when a limit is reached by someone', () => {
    const seats = new Seats({ total: 3, perClient: 2 });
    expect(seats.mayBeFull).toBe(false);
    const release = seats.occupy('a');
    expect(seats.mayBeFull).toBe(false);
    seats.occupy('b');
    expect(seats.mayBeFull).toBe(true);
    expect(seats.findLimit('a')).toBe(undefined);
    release();
    expect(seats.mayBeFull).toBe(false);
  });

  it('are counted over a limit too, where a connection is there all the same', () => {
    const seats = new Seats({ total: 1, perClient: Infinity });
    const releases = [seats.occupy('a'), seats.occupy('a')];
    releases[0]?.();
    expect(seats.findLimit('b')).toBe('total');
    releases[1]?.();
    expect(seats.findLimit('b')).toBe(undefined);
  });

  it('are as many as a recount finds, after any coming and going', () => {
    const step = fc.oneof(fc.record({ client: fc.constantFrom('a', 'b', 'c') }), fc.record({ leaves: fc.nat() }));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 3 }),
        fc.array(step, { maxLength: 60 }),
        (total, perClient, steps) => {
          const seats = new Seats({ total, perClient });
          const there: { client: string; release: () => void }[] = [];
          for (const each of steps) {
            if ('client' in each) {
              const admission = take(seats, each.client);
              const own = there.filter(({ client }) => client === each.client).length;
              expect(admission.kind === 'full' ? admission.limit : 'seat').toBe(
                there.length >= total ? 'total' : own >= perClient ? 'client' : 'seat',
              );
              if (admission.kind === 'seat') there.push({ client: each.client, release: admission.release });
            } else if (there.length > 0) {
              there.splice(each.leaves % there.length, 1)[0]?.release();
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
