import { type Fields, type FieldsInit, readFields } from '../internal/http/headers.ts';
import { type OptionNames, readInteger, readOptions, readSignal, type Resolved } from '../internal/option.ts';

/** Options of `pipeBody`. */
export interface BodyOptions {
  /** The status, 200 to 599. @defaultValue the status of a `Response` source, else `res.statusCode` */
  status?: number | undefined;
  /**
   * Response headers to set, over those of a `Response` or `Blob` source and over those set on `res`.
   * @defaultValue none
   */
  headers?: FieldsInit | undefined;
  /**
   * Stops the body: the source is cancelled and `pipeBody` rejects with `signal.reason`. If the body has begun, the
   * connection is cut.
   * @defaultValue none
   */
  signal?: AbortSignal | undefined;
}

export type ResolvedBodyOptions = Resolved<BodyOptions, 'status' | 'signal'> & { readonly headers: Fields };

const names: OptionNames<BodyOptions> = { status: true, headers: true, signal: true };

/** Checks the options. Throws `InvalidOptionError`. */
export function resolveBodyOptions(options: BodyOptions | undefined): ResolvedBodyOptions {
  const { status, headers, signal } = readOptions('pipeBody', options, names);
  return {
    status: status === undefined ? undefined : readInteger('pipeBody.status', status, { min: 200, max: 599 }),
    headers: readFields('pipeBody.headers', headers),
    signal: readSignal('pipeBody.signal', signal),
  };
}
