import type { Seam } from '../internal/response.ts';
import { reportCompressError } from './report.ts';

/** Ends a response whose encoder failed: it is cut, since a body that cannot go on must not look complete. */
export function failResponse(seam: Seam, error: unknown): void {
  reportCompressError(error, seam.res.req);
  seam.abort(error);
}
