import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addRoundTrip,
  leastRto,
  retransmissionAllowance,
  type RoundTripEstimate,
  rtoOf,
} from '../../../../src/internal/health/policy/retransmission-allowance.ts';

/**
 * When the retransmissions of something that was sent at 0 go out: after the RTO, and then after twice as long each
 * time.
 */
function retransmissionsBy(time: number, rto: number): number {
  let count = 0;
  for (let at = rto, wait = rto; at <= time; at += wait *= 2) count += 1;
  return count;
}

describe('retransmissionAllowance', () => {
  it.each([
    [200, 6200],
    [0, 6200],
    [199, 6200],
    [300, 9300],
    [399, 12_369],
  ])('an RTO of %d ms is given five retransmissions, %d ms', (rto, allowance) => {
    expect(retransmissionAllowance({ rto, isLossy: false })).toBe(allowance);
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
    'where packets get lost, or the path is long, an RTO of %d ms (lossy: %s) is given eight, %d ms, and never over two minutes',
    (rto, isLossy, allowance) => {
      expect(retransmissionAllowance({ rto, isLossy })).toBe(allowance);
    },
  );

  it('is long enough for so many retransmissions, and for no more', () => {
    for (const rto of [200, 250, 333, 390]) {
      expect(retransmissionsBy(retransmissionAllowance({ rto, isLossy: false }), rto)).toBe(rto < 400 ? 5 : 8);
      expect(retransmissionsBy(retransmissionAllowance({ rto, isLossy: true }), rto)).toBe(8);
    }
  });

  it('a peer that is near is given up within the promise of two heartbeats and 10 s: the allowance alone never takes longer than 7 s', () => {
    expect(retransmissionAllowance({ rto: leastRto, isLossy: false })).toBeLessThan(7000);
  });
});

describe('the estimate', () => {
  it('without a round trip is what TCP takes at the least', () => {
    expect(rtoOf(undefined)).toBe(leastRto);
  });

  it.each([
    ['takes the first as it is, with half of it for its variation', [300], 300 + 4 * 150],
    [
      'smooths the next by RFC 6298: variation by a quarter with the old mean, mean by an eighth',
      [300, 500],
      325 + 4 * (150 + (200 - 150) / 4),
    ],
    [
      'comes down to what TCP waits at the least where the path is short and steady',
      new Array<number>(50).fill(2),
      leastRto,
    ],
  ])('%s', (_what, roundTrips, rto) => {
    expect(rtoOf(estimateOf(roundTrips))).toBe(rto);
  });

  it('agrees with the formulas of RFC 6298 2.2 and 2.3, whatever comes', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 5000, noNaN: true }), { minLength: 1, maxLength: 30 }), (all) => {
        let estimate: RoundTripEstimate | undefined;
        let [srtt, rttvar] = [NaN, NaN];
        for (const [index, rtt] of all.entries()) {
          estimate = addRoundTrip(estimate, rtt);
          if (index === 0) [srtt, rttvar] = [rtt, rtt / 2];
          else {
            rttvar = (3 / 4) * rttvar + (1 / 4) * Math.abs(srtt - rtt);
            srtt = (7 / 8) * srtt + (1 / 8) * rtt;
          }
          expect(rtoOf(estimate)).toBeCloseTo(Math.max(200, srtt + 4 * rttvar), 6);
        }
      }),
    );
  });
});

function estimateOf(roundTrips: readonly number[]): RoundTripEstimate | undefined {
  return roundTrips.reduce<RoundTripEstimate | undefined>(addRoundTrip, undefined);
}
