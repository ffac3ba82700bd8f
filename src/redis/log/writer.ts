import { BackplaneUnavailableError, ChannelEndedError, ProducerFencedError } from '../../errors.ts';
import type { AppendOptions, NewEntry } from '../../channel/log/backplane.ts';
import { encodeEntry } from '../format/entry.ts';
import type { EncodedEntry, LogStore } from './log-store.ts';

// Of one call of the script: Redis does nothing else meanwhile.
const mostEntries = 64;
const mostLength = 262_144;

/** An entry that waits, or is under way. */
interface WaitingEntry extends EncodedEntry {
  /** When its publisher waits no longer. */
  readonly deadline: number;
  readonly resolve: (id: string) => void;
  readonly reject: (error: Error) => void;
}

/** What a writer needs of the backplane. */
export interface WriterHost {
  readonly options: { readonly wait: number };
  /** Takes room for an entry that waits. @returns whether there is some */
  reserve(length: number): boolean;
  free(length: number): void;
  /** Resolves when there is a connection. Rejects when there is none at the deadline. */
  connected(channel: string, deadline: number): Promise<unknown>;
}

/**
 * Appends the entries of one log in their order: one batch at a time, and what comes meanwhile is the next one. So a
 * batch that is tried again never comes behind a later one.
 */
export class Writer {
  readonly #host: WriterHost;
  readonly #store: LogStore;
  #queue: WaitingEntry[] = [];
  #isSending = false;
  #batches = 0;

  constructor(host: WriterHost, store: LogStore) {
    this.#host = host;
    this.#store = store;
  }

  append(entry: NewEntry, { idempotencyKey, fence = '' }: AppendOptions): Promise<string> {
    const { channel } = this.#store;
    const encoded = encodeEntry(entry);
    if (!this.#host.reserve(encoded.length)) {
      const cause = new Error('Too many events wait for Redis');
      return Promise.reject(new BackplaneUnavailableError(channel, { cause }));
    }
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + this.#host.options.wait;
      this.#queue.push({ encoded, isEnd: entry.isEnd === true, fence, idempotencyKey, deadline, resolve, reject });
      if (this.#isSending) return;
      this.#isSending = true;
      // What is appended in one turn is one batch.
      queueMicrotask(() => void this.#send());
    });
  }

  async #send(): Promise<void> {
    for (let first = this.#queue[0]; first; first = this.#queue[0]) {
      try {
        await this.#host.connected(this.#store.channel, first.deadline);
      } catch (error) {
        this.#expire(error as Error);
        continue;
      }
      await this.#sendBatch(this.#take());
    }
    this.#isSending = false;
  }

  /** Rejects what waits no longer: the first at least. */
  #expire(error: Error): void {
    const now = performance.now();
    const count = this.#queue.findIndex(({ deadline }, index) => index > 0 && deadline > now);
    for (const entry of this.#queue.splice(0, count < 0 ? Infinity : count))
      this.#settle(entry, () => entry.reject(error));
  }

  #take(): WaitingEntry[] {
    let length = 0;
    const count = this.#queue.findIndex(({ encoded }, index) => {
      length += encoded.length;
      return index === mostEntries || (index > 0 && length > mostLength);
    });
    return this.#queue.splice(0, count < 0 ? Infinity : count);
  }

  async #sendBatch(batch: readonly WaitingEntry[]): Promise<void> {
    this.#batches += 1;
    const patience = Math.max(...batch.map(({ deadline }) => deadline)) - performance.now();
    try {
      const results = await this.#store.append(batch, this.#batches, patience);
      for (const [index, entry] of batch.entries()) this.#settle(entry, () => this.#answer(entry, results[index]));
    } catch (error) {
      for (const entry of batch) this.#settle(entry, () => entry.reject(error as Error));
    }
  }

  #answer({ resolve, reject }: WaitingEntry, result: string | undefined): void {
    const { channel } = this.#store;
    if (result === 'ended') reject(new ChannelEndedError(channel));
    else if (result === 'fenced') reject(new ProducerFencedError(channel));
    else if (result === undefined || result === 'stale')
      reject(new BackplaneUnavailableError(channel, { cause: new Error('Redis gave no id') }));
    else resolve(result);
  }

  #settle({ encoded }: WaitingEntry, settle: () => void): void {
    this.#host.free(encoded.length);
    settle();
  }
}
