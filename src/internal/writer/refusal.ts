import type { ServerResponse } from 'node:http';
import { type CommentStyle, formatComment, formatRetryHint, stopId } from '../format/event-stream.ts';
import { answer, dropRepresentation } from './answer.ts';
import { noteAnsweredEarly } from '../mounting.ts';
import { namesMediaType } from '../http/accept.ts';
import { type Fields, setFields } from '../http/headers.ts';
import { closeUnterminated } from '../seam/closing.ts';
import { setLength } from '../seam/head.ts';
import { jittered, retryDelay } from '../time/clock.ts';
import { type HttpRequest, type HttpResponse, isHttp2, requestField } from '../http/message.ts';

/** How refusals are sent. */
export interface RefusalOptions {
  readonly retryAfter: number;
  readonly reconnectDelay: number;
  /** How the retry hint to an event source is sent. @defaultValue `'line'` */
  readonly comments?: CommentStyle;
  /** The text of a refusal with a status. */
  readonly text: string;
  /** For clients other than an event source. @defaultValue 503 */
  readonly status?: 429 | 503;
  /** Whether the connection is to end with the answer. */
  readonly closes: boolean;
}

/** Whether a request asks for an event stream by name. A wildcard is not enough: every browser request has one. */
export function asksForEventStream(req: HttpRequest): boolean {
  const accept = requestField(req, 'accept');
  return accept !== undefined && namesMediaType(accept, 'text/event-stream');
}

/**
 * Whether a request comes from an event source. Only GET, which `EventSource` sends, and HEAD: the client of a POST
 * would take a 200 for success.
 */
function isEventSource(req: HttpRequest): boolean {
  return (req.method === 'GET' || req.method === 'HEAD') && asksForEventStream(req);
}

interface RefusalHead {
  readonly status: number;
  readonly fields: Fields;
  /** What follows the head. */
  readonly text: string;
}

/**
 * The answer to a refused client. `stream`: a hint to reconnect after `retry` ms, in a stream that is closed without an
 * end. `unavailable`: a status.
 */
export type Refusal = RefusalHead &
  ({ readonly kind: 'stream'; readonly retry: number } | { readonly kind: 'unavailable' });

/** Decides how a client is told to come back later, or to another process. */
export function decideRefusal(req: HttpRequest, options: RefusalOptions): Refusal {
  const { retryAfter, reconnectDelay, comments = 'line', text, status = 503 } = options;
  if (isEventSource(req)) {
    // WHATWG HTML 9.2.3: any status but 200 is final for an event source. Only a stream can tell it when to come back.
    const retry = retryDelay(reconnectDelay);
    const fields = {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
    };
    return { kind: 'stream', status: 200, fields, text: formatRetryHint(retry, comments), retry };
  }
  // RFC 9110 10.2.3: whole seconds.
  const seconds = Math.max(1, Math.ceil(jittered(retryAfter, Math.random) / 1000));
  const fields = {
    'Retry-After': String(seconds),
    'Cache-Control': 'no-store',
    'Content-Type': 'text/plain; charset=utf-8',
  };
  return { kind: 'unavailable', status, fields, text };
}

/** Puts the head of a refusal on a response. */
export function setRefusalHead(response: HttpResponse, { kind, status, fields, text }: Refusal): void {
  const res = response as ServerResponse;
  dropRepresentation(res);
  res.statusCode = status;
  // The reason phrase may be that of another status.
  if (!isHttp2(response)) res.statusMessage = '';
  setFields(res, fields);
  if (kind === 'unavailable') setLength(res, Buffer.byteLength(text));
}

/** How long sending a hint may take, in ms. After that the connection is cut. */
const hintTimeout = 5_000;

/** Refuses a request whose head is not sent. @returns what it counts as */
export function refuse(req: HttpRequest, response: HttpResponse, options: RefusalOptions): 'requests' | 'streams' {
  const res = response as ServerResponse;
  const refusal = decideRefusal(req, options);
  noteAnsweredEarly(req);
  if (refusal.kind === 'stream' && requestField(req, 'last-event-id') === stopId) {
    answer(res, { status: 204 });
    return 'streams';
  }
  setRefusalHead(res, refusal);
  if (refusal.kind === 'stream') {
    if (req.method === 'HEAD') {
      res.end();
    } else {
      res.write(formatComment('ok', options.comments) + refusal.text);
      closeUnterminated(res, hintTimeout);
    }
    return 'streams';
  }
  if (options.closes) announceClose(res);
  res.end(refusal.text);
  return 'requests';
}

/** Tells the client that its connection ends with this response: HTTP/1 only, before the head is sent. */
export function announceClose(res: HttpResponse): void {
  // RFC 9113 8.2.2: HTTP/2 has no such header.
  if (!isHttp2(res) && !res.headersSent) res.setHeader('Connection', 'close');
}
