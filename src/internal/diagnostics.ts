import { channel } from 'node:diagnostics_channel';
import debug from 'debug';
import type { CloseReason } from '../errors.ts';
import type { HttpRequest } from './message.ts';

const errors = channel('sluice:stream:error');
const closes = channel('sluice:stream:close');
const log = debug('sluice:stream');

/** Message on `sluice:stream:error`: an error that no caller could be told of. */
export interface StreamErrorMessage {
  readonly req: HttpRequest;
  readonly error: unknown;
}

/** Message on `sluice:stream:close`. */
export interface StreamCloseMessage {
  readonly req: HttpRequest;
  readonly reason: CloseReason;
}

// An error may first be a rejection that nobody looks at and then, since somebody did, the end of the handler.
const reported = new WeakSet();

/** Makes an error seen that may have no caller to be thrown at. Each error once. */
export function reportError(req: HttpRequest, error: unknown): void {
  if (typeof error === 'object' && error !== null) {
    if (reported.has(error)) return;
    reported.add(error);
  }
  log('%s %s: %O', req.method, req.url, error);
  if (errors.hasSubscribers) errors.publish({ req, error } satisfies StreamErrorMessage);
}

/** Tells observers that a stream is over. */
export function reportClose(req: HttpRequest, reason: CloseReason): void {
  log('%s %s closed: %s', req.method, req.url, reason);
  if (closes.hasSubscribers) closes.publish({ req, reason } satisfies StreamCloseMessage);
}
