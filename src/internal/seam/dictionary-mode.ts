import { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpResponse } from '../http/message.ts';

const sharesShapes = Number(process.versions.node.split('.')[0]) >= 24;

/**
 * Before Node 24 an object that has gone through `Object.setPrototypeOf`, as all responses and requests of Express
 * have, shares its shape with no other, and each property added to it copies the shape: some 4 µs. V8 makes it a
 * dictionary when a property other than the last is deleted, and then adding costs next to nothing, also for Express
 * itself: an answer of 2 kB takes a quarter less CPU time. A response takes 1.8 kB more, a request 0.5 kB, and that is
 * worth it for a stream, too: V8's inline caches know a dictionary, and none of a thousand shapes. An event to each of
 * 1,000 streams takes a third less CPU time.
 */
export function useDictionaryMode(res: HttpResponse): void {
  if (sharesShapes) return;
  if (Object.getPrototypeOf(res) !== ServerResponse.prototype) putAnew(res, 'sendDate');
  const req = res.req as HttpResponse['req'] | undefined;
  if (req && Object.getPrototypeOf(req) !== IncomingMessage.prototype) putAnew(req, 'upgrade');
}

/** Deletes a property that Node sets early, and sets it again. A wrapper of the object has none of its own. */
function putAnew(message: object, name: 'sendDate' | 'upgrade'): void {
  const target = message as Record<string, unknown>;
  if (!Object.hasOwn(target, name)) return;
  const value = target[name];
  Reflect.deleteProperty(target, name);
  target[name] = value;
}
