/** What is known of the way to a peer. Milliseconds. */
export interface Path {
  /**
   * After how long the first retransmission is sent, RFC 6298: by the kernel's account, or from the round trips of
   * heartbeats.
   */
  readonly rto: number;
  /** Whether packets got lost on it lately. */
  readonly isLossy: boolean;
}

/** What TCP waits at the least before it sends again; Linux' value. RFC 6298 2.4 has 1 s. */
export const leastRto = 200;

// Each retransmission waits twice as long as the one before, and fails with the same chance: only their number tells a
// bad network from a peer that is gone. Five of them, after 31 times the RTO, are what a near peer can be given within
// the promise of two heartbeats and 10 s. Where packets do get lost, and on a long way, where they do sooner or later
// and the same time is worth fewer of them, that is not enough: with 30 % of the packets lost each way, one heartbeat
// in 30 needs more. Eight are 255 times the RTO.
const retransmissions = 5;
const lossyRetransmissions = 8;

// A round trip of 200 ms, which is half around the world.
const farRto = 400;

// Too long holds a dead peer, too short cuts one that is alive; and no one waits longer than this for an answer.
const longest = 120_000;

/**
 * For how long after it was asked a silent peer is not given up, in ms: so that what the network lost could be sent
 * again.
 */
export function patienceFor({ rto, isLossy }: Path): number {
  const count = isLossy || rto >= farRto ? lossyRetransmissions : retransmissions;
  return Math.min(longest, Math.max(rto, leastRto) * (2 ** count - 1));
}

/** Round trips, and what RFC 6298 2 makes of them. */
export class RoundTrips {
  #last: number | undefined;
  #smoothed = 0;
  #variation = 0;

  /** The last one, in ms; `undefined` before the first. */
  get last(): number | undefined {
    return this.#last;
  }

  get rto(): number {
    return Math.max(leastRto, this.#smoothed + 4 * this.#variation);
  }

  add(roundTrip: number): void {
    if (this.#last === undefined) {
      this.#smoothed = roundTrip;
      this.#variation = roundTrip / 2;
    } else {
      this.#variation += (Math.abs(this.#smoothed - roundTrip) - this.#variation) / 4;
      this.#smoothed += (roundTrip - this.#smoothed) / 8;
    }
    this.#last = roundTrip;
  }
}
