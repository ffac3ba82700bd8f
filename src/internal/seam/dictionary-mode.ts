import { ServerResponse } from 'node:http';
import type { HttpResponse } from '../http/message.ts';

const [spare, spareToo] = [Symbol('spare'), Symbol('spareToo')];
const sharesShapes = Number(process.versions.node.split('.')[0]) >= 24;

/**
 * Before Node 24 an object that has gone through `Object.setPrototypeOf`, as all responses of Express have, shares its
 * shape with no other, and each property added to it copies the shape: some 4 µs. V8 makes it a dictionary when a
 * property other than the last is deleted, and then adding costs next to nothing. A dictionary takes 1.8 kB more, and
 * is worth it for a stream, too: V8's inline caches know a dictionary, and none of a thousand shapes. An event to each
 * of 1,000 streams takes a third less CPU time.
 */
export function useDictionaryMode(res: HttpResponse): void {
  if (sharesShapes || Object.getPrototypeOf(res) === ServerResponse.prototype) return;
  Object.assign(res, { [spare]: 0, [spareToo]: 0 });
  Reflect.deleteProperty(res, spare);
  Reflect.deleteProperty(res, spareToo);
}
