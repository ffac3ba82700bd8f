import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import { answer } from '../internal/writer/answer.ts';
import { refuseWhen } from '../internal/option.ts';
import { monitorErrors } from './events.ts';
import type { ResolvedMonitorOptions } from './options.ts';

/** Whether a request may see the numbers. What `authorize` throws means no, and is published. */
export async function isAuthorized({ authorize }: ResolvedMonitorOptions, req: HttpRequest): Promise<boolean> {
  if (!authorize) return false;
  try {
    return (await authorize(req as Parameters<typeof authorize>[0])) === true;
  } catch (error) {
    monitorErrors.report({ error, req });
    return false;
  }
}

/** Answers a request that may not see the numbers. */
export function refuse({ authorize }: ResolvedMonitorOptions, res: HttpResponse): void {
  answer(res, { status: 403, text: authorize ? 'Forbidden' : `Forbidden. ${unguarded}` });
}

/** Throws `InvalidOptionError` for a handler of the monitor that was called, in place of mounted. */
export function refuseCall(name: 'metrics' | 'dashboard', res: HttpResponse | undefined): void {
  refuseWhen(!res, `monitor.${name}`, `is a handler: pass \`watch.${name}\`, without a call`);
}

/** Why nothing is served without `authorize`. */
export const unguarded = 'The option `authorize` of `monitor` is missing.';
