import { randomBytes } from 'node:crypto';
import type { ClaimResult, HistoryLimits, LogPage, ResetReason } from '../../channel/log/backplane.ts';
import { makeEpoch } from '../../channel/log/epoch.ts';
import { type EntryId, parseEntryId } from '../../channel/policy/entry-id.ts';
import type { Call } from '../connection/commands.ts';
import { decodeEntries } from '../format/entry.ts';
import {
  appendScript,
  claimedScript,
  claimScript,
  readScript,
  releaseScript,
  renewScript,
  stateScript,
} from '../scripts.ts';
import { keysOf, type LogKeys } from './keys.ts';

// Epochs of one log that a process can order. Each stands for a Redis that has lost entries.
const mostEpochs = 16;

/** Where a log is. */
export interface LogState extends EntryId {
  /** Sequence of the newest entry that is gone. */
  readonly floor: number;
  /** Sequence at which the epoch began. */
  readonly base: number;
  readonly isEnded: boolean;
}

/** What is read of a log at once. `place`: behind the entries, or where it was asked for if there are none. */
export type StorePage = Extract<LogPage, { lost: ResetReason }> | (Extract<LogPage, { isEnd: boolean }> & Behind);

interface Behind {
  readonly place: EntryId;
}

/** An entry for the log. */
export interface EncodedEntry {
  readonly encoded: string;
  readonly isEnd: boolean;
  /** Empty: none. */
  readonly fence: string;
  readonly idempotencyKey: string | undefined;
}

/** What a store needs of the backplane. */
export interface StoreHost {
  readonly options: { readonly prefix: string; readonly ttl: number; readonly timeout: number };
  readonly publishCommand: 'PUBLISH' | 'SPUBLISH';
  run(call: Call): Promise<readonly string[]>;
}

/** The log of one channel, as calls of the scripts; and what this process knows of its ids. */
export class LogStore {
  readonly channel: string;
  readonly #host: StoreHost;
  readonly #limits: HistoryLimits;
  readonly #keys: LogKeys;
  /** The newest entry that this process has seen. */
  #known: EntryId | undefined;
  /** Whether it is the last one, or others have seen the last one. */
  #isEnded = false;
  /** Epochs in the order in which this process saw them. */
  readonly #epochs: string[] = [];

  constructor(host: StoreHost, channel: string, limits: HistoryLimits) {
    this.channel = channel;
    this.#host = host;
    this.#limits = limits;
    this.#keys = keysOf(host.options.prefix, channel, randomBytes(6).toString('hex'));
  }

  /** The channel of Redis on which new entries are published. */
  get topic(): string {
    return this.#keys.stream;
  }

  /** The newest entry that this process has seen. `undefined`: none, or the log may have ended. */
  get newest(): EntryId | undefined {
    return this.#isEnded ? undefined : this.#known;
  }

  /** Asks where it is. The log is kept for another while then. */
  async state(): Promise<LogState> {
    const [epoch = '', last, floor, base, ended] = await this.#run(stateScript);
    const state = { epoch, sequence: Number(last), floor: Number(floor), base: Number(base), isEnded: ended === '1' };
    this.note(state, state.isEnded);
    return state;
  }

  async page(after: EntryId, count: number): Promise<StorePage> {
    const { sequence } = after;
    const reply = await this.#run(readScript, after.epoch, String(sequence), String(count));
    // The epoch may be a later one: after a restart of Redis that lost nothing, for one.
    const [status, epoch = '', ...texts] = reply;
    if (status === 'unknown-id' || status === 'gap') return { lost: status };
    const entries = decodeEntries(texts.join(''), { epoch, sequence: sequence + 1 });
    const place = { epoch, sequence: sequence + entries.length };
    const isEnd = status === 'end';
    this.note(place, isEnd);
    return { entries, isEnd, place };
  }

  async claim(ttl: number): Promise<ClaimResult> {
    const [status, fence = ''] = await this.#run(claimScript, String(ttl), randomBytes(9).toString('base64url'));
    if (status === 'claimed') return { status, fence };
    return { status: status === 'ended' ? 'ended' : 'held' };
  }

  async renew(fence: string, ttl: number): Promise<boolean> {
    return (await this.#run(renewScript, String(ttl), fence))[0] === '1';
  }

  async release(fence: string): Promise<void> {
    await this.#run(releaseScript, fence);
  }

  async isClaimed(): Promise<boolean> {
    return (await this.#run(claimedScript))[0] === '1';
  }

  /** Orders two ids: by their epochs, then by their numbers. */
  compare(a: string, b: string): number {
    const [one, other] = [parseEntryId(a), parseEntryId(b)];
    if (one && one.epoch === other?.epoch) return one.sequence - other.sequence;
    return this.#epochs.indexOf(one?.epoch ?? '') - this.#epochs.indexOf(other?.epoch ?? '');
  }

  /** The process has seen an entry, and all before it. @param isEnd - it is the last one */
  note({ epoch, sequence }: EntryId, isEnd: boolean = false): void {
    if (epoch === this.#known?.epoch) {
      if (sequence > this.#known.sequence) this.#known = { epoch, sequence };
      this.#isEnded ||= isEnd;
      return;
    }
    if (this.#epochs.includes(epoch)) return;
    this.#epochs.push(epoch);
    if (this.#epochs.length > mostEpochs) this.#epochs.shift();
    this.#known = { epoch, sequence };
    this.#isEnded = isEnd;
  }

  /**
   * Appends a batch.
   * @param number - of the batch: a call with the same one does not append again
   * @returns for each entry its id, `ended` or `fenced`
   */
  async append(batch: readonly EncodedEntry[], number: number, patience: number): Promise<readonly string[]> {
    const keys = [this.#keys.state, this.#keys.stream, this.#keys.writer];
    const args = [...this.#common(), String(number), limit(this.#limits.count), limit(this.#limits.bytes)];
    args.push(this.#host.publishCommand, String(Math.ceil(Math.max(0, patience) + 2 * this.#host.options.timeout)));
    for (const entry of batch) {
      const { encoded, isEnd, fence, idempotencyKey } = entry;
      args.push(encoded, isEnd ? '1' : '0', fence, idempotencyKey === undefined ? '0' : '1');
      if (idempotencyKey !== undefined) keys.push(this.#keys.idempotency(idempotencyKey));
    }
    const ids = await this.#host.run({ channel: this.channel, script: appendScript, keys, args, patience });
    for (const [index, id] of ids.entries()) {
      const parsed = parseEntryId(id);
      if (parsed) this.note(parsed, batch[index]?.isEnd);
    }
    return ids;
  }

  #run(script: string, ...args: readonly string[]): Promise<readonly string[]> {
    const { channel } = this;
    const keys = [this.#keys.state, this.#keys.stream];
    return this.#host.run({
      channel,
      script,
      keys,
      args: [...this.#common(), ...args],
      patience: this.#host.options.timeout,
    });
  }

  /** The arguments of all scripts. */
  #common(): string[] {
    const { epoch = '', sequence = 0 } = this.#known ?? {};
    const { ttl } = this.#host.options;
    return [makeEpoch(), epoch, String(sequence), limit(ttl === Infinity ? 0 : ttl)];
  }
}

function limit(value: number): string {
  return String(Math.min(value, Number.MAX_SAFE_INTEGER));
}
