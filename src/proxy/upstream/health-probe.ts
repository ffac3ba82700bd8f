import { varied } from '../../internal/time/clock.ts';
import type { Timed, Timing, TimingWheel } from '../../internal/time/timing-wheel.ts';
import type { ConnectionPool, DispatchController, DispatchHandler } from './transport.ts';

/** What a probe needs of its upstream. */
export interface ProbeHost {
  readonly wheel: TimingWheel;
  readonly path: string;
  readonly host: string;
  /** Connections for probes alone: those for requests may all be busy with streams. */
  readonly pool: ConnectionPool;
  asked(): void;
  /** @param roundTrip - ms */
  answered(isWell: boolean, roundTrip: number): void;
}

/**
 * Asks one upstream now and then whether it is well. One question at a time.
 *
 *     resting ──every──▶ asking ──answer, or timeout──▶ resting
 */
export class HealthProbe implements Timed {
  timing: Timing | undefined;
  readonly #every: number;
  readonly #timeout: number;
  readonly #host: ProbeHost;
  /** The last one: its body may still come while the probe rests. */
  #question: Question | undefined;

  constructor({ every, timeout }: { readonly every: number; readonly timeout: number }, host: ProbeHost) {
    this.#every = every;
    this.#timeout = timeout;
    this.#host = host;
    host.wheel.schedule(this, performance.now());
  }

  onTime(): void {
    if (this.#question?.isWaiting) this.#question.giveUp();
    else this.#ask();
  }

  close(): Promise<void> {
    this.#host.wheel.cancel(this);
    this.#question?.close();
    return this.#host.pool.destroy(null);
  }

  #ask(): void {
    const { wheel, path, host, pool } = this.#host;
    const askedAt = performance.now();
    this.#question?.close();
    wheel.schedule(this, askedAt + this.#timeout);
    const question = (this.#question = new Question((isWell) => {
      const now = performance.now();
      // Processes that started together do not ask together.
      wheel.schedule(this, now + varied(this.#every, 0.1, Math.random));
      this.#host.answered(isWell, now - askedAt);
    }));
    this.#host.asked();
    pool.dispatch({ path, method: 'GET', headers: ['Host', host, 'Accept', '*/*'], body: null }, question);
  }
}

// What a health page says is short. More of it is read by no one.
const maxBody = 64 * 1024;

/** One question, and its answer. */
class Question implements DispatchHandler {
  readonly #onAnswer: (isWell: boolean) => void;
  #state: 'waiting' | 'answered' | 'closed' = 'waiting';
  #controller: DispatchController | undefined;
  #received = 0;

  constructor(onAnswer: (isWell: boolean) => void) {
    this.#onAnswer = onAnswer;
  }

  get isWaiting(): boolean {
    return this.#state === 'waiting';
  }

  /** There was no answer in time. */
  giveUp(): void {
    this.#answer(false);
    this.close();
  }

  close(): void {
    this.#state = 'closed';
    this.#controller?.abort(new Error('The probe is over'));
    this.#controller = undefined;
  }

  onRequestStart(controller: DispatchController): void {
    if (this.#state === 'closed') controller.abort(new Error('The probe is over'));
    else this.#controller = controller;
  }

  onResponseStart(_controller: DispatchController, status: number): void {
    if (status >= 200) this.#answer(status < 400);
  }

  onResponseData(_controller: DispatchController, chunk: Buffer): void {
    this.#received += chunk.length;
    if (this.#received > maxBody) this.close();
  }

  onResponseEnd(): void {
    this.#controller = undefined;
  }

  onRequestUpgrade(...[, , , socket]: Parameters<DispatchHandler['onRequestUpgrade']>): void {
    socket.destroy();
    this.#answer(false);
  }

  onResponseError(): void {
    this.#controller = undefined;
    this.#answer(false);
  }

  #answer(isWell: boolean): void {
    if (this.#state !== 'waiting') return;
    this.#state = 'answered';
    this.#onAnswer(isWell);
  }
}
