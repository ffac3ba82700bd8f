import type { Socket } from 'node:net';
import type { Phase } from './policy/phase.ts';
import type { DrainCounters } from './policy/counters.ts';

/** Asks one client to reconnect. Does not throw. */
export type CloseTask = () => void;

/** What the parts of a drain know of the drain. */
export interface DrainHost {
  readonly phase: Phase;
  readonly counters: DrainCounters;
  /**
   * Something ended. Checks at the end of the turn whether everything has.
   * @param socket - its socket, which may be idle now
   */
  settleSoon(socket?: Socket): void;
  /** Reports an error that has no caller. */
  fail(error: unknown): void;
}

/** A part of the process that a drain waits for. */
export interface DrainPart {
  /** Whether it carries other parts: it is cut after them. */
  readonly carries: boolean;
  /** Whether a drain need not wait for it. */
  readonly isEmpty: boolean;
  /** The drain has begun. Tells clients that can learn of it without leaving. */
  announce?(): void;
  /**
   * Takes nothing new. Returns a task for each client to ask, once per client. Called again now and then, for
   * latecomers.
   */
  leave?(): readonly CloseTask[];
  /** Closes the idle ones of the sockets on which something ended since the last call. */
  tidy?(freed: ReadonlySet<Socket>): void;
  /** Ends the rest by force, and counts it. */
  cut(): void;
  /** Removes its listeners. */
  release?(): void;
}
