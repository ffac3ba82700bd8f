import type { ServerResponse } from 'node:http';
import { setLength } from '../seam/head.ts';
import { type HttpResponse, isHttp2 } from '../http/message.ts';

/** An answer of the library, in place of what the handler would have sent. */
export interface Answer {
  readonly status: number;
  /** The body; none without it. */
  readonly text?: string;
  /** @defaultValue plain text */
  readonly contentType?: string;
}

// What describes the representation that is not sent, how long caches may keep it, and what makes nginx or Apache send
// something else. Others, such as those of CORS, are the answer's too.
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
  // RFC 9213: those of one kind of cache, such as `CDN-Cache-Control`.
  return representationFields.has(name) || name.endsWith('cache-control');
}

/** Takes off what was set for the representation that will not be sent. */
export function dropRepresentation(response: HttpResponse): void {
  const res = response as ServerResponse;
  for (const name of res.getHeaderNames()) if (describesRepresentation(name)) res.removeHeader(name);
}

/**
 * The same, and no cache keeps what is sent in its place: there are statuses that caches keep by default, 204 for one
 * (RFC 9110 15.1).
 */
export function forbidCaching(res: HttpResponse): void {
  dropRepresentation(res);
  (res as ServerResponse).setHeader('Cache-Control', 'no-store');
}

/** Answers a request whose head is not sent, and no other request. */
export function answer(response: HttpResponse, given: Answer): void {
  const { status, text, contentType = 'text/plain; charset=utf-8' } = given;
  const res = response as ServerResponse;
  forbidCaching(res);
  res.statusCode = status;
  // The text that goes with another status.
  if (!isHttp2(response)) res.statusMessage = '';
  if (text === undefined) {
    res.end();
    return;
  }
  res.setHeader('Content-Type', contentType);
  // Where the handler's was removed, Node sets none.
  setLength(response, Buffer.byteLength(text));
  res.end(text);
}
