import type { HttpRequest } from '../internal/http/message.ts';

/** Requests for the dashboard: to look at the numbers must not change them. */
const own = new WeakSet<object>();
// Most processes serve no dashboard, and each response asks.
let hasOwn = false;

/** Leaves a request out of what is counted. Call it before the headers of its response. */
export function noteOwn(req: HttpRequest): void {
  hasOwn = true;
  own.add(req);
}

/** Whether a request is left out of what is counted. */
export function isOwn(req: object): boolean {
  return hasOwn && own.has(req);
}
