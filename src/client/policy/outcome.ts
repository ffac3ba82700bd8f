import type { ClientError } from '../client-error.ts';

/** How one request ended. */
export type Outcome =
  /** The server said that there is no more: 204, or the id of `stop()`. */
  | { readonly kind: 'stopped' }
  /** The body is complete. `isPartial`: in the middle of an event, as when compression cuts it. */
  | { readonly kind: 'ended'; readonly isPartial: boolean }
  /** No response, one that may be better later, or a body that broke off. `after`: the server's `Retry-After`. */
  | { readonly kind: 'lost'; readonly error: ClientError; readonly after?: number | undefined }
  /** Another try gives the same. */
  | { readonly kind: 'failed'; readonly error: ClientError };
