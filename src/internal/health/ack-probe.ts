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
  /** The key of its socket, by `keyOfSocket`. */
  readonly connection: ConnectionKey;
  /** Bytes given to the kernel so far, by `writtenBytes`. */
  written(): number;
  /** @param now - when the reading of the table began: the row is not older than that */
  onRow(sample: AckSample, now: number): void;
  /**
   * The kernel does not list the connection. Mostly it has dropped it. But the table is read in pieces, and a row can
   * slip through between two when others come and go. So once says little, and it is never a sign of life.
   */
  onMissing(now: number): void;
}

/** What a probe is made of. */
export interface AckProbeInput {
  /** Called when a table cannot be read, or a callback of an entry throws. */
  readonly onError: (error: unknown) => void;
  /** Milliseconds from the first entry to the first reading. @defaultValue `1000` */
  readonly delay?: number;
  readonly clock?: Clock;
  readonly readTable?: TableReader;
}

/** Reads a table. `onLines` gets it in pieces of whole lines. */
type TableReader = (table: Table, onLines: (text: string) => void) => Promise<unknown>;

type Table = ConnectionKey['table'];
type State = 'idle' | 'timed' | 'reading' | 'stopped';

interface Waiting {
  readonly entry: Probed;
  /** `entry.written()` when the reading began; `undefined`: the entry came later. */
  writtenBefore: number | undefined;
}

const tableNames: readonly Table[] = ['tcp', 'tcp6'];

// The rest after a pass, so that the work is one percent of one core. It errs on the safe side: the cost is the time
// from the beginning to the end of the pass, in which the process may have done other things. Too rare is of no use, so
// a pass of over 50 ms takes more than that.
const restPerCost = 100;
const shortestRest = 1000;
const longestRest = 5000;

// The kernel returns one page at a time, of up to 64 kB.
const pageSize = 64 * 1024;

// The file does not exist, or may not be read. Neither changes while the process runs.
const finalErrors: ReadonlySet<unknown> = new Set(['ENOENT', 'EACCES', 'EPERM']);

/**
 * Asks the kernel what peers have acknowledged, for all connections that wait for that at once. It reads while one
 * waits, and no more than one percent of a core allows. Add an entry when it has something outstanding, and remove it
 * when it has its answer.
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
  /** The async context of the timer. That of the request that sets it would keep the request alive. */
  readonly #resource = new AsyncResource('sluice.ack-probe', { requireManualDestroy: true });
  #state: State = 'idle';
  #stopTimer: (() => void) | undefined;
  /** When the rest after the last pass ends, also if no entry waits in the meantime. */
  #restsUntil = -Infinity;

  constructor(input: AckProbeInput) {
    this.#onError = input.onError;
    this.#delay = input.delay ?? 1000;
    this.#clock = input.clock ?? systemClock;
    this.#readTable = input.readTable ?? readTable;
  }

  /** Whether the kernel of this platform shows such tables. */
  static isAvailable(): boolean {
    return (AckProbe.#isAvailable ??= process.platform === 'linux' && isReadable('/proc/net/tcp'));
  }

  /** False once the tables turned out to be unreadable. Nothing is reported any more. */
  get available(): boolean {
    return this.#state !== 'stopped';
  }

  /**
   * Reports to an entry with every reading that begins after this. An entry that waits already goes on waiting. Another
   * entry of the same connection takes its place.
   */
  add(entry: Probed): void {
    if (this.#state === 'stopped') return;
    const { table, key } = entry.connection;
    const waiting = this.#waiting[table];
    if (waiting.get(key)?.entry === entry) return;
    waiting.set(key, { entry, writtenBefore: undefined });
    if (this.#state === 'idle') this.#rest(Math.max(this.#delay, this.#restsUntil - this.#clock.now()));
  }

  /** Stops reporting to an entry, even from a reading that is under way. */
  remove(entry: Probed): void {
    const { table, key } = entry.connection;
    const waiting = this.#waiting[table];
    if (waiting.get(key)?.entry !== entry) return;
    waiting.delete(key);
    if (this.#state === 'timed' && !this.#isWanted()) this.#idle();
  }

  /** Stops for good. */
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
    // The entries that the table showed are not marked any more. A callback may have removed some, or added others.
    for (const waiting of all.values()) this.#attempt(() => answer(waiting, undefined, now));
  }

  /** Calls an entry. If it throws, the others are called all the same. */
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
  // A connection in TIME_WAIT is the kernel's alone: the process has lost it.
  if (!row || row.timer === 'time-wait') entry.onMissing(now);
  else entry.onRow({ row, writtenBefore, writtenAfter: entry.written() }, now);
}

/**
 * Reads a table of the network namespace of the process, page by page. As one text, of 150 bytes a connection, it would
 * outlive the young generation of V8. An idle process would spend more on collecting that than on all the rest of its
 * heartbeats. `readFile` takes twice the CPU time: it makes a new buffer of 64 kB for each page of 4 kB.
 */
export async function readTable(table: Table, onLines: (text: string) => void): Promise<void> {
  const file = await open(`/proc/net/${table}`);
  try {
    const page = Buffer.allocUnsafeSlow(pageSize);
    let rest = '';
    for (;;) {
      const { bytesRead } = await file.read(page, 0, pageSize, null);
      if (bytesRead === 0) break;
      // The kernel ends each page with a complete line, but does not promise to.
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

// They may exist and be unreadable, where a policy of the system says so.
function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** What to look for in the tables; `undefined`: the socket is not a TCP socket, or not any more. */
export function keyOfSocket(socket: Named): ConnectionKey | undefined {
  const { address, port } = localName(socket);
  const found = connectionKey(address, port, socket.remoteAddress, socket.remotePort, littleEndian);
  return found && { table: found.table, key: flatten(found.key) };
}

type Named = Pick<Socket, 'localAddress' | 'localPort' | 'remoteAddress' | 'remotePort'>;

// Not by the properties of the socket, which cache what they find while it lives: some 90 bytes.
function localName(socket: Named): { address?: string | undefined; port?: number | undefined } {
  const name = {};
  const handle = (socket as { readonly _handle?: Handle | null })._handle;
  return handle?.getsockname?.(name) === 0 ? name : { address: socket.localAddress, port: socket.localPort };
}

// A string that was concatenated keeps its pieces, here 1.2 kB of them.
function flatten(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

interface Handle {
  /** TCP only: puts the local name into an object, and returns 0. */
  readonly getsockname?: (name: object) => number;
  readonly bytesWritten?: unknown;
  /** Bytes that libuv has not given to the kernel yet. */
  readonly writeQueueSize?: unknown;
  /** TLS only: the handle of the connection below. */
  readonly _parent?: Handle;
}

/**
 * Bytes that the kernel has taken for a connection: as many as its `unacked` counts down from, also on the wire of TLS.
 *
 * `socket.bytesWritten` cannot be used: it includes what waits in JavaScript, and all of a large write at once. A
 * handle counts what it was given, and libuv knows how much of that is left. On a TLS socket, `bytesWritten` counts
 * plain text, and the queue is all of the current write. Its parent is the TCP handle, which counts bytes on the wire.
 * The same holds for the socket of a request, also of HTTPS, and for `session.socket` of HTTP/2, which passes on what
 * it does not know. Seen with Node 20 to 26. Without such handles, what the socket says is all there is.
 */
export function writtenBytes(socket: Pick<Socket, 'bytesWritten'>): number {
  const { bytesWritten, writeQueueSize } = lowestHandle(socket) ?? {};
  if (typeof bytesWritten !== 'number') return socket.bytesWritten;
  return bytesWritten - (typeof writeQueueSize === 'number' ? writeQueueSize : 0);
}

/**
 * The same, and what libuv has not given to the kernel yet. The next write stands behind that many bytes, and behind
 * what waits in JavaScript.
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
