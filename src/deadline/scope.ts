import { ClientClosedError, IdleTimeoutError } from '../errors.ts';
import { captureScope } from '../internal/context/async-scope.ts';
import { Context } from '../internal/context/context.ts';
import { runIn } from '../internal/context/request-context.ts';
import { reportError } from '../internal/events.ts';
import type { DeadlineQueue } from '../internal/time/deadline-queue.ts';
import { type HttpRequest, type HttpResponse, isGone, isHttp2 } from '../internal/http/message.ts';
import { openSeam } from '../internal/seam/response.ts';
import { settleExpiry } from './expiry.ts';
import { Http2IdleLayer, IdleLayer } from './idle.ts';
import type { ResolvedDeadlineOptions } from './options.ts';

/** What all requests of one middleware share. */
export interface DeadlineSettings {
  readonly options: ResolvedDeadlineOptions;
  readonly queue: DeadlineQueue;
  /** Told of each call of a handler that came too late. */
  readonly onLate: () => void;
}

/** The context that `deadline` gives to a request: it answers for a handler whose time is over. */
export class Scope extends Context {
  #settings: DeadlineSettings;
  #req: HttpRequest;
  #res: HttpResponse;
  /**
   * Of the code that `deadline` was called by. The timer may be that of another request, and so may be the code that
   * finds the time over.
   */
  readonly #scope = captureScope();

  /** @param total - ms from now */
  constructor(
    parent: Context | undefined,
    settings: DeadlineSettings,
    total: number,
    req: HttpRequest,
    res: HttpResponse,
  ) {
    super(parent, total, settings);
    this.#settings = settings;
    this.#req = req;
    this.#res = res;
  }

  /** Starts the clocks. @param hard - ms from now that an idle deadline leaves in force */
  begin(total: number, hard: number): void {
    if (isGone(this.#res)) this.abort(new ClientClosedError());
    else if (total === 0) this.expire();
    else this.arm();
    if (this.isLive && this.#settings.options.idle !== Infinity) this.#watchIdle(hard);
  }

  override fail(error: unknown): void {
    reportError(this.#req, error);
  }

  protected override aborted(reason: unknown): void {
    const { options, onLate } = this.#settings;
    const settle = (): void => settleExpiry({ req: this.#req, res: this.#res, options, onLate }, reason);
    this.#scope.runInAsyncScope(() => (options.asyncContext ? runIn(this, settle) : settle()));
  }

  #watchIdle(hard: number): void {
    const arrived = performance.now();
    const res = this.#res;
    const input = {
      idle: this.#settings.options.idle,
      onStart: () => {
        this.reschedule(hard - (performance.now() - arrived));
      },
      onIdle: () => {
        this.abort(new IdleTimeoutError());
      },
    };
    openSeam(res).add(isHttp2(res) ? new Http2IdleLayer({ ...input, res }) : new IdleLayer({ ...input, res }));
  }
}
