import { channel } from 'node:diagnostics_channel';
import debug from 'debug';
import { type HttpRequest, requestPath } from '../internal/message.ts';
import { warnUnheard } from '../internal/unheard.ts';
import type { ConnectionEnd, ConnectionStateChange } from './connection-info.ts';
import type { Injection } from './injection.ts';

const states = channel('sluice:heartbeat:state');
const ends = channel('sluice:heartbeat:end');
const errors = channel('sluice:heartbeat:error');
const log = debug('sluice:heartbeat');

/** Message on `sluice:heartbeat:error`: an error that no caller could be told of. */
export interface HeartbeatErrorMessage {
  readonly error: unknown;
}

/** Tells observers of a step. */
export function reportHealth(change: ConnectionStateChange): void {
  log('%s %s after %s', change.connection.id, change.state, change.previous);
  if (states.hasSubscribers) states.publish(change);
}

/** Whether anybody hears of ends. */
export function hasEndObservers(): boolean {
  return ends.hasSubscribers || log.enabled;
}

/** Tells observers of an end. */
export function reportEnd(end: ConnectionEnd): void {
  log('%s ended: %s', end.connection.id, end.reason);
  if (ends.hasSubscribers) ends.publish(end);
}

/** Makes an error seen that has no caller to be thrown at. */
export function reportHeartbeatError(error: unknown): void {
  log('%O', error);
  if (errors.hasSubscribers) errors.publish({ error } satisfies HeartbeatErrorMessage);
  else
    warnUnheard(error, {
      cure: 'To handle such errors, subscribe to the diagnostics channel `sluice:heartbeat:error`.',
    });
}

/** Tells why a body carries heartbeats or none. */
export function reportInjection(req: HttpRequest, injection: Injection): void {
  if (log.enabled) log('%s %s: %s', req.method, req.url, injection.kind === 'inject' ? 'heartbeats' : injection.reason);
}

/** The code of the process warning about encoded event streams. Part of the interface. */
const encodedCode = 'SLUICE_ENCODED_EVENT_STREAM';

let hasWarned = false;

/** Tells, once per process, of an event stream that cannot get heartbeats. */
export function warnOfEncoded(req: HttpRequest, coding: string | undefined): void {
  const stream = `${req.method ?? ''} ${requestPath(req)}`;
  log('%s: an encoded event stream gets no heartbeats (Content-Encoding: %s)', stream, coding);
  if (hasWarned) return;
  hasWarned = true;
  const why = `${stream} had \`Content-Encoding: ${coding ?? ''}\` before \`heartbeat\` saw its headers`;
  const cure = 'Turn off the compression nearer to the handler, and mount `compress` of this library in its place.';
  process.emitWarning(`An encoded event stream gets no heartbeats: ${why}`, {
    type: 'SluiceWarning',
    code: encodedCode,
    detail: `${cure} In Next.js: \`compress: false\` in next.config.js.`,
  });
}
