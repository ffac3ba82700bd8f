import { startTimer } from '../internal/time/clock.ts';
import { type AnyChannelInput, toEntry, toInput } from './delivery/event.ts';
import type { NewEntry } from './log/backplane.ts';
import type { PublishOptions, ResolvedCoalesce } from './options.ts';

type Append = (entry: NewEntry, options: Partial<PublishOptions>) => Promise<string>;

/** An event that waits for others. */
interface Held {
  /** What it was when it was published: its publisher may use the object again. */
  entry: NewEntry;
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

  /** Throws what `key` and `merge` throw. @param entry - what is kept of the event */
  publish(event: AnyChannelInput, entry: NewEntry, options: Partial<PublishOptions>): Promise<string> {
    const key = options.idempotencyKey === undefined ? this.#options.key(event) : undefined;
    if (this.#held && key === this.#held.key) return this.#join(this.#held, event, entry, options);
    this.flush();
    return key === undefined ? this.#append(entry, options) : this.#hold(key, entry, options);
  }

  /** Publishes the event that waits. */
  flush(): void {
    const held = this.#held;
    if (!held) return;
    this.#held = undefined;
    held.stop();
    held.settle(this.#append(held.entry, held.options));
  }

  #hold(key: string, entry: NewEntry, options: Partial<PublishOptions>): Promise<string> {
    let settle!: (id: Promise<string>) => void;
    const id = new Promise<string>((resolve) => (settle = resolve));
    const stop = startTimer(this.#options.ms, () => this.flush());
    this.#held = { entry, options, key, id, settle, stop };
    return id;
  }

  #join(held: Held, event: AnyChannelInput, entry: NewEntry, options: Partial<PublishOptions>): Promise<string> {
    const merged = this.#options.merge(toInput(held.entry), toInput(entry));
    const joined = { key: options.key ?? held.options.key };
    // Throws for one that cannot be framed: the event that waits stays as it is.
    const mergedEntry = toEntry(merged, joined.key);
    // `merge` may publish: the event that waited has gone then.
    if (this.#held !== held) return this.publish(event, entry, options);
    held.entry = mergedEntry;
    held.options = joined;
    return held.id;
  }
}
