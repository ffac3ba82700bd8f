import type {
  AppendOptions,
  ChannelEntry,
  ChannelLog,
  ClaimResult,
  HistoryLimits,
  LatestEntries,
  LogPage,
  LogReceiver,
  NewEntry,
} from '../../channel/log/backplane.ts';
import { type EntryId, formatEntryId, parseEntryId } from '../../channel/policy/entry-id.ts';
import type { Follower } from '../connection/subscriptions.ts';
import { isWithinReach } from '../policy/place.ts';
import { Feed } from './feed.ts';
import { LogStore, type StoreHost } from './log-store.ts';
import { Writer, type WriterHost } from './writer.ts';

// Pages of a whole log, for `latest`.
const scanSize = 512;

// After so many reads that came too late, `latest` gives what it has: the history is shorter than a round trip.
const mostLosses = 3;

/** What logs share: the connections of a process, and the options. */
export interface LogHost extends StoreHost, WriterHost {
  readonly options: StoreHost['options'] & WriterHost['options'];
  /** Begins to follow a channel of Redis for a log. Returns the undo. */
  follow(log: RedisLog, topic: string, follower: Follower): () => void;
  onError(error: unknown): void;
}

/** The log of a channel in Redis. */
export class RedisLog implements ChannelLog {
  readonly #host: LogHost;
  readonly #receiver: LogReceiver;
  readonly #store: LogStore;
  readonly #writer: Writer;
  #feed: Feed | undefined;

  constructor(host: LogHost, channel: string, limits: HistoryLimits, receiver: LogReceiver) {
    this.#host = host;
    this.#receiver = receiver;
    this.#store = new LogStore(host, channel, limits);
    this.#writer = new Writer(host, this.#store);
  }

  append(entry: NewEntry, options: AppendOptions): Promise<string> {
    return this.#writer.append(entry, options);
  }

  async read(after: string, count: number): Promise<LogPage> {
    const id = parseEntryId(after);
    if (!id) return { lost: 'unknown-id' };
    const page = await this.#store.page(id, count);
    return page.lost === undefined ? { entries: page.entries, isEnd: page.isEnd } : page;
  }

  start(from: 'now' | 'earliest' | number): string | Promise<string> {
    const { newest } = this.#store;
    if (from === 'now' && newest && this.#isWithinReach(newest)) return formatEntryId(newest);
    return this.#find(from);
  }

  tellsAllAfter(after: string): boolean {
    const id = parseEntryId(after);
    return id !== undefined && this.#isWithinReach(id);
  }

  #isWithinReach(id: EntryId): boolean {
    return isWithinReach(id, { place: this.#feed?.place, newest: this.#store.newest });
  }

  async #find(from: 'now' | 'earliest' | number): Promise<string> {
    const { epoch, sequence, floor, isEnded } = await this.#store.state();
    const wanted = from === 'earliest' ? Infinity : from === 'now' ? Number(isEnded) : from;
    return formatEntryId({ epoch, sequence: Math.max(floor, sequence - wanted) });
  }

  async latest(): Promise<LatestEntries> {
    const newest = new Map<string, ChannelEntry>();
    let position = await this.start('earliest');
    for (let losses = 0; ;) {
      const page = await this.read(position, scanSize);
      if (page.lost !== undefined) {
        losses += 1;
        if (losses > mostLosses) return { entries: [...newest.values()], position: await this.start('now') };
        position = await this.start('earliest');
        continue;
      }
      for (const entry of page.entries) {
        position = entry.id;
        if (entry.key === undefined) continue;
        // To the end: the order is that of the ids.
        newest.delete(entry.key);
        newest.set(entry.key, entry);
      }
      if (page.entries.length < scanSize) return { entries: [...newest.values()], position };
    }
  }

  claim(ttl: number): Promise<ClaimResult> {
    return this.#store.claim(ttl);
  }

  renew(fence: string, ttl: number): Promise<boolean> {
    return this.#store.renew(fence, ttl);
  }

  release(fence: string): Promise<void> {
    return this.#store.release(fence);
  }

  isClaimed(): Promise<boolean> {
    return this.#store.isClaimed();
  }

  compare(a: string, b: string): number {
    return this.#store.compare(a, b);
  }

  listen(): Promise<void> {
    this.#feed ??= new Feed({
      store: this.#store,
      receiver: this.#receiver,
      follow: (follower) => this.#host.follow(this, this.#store.topic, follower),
      onError: (error) => this.#host.onError(error),
    });
    return this.#feed.started;
  }

  unlisten(): void {
    this.#feed?.stop();
    this.#feed = undefined;
  }

  close(): void {
    this.unlisten();
  }

  /** Keeps the log for another while, and reads what no message told of. */
  async refresh(): Promise<void> {
    this.#feed?.compare(await this.#store.state());
  }
}
