import { type PageListener, watchPage } from './page.ts';

/** What a connection needs of the place where it runs. */
export interface Environment {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Calls back once, after `delay` ms. Returns the undo. */
  readonly startTimer: (delay: number, callback: () => void) => () => void;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Returns the undo. */
  readonly watchPage: (listener: PageListener) => () => void;
}

// A timer with a longer delay fires at once.
const longestDelay = 2 ** 31 - 1;

export const environment: Environment = {
  // Not `performance.now()`, which stands still on some systems while the machine sleeps.
  now: Date.now,
  startTimer(delay, callback) {
    const timer = setTimeout(callback, Math.min(delay, longestDelay));
    return () => {
      clearTimeout(timer);
    };
  },
  random: Math.random,
  watchPage: (listener) => watchPage(listener, globalThis),
};
