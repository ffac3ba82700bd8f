import { ChannelEndedError, ProducerFencedError } from '../../errors.ts';
import type {
  AppendOptions,
  Backplane,
  ChannelEntry,
  ChannelLog,
  ClaimResult,
  HistoryLimits,
  LatestEntries,
  LogPage,
  LogReceiver,
  NewEntry,
} from './backplane.ts';
import { formatEntryId, parseEntryId } from '../policy/entry-id.ts';
import { makeEpoch } from './epoch.ts';
import { ProducerClaim } from './producer-claim.ts';
import { RecentKeys } from './recent-keys.ts';

/**
 * Makes a backplane in the memory of this process: the default of a channel, which has one of its own. Channels of one
 * name that share it have one log. It is gone with the last of them.
 */
export function createMemoryBackplane(): Backplane {
  const logs = new Map<string, MemoryLog>();
  return {
    open(channel, limits, receiver) {
      let log = logs.get(channel);
      if (!log) {
        log = new MemoryLog(channel, limits);
        logs.set(channel, log);
      }
      const opened = log;
      return opened.attach(receiver, () => void logs.delete(channel));
    },
    close() {
      logs.clear();
    },
  };
}

/** The entries of one channel, from the oldest that is kept to the newest. */
class MemoryLog {
  readonly #channel: string;
  readonly #limits: HistoryLimits;
  // Ids of another log or of an earlier process are none of this one's.
  readonly #epoch = makeEpoch();
  readonly #receivers = new Set<LogReceiver>();
  readonly #recent = new RecentKeys(() => performance.now());
  readonly #claim = new ProducerClaim(() => performance.now());
  /** The newest entry of each key that is kept, oldest first. */
  readonly #latest = new Map<string, ChannelEntry>();
  #attached = 0;
  #entries: ChannelEntry[] = [];
  /** Where the kept ones begin in `#entries`. */
  #start = 0;
  #bytes = 0;
  /** The sequence of the newest entry. */
  #last = 0;
  #isEnded = false;

  constructor(channel: string, limits: HistoryLimits) {
    this.#channel = channel;
    this.#limits = limits;
  }

  attach(receiver: LogReceiver, onUnused: () => void): ChannelLog {
    this.#attached += 1;
    let isOpen = true;
    return {
      append: (entry, options) => this.#append(entry, options),
      read: (after, count) => this.#read(after, count),
      start: (from) => this.#idOf(this.#startOf(from)),
      latest: () => this.#latestEntries(),
      claim: (ttl) => this.#claimFor(ttl),
      renew: (fence, ttl) => !this.#isEnded && this.#claim.renew(fence, ttl),
      release: (fence) => this.#claim.release(fence),
      isClaimed: () => !this.#isEnded && this.#claim.isHeld,
      compare: (a, b) => sequenceOf(a) - sequenceOf(b),
      listen: () => void this.#receivers.add(receiver),
      unlisten: () => void this.#receivers.delete(receiver),
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#receivers.delete(receiver);
        this.#attached -= 1;
        if (this.#attached === 0) onUnused();
      },
    };
  }

  #claimFor(ttl: number): ClaimResult {
    return this.#isEnded ? { status: 'ended' } : this.#claim.claim(ttl);
  }

  #append(entry: NewEntry, { idempotencyKey, fence }: AppendOptions): string {
    const before = idempotencyKey === undefined ? undefined : this.#recent.get(idempotencyKey);
    if (before !== undefined) return before;
    if (fence !== undefined && !this.#claim.isNewest(fence)) throw new ProducerFencedError(this.#channel);
    if (this.#isEnded) throw new ChannelEndedError(this.#channel);
    const kept: ChannelEntry = { ...entry, id: this.#idOf(this.#last + 1) };
    this.#last += 1;
    this.#isEnded = entry.isEnd === true;
    if (idempotencyKey !== undefined) this.#recent.set(idempotencyKey, kept.id);
    this.#keep(kept);
    for (const receiver of this.#receivers) receiver.entries([kept]);
    return kept.id;
  }

  #keep(entry: ChannelEntry): void {
    this.#entries.push(entry);
    this.#bytes += sizeOf(entry);
    if (entry.key !== undefined) {
      // To the end: the order is that of the ids.
      this.#latest.delete(entry.key);
      this.#latest.set(entry.key, entry);
    }
    const { count, bytes } = this.#limits;
    // The end stays: clients that come later are told it.
    const least = this.#isEnded ? 1 : 0;
    while (this.#length > least && (this.#length > count || this.#bytes > bytes)) this.#dropOldest();
  }

  #dropOldest(): void {
    const entry = this.#entries[this.#start];
    if (!entry) return;
    this.#start += 1;
    this.#bytes -= sizeOf(entry);
    if (entry.key !== undefined && this.#latest.get(entry.key) === entry) this.#latest.delete(entry.key);
    // Now and then: each `shift` would move all entries of a long log.
    if (this.#start * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#start);
    this.#start = 0;
  }

  get #length(): number {
    return this.#entries.length - this.#start;
  }

  /** The sequence before the oldest entry that is kept. */
  get #floor(): number {
    return this.#last - this.#length;
  }

  #read(after: string, count: number): LogPage {
    const id = parseEntryId(after);
    if (id?.epoch !== this.#epoch || id.sequence > this.#last) return { lost: 'unknown-id' };
    if (id.sequence < this.#floor) return { lost: 'gap' };
    const from = this.#start + id.sequence - this.#floor;
    const entries = this.#entries.slice(from, from + count);
    return { entries, isEnd: this.#isEnded && id.sequence + entries.length === this.#last };
  }

  #startOf(from: 'now' | 'earliest' | number): number {
    if (from === 'earliest') return this.#floor;
    const wanted = from === 'now' ? Number(this.#isEnded) : from;
    return Math.max(this.#floor, this.#last - wanted);
  }

  #latestEntries(): LatestEntries {
    return { entries: [...this.#latest.values()], position: this.#idOf(this.#last) };
  }

  #idOf(sequence: number): string {
    return formatEntryId({ epoch: this.#epoch, sequence });
  }
}

/** Of an id that this log made. */
function sequenceOf(id: string): number {
  return Number(id.slice(id.lastIndexOf('-') + 1));
}

function sizeOf({ event = '', data = '' }: ChannelEntry): number {
  return Buffer.byteLength(event) + Buffer.byteLength(data);
}
