import type { ServerResponse } from 'node:http';
import { setLength } from '../seam/head.ts';
import { type HttpResponse, isHttp2 } from '../http/message.ts';
import { noteAnsweredEarly } from '../mounting.ts';

/** An answer of the library, in place of the handler's. */
export interface Answer {
  readonly status: number;
  /** The body. Default: none. */
  readonly text?: string;
  /** @defaultValue `'text/plain; charset=utf-8'` */
  readonly contentType?: string;
}

// Headers that describe the representation that is not sent, say how long caches may keep it, or make nginx or Apache
// send something else. Others, such as those of CORS, also apply to the answer.
const representationFields = new Set([
  'accept-ranges',
  'age',
  'digest',
  'edge-control',
  'etag',
  'expires',
  'last-modified',
  'location',
  'pragma',
  'refresh',
  'repr-digest',
  'surrogate-control',
  'trailer',
  'transfer-encoding',
  'x-accel-expires',
  'x-accel-redirect',
  'x-sendfile',
]);

function describesRepresentation(name: string): boolean {
  if (name.startsWith('content-')) return !name.startsWith('content-security-policy');
  // RFC 9213: headers for one kind of cache, such as `CDN-Cache-Control`.
  return representationFields.has(name) || name.endsWith('cache-control');
}

/** Removes the headers of a representation that will not be sent. */
export function dropRepresentation(response: HttpResponse): void {
  const res = response as ServerResponse;
  for (const name of res.getHeaderNames()) if (describesRepresentation(name)) res.removeHeader(name);
}

/**
 * Removes the headers of a representation that will not be sent, and forbids caches to keep what is sent instead. By
 * default caches keep some statuses, such as 204 (RFC 9110 15.1).
 */
export function forbidCaching(res: HttpResponse): void {
  dropRepresentation(res);
  (res as ServerResponse).setHeader('Cache-Control', 'no-store');
}

/** Answers a request whose head is not sent. No cache gives the answer to another request. */
export function answer(response: HttpResponse, given: Answer): void {
  const { status, text, contentType = 'text/plain; charset=utf-8' } = given;
  const res = response as ServerResponse;
  noteAnsweredEarly(res.req);
  forbidCaching(res);
  res.statusCode = status;
  // The reason phrase may be that of another status.
  if (!isHttp2(response)) res.statusMessage = '';
  if (text === undefined) {
    res.end();
    return;
  }
  res.setHeader('Content-Type', contentType);
  // Node sets no length after one was removed.
  setLength(response, Buffer.byteLength(text));
  res.end(text);
}
