import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import { answer } from '../internal/writer/answer.ts';
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
export function refuse(res: HttpResponse): void {
  answer(res, { status: 403, text: 'Forbidden' });
}
