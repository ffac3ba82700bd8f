import { varied } from '../../internal/time/clock.ts';
import type { Timed, Timing, TimingWheel } from '../../internal/time/timing-wheel.ts';
import type { ConnectionPool, DispatchController, DispatchHandler } from './transport.ts';

/** What a probe needs of its upstream. */
export interface ProbeHost {
  readonly wheel: TimingWheel;
  readonly path: string;
  readonly host: string;
  pool(): ConnectionPool;
  /** @param roundTrip - ms */
  note(isWell: boolean, roundTrip: number): void;
}

/**
 * Asks one upstream now and then whether it is well. One question at a time.
 *
 *     resting ──every──▶ asking ──answer, or timeout──▶ resting
 */
export class HealthProbe implements Timed, DispatchHandler {
  timing: Timing | undefined;
  readonly #every: number;
  readonly #timeout: number;
  readonly #host: ProbeHost;
  #state: 'resting' | 'asking' | 'closed' = 'resting';
  #controller: DispatchController | undefined;
  #askedAt = 0;

  constructor({ every, timeout }: { readonly every: number; readonly timeout: number }, host: ProbeHost) {
    this.#every = every;
    this.#timeout = timeout;
    this.#host = host;
    this.#rest();
  }

  onTime(now: number): void {
    if (this.#state === 'asking') this.#answered(false);
    else this.#ask(now);
  }

  close(): void {
    this.#state = 'closed';
    this.#host.wheel.cancel(this);
    this.#abort();
  }

  onRequestStart(controller: DispatchController): void {
    if (this.#state === 'asking') this.#controller = controller;
    else controller.abort(new Error('The probe is over'));
  }

  onResponseStart(_controller: DispatchController, status: number): void {
    if (status < 200) return;
    this.#answered(status < 400);
  }

  onResponseData(): void {
    // The body says nothing more.
  }

  onResponseEnd(): void {
    this.#controller = undefined;
  }

  onRequestUpgrade(): void {
    this.#answered(false);
  }

  onResponseError(): void {
    this.#controller = undefined;
    this.#answered(false);
  }

  #ask(now: number): void {
    const { wheel, path, host } = this.#host;
    this.#state = 'asking';
    this.#askedAt = now;
    wheel.schedule(this, now + this.#timeout);
    const headers = ['Host', host, 'Accept', '*/*'];
    this.#host.pool().dispatch({ path, method: 'GET', headers, body: null }, this);
  }

  #answered(isWell: boolean): void {
    if (this.#state !== 'asking') return;
    if (!isWell) this.#abort();
    this.#rest();
    this.#host.note(isWell, performance.now() - this.#askedAt);
  }

  #rest(): void {
    this.#state = 'resting';
    // Processes that started together do not ask together.
    this.#host.wheel.schedule(this, performance.now() + varied(this.#every, 0.1, Math.random));
  }

  #abort(): void {
    this.#controller?.abort(new Error('The probe is over'));
    this.#controller = undefined;
  }
}
