import { STATUS_CODES } from 'node:http';
import type { ProxyError } from '../../errors.ts';
import { formatEvent } from '../../internal/format/event-stream.ts';
import type { RoutedRequest, RoutedResponse } from '../../internal/http/framework.ts';
import { type HttpRequest, type HttpResponse, isGone, type Next } from '../../internal/http/message.ts';
import { answer } from '../../internal/writer/answer.ts';
import type { ResolvedProxyOptions } from '../options.ts';

/** A request as the middleware got it. */
export interface Incoming {
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  readonly next: Next;
}

/** Answers a request that could not be passed on. */
export function answerFailure(options: ResolvedProxyOptions, { req, res, next }: Incoming, error: ProxyError): void {
  if (isGone(res) || res.headersSent) return;
  if (options.onError) options.onError(error, req as RoutedRequest, res as RoutedResponse, next);
  else answer(res, { status: error.status, text: `${error.status} ${STATUS_CODES[error.status] ?? ''}\n` });
}

/** The event that tells the client of an event stream that the stream breaks off. */
export function errorEventOf(error: ProxyError): string {
  // Before it, an end for an event that was under way.
  return `\n\n${formatEvent({ event: 'error', data: { code: error.code, status: error.status } })}`;
}
