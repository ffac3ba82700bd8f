import type { IncomingMessage } from 'node:http';
import type { CommentStyle } from '../sse/event.ts';
import { openEventStream } from '../sse/index.ts';
import { answer, dropRepresentation } from './answer.ts';
import { namesMediaType } from './accept.ts';
import { jittered } from './jitter.ts';
import { type HttpRequest, type HttpResponse, isHttp2, requestField } from './message.ts';

/** How refusals are sent. */
export interface RefusalOptions {
  readonly retryAfter: number;
  readonly reconnectDelay: number;
  /** How the retry hint to an event source is sent. @defaultValue `'line'` */
  readonly comments?: CommentStyle;
  /** The text of a 503. */
  readonly text: string;
  /** Whether the connection is to end with the answer. */
  readonly closes: boolean;
}

/** Whether a request asks for an event stream. By name: a wildcard is everybody's. */
export function asksForEventStream(req: HttpRequest): boolean {
  const accept = requestField(req, 'accept');
  return accept !== undefined && namesMediaType(accept, 'text/event-stream');
}

/** Whether a request is an event source's. GET only, as `EventSource` sends it: to anybody else a POST that is answered with 200 was served. */
function isEventSource(req: HttpRequest): boolean {
  return (req.method === 'GET' || req.method === 'HEAD') && asksForEventStream(req);
}

/** Refuses a request, so that its client comes back: later, or to another process. @returns as what it was refused */
export function refuse(req: HttpRequest, res: HttpResponse, options: RefusalOptions): 'requests' | 'streams' {
  if (!isEventSource(req)) {
    answerUnavailable(res, options);
    return 'requests';
  }
  // WHATWG HTML 9.2.3: any status but 200 is final for an event source. Only a stream can tell it when to come back.
  const { reconnectDelay, comments = 'line' } = options;
  // Its `Cache-Control` is then the stream's.
  dropRepresentation(res);
  void openEventStream(req as IncomingMessage, res, { reconnectDelay, comments }).reconnect();
  return 'streams';
}

/** Tells the client that its connection ends with this response, where that is said by a field and not too late. */
export function announceClose(res: HttpResponse): void {
  // RFC 9113 8.2.2: HTTP/2 has no such field.
  if (!isHttp2(res) && !res.headersSent) res.setHeader('Connection', 'close');
}

function answerUnavailable(res: HttpResponse, { retryAfter, text, closes }: RefusalOptions): void {
  // RFC 9110 10.2.3: whole seconds.
  res.setHeader('Retry-After', String(Math.max(1, Math.ceil(jittered(retryAfter, Math.random) / 1000))));
  if (closes) announceClose(res);
  answer(res, { status: 503, text });
}
