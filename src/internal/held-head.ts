import { type HttpResponse, isHttp2 } from './message.ts';

const verbs = { setHeader: 'set', setHeaders: 'set', appendHeader: 'append', removeHeader: 'remove' } as const;

/** Makes the head of a response look sent to whoever ended it: fields can be read, and no longer be changed. */
export function holdHead(res: HttpResponse): void {
  const refusals = Object.entries(verbs).map(([name, verb]) => [name, { configurable: true, value: () => refuse(res, verb) }] as const);
  Object.defineProperties(res, {
    headersSent: { configurable: true, value: true },
    flushHeaders: { configurable: true, value: function flushHeaders() {} },
    ...Object.fromEntries(refusals),
  });
}

/** Undoes `holdHead`. */
export function releaseHead(res: HttpResponse): void {
  for (const name of ['headersSent', 'flushHeaders', ...Object.keys(verbs)]) Reflect.deleteProperty(res, name);
}

/** Throws what Node throws for a head that is sent. */
export function refuse(res: HttpResponse, verb: 'set' | 'append' | 'remove' | 'write'): never {
  throw isHttp2(res)
    ? Object.assign(new Error('Response has already been initiated.'), { code: 'ERR_HTTP2_HEADERS_SENT' })
    : Object.assign(new Error(`Cannot ${verb} headers after they are sent to the client`), { code: 'ERR_HTTP_HEADERS_SENT' });
}
