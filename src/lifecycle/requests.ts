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
import type { DrainPart, DrainHost, CloseTask } from './drain-part.ts';
import type { UntoldReason } from './policy/counters.ts';

type Kind = 'requests' | 'streams';

/** What the drain did about a response before it ended. */
type Outcome = 'leaving' | 'told' | 'refused';

/** The open responses. Each is here once, from the place that saw it first, until it is over. */
export class Requests implements DrainPart {
  readonly carries: boolean = false;
  readonly #host: DrainHost;
  readonly #open = new Set<HttpResponse>();
  /** The response of each connection that says `Connection: close`. */
  readonly #announced = new WeakMap<Socket, ServerResponse>();
  readonly #outcomes = new WeakMap<HttpResponse, Outcome>();
  /** How the stream of each request ended. A response that is over does not tell what it was. */
  readonly #streamed = new WeakMap<HttpRequest, CloseReason>();
  readonly #responseOnOver = (res: HttpResponse): void => this.#forget(res);
  readonly #channelOnStreamClose = (message: unknown): void => {
    const { req, reason } = message as StreamCloseMessage;
    this.#streamed.set(req, reason);
  };

  constructor(host: DrainHost) {
    this.#host = host;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Adds a response, unless it is known or over. */
  track(res: HttpResponse): void {
    const { phase } = this.#host;
    if (this.#open.has(res) || phase === 'dead' || isGone(res)) return;
    this.#open.add(res);
    whenOver(res, this.#responseOnOver);
    if (phase !== 'active') this.#callEach([res], (late) => this.#announceOn(late));
  }

  /** Counts a new request that is not served. */
  refused(res: HttpResponse, kind: Kind): void {
    this.#outcomes.set(res, 'refused');
    this.#host.counters.add('refused', kind);
  }

  announce(): void {
    subscribe('sluice:stream:close', this.#channelOnStreamClose);
    this.#callEach(this.#open, (res) => this.#announceOn(res));
  }

  /** Only the last response of a connection may say it: Node closes the connection after the one that does. */
  #announceOn(res: HttpResponse): void {
    if (isHttp2(res)) return;
    const { socket } = res.req;
    const earlier = this.#announced.get(socket);
    if (earlier && !earlier.headersSent) earlier.removeHeader('Connection');
    announceClose(res);
    this.#announced.set(socket, res);
  }

  leave(): readonly CloseTask[] {
    const tasks: CloseTask[] = [];
    this.#callEach(this.#open, (res) => {
      // A client can be lost without a 'close'.
      if (isGone(res)) this.#forget(res);
      const departure = this.#outcomes.has(res) ? undefined : departureOf(res);
      if (!departure || departure.finiteBecause() !== undefined) return;
      this.#outcomes.set(res, 'leaving');
      tasks.push(() => this.#askToReconnect(res, departure));
    });
    return tasks;
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
    callEach(responses, call, (error) => this.#host.fail(error));
  }

  release(): void {
    unsubscribe('sluice:stream:close', this.#channelOnStreamClose);
  }

  #askToReconnect(res: HttpResponse, departure: Departure): void {
    if (!this.#open.has(res) || streamOf(res)?.state === 'draining') return;
    this.#outcomes.set(res, 'told');
    departure.leave().catch((error: unknown) => this.#host.fail(error));
  }

  #forget(res: HttpResponse): void {
    if (!this.#open.delete(res) || this.#host.phase === 'active') return;
    this.#count(res);
    this.#host.settleSoon(isHttp2(res) ? undefined : res.req.socket);
  }

  #count(res: HttpResponse): void {
    const { counters } = this.#host;
    if (this.#outcomes.get(res) === 'refused') return;
    if (this.#wasTold(res)) counters.add('told', 'streams');
    else if (isDelivered(res)) counters.add('finished', this.#kindOf(res));
    else counters.add('aborted', this.#kindOf(res));
  }

  /** Asked by the drain, or by the application. */
  #wasTold(res: HttpResponse): boolean {
    const isAsked = this.#outcomes.get(res) === 'told' || this.#streamed.get(res.req) === 'draining';
    return isAsked && departureOf(res)?.finiteBecause() !== 'half-event' && isDeliveredUnterminated(res);
  }

  #countCut(res: HttpResponse): void {
    const { counters } = this.#host;
    const outcome = this.#outcomes.get(res);
    if (outcome === 'refused') return;
    if (outcome === 'told' && departureOf(res)?.finiteBecause() !== 'half-event' && isHandedOver(res)) {
      // The cut is the close that was due.
      counters.add('told', 'streams');
      return;
    }
    const kind = this.#kindOf(res);
    counters.add('cut', kind);
    const departure = departureOf(res);
    const reason: UntoldReason = departure ? (departure.finiteBecause() ?? 'early') : 'unfollowed';
    if (kind === 'streams' && (outcome !== 'told' || reason === 'half-event')) counters.addUntold(reason);
  }

  #kindOf(res: HttpResponse): Kind {
    const isStream = this.#streamed.has(res.req) || streamOf(res) || departureOf(res) || carriesEventStream(res);
    return isStream ? 'streams' : 'requests';
  }
}
