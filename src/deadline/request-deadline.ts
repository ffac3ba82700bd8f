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
  /** Called for each late call of a handler. */
  readonly onLate: () => void;
}

/** The context that `deadline` gives to a request. It answers for a handler that is out of time. */
export class RequestDeadline extends Context {
  #settings: DeadlineSettings;
  #req: HttpRequest;
  #res: HttpResponse;
  /**
   * The async context of the request. The timer may belong to another request, and so may the code that finds the time
   * up.
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

  /** Starts the timers. @param hard - ms from now: what still holds once an idle deadline replaces `default` */
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
