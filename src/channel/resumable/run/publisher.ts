import { handled } from '../../../internal/deferred.ts';
import { Coalescer } from '../../coalescer.ts';
import { type AnyChannelInput, toEntry } from '../../delivery/event.ts';
import type { NewEntry } from '../../log/backplane.ts';
import type { ResolvedCoalesce } from '../../options.ts';

// Entries that are on their way to the log. A model does not wait for each of them; but a log that answers slowly is
// not buried.
const mostInFlight = 64;

/** Publishes what a generator yields, in order, without a wait for each entry. */
export class Publisher {
  readonly #append: (entry: NewEntry) => string | PromiseLike<string>;
  readonly #onFailure: (error: unknown) => void;
  readonly #coalescer: Coalescer | undefined;
  #inFlight = 0;
  #onLanded: (() => void) | undefined;

  /** @param onFailure - gets the error of an entry that was not appended */
  constructor(
    append: (entry: NewEntry) => string | PromiseLike<string>,
    coalesce: ResolvedCoalesce | undefined,
    onFailure: (error: unknown) => void,
  ) {
    this.#append = append;
    this.#onFailure = onFailure;
    this.#coalescer = coalesce && new Coalescer(coalesce, (entry) => this.#send(entry));
  }

  /** Resolves when there is room for the next. Rejects with `InvalidEventError`, or what `coalesce` throws. */
  async publish(input: AnyChannelInput | string): Promise<void> {
    const entry = toEntry(input, undefined);
    const event = typeof input === 'string' ? { data: input } : input;
    void handled(this.#coalescer ? this.#coalescer.publish(event, entry, {}) : this.#send(entry));
    while (this.#inFlight >= mostInFlight) await this.#landed();
  }

  /** Publishes what waits. Resolves when everything is in the log, or has failed. */
  async flush(): Promise<void> {
    this.#coalescer?.flush();
    while (this.#inFlight > 0) await this.#landed();
  }

  async #send(entry: NewEntry): Promise<string> {
    this.#inFlight += 1;
    try {
      return await this.#append(entry);
    } catch (error) {
      this.#onFailure(error);
      throw error;
    } finally {
      this.#inFlight -= 1;
      this.#onLanded?.();
    }
  }

  #landed(): Promise<void> {
    return new Promise((resolve) => (this.#onLanded = resolve));
  }
}
