import type { AsyncResource } from 'node:async_hooks';
import type { Duplex } from 'node:stream';
import {
  ClientClosedError,
  type ProxyError,
  UnproxiableRequestError,
  UpstreamTimeoutError,
  UpstreamUnreachableError,
} from '../../errors.ts';
import type { Context } from '../../internal/context/context.ts';
import type { HeaderList } from '../../internal/http/header-list.ts';
import type { HttpRequest } from '../../internal/http/message.ts';
import { startTimer } from '../../internal/time/clock.ts';
import { Attempt, type AttemptHost } from '../upstream/attempt.ts';
import { proxyEvents } from '../events.ts';
import type { ArmCounts } from '../options.ts';
import { openPayload, type Payload, payloadOfUpgrade, upstreamPath } from './payload.ts';
import { kindOfError } from '../policy/failure.ts';
import { joinTarget, type Target } from '../policy/request-target.ts';
import { decideRetry, parseRetryAfter, type TryFailure } from '../policy/retry.ts';
import { RequestBody } from './request-body.ts';
import { clientHeaders, requestHeaders } from './request-headers.ts';
import type { ProxyState } from './state.ts';
import type { UpgradeRequest } from './tunnel.ts';
import type { Upstream } from '../upstream/upstream.ts';

/** What gets the answer. After `ended`, `failed` or `threw` nothing more comes. */
export interface TriesHost {
  /** Whether the client may still get another answer. */
  readonly canAnswer: boolean;
  informed(status: number, headers: HeaderList): void;
  headed(status: number, headers: HeaderList, message: string | undefined): void;
  received(chunk: Buffer): void;
  ended(trailers: HeaderList | undefined): void;
  upgraded(headers: HeaderList, socket: Duplex): void;
  failed(error: ProxyError): void;
  /** A function of the application has thrown. */
  threw(error: unknown): void;
}

/** A request, and where it may go. */
export interface TriedRequest {
  readonly req: HttpRequest;
  readonly targets: readonly Target[];
  readonly counts: ArmCounts | undefined;
  readonly context: Context | undefined;
  /** The request's own async context: undici calls back in that of its connection. */
  readonly scope: AsyncResource;
  readonly upgrade: UpgradeRequest | undefined;
}

const none: ReadonlySet<string> = new Set();

/** Sends a request, and again where that is safe, until an upstream answers. */
export class Tries implements AttemptHost {
  readonly #proxy: ProxyState;
  readonly #request: TriedRequest;
  readonly #host: TriesHost;
  readonly #path: string;
  readonly #payload: Payload;
  /** The client's, until the first try takes them. */
  #headers: HeaderList | undefined;
  /** Origins; made with the first retry. */
  #tried: Set<string> | undefined;
  #count = 0;
  #attempt: Attempt | undefined;
  #upstream: Upstream | undefined;
  #origin: string | undefined;
  #holdsRetry = false;
  #stopDelay: (() => void) | undefined;

  /** Throws `ProxyError`, and what `rewrite` throws. */
  constructor(proxy: ProxyState, request: TriedRequest, host: TriesHost) {
    const { options } = proxy;
    this.#proxy = proxy;
    this.#request = request;
    this.#host = host;
    this.#path = upstreamPath(request.req, options);
    const headers = (this.#headers = clientHeaders(request.req));
    this.#payload = request.upgrade
      ? payloadOfUpgrade(request.req, headers)
      : openPayload(request.req, headers, options.retry.maxBody, () => this.#attempt?.moved());
  }

  get awaitsClient(): boolean {
    const { body } = this.#payload;
    return body instanceof RequestBody && body.awaitsClient;
  }

  /** How often the request was sent. */
  get count(): number {
    return this.#count;
  }

  /** The origin of the last upstream that was chosen. */
  get origin(): string | undefined {
    return this.#origin;
  }

  start(): void {
    const { options, upstreams, wheel, random } = this.#proxy;
    const { req, targets, context, upgrade } = this.#request;
    const { body, length } = this.#payload;
    if (this.#origin !== undefined) (this.#tried ??= new Set()).add(this.#origin);
    const [target, upstream] = upstreams.choose(targets, this.#tried ?? none, random);
    this.#origin = upstream.origin;
    const isRewritten = Buffer.isBuffer(body);
    const given = this.#headers ?? clientHeaders(req);
    this.#headers = undefined;
    const headers = requestHeaders({ req, headers: given, target, length, isRewritten, context }, options);
    upgrade?.prepare(headers);
    this.#count += 1;
    this.#attempt = new Attempt(this, options.timeouts, wheel);
    this.#upstream = upstream;
    upstream.dispatch(
      {
        path: joinTarget(target, this.#path),
        method: upgrade?.method ?? req.method ?? 'GET',
        headers: headers.flat,
        body: body instanceof RequestBody ? body.open() : (body ?? null),
        ...(upgrade && { upgrade: upgrade.protocol }),
      },
      this.#attempt,
    );
  }

  /** Stops or goes on reading the answer. */
  pause(isPaused: boolean): void {
    this.#attempt?.pause(isPaused);
  }

  /** Frees what is held. @param reason - why, where an answer is still to come */
  close(reason: Error | undefined): void {
    // An `Error` takes as long as all else here.
    if (this.#attempt?.isOver === false) this.#attempt.abort(reason ?? new Error('The exchange is over'));
    this.#stopDelay?.();
    this.#settle();
    const { body } = this.#payload;
    if (body instanceof RequestBody) body.close();
  }

  informed(status: number, headers: HeaderList): void {
    this.#host.informed(status, headers);
  }

  headed(status: number, headers: HeaderList, message: string | undefined): void {
    const isFailure = this.#proxy.options.retry.statuses.has(status);
    this.#upstream?.note(isFailure ? 'failure' : 'success');
    if (isFailure || status === 429) {
      const retryAfter = parseRetryAfter(headers.get('retry-after'), Date.now());
      if (this.#retries({ kind: 'status', status, retryAfter })) return;
    }
    this.#host.headed(status, headers, message);
  }

  received(chunk: Buffer): void {
    this.#host.received(chunk);
  }

  ended(trailers: HeaderList | undefined): void {
    this.#settle();
    this.#host.ended(trailers);
  }

  upgraded(headers: HeaderList, socket: Duplex): void {
    this.#upstream?.note('success');
    // The connection is no request any more, and no other uses it.
    this.#settle();
    this.#host.upgraded(headers, socket);
  }

  failed(cause: Error, isUnsent: boolean): void {
    const kind = kindOfError(cause);
    // The reader of the request's body: the client has left. Its response says so too.
    if (cause instanceof ClientClosedError) return;
    if (kind === 'bad-request') {
      this.#host.failed(new UnproxiableRequestError(cause.message, { cause }));
      return;
    }
    this.#upstream?.note('failure');
    if (this.#retries({ kind: isUnsent ? 'unsent' : 'failed' })) return;
    this.#host.failed(
      kind === 'timeout'
        ? new UpstreamTimeoutError(this.#origin, isUnsent ? 'connect' : 'head', { cause })
        : new UpstreamUnreachableError(this.#origin, { cause }),
    );
  }

  timedOut(clock: 'head' | 'idle', isFault: boolean): void {
    if (isFault) this.#upstream?.note('failure');
    this.#host.failed(new UpstreamTimeoutError(this.#origin, clock));
  }

  /** Whether the request is sent again. */
  #retries(failure: TryFailure): boolean {
    const { options, budget, random } = this.#proxy;
    const { req, context } = this.#request;
    const { body } = this.#payload;
    const facts = {
      method: req.method ?? 'GET',
      tries: this.#count,
      isReplayable: !(body instanceof RequestBody) || body.isReplayable,
      hasAnswered: !this.#host.canAnswer,
      remaining: context?.remaining() ?? Infinity,
    };
    const decision = decideRetry(failure, facts, options.retry, random);
    this.#giveBackRetry();
    if (decision.kind === 'give-up' || !budget.take()) return false;
    this.#holdsRetry = true;
    this.#attempt?.abort(new Error('The request is sent again'));
    this.#upstream?.noteRetry();
    if (this.#request.counts) this.#request.counts.retries += 1;
    this.#leaveUpstream();
    this.#publishRetry(failure, decision.delay);
    this.#stopDelay = startTimer(decision.delay, () => {
      this.#request.scope.runInAsyncScope(() => this.#startAgain());
    });
    return true;
  }

  #startAgain(): void {
    try {
      this.start();
    } catch (error) {
      this.#host.threw(error);
    }
  }

  #publishRetry(failure: TryFailure, delay: number): void {
    const status = failure.kind === 'status' ? failure.status : undefined;
    const upstream = this.#origin ?? '';
    proxyEvents.retry.publish({ req: this.#request.req, upstream, reason: failure.kind, status, delay });
  }

  #settle(): void {
    this.#leaveUpstream();
    this.#giveBackRetry();
  }

  #leaveUpstream(): void {
    this.#upstream?.end();
    this.#upstream = undefined;
  }

  #giveBackRetry(): void {
    if (this.#holdsRetry) this.#proxy.budget.giveBack();
    this.#holdsRetry = false;
  }
}
