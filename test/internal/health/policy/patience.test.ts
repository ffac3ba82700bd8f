import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leastRto, patienceFor, RoundTrips } from '../../../../src/internal/health/policy/patience.ts';

/**
 * When the retransmissions of something that was sent at 0 go out: after the RTO, and then after twice as long each
 * time.
 */
function retransmissionsBy(time: number, rto: number): number {
  let count = 0;
  for (let at = rto, wait = rto; at <= time; at += wait *= 2) count += 1;
  return count;
}

describe('patienceFor', () => {
  it.each([
    [200, 6200],
    [0, 6200],
    [199, 6200],
    [300, 9300],
    [399, 12_369],
  ])('an RTO of %d ms is given five retransmissions, %d ms', (rto, patience) => {
    expect(patienceFor({ rto, isLossy: false })).toBe(patience);
  });

  it.each([
    [200, true, 51_000],
    [300, true, 76_500],
    [400, false, 102_000],
    [400, true, 102_000],
    [700, false, 120_000],
    [60_000, false, 120_000],
    [60_000, true, 120_000],
  ])(
    'where packets get lost, or the way is long, an RTO of %d ms (lossy: %s) is given eight, %d ms, and never over two minutes',
    (rto, isLossy, patience) => {
      expect(patienceFor({ rto, isLossy })).toBe(patience);
    },
  );

  it('is long enough for so many retransmissions, and for no more', () => {
    for (const rto of [200, 250, 333, 390]) {
      expect(retransmissionsBy(patienceFor({ rto, isLossy: false }), rto)).toBe(rto < 400 ? 5 : 8);
      expect(retransmissionsBy(patienceFor({ rto, isLossy: true }), rto)).toBe(8);
    }
  });

  it('a peer that is near is given up within the promise of two heartbeats and 10 s: patience alone never takes longer than 7 s', () => {
    expect(patienceFor({ rto: leastRto, isLossy: false })).toBeLessThan(7000);
  });
});

describe('RoundTrips', () => {
  it('knows nothing at first, and takes what TCP takes at the least', () => {
    const trips = new RoundTrips();
    expect([trips.last, trips.rto]).toEqual([undefined, leastRto]);
  });

  it('takes the first as it is, with half of it for its variation', () => {
    const trips = new RoundTrips();
    trips.add(300);
    expect([trips.last, trips.rto]).toEqual([300, 300 + 4 * 150]);
  });

  it('smooths the next by RFC 6298: variation by a quarter with the old mean, mean by an eighth', () => {
    const trips = new RoundTrips();
    trips.add(300);
    trips.add(500);
    expect(trips.last).toBe(500);
    expect(trips.rto).toBe(325 + 4 * (150 + (200 - 150) / 4));
  });

  it('agrees with the formulas of RFC 6298 2.2 and 2.3, whatever comes', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 5000, noNaN: true }), { minLength: 1, maxLength: 30 }), (all) => {
        const trips = new RoundTrips();
        let [srtt, rttvar] = [NaN, NaN];
        for (const [index, rtt] of all.entries()) {
          trips.add(rtt);
          if (index === 0) [srtt, rttvar] = [rtt, rtt / 2];
          else {
            rttvar = (3 / 4) * rttvar + (1 / 4) * Math.abs(srtt - rtt);
            srtt = (7 / 8) * srtt + (1 / 8) * rtt;
          }
          expect(trips.last).toBe(rtt);
          expect(trips.rto).toBeCloseTo(Math.max(200, srtt + 4 * rttvar), 6);
        }
      }),
    );
  });

  it('comes down to what TCP waits at the least where the way is short and steady', () => {
    const trips = new RoundTrips();
    for (let index = 0; index < 50; index++) trips.add(2);
    expect(trips.last).toBe(2);
    expect(trips.rto).toBe(leastRto);
  });
});
