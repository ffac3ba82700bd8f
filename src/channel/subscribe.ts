import { InvalidOptionError } from '../errors.ts';
import type { RoutedRequest } from '../internal/http/framework.ts';
import { type HttpRequest, type HttpResponse, isGone, type Next, requestField } from '../internal/http/message.ts';
import { reportError } from '../internal/events.ts';
import { stopId } from '../internal/format/event-stream.ts';
import { startTimer } from '../internal/time/clock.ts';
import { answer } from '../internal/writer/answer.ts';
import type { StreamMiddleware } from '../internal/writer/handler.ts';
import { refuse, type RefusalOptions } from '../internal/writer/refusal.ts';
import { serveStream } from '../internal/writer/serve.ts';
import { decodeLastEventId } from '../sse/stream.ts';
import { queryCursor } from './policy/cursor.ts';
import { settled, type Steps, take } from './delivery/steps.ts';
import type { Authorization, ResolvedSubscribeOptions } from './subscribe-options.ts';
import { type ChannelStream, streamKindOf } from './subscriber.ts';

/** What a middleware needs of what it subscribes to. */
export interface SubscribeHost {
  /** Whether it takes no more clients. */
  readonly isClosed: boolean;
  /** The channels of a family that a client may have; none: it may not subscribe. */
  keysFor?(req: RoutedRequest, authorization: Authorization): Steps<readonly string[]>;
  /** Why there is no room for a client. Asked in the tick in which it enters. */
  refusalFor?(entrant: Entrant): RefusalOptions | undefined;
  /** A client is there. Throws what fails before anything is sent. */
  enter(stream: ChannelStream, entrant: Entrant, options: ResolvedSubscribeOptions): void;
}

/** A client that may subscribe. */
export interface Entrant {
  /** The last id that it has; `undefined`: it comes for the first time. */
  readonly cursor: string | undefined;
  readonly authorization: Authorization;
  /** What `keysFor` said. */
  readonly keys: readonly string[];
}

const closedRefusal = { retryAfter: 5_000, reconnectDelay: 5_000, text: 'The channel is closed\n', closes: false };

/** Makes the handler that subscribes its clients. */
export function makeSubscribe(options: ResolvedSubscribeOptions, host: SubscribeHost): StreamMiddleware {
  const kind = streamKindOf(options, isStopped);
  return function subscribe(req: HttpRequest, res: HttpResponse, next?: Next): void {
    take(admit(req, res, next), (error) => failRequest(error, req, res, next));
  };

  function* admit(req: HttpRequest, res: HttpResponse, next: Next | undefined): Steps {
    const authorization = readAuthorization(
      options.authorize ? yield* settled(options.authorize(req as RoutedRequest)) : true,
    );
    if (isGone(res)) return;
    const keys = authorization && host.keysFor ? yield* host.keysFor(req as RoutedRequest, authorization) : [];
    if (isGone(res)) return;
    if (!authorization || (host.keysFor && keys.length === 0)) {
      answer(res, { status: 403, text: 'Forbidden\n' });
      return;
    }
    const cursor = headerCursor(req) ?? (yield* readCursor(req));
    if (isGone(res)) return;
    const entrant = { cursor, authorization, keys };
    if (isRefused(host, entrant, req, res)) return;
    const enter = (stream: ChannelStream): void => enterHost(host, stream, entrant, options);
    serveStream(kind, enter, req, res, next);
  }

  function* readCursor(req: HttpRequest): Steps<string | undefined> {
    if (!options.cursor) return queryCursor(req.url);
    const cursor: unknown = yield* settled(options.cursor(req as RoutedRequest));
    if (cursor !== undefined && cursor !== null && typeof cursor !== 'string')
      throw new InvalidOptionError('subscribe.cursor', 'a function that returns a string or undefined', cursor);
    return cursor === null || cursor === '' ? undefined : cursor;
  }
}

/** Refuses a client for which there is no room. @returns whether it is refused */
export function isRefused(host: SubscribeHost, entrant: Entrant, req: HttpRequest, res: HttpResponse): boolean {
  const refusal = host.isClosed ? closedRefusal : host.refusalFor?.(entrant);
  if (refusal) refuse(req, res, refusal);
  return refusal !== undefined;
}

/** A client is there, until its right ends. Throws what fails before anything is sent. */
export function enterHost(
  host: SubscribeHost,
  stream: ChannelStream,
  entrant: Entrant,
  options: ResolvedSubscribeOptions,
): void {
  leaveAt(stream, entrant.authorization.until);
  host.enter(stream, entrant, options);
}

/** Whether a client was told not to come back. */
export function isStopped(req: HttpRequest): boolean {
  return (headerCursor(req) ?? queryCursor(req.url)) === stopId;
}

/** The newest id that the client knows: an `EventSource` keeps its URL when it reconnects. */
export function headerCursor(req: HttpRequest): string | undefined {
  const id = decodeLastEventId(requestField(req, 'last-event-id'));
  return id === '' ? undefined : id;
}

/** `undefined`: may not subscribe. Throws for an answer that is none. */
function readAuthorization(value: unknown): Authorization | undefined {
  if (value === false) return undefined;
  if (value === true) return {};
  if (typeof value !== 'object' || value === null)
    throw new InvalidOptionError('subscribe.authorize', 'a function that returns a boolean or an object', value);
  return isInForce('subscribe.authorize.until', value) ? value : undefined;
}

/** Whether a right has not ended yet. Throws `InvalidOptionError`. */
export function isInForce(option: string, { until }: Authorization): boolean {
  if (until === undefined) return true;
  const end = Number(until);
  if (Number.isNaN(end)) throw new InvalidOptionError(option, 'a point in time', until);
  return end > Date.now();
}

function leaveAt(stream: ChannelStream, until: Authorization['until']): void {
  if (until === undefined) return;
  stream.out.onClosed(startTimer(Number(until) - Date.now(), () => stream.leave()));
}

/** Passes an error on, before a stream has begun. */
export function failRequest(error: unknown, req: HttpRequest, res: HttpResponse, next: Next | undefined): void {
  if (next) next(error);
  else if (res.headersSent || isGone(res)) reportError(req, error);
  else answerFailure(req, res, error);
}

function answerFailure(req: HttpRequest, res: HttpResponse, error: unknown): void {
  reportError(req, error, false, 'The client got a 500: there was no `next` to pass the error to.');
  answer(res, { status: 500 });
}
