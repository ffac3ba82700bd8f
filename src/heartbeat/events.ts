import debug from 'debug';
import { type HttpRequest, requestPath } from '../internal/http/message.ts';
import type { Injection } from './policy/injection.ts';

const log = debug('sluice:heartbeat');

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
