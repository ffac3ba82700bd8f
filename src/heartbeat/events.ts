import { defineEvents, type Events } from '../internal/events.ts';
import type { RoutedRequest } from '../internal/http/framework.ts';
import { type HttpRequest, requestLabel } from '../internal/http/message.ts';
import type { Injection } from './policy/injection.ts';

/** Message on `sluice:heartbeat:decision`, once for each head: whether a body carries heartbeats. */
export interface HeartbeatDecisionMessage {
  /** The request that the response answers. */
  readonly req: RoutedRequest;
  /** `inject`, or why it carries none. */
  readonly reason: string;
}

/** Message on `sluice:heartbeat:encoded`: an event stream that cannot carry heartbeats. */
export interface EncodedStreamMessage {
  /** The request that the stream answers. */
  readonly req: RoutedRequest;
  /** The `Content-Encoding` that it had already. */
  readonly coding: string;
}

interface HeartbeatEvents {
  readonly decision: HeartbeatDecisionMessage;
  readonly encoded: EncodedStreamMessage;
}

export const heartbeatEvents: Events<HeartbeatEvents> = defineEvents<HeartbeatEvents>('heartbeat', {
  decision: ({ req, reason }) => ['%s: %s', requestLabel(req), reason === 'inject' ? 'heartbeats' : reason],
  encoded: ({ req, coding }) => [
    '%s: an encoded event stream gets no heartbeats (Content-Encoding: %s)',
    requestLabel(req),
    coding,
  ],
});

/** Reports whether a body carries heartbeats. */
export function reportInjection(req: HttpRequest, injection: Injection): void {
  if (!heartbeatEvents.decision.isHeard) return;
  heartbeatEvents.decision.publish({ req, reason: injection.kind === 'inject' ? 'inject' : injection.reason });
}

/** The code of the process warning about encoded event streams. Part of the interface. */
const encodedCode = 'SLUICE_ENCODED_EVENT_STREAM';

let hasWarned = false;

/** Reports an event stream that cannot carry heartbeats; the process warning comes once. */
export function warnOfEncoded(req: HttpRequest, coding: string | undefined): void {
  const stream = requestLabel(req);
  heartbeatEvents.encoded.publish({ req, coding: coding ?? '' });
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
