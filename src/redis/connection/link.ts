import { makeDeferred, within } from '../../internal/deferred.ts';
import { jittered, startTimer } from '../../internal/time/clock.ts';
import type { Open, RedisAdapter } from './adapter.ts';

// The first attempt comes soon: most connections are lost to a restart. Later ones are as rare as clients have them.
const firstDelay = 50;
const longestDelay = 2000;
// A connection that was lost sooner counts as an attempt that failed: the next one is not made at once.
const stableAfter = 5000;

/** What a link tells of. */
export interface LinkObserver {
  /** There is a connection. */
  onUp(): void;
  /** There is none any more, or an attempt failed. */
  onDown(error: unknown): void;
}

export interface LinkOptions {
  /** ms between two pings. */
  readonly ping: number;
  /** ms for an answer. */
  readonly timeout: number;
}

/**
 * One connection to Redis, replaced whenever it is lost.
 *
 *     idle ──start──▶ connecting ──▶ up ──lost, or silent──▶ connecting
 *                        │  ▲
 *                  fails ▼  │ after a delay
 *                       waiting                         any ──close──▶ closed
 *
 * A connection that goes dark, with packets that are dropped and no reset, is found by a ping without an answer: `ping`
 * plus `timeout` later at most.
 */
export class Link {
  readonly #open: Open;
  readonly #options: LinkOptions;
  readonly #observer: LinkObserver;
  #state: 'idle' | 'connecting' | 'waiting' | 'up' | 'closed' = 'idle';
  #adapter: RedisAdapter | undefined;
  /** Gives up the attempt to connect. What is left of a connection that was closed ends with it, too. */
  #controller: AbortController | undefined;
  #failures = 0;
  #upSince = 0;
  #lastError: unknown;
  #stopTimer: (() => void) | undefined;
  /** Resolves with the next connection, or with the next failure. */
  #next = makeDeferred();

  constructor(open: Open, options: LinkOptions, observer: LinkObserver) {
    this.#open = open;
    this.#options = options;
    this.#observer = observer;
  }

  /** The connection, if there is one. */
  get current(): RedisAdapter | undefined {
    return this.#adapter;
  }

  /** Whether the last attempt to connect failed. */
  get isDown(): boolean {
    return this.#state === 'waiting' || (this.#state === 'connecting' && this.#failures > 0);
  }

  /** Why there is no connection. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /** Connects, if nothing did before. */
  start(): void {
    if (this.#state === 'idle') this.#connect();
  }

  /** Resolves when there is a connection, or after the next failure of an attempt. */
  async changed(): Promise<void> {
    this.start();
    if (this.#state !== 'up' && this.#state !== 'closed') await this.#next.promise;
  }

  /** A connection does not answer, or says that it cannot be used. */
  fail(adapter: RedisAdapter, error: unknown): void {
    if (this.#adapter !== adapter || this.#state === 'closed') return;
    this.#adapter = undefined;
    this.#stopTimer?.();
    adapter.close();
    this.#controller?.abort();
    if (performance.now() - this.#upSince >= stableAfter) this.#failures = 0;
    this.#retry(error);
  }

  close(): void {
    this.#state = 'closed';
    this.#stopTimer?.();
    this.#adapter?.close();
    this.#adapter = undefined;
    this.#controller?.abort();
    this.#next.resolve();
  }

  #connect(): void {
    this.#state = 'connecting';
    const controller = (this.#controller = new AbortController());
    // A connection may be lost before it is here, and be here after its time.
    let opened: RedisAdapter | undefined;
    let isOver = false;
    let early: unknown;
    const lost = (error: unknown): void => {
      if (opened) this.fail(opened, error);
      else early ??= error;
    };
    const opening = Promise.resolve(this.#open(lost, controller.signal));
    const openingOrClosed = Promise.race([opening, rejectedBy(controller.signal)]);
    within(openingOrClosed, this.#options.timeout, () => new Error('Redis did not answer in time')).then(
      (adapter) => {
        if (this.#state === 'closed') {
          adapter.close();
          return;
        }
        opened = adapter;
        this.#use(adapter);
        if (early !== undefined) this.fail(adapter, early);
      },
      (error: unknown) => {
        isOver = true;
        controller.abort();
        this.#retry(error);
      },
    );
    opening.then(
      (adapter) => {
        if (isOver) adapter.close();
      },
      () => undefined,
    );
  }

  #use(adapter: RedisAdapter): void {
    this.#state = 'up';
    this.#adapter = adapter;
    this.#upSince = performance.now();
    this.#watch(adapter);
    const next = this.#next;
    this.#next = makeDeferred();
    this.#observer.onUp();
    next.resolve();
  }

  #retry(error: unknown): void {
    if (this.#state === 'closed') return;
    this.#state = 'waiting';
    const delay = Math.min(longestDelay, firstDelay * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    this.#stopTimer = startTimer(jittered(delay, Math.random), () => this.#connect());
    const next = this.#next;
    this.#next = makeDeferred();
    this.#lastError = error;
    this.#observer.onDown(error);
    next.resolve();
  }

  #watch(adapter: RedisAdapter): void {
    this.#stopTimer = startTimer(this.#options.ping, () => void this.#ping(adapter));
  }

  async #ping(adapter: RedisAdapter): Promise<void> {
    try {
      const late = (): Error => new Error('Redis did not answer a ping in time');
      await within(adapter.ping(), this.#options.timeout, late, { idles: true });
      if (this.#adapter === adapter) this.#watch(adapter);
    } catch (error) {
      this.fail(adapter, error);
    }
  }
}

/** A promise that rejects when the signal is aborted. */
function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('The connection was closed')), { once: true });
  });
}
