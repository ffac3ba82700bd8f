/**
 * The timer that is set on a connection. `retransmit` includes tail loss probes, `keepalive` all other timers.
 */
export type TcpTimer = 'none' | 'retransmit' | 'keepalive' | 'time-wait' | 'window-probe';

/** What the kernel tells about a connection. */
export interface TcpRow {
  /** Bytes that the process wrote and the peer's kernel has not acknowledged, sent or not. */
  readonly unacked: number;
  /** Bytes that came, and that the process has not read. */
  readonly unread: number;
  readonly timer: TcpTimer;
  /** Retransmission timeouts in a row. Any acknowledgement of new bytes resets it to 0. */
  readonly retransmits: number;
  /** Probes in a row, of a closed window or of keep-alive, without an answer. */
  readonly unansweredProbes: number;
  /** The retransmission timeout before any back-off, in milliseconds; `undefined`: the row has none. */
  readonly rto: number | undefined;
  /** 1 is ESTABLISHED. The others are in the kernel's include/net/tcp_states.h. */
  readonly state: number;
}

/**
 * A row, and what the process had given to the kernel before and after. The row is from a moment between the two
 * counts. What was written in the meantime may be in it or not.
 */
export interface AckSample {
  readonly row: TcpRow;
  /** Bytes given to the kernel when the reading of the table began. */
  readonly writtenBefore: number;
  /** Bytes given to the kernel when the row was found. */
  readonly writtenAfter: number;
}

/**
 * What a row says about the peer. All but `waiting` are signs of life.
 *
 * - `acknowledged`: it has everything.
 * - `progress`: its kernel has acknowledged something since the previous row.
 * - `window-closed`: its kernel answers, and its process does not read.
 * - `waiting`: its kernel has not answered yet.
 */
export type Acknowledgement = 'acknowledged' | 'progress' | 'window-closed' | 'waiting';

// The column `tr`; get_tcp4_sock() and get_timewait4_sock() in the kernel's net/ipv4/tcp_ipv4.c.
const timers: readonly TcpTimer[] = ['none', 'retransmit', 'keepalive', 'time-wait', 'window-probe'];

// Times are in ticks of USER_HZ, which is 100 on everything that Node runs on.
const tick = 10;

// TCP_RTO_MIN. A local error (no route, no neighbour) counts as a retransmission and does not double the timeout, which
// is never over two minutes: with the back-off taken out, next to nothing would be left.
const shortestRto = 200;

/**
 * Finds the rows of wanted connections in the text of a table. Each other row costs a slice and a look-up. Text that is
 * no row is skipped.
 */
export function scanTcpTable<T>(
  text: string,
  wanted: ReadonlyMap<string, T>,
  onRow: (value: T, row: TcpRow) => void,
): void {
  let end: number;
  for (let start = 0; start < text.length; start = end + 1) {
    end = lineEnd(text, start);
    const from = text.indexOf(':', start) + 2;
    const to = keyEnd(text, from);
    if (from < start + 2 || to > end) continue;
    const value = wanted.get(text.slice(from, to));
    const row = value === undefined ? undefined : readRow(text, to, end);
    if (row) onRow(value as T, row);
  }
}

function lineEnd(text: string, start: number): number {
  const end = text.indexOf('\n', start);
  return end < 0 ? text.length : end;
}

// The two addresses have the same length, and a port has four digits: `ADDRESS:PORT ADDRESS:PORT`.
function keyEnd(text: string, from: number): number {
  const width = text.indexOf(':', from) - from;
  return width < 0 ? Infinity : from + 2 * width + 11;
}

/** @param at - behind the addresses, @param end - of the line */
function readRow(text: string, at: number, end: number): TcpRow | undefined {
  const fields = new Fields(text, at, end);
  const state = fields.number(16);
  const unacked = fields.number(16);
  const unread = fields.number(16);
  const timer = fields.number(16);
  fields.skip(1); // When the timer expires.
  const retransmits = fields.number(16);
  fields.skip(1); // The user.
  const unansweredProbes = fields.number(10);
  fields.skip(3); // Inode, references, pointer: here a row of TIME_WAIT ends.
  const rto = fields.number(10);
  // Every row has these. The sum is NaN if one is missing.
  if (Number.isNaN(state + unacked + unread + timer + retransmits + unansweredProbes)) return undefined;
  return {
    unacked,
    unread,
    timer: timers[timer] ?? 'none',
    retransmits,
    unansweredProbes,
    rto: withoutBackOff(rto * tick, retransmits),
    state,
  };
}

function withoutBackOff(rto: number, retransmits: number): number | undefined {
  return Number.isNaN(rto) ? undefined : Math.max(rto / 2 ** retransmits, shortestRto);
}

/** Reads the columns of a row one after the other, without making a string for each. */
class Fields {
  readonly #text: string;
  #at: number;
  readonly #end: number;

  constructor(text: string, at: number, end: number) {
    this.#text = text;
    this.#at = at;
    this.#end = end;
  }

  /** The next column; NaN: it is no number of the base, or there is none. */
  number(base: 10 | 16): number {
    this.#skipSeparators();
    let value = this.#isAtEnd() ? NaN : 0;
    for (; !this.#isAtEnd() && !isSeparator(this.#code()); this.#at++) {
      const digit = digitOf(this.#code());
      value = digit < base ? value * base + digit : NaN;
    }
    return value;
  }

  skip(count: number): void {
    for (let left = count; left > 0; left--) {
      this.#skipSeparators();
      while (!this.#isAtEnd() && !isSeparator(this.#code())) this.#at++;
    }
  }

  #skipSeparators(): void {
    while (!this.#isAtEnd() && isSeparator(this.#code())) this.#at++;
  }

  #isAtEnd(): boolean {
    return this.#at >= this.#end;
  }

  #code(): number {
    return this.#text.charCodeAt(this.#at);
  }
}

// A space or a colon.
function isSeparator(code: number): boolean {
  return code === 0x20 || code === 0x3a;
}

// The digits `0`–`9` and `A`–`F` are all that the kernel prints. Anything else is no digit of any base.
function digitOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  return code >= 0x41 && code <= 0x46 ? code - 0x37 : Infinity;
}

/** What a sample says about the peer, by itself and compared with the previous one of the same connection. */
export function readAcknowledgement(previous: AckSample | undefined, sample: AckSample): Acknowledgement {
  const { row } = sample;
  // No process has this connection any more. That nothing is outstanding says nothing.
  if (row.timer === 'time-wait') return 'waiting';
  if (row.unacked === 0) return 'acknowledged';
  if (previous && hasProgressed(previous, sample)) return 'progress';
  // An answer resets the count, which includes the probe that is under way. The kernel doubles the time between two
  // probes, up to TCP_RTO_MAX (two minutes), whether they are answered or not. So this is true for a peer that is gone
  // until the second probe was sent.
  return row.timer === 'window-probe' && row.unansweredProbes <= 1 ? 'window-closed' : 'waiting';
}

/**
 * Whether the peer's kernel has acknowledged more bytes than at the previous row: acknowledged = written - unacked. The
 * moment of the row lies between two counts of `written`. The earlier count gives the least, the later one the most.
 * Only a least above the previous most is progress. With one count, a write during a reading would look like progress,
 * also to a peer that is gone.
 *
 * Where `written` is of plain text (see `writtenBytes`), the wire has more by an overhead, which only grows, since each
 * write adds its own: acknowledged = written + overhead - unacked. When written - unacked has grown, acknowledged has
 * too, by at least as much: no false progress. The other way round, an acknowledgement of less than what the overhead
 * grew by meanwhile is missed.
 */
function hasProgressed(previous: AckSample, { row, writtenBefore }: AckSample): boolean {
  return (
    writtenBefore - row.unacked > previous.writtenAfter - previous.row.unacked ||
    row.retransmits < previous.row.retransmits
  );
}
