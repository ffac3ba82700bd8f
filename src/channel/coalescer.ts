import { InvalidOptionError } from '../errors.ts';
import { startTimer } from '../internal/time/clock.ts';
import { type AnyChannelInput, toEntry } from './delivery/event.ts';
import type { PublishOptions, ResolvedCoalesce } from './options.ts';

type Append = (event: AnyChannelInput, options: Partial<PublishOptions>) => Promise<string>;

/** An event that waits for others. */
interface Held {
  event: AnyChannelInput;
  options: Partial<PublishOptions>;
  readonly key: string;
  /** The id of the event that it becomes a part of. */
  readonly id: Promise<string>;
  readonly settle: (id: Promise<string>) => void;
  readonly stop: () => void;
}

/** Joins events of one key that come one after another. One waits at a time: all others go behind it, in order. */
export class Coalescer {
  readonly #options: ResolvedCoalesce;
  readonly #append: Append;
  #held: Held | undefined;

  constructor(options: ResolvedCoalesce, append: Append) {
    this.#options = options;
    this.#append = append;
  }

  /** Whether an event waits. */
  get isHolding(): boolean {
    return this.#held !== undefined;
  }

  /** Throws what `key` and `merge` throw. */
  publish(event: AnyChannelInput, options: Partial<PublishOptions>): Promise<string> {
    const key = options.idempotencyKey === undefined ? this.#keyOf(event) : undefined;
    if (this.#held && key === this.#held.key) return this.#join(this.#held, event, options);
    this.flush();
    return key === undefined ? this.#append(event, options) : this.#hold(key, event, options);
  }

  /** Publishes the event that waits. */
  flush(): void {
    const held = this.#held;
    if (!held) return;
    this.#held = undefined;
    held.stop();
    held.settle(this.#append(held.event, held.options));
  }

  #hold(key: string, event: AnyChannelInput, options: Partial<PublishOptions>): Promise<string> {
    let settle!: (id: Promise<string>) => void;
    const id = new Promise<string>((resolve) => (settle = resolve));
    const stop = startTimer(this.#options.ms, () => this.flush());
    this.#held = { event, options, key, id, settle, stop };
    return id;
  }

  #join(held: Held, event: AnyChannelInput, options: Partial<PublishOptions>): Promise<string> {
    const merged = this.#options.merge(held.event, event) as AnyChannelInput;
    // Throws for one that cannot be framed: the event that waits stays as it is.
    toEntry(merged, undefined);
    // `merge` may publish: the event that waited has gone then.
    if (this.#held !== held) return this.publish(event, options);
    held.event = merged;
    held.options = { key: options.key ?? held.options.key };
    return held.id;
  }

  #keyOf(event: AnyChannelInput): string | undefined {
    const key = this.#options.key(event);
    if (key !== undefined && typeof key !== 'string')
      throw new InvalidOptionError('createChannel.coalesce.key', 'a function that returns a string or undefined', key);
    return key;
  }
}
