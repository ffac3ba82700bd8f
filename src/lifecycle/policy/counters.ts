import type { FiniteReason } from '../../internal/seam/layer.ts';

/** How a drain went. Each thing is counted once, where it ended. */
export interface DrainReport {
  /** What ended by itself. Of a response, all was given to the kernel. Of a WebSocket, whichever side closed it. */
  readonly finished: {
    readonly requests: number;
    readonly streams: number;
    readonly webSockets: number;
    readonly holds: number;
  };
  /** What was told to come back, and closed: resumable streams, WebSockets. */
  readonly told: { readonly streams: number; readonly webSockets: number };
  /** Responses that ended before the kernel had all of them, and not by the drain: mostly, their client had left. */
  readonly aborted: { readonly requests: number; readonly streams: number };
  /** New requests that were not served; as `streams`, those of event sources, which were told when to come back. */
  readonly refused: { readonly requests: number; readonly streams: number };
  /**
   * What was there at the end and was ended by force. `sockets`: connections in use that carry none of the others, such
   * as one that was still sending a request, or one that was upgraded by somebody else. Idle ones do not count: nobody
   * lost anything.
   */
  readonly cut: {
    readonly requests: number;
    readonly streams: number;
    readonly webSockets: number;
    readonly sockets: number;
    readonly holds: number;
  };
  /**
   * Event streams of `cut.streams`, by the reason why their clients were not told before. Only reasons that there were.
   */
  readonly untold: Readonly<Partial<Record<UntoldReason, number>>>;
  /** From the begin of the drain, in ms. */
  readonly duration: number;
  /** Whether it was ended by force, even if nothing was left to cut. */
  readonly forced: boolean;
  /** What ended it: everything was gone, `drainTimeout` had passed, or a further signal came. */
  readonly reason: DrainEnd;
}

/** What ends a drain. */
export type DrainEnd = 'complete' | 'timeout' | 'signal';

/**
 * Why a client was not told to come back before its stream was cut: a `FiniteReason`, or `unfollowed`: something writes
 * the stream of which no layer knows where its events end; `early`: it was to be told later, and a signal forced the
 * drain.
 */
export type UntoldReason = FiniteReason | 'unfollowed' | 'early';

type Counts<T> = { -readonly [Kind in keyof T]: T[Kind] };

/** Counts what a drain does. */
export class Tally {
  readonly #finished: Counts<DrainReport['finished']> = { requests: 0, streams: 0, webSockets: 0, holds: 0 };
  readonly #told: Counts<DrainReport['told']> = { streams: 0, webSockets: 0 };
  readonly #aborted: Counts<DrainReport['aborted']> = { requests: 0, streams: 0 };
  readonly #untold: Counts<DrainReport['untold']> = {};
  readonly #refused: Counts<DrainReport['refused']> = { requests: 0, streams: 0 };
  readonly #cut: Counts<DrainReport['cut']> = { requests: 0, streams: 0, webSockets: 0, sockets: 0, holds: 0 };

  finished(kind: keyof DrainReport['finished']): void {
    this.#finished[kind] += 1;
  }

  told(kind: keyof DrainReport['told']): void {
    this.#told[kind] += 1;
  }

  aborted(kind: keyof DrainReport['aborted']): void {
    this.#aborted[kind] += 1;
  }

  /** Says why a stream that is cut was not told before. */
  untold(reason: UntoldReason): void {
    this.#untold[reason] = (this.#untold[reason] ?? 0) + 1;
  }

  refused(kind: keyof DrainReport['refused']): void {
    this.#refused[kind] += 1;
  }

  cut(kind: keyof DrainReport['cut']): void {
    this.#cut[kind] += 1;
  }

  report(duration: number, reason: DrainEnd): DrainReport {
    return Object.freeze({
      finished: Object.freeze({ ...this.#finished }),
      told: Object.freeze({ ...this.#told }),
      aborted: Object.freeze({ ...this.#aborted }),
      refused: Object.freeze({ ...this.#refused }),
      cut: Object.freeze({ ...this.#cut }),
      untold: Object.freeze({ ...this.#untold }),
      duration,
      forced: reason !== 'complete',
      reason,
    });
  }
}

/** Whether somebody lost something. */
export function hasCut(report: DrainReport): boolean {
  return Object.values(report.cut).some((count) => count > 0);
}
