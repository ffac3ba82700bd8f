// @ts-check
import { EventEmitter, once } from 'node:events';

/**
 * The newest values of an endless series, numbered, and a reader of its own for every client.
 *
 * The series is the only queue: a reader keeps a position and no values. So nothing is lost or doubled where a replay
 * meets live values, and a client that reads slowly costs no memory and misses values only once they are no longer
 * kept.
 *
 * @template T
 */
export class History {
  /** @type {T[]} */
  #values = [];
  #limit;
  // Numbers start at the time, so that those of the next process are higher and clients resume across a restart.
  #newest = Date.now();
  // Every waiting client is one listener.
  #news = new EventEmitter().setMaxListeners(0);

  /** @param {{ limit: number }} options - `limit`: how many values are kept */
  constructor({ limit }) {
    this.#limit = limit;
  }

  /** @param {T} value */
  add(value) {
    this.#newest += 1;
    this.#values.push(value);
    if (this.#values.length > this.#limit) this.#values.shift();
    this.#news.emit('value');
  }

  /**
   * Values after the one that a client has seen last, then new ones as they come, until the signal aborts.
   *
   * @param {string} lastId - an id this has given out, or `''`
   * @param {{ backlog: number, signal: AbortSignal }} options - `backlog`: how many old values a new client gets
   * @returns {AsyncGenerator<{ id: string, value: T }, void>}
   */
  async *after(lastId, { backlog, signal }) {
    let next = this.#follows(lastId) ? Number(lastId) + 1 : this.#newest - backlog + 1;
    for (;;) {
      next = Math.max(next, this.#oldest);
      const value = this.#values[next - this.#oldest];
      if (value === undefined) {
        await once(this.#news, 'value', { signal });
      } else {
        yield { id: String(next), value };
        next += 1;
      }
    }
  }

  get #oldest() {
    return this.#newest - this.#values.length + 1;
  }

  /**
   * An id from the future was made up, or the clock was set back before a restart: waiting for it would take for ever.
   *
   * @param {string} lastId
   */
  #follows(lastId) {
    return /^\d{1,15}$/.test(lastId) && Number(lastId) <= this.#newest;
  }
}
