import { type HttpResponse, isHttp2 } from '../http/message.ts';

type Refused = 'set' | 'append' | 'remove' | 'write';

function refusal(verb: Refused): PropertyDescriptor {
  return {
    configurable: true,
    writable: true,
    value(this: HttpResponse): never {
      return refuse(this, verb);
    },
  };
}

// One set for all responses: made for each, they cost a fifth of what a small body takes.
const held: Readonly<Record<string, PropertyDescriptor>> = {
  headersSent: { configurable: true, writable: true, value: true },
  flushHeaders: { configurable: true, writable: true, value: function flushHeaders() {} },
  setHeader: refusal('set'),
  setHeaders: refusal('set'),
  appendHeader: refusal('append'),
  removeHeader: refusal('remove'),
};
const names = Object.keys(held);

/** Patches of others, which come back. */
const replaced = new WeakMap<HttpResponse, PropertyDescriptorMap>();

/** Makes the head look sent to the handler: fields can be read, and no longer be changed. */
export function holdHead(res: HttpResponse): void {
  for (const name of names) {
    const own = Object.getOwnPropertyDescriptor(res, name);
    if (own) keepReplaced(res, name, own);
    // Older versions of Node lack some.
    if (own ?? name in res) Object.defineProperty(res, name, held[name] as PropertyDescriptor);
  }
}

function keepReplaced(res: HttpResponse, name: string, own: PropertyDescriptor): void {
  const before = replaced.get(res);
  if (before) before[name] = own;
  else replaced.set(res, { [name]: own });
}

/** Undoes `holdHead`. */
export function releaseHead(res: HttpResponse): void {
  for (const name of names) Reflect.deleteProperty(res, name);
  const before = replaced.get(res);
  if (!before) return;
  replaced.delete(res);
  Object.defineProperties(res, before);
}

/** Throws what Node throws for a head that is sent. */
export function refuse(res: HttpResponse, verb: Refused): never {
  throw isHttp2(res)
    ? Object.assign(new Error('Response has already been initiated.'), { code: 'ERR_HTTP2_HEADERS_SENT' })
    : Object.assign(new Error(`Cannot ${verb} headers after they are sent to the client`), {
        code: 'ERR_HTTP_HEADERS_SENT',
      });
}
