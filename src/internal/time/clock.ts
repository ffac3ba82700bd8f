// Node fires a timer with a longer delay after 1 ms.
export const longestDelay: number = 2 ** 31 - 1;

/**
 * Calls `callback` once after `delay` ms, of any length. `Infinity`: never. Returns the undo. The timer does not keep
 * the process alive.
 */
export function startTimer(delay: number, callback: () => void): () => void {
  if (delay === Infinity) return () => undefined;
  // Node warns of a negative delay.
  let left = Math.max(0, delay);
  let timer = arm();
  function arm(): NodeJS.Timeout {
    const step = Math.min(left, longestDelay);
    left -= step;
    return setTimeout(fire, step).unref();
  }
  function fire(): void {
    if (left > 0) timer = arm();
    else callback();
  }
  return () => {
    clearTimeout(timer);
  };
}

/** A source of time: milliseconds that never go back, and a timer with its undo. */
export interface Clock {
  now(): number;
  startTimer(delay: number, callback: () => void): () => void;
}

export const systemClock: Clock = { now: () => performance.now(), startTimer };

/** A random delay, evenly spread between 0.5 and 1.5 times `delay`. */
export function jittered(delay: number, random: () => number): number {
  return delay * (0.5 + random());
}

/** A random delay for a retry hint, spread in the same way: whole milliseconds, at least 1. */
export function retryDelay(delay: number): number {
  return Math.max(1, Math.round(jittered(delay, Math.random)));
}

/** A random span, up to `share` longer or shorter. `Infinity` stays. */
export function varied(span: number, share: number, random: () => number): number {
  return span === Infinity ? span : span * (1 + share * (2 * random() - 1));
}
