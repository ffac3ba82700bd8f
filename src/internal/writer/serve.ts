import type { ServerResponse } from 'node:http';
import vary from 'vary';
import { ResponseStartedError } from '../../errors.ts';
import { isAbort } from './policy/aborts.ts';
import { isPullSource, isReadableStream, pipeInto, type PullSource } from './pump.ts';
import { contextIn, runIn } from '../context/request-context.ts';
import { isThenable } from '../deferred.ts';
import { type Admission, decideAdmission } from './policy/admission.ts';
import { answer } from './answer.ts';
import { reportError, streamLog } from '../events.ts';
import { type HttpRequest, type HttpResponse, isGone, type Next, requestField, requestLabel } from '../http/message.ts';
import { tellUnpassed } from '../mounting.ts';
import { seamOf } from '../seam/response.ts';
import { OutStream } from './stream.ts';
import type { ResolvedStreamOptions } from './options.ts';

/**
 * `T`, where it must not be what a type parameter is inferred from. `NoInfer` does the same, and needs TypeScript 5.4
 * in the application.
 */
export type NotInferred<T> = [T][T extends unknown ? 0 : never];

/** One kind of stream: its media types, its options, and the object that a handler gets. */
export interface StreamKind<S> {
  /** The first is sent to a client that accepts several equally, or none. */
  readonly mediaTypes: readonly string[];
  /** Parameters of `Content-Type`, `''` for none. */
  readonly typeParameters: string;
  /** First bytes of the body, `''` for none. */
  readonly prelude: string;
  readonly options: ResolvedStreamOptions;
  /** Whether the client was told not to come back. */
  isStopped(req: HttpRequest): boolean;
  /** Makes the object that the handler gets. */
  wrap(out: OutStream): S;
  /** Sends one item of the handler's source. */
  send(stream: S, item: unknown): Promise<void>;
}

/** Answers a request with a stream for `handler`, or with the refusal that fits. */
export function serveStream<S>(
  kind: StreamKind<S>,
  handler: (stream: S) => unknown,
  req: HttpRequest,
  res: HttpResponse,
  next: Next | undefined,
): void {
  const admission = admit(kind, req, res);
  switch (admission.kind) {
    case 'gone':
      return;
    case 'started':
      // Not thrown: the request listener of a server must not throw.
      if (next) next(startedError());
      else reportError(req, startedError());
      return;
    case 'not-ours':
      vary(res as ServerResponse, 'Accept');
      if (next) next();
      else refuse(res, kind.mediaTypes);
      return;
    case 'not-acceptable':
      refuse(res, kind.mediaTypes);
      return;
    case 'stopped':
      answerStopped(res);
      return;
    case 'head':
      startStream(kind, admission.mediaType, req, res).openBodiless();
      return;
    case 'open':
      startHandler(kind, startStream(kind, admission.mediaType, req, res), handler, next);
  }
}

function startedError(): ResponseStartedError {
  return new ResponseStartedError('A stream needs a response of its own: this one has a head or a stream already');
}

/**
 * Opens a stream outside of a handler, and sends the head. A request that cannot have a stream is answered, and the
 * stream that is returned is closed. Throws `ResponseStartedError`.
 */
export function openStream<S>(kind: StreamKind<S>, req: HttpRequest, res: HttpResponse): S {
  const admission = admit(kind, req, res);
  if (admission.kind === 'started') throw startedError();
  const mediaType = 'mediaType' in admission ? admission.mediaType : (kind.mediaTypes[0] ?? '');
  const out = startStream(kind, mediaType, req, res);
  if (admission.kind === 'open') out.outbox.flush();
  else if (admission.kind === 'head') out.openBodiless();
  else if (admission.kind !== 'gone') {
    out.finishClose('ended');
    if (admission.kind === 'stopped') answerStopped(res);
    else refuse(res, kind.mediaTypes);
  }
  return kind.wrap(out);
}

function admit<S>(kind: StreamKind<S>, req: HttpRequest, res: HttpResponse): Admission {
  return decideAdmission({
    method: req.method,
    accept: requestField(req, 'accept'),
    mediaTypes: kind.mediaTypes,
    negotiation: kind.options.negotiate,
    gone: isGone(res),
    started: res.headersSent || seamOf(res)?.hasWriter === true,
    stopped: kind.isStopped(req),
  });
}

function startStream<S>(kind: StreamKind<S>, mediaType: string, req: HttpRequest, res: HttpResponse): OutStream {
  tellUnpassed(req);
  const out = new OutStream(
    req,
    res,
    { contentType: mediaType + kind.typeParameters, prelude: kind.prelude },
    kind.options,
  );
  // RFC 9110 12.5.5: the answer depends on `Accept`.
  if (kind.mediaTypes.length > 1 || kind.options.negotiate !== 'ignore') vary(res as ServerResponse, 'Accept');
  return out;
}

function answerStopped(res: HttpResponse): void {
  answer(res, { status: 204 });
}

function refuse(res: HttpResponse, mediaTypes: readonly string[]): void {
  vary(res as ServerResponse, 'Accept');
  answer(res, { status: 406, text: `Available as ${mediaTypes.join(', ')}\n` });
}

/** Runs the handler in the stream's context if the request has one. The steps of a generator then run in it too. */
function startHandler<S>(
  kind: StreamKind<S>,
  out: OutStream,
  handler: (stream: S) => unknown,
  next: Next | undefined,
): void {
  if (contextIn(out.req)) void runIn(out.context, () => runHandler(kind, out, handler, next));
  else void runHandler(kind, out, handler, next);
}

/**
 * Runs a handler. Its result decides when the stream ends: at the end of a source, which is piped; when a promise
 * resolves; with anything else the handler keeps the stream, which stays open.
 */
async function runHandler<S>(
  kind: StreamKind<S>,
  out: OutStream,
  handler: (stream: S) => unknown,
  next: Next | undefined,
): Promise<void> {
  // Not at once: a handler that fails in its first steps may still answer with another status.
  setImmediate(openLater, out);
  const stream = kind.wrap(out);
  try {
    const result = handler(stream);
    // A source first: the queries of some database clients are also promises.
    if (!isHandlerSource(result) && !isThenable(result)) {
      if (looksLikeEvents(result))
        streamLog('%s: the handler returned a value, which is not sent', requestLabel(out.req));
      return;
    }
    const value = isHandlerSource(result) ? result : await result;
    if (isHandlerSource(value)) await pipeInto(out, value, (item) => kind.send(stream, item));
    else if (!out.started && out.state === 'open') streamLog(emptyHandler, requestLabel(out.req));
    await out.finish();
  } catch (error) {
    await settleFailure(out, error, next);
  }
}

function openLater(out: OutStream): void {
  if (out.state === 'open') out.outbox.flush();
}

const emptyHandler =
  '%s: the async handler returned before it sent anything, which ends the stream. To keep the stream, leave out ' +
  '`async` and return nothing, or await what ends it.';

/** A list, a text or an event: nothing that is returned by the way, as `clients.add(stream)` does. */
function looksLikeEvents(value: unknown): boolean {
  return (
    typeof value === 'string' ||
    Array.isArray(value) ||
    (typeof value === 'object' && value !== null && 'data' in value)
  );
}

const cutConsequence =
  'The handler had begun to send, so its client sees a connection that breaks: an EventSource connects again after ' +
  'some seconds, and the handler runs again.';

async function settleFailure(out: OutStream, error: unknown, next: Next | undefined): Promise<void> {
  if (isNormalEnd(out, error)) return;
  if (out.state === 'open' && !out.started && !out.res.headersSent) {
    out.finishClose('error', error);
    if (next) next(error);
    else answerFailure(out, error);
    return;
  }
  out.onSourceError(error, out.state === 'open' ? cutConsequence : undefined);
  // The head is sent: only a body that does not end tells the client of the error.
  await out.leave('error', { cause: error });
}

/** Whether a handler stopped because its stream is over: it has not failed. */
function isNormalEnd(out: OutStream, error: unknown): boolean {
  return out.state !== 'open' && isAbort(error);
}

function answerFailure(out: OutStream, error: unknown): void {
  out.onSourceError(error, 'The client got a 500: there was no `next` to pass the error to.');
  answer(out.res, { status: 500 });
}

/**
 * Whether a handler's result is an async source or a running generator. Other iterables are not sources: the handler
 * `(stream) => clients.add(stream)` returns a Set, which it does not mean as events.
 */
function isHandlerSource(value: unknown): value is PullSource<unknown> {
  return isPullSource(value) && (isReadableStream(value) || Symbol.asyncIterator in value || 'next' in value);
}
