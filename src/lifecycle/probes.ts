import { InvalidOptionError } from '../errors.ts';
import { answer } from '../internal/writer/answer.ts';
import { type HttpRequest, type HttpResponse, requestPath } from '../internal/http/message.ts';
import type { LifecycleState } from './policy/phase.ts';

/** A handler that answers a probe. */
export type Probe = (req: HttpRequest, res: HttpResponse) => void;

/** Answers 200 while the process takes new requests, else 503. */
export function makeReadiness(stateNow: () => LifecycleState): Probe {
  return function ready(_req, res) {
    tell(res, stateNow(), stateNow() === 'active');
  };
}

/** Answers 200 until the process is `dead`: a drain is no reason for a restart. */
export function makeLiveness(stateNow: () => LifecycleState): Probe {
  return function live(_req, res) {
    tell(res, stateNow(), stateNow() !== 'dead');
  };
}

/** Whether a request is a probe, by the usual paths. The default of `exempt`. */
export function isProbe(req: HttpRequest): boolean {
  const path = requestPath(req);
  return path.endsWith('/livez') || path.endsWith('/readyz') || path.endsWith('/healthz');
}

function tell(res: HttpResponse | undefined, state: LifecycleState, passes: boolean): void {
  if (!res) {
    throw new InvalidOptionError('lifecycle', {
      sentence: 'has probes that are handlers: pass `life.ready`, without a call',
    });
  }
  answer(res, { status: passes ? 200 : 503, text: JSON.stringify({ state }), contentType: 'application/json' });
}
