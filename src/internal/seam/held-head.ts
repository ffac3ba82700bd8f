import { type HttpResponse, isHttp2 } from '../http/message.ts';

const verbs = { setHeader: 'set', setHeaders: 'set', appendHeader: 'append', removeHeader: 'remove' } as const;

const replaced = new WeakMap<HttpResponse, PropertyDescriptorMap>();

/** Makes the head look sent to the handler: fields can be read, and no longer be changed. */
export function holdHead(res: HttpResponse): void {
  const refusals = Object.entries(verbs)
    .filter(([name]) => name in res)
    .map(([name, verb]) => [name, { configurable: true, writable: true, value: () => refuse(res, verb) }] as const);
  const held: PropertyDescriptorMap = {
    headersSent: { configurable: true, writable: true, value: true },
    flushHeaders: { configurable: true, writable: true, value: function flushHeaders() {} },
    ...Object.fromEntries(refusals),
  };
  // Patches of others, which come back.
  const own = Object.entries(Object.getOwnPropertyDescriptors(res)).filter(([name]) => name in held);
  replaced.set(res, Object.fromEntries(own));
  Object.defineProperties(res, held);
}

/** Undoes `holdHead`. */
export function releaseHead(res: HttpResponse): void {
  for (const name of ['headersSent', 'flushHeaders', ...Object.keys(verbs)]) Reflect.deleteProperty(res, name);
  Object.defineProperties(res, replaced.get(res) ?? {});
}

/** Throws what Node throws for a head that is sent. */
export function refuse(res: HttpResponse, verb: 'set' | 'append' | 'remove' | 'write'): never {
  throw isHttp2(res)
    ? Object.assign(new Error('Response has already been initiated.'), { code: 'ERR_HTTP2_HEADERS_SENT' })
    : Object.assign(new Error(`Cannot ${verb} headers after they are sent to the client`), {
        code: 'ERR_HTTP_HEADERS_SENT',
      });
}
