import { SluiceError } from './sluice-error.ts';

/** Base of the errors with which `proxy` answers a request that it could not pass on, or not finish. */
export abstract class ProxyError extends SluiceError {
  /** The status of the answer. Express reads it too. */
  abstract readonly status: number;
  /** The origin of the upstream; `undefined`: none was chosen. */
  readonly upstream: string | undefined;

  constructor(message: string, upstream: string | undefined, options?: { cause?: unknown }) {
    super(message, options);
    this.upstream = upstream;
  }
}

/** The upstream could not be reached, or broke off before or in its answer. `cause` is the error of the connection. */
export class UpstreamUnreachableError extends ProxyError {
  override readonly code = 'ERR_SLUICE_PROXY_UPSTREAM_UNREACHABLE';
  override readonly status = 502;

  constructor(upstream: string | undefined, options?: { cause?: unknown }) {
    super(`The upstream ${upstream ?? ''} could not be reached, or broke off${reasonOf(options)}`, upstream, options);
  }
}

/** The upstream took too long: to connect, to send its headers, or between two chunks of its body. */
export class UpstreamTimeoutError extends ProxyError {
  override readonly code = 'ERR_SLUICE_PROXY_UPSTREAM_TIMEOUT';
  override readonly status = 504;
  /** The clock that ran out. */
  readonly clock: 'connect' | 'head' | 'idle';

  constructor(upstream: string | undefined, clock: 'connect' | 'head' | 'idle', options?: { cause?: unknown }) {
    super(`The upstream ${upstream ?? ''} took too long (${clock})`, upstream, options);
    this.clock = clock;
  }
}

/** The request cannot be passed on: two servers could read it in two ways, or its target is none. */
export class UnproxiableRequestError extends ProxyError {
  override readonly code = 'ERR_SLUICE_PROXY_REQUEST_REFUSED';
  override readonly status = 400;

  constructor(why: string, options?: { cause?: unknown }) {
    super(`The request cannot be passed on: ${why}`, undefined, options);
  }
}

/** A body parser has read the body of the request, and it cannot be written again. Mount `proxy` before the parser. */
export class BodyConsumedError extends ProxyError {
  override readonly code = 'ERR_SLUICE_PROXY_BODY_CONSUMED';
  override readonly status = 500;

  constructor() {
    super('The body of the request was already read: mount `proxy` before the body parser', undefined);
  }
}

/** The short form of a cause, so that a log without causes says what is wrong too: `ECONNREFUSED`. */
function reasonOf(options: { cause?: unknown } | undefined): string {
  const { cause } = options ?? {};
  if (!(cause instanceof Error)) return '';
  const { code } = cause as { code?: unknown };
  return `: ${typeof code === 'string' ? code : cause.message}`;
}
