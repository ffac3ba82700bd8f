import { answer } from '../internal/writer/answer.ts';
import { type HttpRequest, type HttpResponse, requestPath } from '../internal/http/message.ts';
import type { LifecycleState } from './policy/phase.ts';

/** A handler that answers a probe. */
export type Probe = (req: HttpRequest, res: HttpResponse) => void;

/** 200 while new requests are welcome, else 503. */
export function makeReadiness(stateNow: () => LifecycleState): Probe {
  return function ready(_req, res) {
    tell(res, stateNow(), stateNow() === 'active');
  };
}

/** 200 until all is over: a process that drains must not be restarted for it. */
export function makeLiveness(stateNow: () => LifecycleState): Probe {
  return function live(_req, res) {
    tell(res, stateNow(), stateNow() !== 'dead');
  };
}

/** Whether a request is that of a probe, by the usual names. The default of `exempt`. */
export function isProbe(req: HttpRequest): boolean {
  const path = requestPath(req);
  return path.endsWith('/livez') || path.endsWith('/readyz') || path.endsWith('/healthz');
}

function tell(res: HttpResponse, state: LifecycleState, passes: boolean): void {
  answer(res, { status: passes ? 200 : 503, text: JSON.stringify({ state }), contentType: 'application/json' });
}
