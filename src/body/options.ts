import { InvalidOptionError } from '../errors.ts';
import { type Fields, readFields } from '../internal/http/headers.ts';
import { readBag, readInteger, type Resolved } from '../internal/option.ts';

/** Options of `pipeBody`. */
export interface BodyOptions {
  /** The status, 200 to 599. Default: the status of a `Response` source, else `res.statusCode`. */
  status?: number;
  /** Response headers to set, over those of a `Response` or `Blob` source and over those set on `res`. */
  headers?: Fields;
  /**
   * Stops the body: the source is cancelled and `pipeBody` rejects with `signal.reason`. If the body has begun, the
   * connection is cut.
   */
  signal?: AbortSignal;
}

export type ResolvedBodyOptions = Resolved<BodyOptions, 'status' | 'signal'>;

/** Checks the options. Throws `InvalidOptionError`. */
export function resolveBodyOptions(options: BodyOptions | undefined): ResolvedBodyOptions {
  const { status, headers, signal } = readBag('pipeBody', options);
  if (signal !== undefined && !isAbortSignal(signal))
    throw new InvalidOptionError('pipeBody.signal', 'an AbortSignal', signal);
  return {
    status: status === undefined ? undefined : readInteger('pipeBody.status', status, { min: 200, max: 599 }),
    headers: readFields('pipeBody.headers', headers),
    signal,
  };
}

/** By its shape: under Jest with jsdom the global class is not Node's. */
function isAbortSignal(value: unknown): value is AbortSignal {
  return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value;
}
