/** The network path to a peer. */
export interface Path {
  /**
   * The retransmission timeout of RFC 6298 in ms: how long TCP waits before it sends again. The kernel tells it, or it
   * is computed from the round trips of heartbeats.
   */
  readonly rto: number;
  /** Whether the path lost packets lately. */
  readonly isLossy: boolean;
}

/** The least retransmission timeout in ms: the value of Linux. RFC 6298 2.4 has 1 s. */
export const leastRto = 200;

// Each retransmission waits twice as long as the one before, and fails with the same probability: only their number
// tells a bad network from a peer that is gone. Five of them, after 31 times the RTO, are what a near peer can be given
// within the promise of two heartbeats and 10 s. Where packets do get lost, and on a long path, where they do sooner or
// later and the same time is worth fewer of them, that is not enough: with 30 % of the packets lost each way, one
// heartbeat in 30 needs more. Eight are 255 times the RTO.
const retransmissions = 5;
const lossyRetransmissions = 8;

// A round trip of 200 ms, which is half around the world.
const farRto = 400;

// Longer keeps a dead peer, shorter cuts one that is alive. No client waits longer than this for an answer.
const longest = 120_000;

/** How long a silent peer is kept after it was asked, in ms, so that the network can retransmit what it lost. */
export function retransmissionAllowance({ rto, isLossy }: Path): number {
  const count = isLossy || rto >= farRto ? lossyRetransmissions : retransmissions;
  return Math.min(longest, Math.max(rto, leastRto) * (2 ** count - 1));
}

/** The mean and the variation of round trips in ms, as RFC 6298 2 smooths them. */
export interface RoundTripEstimate {
  readonly smoothed: number;
  readonly variation: number;
}

/** Adds a round trip, RFC 6298 2.2 and 2.3. @param estimate - `undefined` before the first */
export function addRoundTrip(estimate: RoundTripEstimate | undefined, roundTrip: number): RoundTripEstimate {
  if (!estimate) return { smoothed: roundTrip, variation: roundTrip / 2 };
  const { smoothed, variation } = estimate;
  return {
    smoothed: smoothed + (roundTrip - smoothed) / 8,
    variation: variation + (Math.abs(smoothed - roundTrip) - variation) / 4,
  };
}

/** The retransmission timeout by RFC 6298 2.3, in ms; without an estimate the least. */
export function rtoOf(estimate: RoundTripEstimate | undefined): number {
  return estimate ? Math.max(leastRto, estimate.smoothed + 4 * estimate.variation) : leastRto;
}
