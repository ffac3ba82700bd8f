import type { Duplex } from 'node:stream';
import { HeaderList } from '../../internal/http/header-list.ts';
import type { Timed, Timing, TimingWheel } from '../../internal/time/timing-wheel.ts';
import { type DispatchController, type DispatchHandler, headerLines, linesOf } from './transport.ts';

/** What one try tells its exchange. After `failed`, `ended` or `upgraded` nothing more comes. */
export interface AttemptHost {
  /** Whether the upstream has taken all that the client has sent, and that is not all of the body. */
  readonly awaitsClient: boolean;
  informed(status: number, headers: HeaderList): void;
  headed(status: number, headers: HeaderList, message: string | undefined): void;
  received(chunk: Buffer): void;
  ended(trailers: HeaderList | undefined): void;
  upgraded(headers: HeaderList, socket: Duplex): void;
  /** @param isUnsent - nothing of the request had left */
  failed(error: Error, isUnsent: boolean): void;
  /** A clock ran out. The try is over. @param isFault - of the upstream, and not of the client */
  timedOut(clock: 'head' | 'idle', isFault: boolean): void;
}

interface Clocks {
  readonly connect: number;
  readonly head: number;
  readonly idle: number;
}

/**
 * One try of a request on one upstream: a handler of undici with two clocks. (The third, to connect, is undici's.)
 *
 *     connecting ──▶ waiting for the head ──▶ body ──▶ over
 *         │ connect + head     │ head           │ idle
 *         ▼                    ▼                ▼
 *     timed out            timed out        timed out
 */
export class Attempt implements DispatchHandler, Timed {
  timing: Timing | undefined;
  readonly #host: AttemptHost;
  readonly #clocks: Clocks;
  readonly #wheel: TimingWheel;
  #state: 'connecting' | 'waiting' | 'body' | 'over' = 'connecting';
  #controller: DispatchController | undefined;
  /** Why it is aborted, before undici has given it a way to. */
  #abortReason: Error | undefined;
  #isPaused = false;
  /** When something moved last, by `performance.now()`. */
  #movedAt = performance.now();

  constructor(host: AttemptHost, clocks: Clocks, wheel: TimingWheel) {
    this.#host = host;
    this.#clocks = clocks;
    this.#wheel = wheel;
    // Early, where it has to connect first: then it is put off.
    wheel.schedule(this, this.#movedAt + clocks.head);
  }

  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** Gives the try up. Nothing more comes from it. */
  abort(reason: Error): void {
    if (this.#state === 'over') return;
    this.#finish();
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }

  /** Stops or goes on reading the body. */
  pause(isPaused: boolean): void {
    if (isPaused === this.#isPaused || this.#state === 'over') return;
    this.#isPaused = isPaused;
    if (isPaused) this.#controller?.pause();
    else this.#controller?.resume();
    this.#movedAt = performance.now();
  }

  /** The upstream has taken a piece of the request's body. */
  moved(): void {
    this.#movedAt = performance.now();
  }

  onTime(now: number): void {
    if (this.#state === 'over') return;
    const due = this.#movedAt + this.#longest();
    // A client that does not read is no fault of the upstream.
    if (this.#isPaused) this.#wheel.schedule(this, now + this.#clocks.idle);
    else if (due > now) this.#wheel.schedule(this, due);
    else {
      const clock = this.#state === 'body' ? 'idle' : 'head';
      const { awaitsClient } = this.#host;
      this.abort(new Error(`the ${clock} clock ran out`));
      this.#host.timedOut(clock, !awaitsClient);
    }
  }

  onRequestStart(controller: DispatchController): void {
    this.#controller = controller;
    if (this.#state === 'over') {
      controller.abort(this.#abortReason ?? new Error('aborted'));
      return;
    }
    this.#state = 'waiting';
    this.moved();
  }

  onResponseStart(controller: DispatchController, status: number, parsed: Parsed, message?: string): void {
    if (this.#state === 'over') return;
    this.moved();
    const headers = new HeaderList(headerLines(controller, parsed));
    if (status < 200) {
      this.#host.informed(status, headers);
      return;
    }
    this.#state = 'body';
    const due = this.#movedAt + this.#clocks.idle;
    // A time that comes too early is put off then. Most answers are complete by then.
    if (!this.timing || due < this.timing.at) this.#wheel.schedule(this, due);
    this.#host.headed(status, headers, message);
    // Its Content-Length is that of the 200 (RFC 9110 8.6). undici 7 waits for so many bytes, and fails.
    if (status === 304) this.#ended(undefined);
  }

  onResponseData(_controller: DispatchController, chunk: Buffer): void {
    // After a pause at the end of what has come, undici hands over nothing.
    if (this.#state === 'over' || chunk.length === 0) return;
    this.moved();
    this.#host.received(chunk);
  }

  onResponseEnd(_controller: DispatchController, trailers: Parsed): void {
    const lines = linesOf(trailers);
    this.#ended(lines.length === 0 ? undefined : new HeaderList(lines));
  }

  onRequestUpgrade(controller: DispatchController, _status: number, parsed: Parsed, socket: Duplex): void {
    if (this.#state === 'over') {
      socket.destroy();
      return;
    }
    this.#finish();
    this.#host.upgraded(new HeaderList(headerLines(controller, parsed)), socket);
  }

  onResponseError(_controller: DispatchController | null, error: Error): void {
    if (this.#state === 'over') return;
    const isUnsent = this.#state === 'connecting';
    this.#finish();
    this.#host.failed(error, isUnsent);
  }

  /** How long nothing may move, in ms. */
  #longest(): number {
    const { connect, head, idle } = this.#clocks;
    if (this.#state === 'body') return idle;
    // It may also wait for a free connection.
    if (this.#state === 'connecting') return connect + head;
    // A client that is silent in the middle of its body is no fault of the upstream.
    return this.#host.awaitsClient ? Math.max(head, idle) : head;
  }

  #ended(trailers: HeaderList | undefined): void {
    if (this.isOver) return;
    this.#finish();
    this.#host.ended(trailers);
  }

  #finish(): void {
    this.#state = 'over';
    this.#wheel.cancel(this);
  }
}

type Parsed = Parameters<DispatchHandler['onResponseStart']>[2];
