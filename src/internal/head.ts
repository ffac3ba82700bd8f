import type { ServerResponse } from 'node:http';
import type { Head } from './layer.ts';
import { type HttpResponse, isHttp2 } from './message.ts';

/** What may be given to `writeHead`: a bag, a flat list of names and values, or a list of pairs. */
export type HeadFields = Record<string, number | string | readonly string[] | undefined> | readonly unknown[];

/**
 * Puts the fields given to `writeHead` on `res`, by the rules of Node's `writeHead`: they replace what is set,
 * and a list may repeat a name. `false`, with nothing done, for a list that Node refuses.
 */
export function mergeFields(res: HttpResponse, fields: HeadFields | undefined): boolean {
  const target = res as ServerResponse;
  if (!Array.isArray(fields)) {
    for (const [name, value] of Object.entries((fields ?? {}) as Record<string, string>)) if (name !== '') target.setHeader(name, value);
    return true;
  }
  const flat = (Array.isArray(fields[0]) ? fields.flat() : fields) as string[];
  if (flat.length % 2 !== 0) return false;
  for (let at = 0; at < flat.length; at += 2) target.removeHeader(flat[at] ?? '');
  for (let at = 0; at < flat.length; at += 2) if (flat[at]) target.appendHeader(flat[at] ?? '', flat[at + 1] ?? '');
  return true;
}

/** Node gives a body that comes whole a Content-Length, but only where its own `end` sends the head. */
export function frameComplete(res: HttpResponse, { chunk, encoding }: NonNullable<Head['complete']>): void {
  if (isHttp2(res) || !res.useChunkedEncodingByDefault || res.hasHeader('content-length') || res.hasHeader('transfer-encoding')) return;
  const bodiless = res.req.method === 'HEAD' || res.statusCode < 200 || res.statusCode === 204 || res.statusCode === 304;
  if (bodiless) return;
  setLength(res, typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : (chunk?.length ?? 0));
}

// RFC 9112 6.2: none beside a Transfer-Encoding. And a message with a Trailer is one of chunks (7.1.2), as Node has it.
/** Sets the Content-Length of a body, where it may have one. */
export function setLength(res: HttpResponse, length: number): void {
  if (isHttp2(res) || !(res.hasHeader('transfer-encoding') || res.hasHeader('trailer'))) (res as ServerResponse).setHeader('Content-Length', length);
}
