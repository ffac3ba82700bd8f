import { InvalidOptionError } from '../errors.ts';
import { type Fields, readFields } from '../internal/http/headers.ts';
import { readBag, readInteger } from '../internal/option.ts';

/** Options of `pipeBody`. */
export interface BodyOptions {
  /**
   * The status. Unset: that of a `Response` source, else what `res.statusCode` says. 200 to 599.
   */
  status?: number;
  /** Response fields to set, over those of a `Response` or `Blob` source and over what is set on `res`. */
  headers?: Fields;
  /**
   * Stops the body: the source is cancelled and `pipeBody` rejects with `signal.reason`; a body that has begun is cut
   * off.
   */
  signal?: AbortSignal;
}

/** `BodyOptions`, checked. */
export interface ResolvedBodyOptions {
  readonly status: number | undefined;
  readonly headers: Fields;
  readonly signal: AbortSignal | undefined;
}

/** Checks. Throws `InvalidOptionError`. */
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

/** By its shape: under Jest with jsdom the global class is another one than Node's. */
function isAbortSignal(value: unknown): value is AbortSignal {
  return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value;
}
