import { AsyncResource } from 'node:async_hooks';
import { accessSync, constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { endianness } from 'node:os';
import { type Clock, systemClock } from '../time/clock.ts';
import { type ConnectionKey, connectionKey } from './policy/address.ts';
import { type AckSample, scanTcpTable, type TcpRow } from './policy/tcp-table.ts';

/** A connection that waits for an acknowledgement. */
export interface Probed {
  /** Of a socket, by `keyOfSocket`. */
  readonly connection: ConnectionKey;
  /** Bytes given to the kernel so far, by `writtenBytes`. */
  written(): number;
  /** @param now - when the reading of the table began: the row is not older than that */
  onRow(sample: AckSample, now: number): void;
  /**
   * The kernel does not list it. Mostly because it has dropped it; but the table is read in pieces, and a row can slip
   * through between two when others come and go. So once says little, and is no life in any case.
   */
  onMissing(now: number): void;
}

/** What a probe works with; everything has a default but `onError`. */
export interface AckProbeInput {
  /** A table could not be read, or a callback of an entry has thrown. */
  readonly onError: (error: unknown) => void;
  /** From the first entry to the first reading, in milliseconds. @defaultValue `1000` */
  readonly delay?: number;
  readonly clock?: Clock;
  readonly readTable?: TableReader;
}

/** Reads a table; `onLines` gets it in pieces of whole lines. */
type TableReader = (table: Table, onLines: (text: string) => void) => Promise<unknown>;

type Table = ConnectionKey['table'];
type State = 'idle' | 'timed' | 'reading' | 'stopped';

interface Waiting {
  readonly entry: Probed;
  /** When the reading began; `undefined` for what came since. */
  writtenBefore: number | undefined;
}

const tableNames: readonly Table[] = ['tcp', 'tcp6'];

// A pass and the rest after it: the work is a hundredth of it all, or one percent of one core. On the safe side, since
// the cost is the time from the first to the last of it, in which the process may have done other things. Too seldom is
// no use, so from 50 ms on it is more.
const restPerCost = 100;
const shortestRest = 1000;
const longestRest = 5000;

// The kernel gives a page at a time, of up to 64 kB.
const pageSize = 64 * 1024;

// Not there, or not for us: neither changes while the process runs.
const finalErrors: ReadonlySet<unknown> = new Set(['ENOENT', 'EACCES', 'EPERM']);

/**
 * Asks the kernel what the peers of connections have acknowledged, for all connections that wait for it at once. It
 * reads as long as one waits, and no more often than costs one percent of a core. Add an entry when it has something
 * outstanding, and remove it when it has its answer.
 *
 *              add               timer              the tables are read
 *       idle ───────▶ timed ────────────▶ reading ──────────────────────▶ timed, where one still waits; else idle
 *         ▲  the last   │                    │
 *         └───removed───┘                    └──no such file, close──▶ stopped
 */
export class AckProbe {
  static #isAvailable: boolean | undefined;

  readonly #onError: (error: unknown) => void;
  readonly #delay: number;
  readonly #clock: Clock;
  readonly #readTable: TableReader;
  readonly #waiting: Readonly<Record<Table, Map<string, Waiting>>> = { tcp: new Map(), tcp6: new Map() };
  /** Of the timer: it would keep alive what belongs to the request at hand when it is set. */
  readonly #resource = new AsyncResource('sluice.ack-probe', { requireManualDestroy: true });
  #state: State = 'idle';
  #stopTimer: (() => void) | undefined;
  /** The rest after the last pass ends then: also for an entry that comes when nobody waits any more. */
  #restsUntil = -Infinity;

  constructor(input: AckProbeInput) {
    this.#onError = input.onError;
    this.#delay = input.delay ?? 1000;
    this.#clock = input.clock ?? systemClock;
    this.#readTable = input.readTable ?? readTable;
  }

  /** Whether the kernel keeps such tables here, and shows them. */
  static isAvailable(): boolean {
    return (AckProbe.#isAvailable ??= process.platform === 'linux' && isReadable('/proc/net/tcp'));
  }

  /** False once the tables have turned out to be unreadable: nothing is reported any more. */
  get available(): boolean {
    return this.#state !== 'stopped';
  }

  /**
   * It is asked for with every reading that begins from now on. An entry that waits already goes on waiting; one of the
   * same connection takes its place.
   */
  add(entry: Probed): void {
    if (this.#state === 'stopped') return;
    const { table, key } = entry.connection;
    const waiting = this.#waiting[table];
    if (waiting.get(key)?.entry === entry) return;
    waiting.set(key, { entry, writtenBefore: undefined });
    if (this.#state === 'idle') this.#rest(Math.max(this.#delay, this.#restsUntil - this.#clock.now()));
  }

  /** Nothing is reported to it any more, not even by a reading that is under way. */
  remove(entry: Probed): void {
    const { table, key } = entry.connection;
    const waiting = this.#waiting[table];
    if (waiting.get(key)?.entry !== entry) return;
    waiting.delete(key);
    if (this.#state === 'timed' && !this.#isWanted()) this.#idle();
  }

  /** For good: nothing is reported any more. */
  close(): void {
    this.#stopTimer?.();
    this.#stop();
  }

  #isWanted(): boolean {
    return this.#waiting.tcp.size + this.#waiting.tcp6.size > 0;
  }

  #idle(): void {
    this.#state = 'idle';
    this.#stopTimer?.();
  }

  #rest(delay: number): void {
    this.#state = 'timed';
    this.#stopTimer = this.#resource.runInAsyncScope(() => this.#clock.startTimer(delay, () => void this.#pass()));
  }

  async #pass(): Promise<void> {
    this.#state = 'reading';
    const began = this.#clock.now();
    try {
      for (const table of tableNames) await this.#look(table, this.#waiting[table]);
    } catch (error) {
      if (finalErrors.has((error as NodeJS.ErrnoException).code)) this.#stop();
      this.#onError(error);
    }
    if (this.available) this.#settle(this.#clock.now() - began);
  }

  #settle(cost: number): void {
    const rest = Math.min(Math.max(restPerCost * cost, shortestRest), longestRest);
    this.#restsUntil = this.#clock.now() + rest;
    if (this.#isWanted()) this.#rest(rest);
    else this.#idle();
  }

  #stop(): void {
    this.#state = 'stopped';
    for (const table of tableNames) this.#waiting[table].clear();
  }

  async #look(table: Table, all: Map<string, Waiting>): Promise<void> {
    if (all.size === 0) return;
    const now = this.#clock.now();
    for (const waiting of all.values()) this.#attempt(() => (waiting.writtenBefore = waiting.entry.written()));
    const onRow = (waiting: Waiting, row: TcpRow): void => this.#attempt(() => answer(waiting, row, now));
    await this.#readTable(table, (text) => scanTcpTable(text, all, onRow));
    // Those that the table has shown are not marked any more; a callback may have removed any of them, or added others.
    for (const waiting of all.values()) this.#attempt(() => answer(waiting, undefined, now));
  }

  /** What one entry throws is no reason to leave out the others. */
  #attempt(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#onError(error);
    }
  }
}

function answer(waiting: Waiting, row: TcpRow | undefined, now: number): void {
  const { entry, writtenBefore } = waiting;
  if (writtenBefore === undefined) return;
  waiting.writtenBefore = undefined;
  // In TIME_WAIT the kernel has the connection to itself: it is lost to the process.
  if (!row || row.timer === 'time-wait') entry.onMissing(now);
  else entry.onRow({ row, writtenBefore, writtenAfter: entry.written() }, now);
}

/**
 * Reads a table of the network namespace of the process. Page by page: as one text, of 150 bytes a connection, it would
 * outlive the young generation of V8, and an idle process spend more on collecting that than on all the rest of its
 * heartbeats. Not by `readFile`, which makes a new buffer of 64 kB for each page of 4 kB: it takes twice the CPU time.
 */
export async function readTable(table: Table, onLines: (text: string) => void): Promise<void> {
  const file = await open(`/proc/net/${table}`);
  try {
    const page = Buffer.allocUnsafeSlow(pageSize);
    let rest = '';
    for (;;) {
      const { bytesRead } = await file.read(page, 0, pageSize, null);
      if (bytesRead === 0) break;
      // The kernel ends a page with a line, and does not promise it.
      const text = rest + page.toString('latin1', 0, bytesRead);
      const end = text.lastIndexOf('\n') + 1;
      onLines(text.slice(0, end));
      rest = text.slice(end);
    }
    onLines(rest);
  } finally {
    await file.close();
  }
}

const littleEndian = endianness() === 'LE';

// They may be there and be closed: where a policy of the system says so.
function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** What to look for in the tables; `undefined` for a socket that is not, or no longer, one of TCP. */
export function keyOfSocket(socket: Named): ConnectionKey | undefined {
  const { address, port } = localName(socket);
  const found = connectionKey(address, port, socket.remoteAddress, socket.remotePort, littleEndian);
  return found && { table: found.table, key: flatten(found.key) };
}

type Named = Pick<Socket, 'localAddress' | 'localPort' | 'remoteAddress' | 'remotePort'>;

// Not by the properties of the socket, which keep what they find as long as it lives: some 90 bytes.
function localName(socket: Named): { address?: string | undefined; port?: number | undefined } {
  const name = {};
  const handle = (socket as { readonly _handle?: Handle | null })._handle;
  return handle?.getsockname?.(name) === 0 ? name : { address: socket.localAddress, port: socket.localPort };
}

// A text that was put together keeps its pieces, here 1.2 kB of them.
function flatten(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

interface Handle {
  /** Of TCP: puts the local name into an object, and returns 0. */
  readonly getsockname?: (name: object) => number;
  readonly bytesWritten?: unknown;
  /** What libuv has not given to the kernel yet. */
  readonly writeQueueSize?: unknown;
  /** Of TLS: the handle of the connection below. */
  readonly _parent?: Handle;
}

/**
 * Bytes that the kernel has taken for a connection: as many as its `unacked` counts down from, also on the wire of TLS.
 *
 * `socket.bytesWritten` is of no use for it: it includes what waits in JavaScript, and all of a large write at once. A
 * handle counts what it was given, and libuv knows what of that is left. Of a TLS socket, `bytesWritten` is the plain
 * text, and the queue all of the write at hand; its parent is the handle of TCP, which counts bytes on the wire. That
 * holds for the socket of a request too, of HTTPS as well, and for `session.socket` of HTTP/2, which passes on what it
 * does not know. Seen with Node 20 to 26. Where there are no such handles, what the socket says is all there is.
 */
export function writtenBytes(socket: Pick<Socket, 'bytesWritten'>): number {
  const { bytesWritten, writeQueueSize } = lowestHandle(socket) ?? {};
  if (typeof bytesWritten !== 'number') return socket.bytesWritten;
  return bytesWritten - (typeof writeQueueSize === 'number' ? writeQueueSize : 0);
}

/**
 * The same with what libuv has not given to the kernel yet: whatever is written next stands behind so many bytes, and
 * behind what waits in JavaScript.
 */
export function givenBytes(socket: Pick<Socket, 'bytesWritten'>): number {
  const { bytesWritten } = lowestHandle(socket) ?? {};
  return typeof bytesWritten === 'number' ? bytesWritten : socket.bytesWritten;
}

function lowestHandle(socket: object): Handle | undefined {
  let handle = (socket as { readonly _handle?: Handle | null })._handle ?? undefined;
  while (handle?._parent) handle = handle._parent;
  return handle;
}
