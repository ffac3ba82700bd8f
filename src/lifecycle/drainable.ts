import type { Socket } from 'node:net';
import type { Phase } from './policy/phase.ts';
import type { Tally } from './policy/counters.ts';

/** Tells somebody to go. Does not throw. */
export type Farewell = () => void;

/** What the parts of a drain know of the whole. */
export interface DrainSite {
  readonly phase: Phase;
  readonly tally: Tally;
  /**
   * Something is gone: looks, at the end of the turn, whether everything is.
   * @param socket - that it used, and that may carry nothing now
   */
  settleSoon(socket?: Socket): void;
  /** An error that has no caller to be thrown at. */
  fail(error: unknown): void;
}

/** A part of a process that a drain waits for. */
export interface Drainable {
  /** Whether others run over it: it is cut after them. */
  readonly carries: boolean;
  /** Whether there is nothing to wait for. */
  readonly isEmpty: boolean;
  /** The drain has begun: whoever can be told so without being sent away is. */
  announce(): void;
  /**
   * Takes in nothing new, and gives those that are to be sent away, for each once. Called again now and then, for
   * latecomers.
   */
  leave(): readonly Farewell[];
  /** Closes what has become idle, of the sockets that lost something since the last time. */
  tidy(freed: ReadonlySet<Socket>): void;
  /** Ends what is left, and counts it. */
  cut(): void;
  /** Removes its listeners. */
  release(): void;
}
