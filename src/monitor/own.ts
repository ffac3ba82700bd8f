import type { HttpRequest } from '../internal/http/message.ts';

/** Requests for the dashboard: to look at the numbers must not change them. */
const own = new WeakSet<object>();

/** Leaves a request out of what is counted. Call it before the headers of its response. */
export function noteOwn(req: HttpRequest): void {
  own.add(req);
}

/** Whether a request is left out of what is counted. */
export function isOwn(req: object): boolean {
  return own.has(req);
}
