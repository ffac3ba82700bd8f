/**
 * What went wrong. Stable: match on it.
 *
 * - `ERR_SLUICE_CLIENT_OPTION_INVALID`: an option is unknown, or has a wrong value; thrown by `connect`
 * - `ERR_SLUICE_CLIENT_UNREACHABLE`: there was no response
 * - `ERR_SLUICE_CLIENT_REFUSED`: the response has a status that opens no stream; `status` has it
 * - `ERR_SLUICE_CLIENT_CONTENT_TYPE`: the response is no event stream
 * - `ERR_SLUICE_CLIENT_DISCONNECTED`: the stream broke off, or ended before the server said so
 * - `ERR_SLUICE_CLIENT_SILENT`: nothing came for 2.5 heartbeats
 * - `ERR_SLUICE_CLIENT_EVENT_TOO_LARGE`: an event is longer than `maxBufferSize`
 */
export type ClientErrorCode =
  | 'ERR_SLUICE_CLIENT_OPTION_INVALID'
  | 'ERR_SLUICE_CLIENT_UNREACHABLE'
  | 'ERR_SLUICE_CLIENT_REFUSED'
  | 'ERR_SLUICE_CLIENT_CONTENT_TYPE'
  | 'ERR_SLUICE_CLIENT_DISCONNECTED'
  | 'ERR_SLUICE_CLIENT_SILENT'
  | 'ERR_SLUICE_CLIENT_EVENT_TOO_LARGE';

/**
 * The error of `sluice/client`. It is no `SluiceError`: browsers get a module of their own, which shares no class with
 * the server. Match on `code`.
 */
export class ClientError extends Error {
  // Not that of the constructor, which bundlers shorten.
  /** The name of the class. */
  override readonly name = 'ClientError';
  /** What went wrong. */
  readonly code: ClientErrorCode;
  /** The status of a response that opened no stream; else `undefined`. */
  readonly status: number | undefined;

  constructor(code: ClientErrorCode, message: string, options?: { status?: number; cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.status = options?.status;
  }
}
