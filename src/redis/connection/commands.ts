import { BackplaneUnavailableError, MissingPeerError } from '../../errors.ts';
import { within } from '../../internal/deferred.ts';
import type { RedisAdapter } from './adapter.ts';
import type { Link } from './link.ts';
import { judgeFailure } from '../policy/failure.ts';

const firstDelay = 25;
const longestDelay = 1000;

/** One call of a script. A call may be tried again: a script does the same thing once, however often it is called. */
export interface Call {
  /** The name of the channel, for errors. */
  readonly channel: string;
  readonly script: string;
  readonly keys: readonly string[];
  readonly args: readonly string[];
  /** ms for which it is tried again. 0: once. */
  readonly patience: number;
}

/** Runs scripts on the connection that there is, and tries them again on the next one. */
export class Commands {
  readonly #link: Link;
  readonly #timeout: number;
  /** Ends the pauses between two attempts. */
  readonly #pauses = new Set<() => void>();
  #isClosed = false;

  constructor(link: Link, timeout: number) {
    this.#link = link;
    this.#timeout = timeout;
  }

  /** Rejects with `BackplaneUnavailableError`, or with `MissingPeerError`. */
  async run({ channel, script, keys, args, patience }: Call): Promise<readonly string[]> {
    const deadline = performance.now() + patience;
    for (let attempt = 0; ; attempt++) {
      const adapter = await this.connected(channel, deadline);
      try {
        return (await within(adapter.eval(script, keys, args), this.#timeout, silent)) as readonly string[];
      } catch (cause) {
        const failure = judgeFailure(cause);
        if (cause instanceof SilentError || failure === 'elsewhere') this.#link.fail(adapter, cause);
        if (failure === 'refused' || performance.now() >= deadline)
          throw new BackplaneUnavailableError(channel, { cause });
        const left = Math.max(0, deadline - performance.now());
        await this.#pause(Math.min(longestDelay, firstDelay * 2 ** Math.min(attempt, 10), left));
      }
    }
  }

  /**
   * The connection. Waits for it until the deadline, or if there was no attempt to connect yet, until that is over.
   * Rejects with `BackplaneUnavailableError`.
   */
  async connected(channel: string, deadline: number): Promise<RedisAdapter> {
    for (;;) {
      if (this.#isClosed) throw new BackplaneUnavailableError(channel, { cause: new Error('It is closed') });
      const { current, isDown, lastError } = this.#link;
      if (current) return current;
      const left = deadline - performance.now();
      if (lastError instanceof MissingPeerError) throw lastError;
      if (left <= 0 && isDown) throw new BackplaneUnavailableError(channel, { cause: lastError });
      await within(this.#link.changed(), isDown ? left : Math.max(left, this.#timeout), silent).catch(() => undefined);
      // What will not be there later is told as such, at once.
      if (this.#link.current || this.#link.lastError instanceof MissingPeerError) continue;
      if (performance.now() >= deadline)
        throw new BackplaneUnavailableError(channel, { cause: this.#link.lastError ?? silent() });
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const end of [...this.#pauses]) end();
  }

  #pause(delay: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#pauses.delete(end);
        resolve();
      };
      const timer = setTimeout(end, delay);
      this.#pauses.add(end);
    });
  }
}

/** Redis did not answer: the connection may be dark. */
class SilentError extends Error {}

function silent(): Error {
  return new SilentError('Redis did not answer in time');
}
