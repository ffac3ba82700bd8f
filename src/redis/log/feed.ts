import type { ChannelEntry, LogReceiver } from '../../channel/log/backplane.ts';
import { type EntryId, formatEntryId } from '../../channel/policy/entry-id.ts';
import { makeDeferred } from '../../internal/deferred.ts';
import { startTimer } from '../../internal/time/clock.ts';
import { decodeEntries, type LiveMessage, parseMessage } from '../format/entry.ts';
import { placeMessage } from '../policy/place.ts';
import type { Follower } from '../connection/subscriptions.ts';
import type { LogStore } from './log-store.ts';

const pageSize = 128;
const retryDelay = 1000;

// Messages that are kept while the log is read. Beyond that the log is read once more.
const mostWaiting = 1000;

/** What a feed needs of its log. */
export interface FeedHost {
  readonly store: LogStore;
  readonly receiver: LogReceiver;
  /** Begins to follow the channel of the log. Returns the undo. */
  follow(follower: Follower): () => void;
  /** What a read failed with, which is tried again. */
  onError(error: unknown): void;
}

/**
 * Gives the receiver of a log every entry once and in order, as long as the process has clients: live messages, and
 * what they leave out from the log.
 *
 *     subscribing ──▶ reading ──has all that is there──▶ live ──a gap, or subscribed anew──▶ reading
 *
 * Messages that come while it reads wait. Those from before a read are in what it reads.
 */
export class Feed implements Follower {
  readonly #host: FeedHost;
  readonly #started = makeDeferred();
  readonly #unfollow: () => void;
  /** The newest entry that the receiver has; `undefined` until the log was asked for the first time. */
  #place: EntryId | undefined;
  #isReading = false;
  /** Whether the log is to be read once more, because of what came meanwhile. */
  #isStale = false;
  #waiting: LiveMessage[] = [];
  #isStopped = false;
  #stopTimer: (() => void) | undefined;

  constructor(host: FeedHost) {
    this.#host = host;
    this.#unfollow = host.follow(this);
  }

  /** Resolves when every later entry goes to the receiver. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /**
   * The newest entry that the receiver has. All later ones go to it, also those that are appended while there is no
   * connection. `undefined` until it is started.
   */
  get place(): EntryId | undefined {
    return this.#place;
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopTimer?.();
    this.#unfollow();
  }

  onSubscribed(): void {
    this.read();
  }

  onMessage(text: string): void {
    const message = parseMessage(text);
    if (!message || this.#isStopped) return;
    if (!this.#isReading && this.#place) {
      if (!this.#take(message, this.#place)) this.read();
    } else if (this.#waiting.push(message) > mostWaiting) {
      this.#waiting = [];
      this.#isStale = true;
    }
  }

  /** Reads if the log is elsewhere than the receiver: a message was lost without a trace. */
  compare({ epoch, sequence }: EntryId): void {
    if (this.#place && (this.#place.epoch !== epoch || this.#place.sequence < sequence)) this.read();
  }

  /** Reads what the receiver does not have. */
  read(): void {
    this.#isStale = true;
    if (!this.#isReading && !this.#isStopped) void this.#read();
  }

  async #read(): Promise<void> {
    this.#stopTimer?.();
    this.#isReading = true;
    try {
      while (this.#isStale) {
        this.#isStale = false;
        this.#waiting = [];
        const place = await this.#readOn();
        if (!place) break;
        this.#started.resolve();
        const messages = this.#waiting;
        this.#waiting = [];
        for (const message of messages) if (!this.#take(message, this.#place ?? place)) this.#isStale = true;
      }
    } catch (error) {
      this.#host.onError(error);
      this.#stopTimer = startTimer(retryDelay, () => this.read());
    }
    this.#isReading = false;
  }

  /** @returns the place of the newest entry; `undefined`: it was stopped */
  async #readOn(): Promise<EntryId | undefined> {
    if (!this.#place) {
      const { epoch, sequence } = await this.#host.store.state();
      return this.#isStopped ? undefined : (this.#place = { epoch, sequence });
    }
    for (let place = this.#place; ; place = this.#place) {
      const page = await this.#host.store.page(place, pageSize);
      if (page.lost !== undefined) {
        const { epoch, floor, base } = await this.#host.store.state();
        if (this.#isStopped) return undefined;
        this.#place = { epoch, sequence: Math.max(floor, base) };
        this.#host.receiver.lost(formatEntryId(this.#place));
        continue;
      }
      if (this.#isStopped) return undefined;
      this.#give(page.entries, page.place);
      if (page.entries.length < pageSize) return this.#place;
    }
  }

  /** @returns whether the message follows on the place, or was known */
  #take({ first, text }: LiveMessage, place: EntryId): boolean {
    const placement = placeMessage(place, first);
    if (placement.kind === 'gap' || placement.kind === 'other-epoch') return false;
    const entries = decodeEntries(text, first).slice(placement.kind === 'known' ? placement.skip : 0);
    this.#give(entries, { epoch: first.epoch, sequence: place.sequence + entries.length });
    return true;
  }

  /** @param place - behind the entries */
  #give(entries: readonly ChannelEntry[], place: EntryId): void {
    this.#place = place;
    if (entries.length === 0) return;
    this.#host.store.note(place, entries.at(-1)?.isEnd);
    this.#host.receiver.entries(entries);
  }
}
