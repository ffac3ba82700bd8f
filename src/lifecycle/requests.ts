import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type CloseReason, DrainingError } from '../errors.ts';
import type { Departure } from '../internal/seam/layer.ts';
import { departureOf } from '../internal/seam/response.ts';
import { callEach } from '../internal/listeners.ts';
import { abortRequest } from '../internal/context/request-context.ts';
import type { StreamCloseMessage } from '../internal/events.ts';
import { type HttpRequest, type HttpResponse, isGone, isHttp2 } from '../internal/http/message.ts';
import { abortResponse } from '../internal/seam/closing.ts';
import { announceClose } from '../internal/writer/refusal.ts';
import { whenOver } from '../internal/seam/lifetime.ts';
import { streamOf } from '../internal/writer/stream.ts';
import { carriesEventStream, isDelivered, isDeliveredUnterminated, isHandedOver } from './delivery.ts';
import type { Drainable, DrainSite, Farewell } from './drainable.ts';
import type { UntoldReason } from './policy/counters.ts';

type Kind = 'requests' | 'streams';

/** What was done about a response before it ended. */
type Fate = 'leaving' | 'told' | 'refused';

/** The responses that are open. Each is here once, from wherever it was seen first until it is over. */
export class Requests implements Drainable {
  readonly carries: boolean = false;
  readonly #site: DrainSite;
  readonly #open = new Set<HttpResponse>();
  /** Which response of a connection says that it will be closed. */
  readonly #announced = new WeakMap<Socket, ServerResponse>();
  readonly #fates = new WeakMap<HttpResponse, Fate>();
  /** How the stream of a request ended: what a response was can no longer be seen when it is over. */
  readonly #streamed = new WeakMap<HttpRequest, CloseReason>();
  readonly #responseOnOver = (res: HttpResponse): void => this.#forget(res);
  readonly #channelOnStreamClose = (message: unknown): void => {
    const { req, reason } = message as StreamCloseMessage;
    this.#streamed.set(req, reason);
  };

  constructor(site: DrainSite) {
    this.#site = site;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Takes a response in, unless it is in already, or over. */
  track(res: HttpResponse): void {
    const { phase } = this.#site;
    if (this.#open.has(res) || phase === 'dead' || isGone(res)) return;
    this.#open.add(res);
    whenOver(res, this.#responseOnOver);
    if (phase !== 'active') this.#callEach([res], (late) => this.#announceOn(late));
  }

  /** A new request that is not served. */
  refused(res: HttpResponse, kind: Kind): void {
    this.#fates.set(res, 'refused');
    this.#site.tally.refused(kind);
  }

  announce(): void {
    subscribe('sluice:stream:close', this.#channelOnStreamClose);
    this.#callEach(this.#open, (res) => this.#announceOn(res));
  }

  /** On the last response of a connection only: Node ends it behind the one that says so, whatever is in line. */
  #announceOn(res: HttpResponse): void {
    if (isHttp2(res)) return;
    const { socket } = res.req;
    const earlier = this.#announced.get(socket);
    if (earlier && !earlier.headersSent) earlier.removeHeader('Connection');
    announceClose(res);
    this.#announced.set(socket, res);
  }

  leave(): readonly Farewell[] {
    const farewells: Farewell[] = [];
    this.#callEach(this.#open, (res) => {
      // Some ways to lose a client go without a 'close'.
      if (isGone(res)) this.#forget(res);
      const departure = this.#fates.has(res) ? undefined : departureOf(res);
      if (!departure || departure.finiteBecause() !== undefined) return;
      this.#fates.set(res, 'leaving');
      farewells.push(() => this.#sendAway(res, departure));
    });
    return farewells;
  }

  tidy(): void {
    // The connections see to that.
  }

  cut(): void {
    const reason = new DrainingError();
    this.#callEach(this.#open, (res) => this.#cut(res, reason));
    this.#open.clear();
  }

  #cut(res: HttpResponse, reason: DrainingError): void {
    try {
      this.#countCut(res);
      abortRequest(res.req, reason);
      streamOf(res)?.abort('draining', reason);
    } finally {
      abortResponse(res);
    }
  }

  #callEach(responses: Iterable<HttpResponse>, call: (res: HttpResponse) => void): void {
    callEach(responses, call, (error) => this.#site.fail(error));
  }

  release(): void {
    unsubscribe('sluice:stream:close', this.#channelOnStreamClose);
  }

  #sendAway(res: HttpResponse, departure: Departure): void {
    if (!this.#open.has(res) || streamOf(res)?.state === 'draining') return;
    this.#fates.set(res, 'told');
    departure.leave().catch((error: unknown) => this.#site.fail(error));
  }

  #forget(res: HttpResponse): void {
    if (!this.#open.delete(res) || this.#site.phase === 'active') return;
    this.#count(res);
    this.#site.settleSoon(isHttp2(res) ? undefined : res.req.socket);
  }

  #count(res: HttpResponse): void {
    const { tally } = this.#site;
    if (this.#fates.get(res) === 'refused') return;
    if (this.#wasTold(res)) tally.told('streams');
    else if (isDelivered(res)) tally.finished(this.#kindOf(res));
    else tally.aborted(this.#kindOf(res));
  }

  /** By the drain, or by the application. */
  #wasTold(res: HttpResponse): boolean {
    const isAsked = this.#fates.get(res) === 'told' || this.#streamed.get(res.req) === 'draining';
    return isAsked && departureOf(res)?.finiteBecause() !== 'half-event' && isDeliveredUnterminated(res);
  }

  #countCut(res: HttpResponse): void {
    const { tally } = this.#site;
    const fate = this.#fates.get(res);
    if (fate === 'refused') return;
    if (fate === 'told' && departureOf(res)?.finiteBecause() !== 'half-event' && isHandedOver(res)) {
      // The cut is the close that was to come.
      tally.told('streams');
      return;
    }
    const kind = this.#kindOf(res);
    tally.cut(kind);
    const departure = departureOf(res);
    const reason: UntoldReason = departure ? (departure.finiteBecause() ?? 'early') : 'unfollowed';
    if (kind === 'streams' && (fate !== 'told' || reason === 'half-event')) tally.untold(reason);
  }

  #kindOf(res: HttpResponse): Kind {
    const isStream = this.#streamed.has(res.req) || streamOf(res) || departureOf(res) || carriesEventStream(res);
    return isStream ? 'streams' : 'requests';
  }
}
