/** How a drain went. Each thing is counted once, where it ended. */
export interface DrainReport {
  /** What ended by itself, whichever side ended it. */
  readonly finished: { readonly requests: number; readonly streams: number; readonly webSockets: number; readonly holds: number };
  /** What was told to come back, and closed: resumable streams, WebSockets. */
  readonly told: { readonly streams: number; readonly webSockets: number };
  /** New requests that were not served; as `streams`, those of event sources, which were told when to come back. */
  readonly refused: { readonly requests: number; readonly streams: number };
  /**
   * What was there at the end and was ended by force. `sockets`: connections in use that carry none of the others, such as one that was
   * still sending a request, or one that was upgraded by somebody else. Idle ones do not count: nobody lost anything.
   */
  readonly cut: { readonly requests: number; readonly streams: number; readonly webSockets: number; readonly sockets: number; readonly holds: number };
  /** From the begin of the drain, in ms. */
  readonly duration: number;
  /** Whether it was ended by force, even if nothing was left to cut. */
  readonly forced: boolean;
  /** What ended it: everything was gone, `drainTimeout` had passed, or a second signal came. */
  readonly reason: DrainEnd;
}

/** What ends a drain. */
export type DrainEnd = 'complete' | 'timeout' | 'signal';

type Counts<T> = { -readonly [Kind in keyof T]: T[Kind] };

/** Counts what a drain does. */
export class Tally {
  readonly #finished: Counts<DrainReport['finished']> = { requests: 0, streams: 0, webSockets: 0, holds: 0 };
  readonly #told: Counts<DrainReport['told']> = { streams: 0, webSockets: 0 };
  readonly #refused: Counts<DrainReport['refused']> = { requests: 0, streams: 0 };
  readonly #cut: Counts<DrainReport['cut']> = { requests: 0, streams: 0, webSockets: 0, sockets: 0, holds: 0 };

  finished(kind: keyof DrainReport['finished']): void {
    this.#finished[kind] += 1;
  }

  told(kind: keyof DrainReport['told']): void {
    this.#told[kind] += 1;
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
      refused: Object.freeze({ ...this.#refused }),
      cut: Object.freeze({ ...this.#cut }),
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
