import type { AsyncResource } from 'node:async_hooks';
import type { Duplex } from 'node:stream';
import { ClientClosedError, ProxyError, UpstreamUnreachableError } from '../../errors.ts';
import { captureScope } from '../../internal/context/async-scope.ts';
import { contextIn } from '../../internal/context/request-context.ts';
import type { RoutedRequest } from '../../internal/http/framework.ts';
import type { HeaderList } from '../../internal/http/header-list.ts';
import { isGone, isHttp2 } from '../../internal/http/message.ts';
import type { RosterEntry } from '../../internal/roster.ts';
import { startTimer } from '../../internal/time/clock.ts';
import { atTickEnd, atTurnEnd, type Flushable } from '../../internal/writer/tick.ts';
import { ClientResponse, type ClientResponseHost } from './client-response.ts';
import { proxyEvents } from '../events.ts';
import { answerFailure, errorEventOf, type Incoming } from './failure-answer.ts';
import type { ArmCounts } from '../options.ts';
import { faultOfAnswer } from '../policy/framing.ts';
import type { Target } from '../policy/request-target.ts';
import { dropHopByHop, passableTrailers } from './request-headers.ts';
import type { ProxyState, Underway } from './state.ts';
import type { EventTap } from './tap.ts';
import { BodyPipe } from './body-pipe.ts';
import { Tries, type TriesHost } from './tries.ts';
import type { UpgradeRequest } from './tunnel.ts';

const largeChunk = 16_384; // Bytes. Less than a read that leaves something behind.

/** Where a request goes. */
export interface Destination {
  readonly targets: readonly Target[];
  readonly arm: string | undefined;
  readonly counts: ArmCounts | undefined;
  readonly upgrade?: UpgradeRequest | undefined;
}

/**
 * One request, from the client to an upstream, and the answer back.
 *
 *     asking ──headers──▶ answering ──end──▶ over
 *        │                    │ the client leaves
 *        │ fails              ▼
 *        ▼                reading on ──end, or too much──▶ over
 *      over
 */
export class Exchange implements TriesHost, ClientResponseHost, Flushable {
  readonly #proxy: ProxyState;
  readonly #incoming: Incoming;
  readonly #arm: string | undefined;
  readonly #counts: ArmCounts | undefined;
  readonly #upgrade: UpgradeRequest | undefined;
  readonly #scope: AsyncResource = captureScope();
  readonly #startedAt = performance.now();
  readonly #client: ClientResponse;
  readonly #tries: Tries;
  /** Its place among the requests under way. */
  readonly #entry: RosterEntry<Underway>;
  #state: 'asking' | 'answering' | 'reading-on' | 'over' = 'asking';
  /** When what has come is sent: at the end of this tick, or of this turn of the event loop. */
  #flushesAt: 'tick' | 'turn' | undefined;
  #hasFailed = false;
  #pipe: BodyPipe | undefined;
  #tap: EventTap | undefined;
  /** Bytes that came after the client had left. */
  #readOn = 0;
  #stopReading: (() => void) | undefined;
  #ignoreAbort: (() => void) | undefined;

  /** Throws what `rewrite` throws, and `ProxyError` for a request that cannot be passed on. */
  constructor(proxy: ProxyState, incoming: Incoming, { targets, arm, counts, upgrade }: Destination) {
    const { req, res } = incoming;
    this.#proxy = proxy;
    this.#incoming = incoming;
    this.#arm = arm;
    this.#counts = counts;
    this.#upgrade = upgrade;
    const context = contextIn(req);
    this.#tries = new Tries(proxy, { req, targets, counts, context, scope: this.#scope, upgrade }, this);
    this.#client = new ClientResponse(res, this);
    this.#entry = proxy.began(this);
    if (counts) counts.active += 1;
    // Called at once, where the time is over already.
    this.#ignoreAbort = context?.onAbort((reason) => {
      // That the client has left the response tells too; and then there may be something to be read on.
      if (!(reason instanceof ClientClosedError)) this.#stop(reason as Error);
    });
  }

  start(): void {
    try {
      if (this.#state !== 'over') this.#tries.start();
    } catch (error) {
      this.threw(error);
    }
  }

  get canAnswer(): boolean {
    const { res } = this.#incoming;
    return this.#state === 'asking' && !res.headersSent && !isGone(res);
  }

  informed(status: number, headers: HeaderList): void {
    dropHopByHop(headers);
    this.#scope.runInAsyncScope(() => this.#client.inform(status, headers));
  }

  headed(status: number, headers: HeaderList, message: string | undefined): void {
    this.#scope.runInAsyncScope(() => {
      try {
        const fault = faultOfAnswer(status, headers, isHttp2(this.#incoming.res));
        if (fault !== undefined) throw new UpstreamUnreachableError(this.#tries.origin, { cause: new Error(fault) });
        dropHopByHop(headers);
        this.#answer(status, headers, message);
      } catch (error) {
        this.threw(error);
      }
    });
  }

  received(chunk: Buffer): void {
    if (this.#tap) this.#scope.runInAsyncScope(() => this.#tap?.push(chunk));
    if (this.#state === 'reading-on') {
      this.#readOn += chunk.length;
      if (this.#readOn > this.#proxy.maxReadOn) this.#stop(new ClientClosedError());
    } else if (this.#pipe) {
      if (!this.#pipe.write(chunk)) this.#tries.pause(true);
    } else {
      this.#client.write(chunk);
      this.#flushBody(chunk.length);
    }
  }

  ended(trailers: HeaderList | undefined): void {
    if (this.#state === 'reading-on') {
      this.#over();
    } else if (this.#pipe) {
      this.#pipe.end();
    } else {
      this.#client.end(passableTrailers(trailers));
      this.#flushSoon();
    }
  }

  upgraded(headers: HeaderList, socket: Duplex): void {
    if (this.#state === 'over' || !this.#upgrade) {
      socket.destroy();
      return;
    }
    this.#scope.runInAsyncScope(() => {
      try {
        this.#upgrade?.join(socket, headers, this.#tries.origin ?? '');
        this.#proxy.switched(socket);
        this.#over();
      } catch (error) {
        socket.destroy();
        this.threw(error);
      }
    });
  }

  /** Answers the client; or breaks off, where the headers are sent. */
  failed(error: ProxyError): void {
    if (this.#state === 'over') return;
    const { req, res } = this.#incoming;
    const { errorEvent } = this.#proxy.options;
    const isCut = this.#client.hasStarted;
    this.#noteFailure();
    this.#stop(error);
    this.#scope.runInAsyncScope(() => {
      proxyEvents.failure.publish({ req, res, error, arm: this.#arm, tries: this.#tries.count, isCut });
      if (isCut) {
        this.#client.cut(errorEvent ? errorEventOf(error) : undefined);
        return;
      }
      this.#client.release();
      answerFailure(this.#proxy.options, this.#incoming, error);
    });
  }

  threw(error: unknown): void {
    if (error instanceof ProxyError) {
      this.failed(error);
      return;
    }
    if (this.#state === 'over') return;
    const isCut = this.#incoming.res.headersSent;
    this.#stop(error as Error);
    this.#scope.runInAsyncScope(() => {
      if (isCut) this.#client.cut(undefined);
      else this.#client.release();
      this.#incoming.next(error);
    });
  }

  clientIsFull(isFull: boolean): void {
    if (this.#pipe) this.#pipe.pause(isFull);
    else this.#tries.pause(isFull);
  }

  clientClosed(hasLeft: boolean): void {
    if (this.#state === 'over') return;
    const hasMore = this.#state === 'answering' && !this.#client.hasEnded;
    if (!hasLeft || !hasMore || !this.#proxy.takeReadOn()) {
      this.#stop(new ClientClosedError());
      return;
    }
    this.#state = 'reading-on';
    this.#pipe?.destroy();
    this.#stopReading = startTimer(this.#proxy.readOnTimeout, () => this.#stop(new ClientClosedError()));
    this.#tries.pause(false);
  }

  /** Sends what has come. */
  flushTick(): void {
    this.#flushesAt = undefined;
    if (this.#state !== 'answering' || this.#client.flushDirectly()) return;
    try {
      this.#scope.runInAsyncScope(() => this.#client.flush());
      if (this.#client.hasEnded) this.#over();
    } catch (error) {
      // A listener of the application, for the moment before the headers, may throw.
      this.threw(error);
    }
  }

  #answer(status: number, headers: HeaderList, message: string | undefined): void {
    const { req, res } = this.#incoming;
    const { responseHeaders, modifyResponse } = this.#proxy.options;
    const upstream = this.#tries.origin ?? '';
    responseHeaders?.(headers, req as RoutedRequest, status);
    const response = { upstream, arm: this.#arm, status, headers };
    const transform = modifyResponse?.(response, req as RoutedRequest);
    if (transform) {
      headers.delete('content-length');
      this.#pipe = new BodyPipe(transform, {
        received: (chunk) => {
          this.#client.write(chunk);
          this.#flushAtTickEnd();
        },
        hasRoom: () => this.#tries.pause(false),
        ended: () => {
          this.#client.end(undefined);
          this.#flushAtTickEnd();
        },
        failed: (error) => this.threw(error),
      });
    }
    this.#client.start(response.status, response.status === status ? message : undefined, headers);
    this.#state = 'answering';
    if (status >= 500) this.#noteFailure();
    this.#tap = this.#proxy.openTap(headers, req);
    if (transform) this.#flushAtTickEnd();
    else this.#flushSoon();
    if (!proxyEvents.response.isHeard) return;
    const [tries, duration] = [this.#tries.count, performance.now() - this.#startedAt];
    proxyEvents.response.publish({ req, res, upstream, arm: this.#arm, status: response.status, tries, duration });
  }

  #flushBody(length: number): void {
    // Many may come in one turn, and the client has to stop them. An event goes on while it is in the CPU's cache.
    if (length >= largeChunk || this.#client.isUnderWay) this.#flushAtTickEnd();
    else this.#flushSoon();
  }

  /** Sends once undici has handed over what can be read from its connections. */
  #flushSoon(): void {
    if (this.#flushesAt) return;
    this.#flushesAt = 'turn';
    atTurnEnd(this);
  }

  /** Sends at the end of this tick: undici hands over one read of a connection in one. */
  #flushAtTickEnd(): void {
    if (this.#flushesAt === 'tick') return;
    this.#flushesAt = 'tick';
    atTickEnd(this);
  }

  #stop(reason: Error): void {
    this.#tries.close(reason);
    this.#pipe?.destroy();
    this.#over();
  }

  #over(): void {
    if (this.#state === 'over') return;
    if (this.#state === 'reading-on') this.#proxy.giveBackReadOn();
    this.#state = 'over';
    this.#stopReading?.();
    this.#ignoreAbort?.();
    this.#tries.close(undefined);
    this.#tap?.end();
    this.#proxy.ended(this.#entry);
    if (this.#counts) this.#counts.active -= 1;
  }

  /** Counts one failure of the arm, however many follow. */
  #noteFailure(): void {
    if (this.#counts && !this.#hasFailed) this.#counts.failures += 1;
    this.#hasFailed = true;
  }
}
