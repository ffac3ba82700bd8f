/** An event as it is kept: what goes out, without how it is framed. */
export interface NewEntry {
  /** The name of the event; `undefined` for none. No CR, LF or NUL. */
  readonly event?: string | undefined;
  /** The data as text. `undefined`: the event has none. */
  readonly data?: string | undefined;
  /** Whether `data` is JSON text, in one line. */
  readonly isJson?: boolean | undefined;
  /** Of the entries with one key only the newest matters to a client that starts with `latest`. */
  readonly key?: string | undefined;
  /** Whether it is the last entry of the channel. */
  readonly isEnd?: boolean | undefined;
}

/** An event in a log, with its id. */
export interface ChannelEntry extends NewEntry {
  /**
   * Unique in the channel, and later than all ids before it. It goes into a header: 1 to 128 visible characters of
   * ASCII, no comma and no colon.
   */
  readonly id: string;
}

/**
 * How much of a channel is kept for clients that come later. All processes open a channel with the same limits. The
 * last entry, with `isEnd`, is kept in any case, and takes the place of others.
 */
export interface HistoryLimits {
  /** Entries. 0 keeps none. */
  readonly count: number;
  /** Bytes of names and data. */
  readonly bytes: number;
}

/** Why a client cannot go on where it stopped: events after its id are gone, or the id is none of this channel. */
export type ResetReason = 'gap' | 'unknown-id';

/** What is read of a log at once. */
export type LogPage =
  | {
      /** Oldest first. Fewer than asked for: there were no more. */
      readonly entries: readonly ChannelEntry[];
      /** Whether the channel has ended, and these are its last entries. */
      readonly isEnd: boolean;
      readonly lost?: undefined;
    }
  | { /** Not all entries after the id can be read. */ readonly lost: ResetReason };

/** Where a client begins to read that starts with the newest entry of each key. */
export interface LatestEntries {
  /** The newest entry of each key, oldest first. */
  readonly entries: readonly ChannelEntry[];
  /** The id after which it reads on. */
  readonly position: string;
}

/** Gets what is appended to a log, by whatever process. */
export interface LogReceiver {
  /** New entries, in order. None is left out: a backplane that missed some reads them first. */
  entries(list: readonly ChannelEntry[]): void;
  /**
   * Entries that cannot be read any more are missing. The next ones come after `position`, an id that is later than
   * those of all entries before.
   */
  lost(position: string): void;
}

/** Options of `append`. What they say is looked at in this order. */
export interface AppendOptions {
  /**
   * An entry that was appended to this log with this key in the last two minutes is not appended again: its id is the
   * answer, also if it is not kept any more. The key may be any text. @defaultValue none
   */
  readonly idempotencyKey?: string | undefined;
  /** Fails with `ProducerFencedError` if a claim was made after the one with this fence. @defaultValue none */
  readonly fence?: string | undefined;
}

/**
 * What a claim of a channel gave.
 *
 * - `claimed`: the caller is the producer now. `fence`: a decimal integer, greater than those of all claims before
 * - `held`: another producer has the channel, and its time is not over
 * - `ended`: the channel has its last entry
 */
export type ClaimResult =
  { readonly status: 'claimed'; readonly fence: string } | { readonly status: 'held' } | { readonly status: 'ended' };

/**
 * The log of one channel, as one process sees it. A method that answers at once returns no promise: a client of such a
 * log is live in the tick in which it comes.
 *
 * A method that cannot reach the backplane fails with `BackplaneUnavailableError`. Publishers get the error. Clients
 * wait, and are asked for again.
 */
export interface ChannelLog {
  /**
   * Appends an entry. Gives its id. Fails with `ProducerFencedError` as `fence` says, else with `ChannelEndedError`
   * behind the last entry. Fails with `BackplaneUnavailableError` if the store cannot be reached: `cause` says why.
   *
   * Entries that are appended while others are under way come behind them. An entry that is not kept, because the
   * limits are too small for it, has an id and goes to the receivers all the same.
   */
  append(entry: NewEntry, options: AppendOptions): string | PromiseLike<string>;
  /**
   * Reads up to `count` entries after an id. The id comes from a client and may be anything: for one that is none of
   * this log the work must not depend on its length, nor on that of the log.
   */
  read(after: string, count: number): LogPage | PromiseLike<LogPage>;
  /**
   * The id after which a client begins to read: one that wants what comes from now on, all that is kept, or the last
   * `from` entries. With `'now'`, and a channel that has ended, the last entry is still to be read. In a process that
   * listens, `'now'` may be a place that it knows: what others have appended since then is read too. A number counts
   * from the newest entry of the store. A log without entries has such an id too: `read` finds what is appended later.
   */
  start(from: 'now' | 'earliest' | number): string | PromiseLike<string>;
  /**
   * Whether every entry after an id goes to the receiver: one that was told last, for one. A client with that id reads
   * nothing and is live. For logs that keep little: between `start` and `read` they may lose what is to be read. The id
   * comes from a client and may be anything. Optional: without it the log is read.
   */
  tellsAllAfter?(id: string): boolean;
  /** The newest entry of each key that is kept. */
  latest(): LatestEntries | PromiseLike<LatestEntries>;
  /**
   * Takes the channel for one producer, for `ttl` milliseconds. Claims bind those alone that append with a `fence`.
   */
  claim(ttl: number): ClaimResult | PromiseLike<ClaimResult>;
  /**
   * Prolongs a claim: it holds for `ttl` milliseconds from now. Also one whose time is over, if no other was made
   * meanwhile. `false`: a later claim was made, or the channel has ended.
   */
  renew(fence: string, ttl: number): boolean | PromiseLike<boolean>;
  /** Gives the channel back, if the claim is still the newest. */
  release(fence: string): void | PromiseLike<void>;
  /** Whether a producer has the channel: one that is dead has it until its time is over. Not after the last entry. */
  isClaimed(): boolean | PromiseLike<boolean>;
  /** Orders two ids of this log: negative if `a` is earlier, 0 if they are the same. */
  compare(a: string, b: string): number;
  /**
   * The process has clients now. Every entry that is appended once this has settled goes to the receiver; entries that
   * were appended before may go there too. A call while it listens already settles as the first one does.
   */
  listen(): void | PromiseLike<void>;
  /** The process has no clients any more: the receiver gets nothing. */
  unlisten(): void;
  /** Frees what the process holds. May be called again. The log stays, unless no other process can hold it. */
  close(): void;
}

/** Where the logs of channels are, and how processes hear of each other's entries. */
export interface Backplane {
  /** Opens the log of a channel. Its name is any text that is not empty; each is another log. */
  open(channel: string, limits: HistoryLimits, receiver: LogReceiver): ChannelLog;
  /** Frees connections. The channels must be closed before. */
  close(): void | PromiseLike<void>;
}
