import type { ServerResponse } from 'node:http';
import { hasField, setFields } from '../http/headers.ts';
import type { Seam } from '../seam/response.ts';
import type { ResolvedStreamOptions } from './options.ts';

/** What one kind of stream sends before its first item. */
export interface StreamHead {
  readonly contentType: string;
  /** First bytes of the body, sent with the head; `''` for none. */
  readonly prelude: string;
}

/** Sets the header fields of a stream on its response. May throw: `res` may be patched. */
export function setStreamHead(seam: Seam, head: StreamHead, { headers, directChunks }: ResolvedStreamOptions): void {
  const res = seam.res as ServerResponse;
  res.setHeader('Content-Type', head.contentType);
  if (!res.hasHeader('X-Accel-Buffering')) res.setHeader('X-Accel-Buffering', 'no');
  if (!res.hasHeader('Cache-Control') && !hasField(headers, 'cache-control')) {
    res.setHeader('Cache-Control', 'no-cache, no-transform');
    seam.noTransformByWriter = true;
  }
  setFields(res, headers);
  // A middleware may have set the length of another body.
  res.removeHeader('Content-Length');
  if (directChunks) seam.bottom.writeDirectly();
}
