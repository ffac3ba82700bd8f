import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Admission, Seats } from '../../src/heartbeat/seats.ts';

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
    const release = seat(seats.take('a'));
    seat(seats.take('b'));
    expect(seats.take('c')).toEqual({ kind: 'full', limit: 'total' });
    release();
    seat(seats.take('c'));
    expect(seats.take('a')).toEqual({ kind: 'full', limit: 'total' });
  });

  it('are refused to a client that has its own, and not to others', () => {
    const seats = new Seats({ total: Infinity, perClient: 2 });
    const releases = [seat(seats.take('a')), seat(seats.take('a'))];
    expect(seats.take('a')).toEqual({ kind: 'full', limit: 'client' });
    seat(seats.take('b'));
    releases[1]?.();
    seat(seats.take('a'));
    expect(seats.take('a').kind).toBe('full');
  });

  it('tells of the total first: another try by another name would not help', () => {
    const seats = new Seats({ total: 1, perClient: 1 });
    seat(seats.take('a'));
    expect(seats.take('a')).toEqual({ kind: 'full', limit: 'total' });
  });

  it('come back once, however often they are given back', () => {
    const seats = new Seats({ total: 2, perClient: 2 });
    const release = seat(seats.take('a'));
    seat(seats.take('a'));
    for (let count = 0; count < 5; count++) release();
    seat(seats.take('a'));
    expect(seats.take('a').kind).toBe('full');
  });

  it('are for any name: no one has a seat by being called as a property of objects is', () => {
    const seats = new Seats({ total: Infinity, perClient: 1 });
    for (const name of ['', '__proto__', 'constructor', 'toString']) seat(seats.take(name));
    for (const name of ['', '__proto__', 'constructor', 'toString']) expect(seats.take(name).kind).toBe('full');
  });

  it('are as many as a recount finds, after any coming and going', () => {
    const step = fc.oneof(fc.record({ client: fc.constantFrom('a', 'b', 'c') }), fc.record({ leaves: fc.nat() }));
    fc.assert(fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 60 }), (total, perClient, steps) => {
      const seats = new Seats({ total, perClient });
      const there: { client: string; release: () => void }[] = [];
      for (const each of steps) {
        if ('client' in each) {
          const admission = seats.take(each.client);
          const own = there.filter(({ client }) => client === each.client).length;
          expect(admission.kind === 'full' ? admission.limit : 'seat').toBe(there.length >= total ? 'total' : own >= perClient ? 'client' : 'seat');
          if (admission.kind === 'seat') there.push({ client: each.client, release: admission.release });
        } else if (there.length > 0) {
          there.splice(each.leaves % there.length, 1)[0]?.release();
        }
      }
    }), { numRuns: 300 });
  });
});
