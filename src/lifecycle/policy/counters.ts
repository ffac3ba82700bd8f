import type { FiniteReason } from '../../internal/seam/layer.ts';

/** What a drain did. Each response, WebSocket and hold is counted once, under its outcome. */
export interface DrainReport {
  /** Ended normally. The kernel has all bytes of such a response. Either side may have closed the WebSocket. */
  readonly finished: {
    readonly requests: number;
    readonly streams: number;
    readonly webSockets: number;
    readonly holds: number;
  };
  /** Asked to reconnect, and closed: resumable streams and WebSockets. */
  readonly told: { readonly streams: number; readonly webSockets: number };
  /** Responses that ended before the kernel had all bytes, but not by the drain. Mostly the client had left. */
  readonly aborted: { readonly requests: number; readonly streams: number };
  /** New requests that were not served. `streams`: those of event sources, which got a retry hint. */
  readonly refused: { readonly requests: number; readonly streams: number };
  /**
   * Ended by force. `sockets`: connections in use that carry none of the others, such as one that was still sending a
   * request, or one that other code upgraded. Idle connections do not count.
   */
  readonly cut: {
    readonly requests: number;
    readonly streams: number;
    readonly webSockets: number;
    readonly sockets: number;
    readonly holds: number;
  };
  /**
   * Why the clients of `cut.streams` were not asked to reconnect, with counts. Reasons that did not occur are absent.
   */
  readonly untold: Readonly<Partial<Record<UntoldReason, number>>>;
  /** Milliseconds since the drain began. */
  readonly duration: number;
  /** Whether force ended the drain, even if nothing was left to cut. */
  readonly forced: boolean;
  /** What ended it: everything had ended, `drainTimeout` passed, or a second signal came. */
  readonly reason: DrainEnd;
}

/** What ends a drain. */
export type DrainEnd = 'complete' | 'timeout' | 'signal';

/**
 * Why a client was not asked to reconnect before its stream was cut.
 *
 * - a `FiniteReason`
 * - `unfollowed`: no layer knows where the events of the stream end
 * - `early`: its turn was to come later, and a signal forced the drain
 */
export type UntoldReason = FiniteReason | 'unfollowed' | 'early';

type Counts<T> = { -readonly [Kind in keyof T]: T[Kind] };

/** What can happen to something that a drain waits for. */
type Outcome = 'finished' | 'told' | 'aborted' | 'refused' | 'cut';

/** Counts what a drain does. */
export class DrainCounters {
  readonly #counts: { readonly [Name in Outcome]: Counts<DrainReport[Name]> } = {
    finished: { requests: 0, streams: 0, webSockets: 0, holds: 0 },
    told: { streams: 0, webSockets: 0 },
    aborted: { requests: 0, streams: 0 },
    refused: { requests: 0, streams: 0 },
    cut: { requests: 0, streams: 0, webSockets: 0, sockets: 0, holds: 0 },
  };
  readonly #untold: Counts<DrainReport['untold']> = {};

  add<Name extends Outcome>(outcome: Name, kind: keyof DrainReport[Name]): void {
    const counts = this.#counts[outcome] as Record<keyof DrainReport[Name], number>;
    counts[kind] += 1;
  }

  /** Counts why a stream that is cut was not told before. */
  addUntold(reason: UntoldReason): void {
    this.#untold[reason] = (this.#untold[reason] ?? 0) + 1;
  }

  report(duration: number, reason: DrainEnd): DrainReport {
    const { finished, told, aborted, refused, cut } = this.#counts;
    return Object.freeze({
      finished: Object.freeze({ ...finished }),
      told: Object.freeze({ ...told }),
      aborted: Object.freeze({ ...aborted }),
      refused: Object.freeze({ ...refused }),
      cut: Object.freeze({ ...cut }),
      untold: Object.freeze({ ...this.#untold }),
      duration,
      forced: reason !== 'complete',
      reason,
    });
  }
}

/** Whether a drain cut anything. */
export function hasCut(report: DrainReport): boolean {
  return Object.values(report.cut).some((count) => count > 0);
}
