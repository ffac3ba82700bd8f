import type { ServerResponse } from 'node:http';
import type { Head, Layer } from './layer.ts';
import { type HttpResponse, isHttp2 } from './message.ts';
import type { HeadArguments } from './seam-methods.ts';

/** What may be given to `writeHead`: a bag, a flat list of names and values, or a list of pairs. */
type HeadFields = Record<string, number | string | readonly string[] | undefined> | readonly unknown[];

/**
 * Puts the fields given to `writeHead` on `res`, by the rules of Node's `writeHead`: they replace what is set,
 * and a list may repeat a name. `false`, with nothing done, for a list that Node refuses.
 */
function mergeFields(res: HttpResponse, fields: HeadFields | undefined): boolean {
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

/** A head as it was asked for, and who is to complete it. */
export interface AskedHead {
  readonly res: HttpResponse;
  /** Of `writeHead`. */
  readonly args: HeadArguments;
  readonly layers: readonly Layer[];
  readonly complete: Head['complete'];
  readonly onRefused: Head['onRefused'];
}

/**
 * Lets the layers complete a head.
 * @returns what to call `writeHead` with, and whether a layer holds the head back; `undefined` for one that Node refuses, and no layer has seen
 */
export function completeHead({ res, args, layers, complete, onRefused }: AskedHead): { readonly args: readonly unknown[]; readonly isHeld: boolean } | undefined {
  const [status, reason, fields] = args;
  const rest = typeof reason === 'string' ? [reason] : [];
  // Where Node sets it, so that a refused head leaves behind what it leaves.
  if (!isHttp2(res)) res.statusCode = status;
  if (!mergeFields(res, (typeof reason === 'string' ? fields : (reason ?? fields)) as HeadFields | undefined)) return undefined;
  res.statusCode = status;
  if (!isValidHead(res, rest[0])) return undefined;
  const outcomes = layers.map((layer) => layer.head?.({ res, complete, onRefused }));
  if (complete && outcomes.every((outcome) => outcome !== true && outcome !== 'held')) frameComplete(res, complete);
  return { args: [res.statusCode, ...rest], isHeld: outcomes.includes('held') };
}

// What Node refuses a head for, when the layers have long had their turn (RFC 9110 15, RFC 9112 4).
function isValidHead(res: HttpResponse, reason: string | undefined): boolean {
  return res.statusCode >= 100 && res.statusCode <= 999 && (isHttp2(res) || !/[^\t\x20-\x7e\x80-\xff]/.test(reason ?? res.statusMessage));
}

/** Node gives a body that comes whole a Content-Length, but only where its own `end` sends the head. */
function frameComplete(res: HttpResponse, { chunk, encoding }: NonNullable<Head['complete']>): void {
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
