import { BackplaneUnavailableError } from '../../errors.ts';
import type { RoutedRequest } from '../../internal/http/framework.ts';
import { jittered, startTimer } from '../../internal/time/clock.ts';
import { channelErrors } from '../events.ts';
import type { ChannelLog, LatestEntries, LogPage } from '../log/backplane.ts';
import { settled, type Steps } from './steps.ts';

// An answer that did not come has taken a while already, as long as the backplane is patient.
const retryDelay = 1_000;

// So often entries may be gone before they are read, because the history is short. Then a client begins with the next.
const mostLosses = 3;

const nothing: LogPage = { entries: [], isEnd: false };

/** What a reader needs of its channel. */
export interface LogReaderHost {
  readonly log: ChannelLog;
  /** Settles when the log tells this process of new entries. */
  listen(): void | PromiseLike<void>;
}

/**
 * Asks the log for one client. While the backplane cannot be reached, the client waits, and the question is put again.
 * The answer is `undefined` for a client that has gone meanwhile.
 */
export class LogReader {
  readonly #host: LogReaderHost;
  readonly #req: RoutedRequest;
  #losses = 0;
  #isWaiting = false;
  #isStopped = false;
  #endPause: (() => void) | undefined;

  /** @param req - of the client. When it has to wait, the reason is reported. */
  constructor(host: LogReaderHost, req: RoutedRequest) {
    this.#host = host;
    this.#req = req;
  }

  /** Whether entries were gone before they were read, again and again. */
  get isTooLate(): boolean {
    return this.#losses >= mostLosses;
  }

  listen(): Steps {
    return this.#ask(() => this.#host.listen());
  }

  start(from: 'now' | 'earliest' | number): Steps<string | undefined> {
    return this.#ask(() => this.#host.log.start(from));
  }

  latest(): Steps<LatestEntries | undefined> {
    return this.#ask(() => this.#host.log.latest());
  }

  *read(after: string, count: number): Steps<LogPage | undefined> {
    const { log } = this.#host;
    if (log.tellsAllAfter?.(after) === true) return nothing;
    const page = yield* this.#ask(() => log.read(after, count));
    if (page?.lost !== undefined) this.#losses += 1;
    return page;
  }

  /** Whether a client has everything that was given to live ones, before it is one of them. */
  hasUpTo(given: string | undefined, position: string): boolean {
    return given === undefined || this.#host.log.compare(position, given) >= 0;
  }

  /** The client has gone. */
  stop(): void {
    this.#isStopped = true;
    this.#endPause?.();
  }

  *#ask<T>(question: () => T | PromiseLike<T>): Steps<T | undefined> {
    while (!this.#hasGone()) {
      try {
        const answer = yield* settled(question());
        this.#isWaiting = false;
        return answer;
      } catch (error) {
        if (!(error instanceof BackplaneUnavailableError)) throw error;
        if (this.#hasGone()) break;
        if (!this.#isWaiting) channelErrors.report({ error, req: this.#req });
        this.#isWaiting = true;
      }
      yield this.#pause();
    }
    return undefined;
  }

  // A method: the client may go meanwhile, and TypeScript would not see it.
  #hasGone(): boolean {
    return this.#isStopped;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const stopTimer = startTimer(jittered(retryDelay, Math.random), resolve);
      this.#endPause = () => {
        stopTimer();
        resolve();
      };
    });
  }
}
