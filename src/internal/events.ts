import { channel } from 'node:diagnostics_channel';
import debug from 'debug';
import type { CloseReason } from '../errors.ts';
import type { HttpRequest } from './http/message.ts';
import { warnUnheard } from './unheard.ts';

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

const cure =
  'To handle such errors, give the stream an `onError`, or subscribe to the diagnostics channel `sluice:stream:error`.';

/**
 * Reports an error that has no caller to be thrown at: on the channel, and where nothing listens there, as a process
 * warning.
 * @param isHeard - whether a hook of the application gets it, so that no warning is due
 */
export function reportError(req: HttpRequest, error: unknown, isHeard = false): void {
  publishError(req, error);
  if (!isHeard && !errors.hasSubscribers) warnUnheard(error, { cure, req });
}

/** Publishes an error whose caller may not look at it. Each error once. */
export function publishError(req: HttpRequest, error: unknown): void {
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
