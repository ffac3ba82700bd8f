import {
  BackplaneUnavailableError,
  ChannelClosedError,
  ChannelEndedError,
  ProducerFencedError,
  RunCancelledError,
} from './errors/channel-errors.ts';
import { CodecFailedError, CodecUnavailableError } from './errors/codec-errors.ts';
import { InvalidOptionError } from './errors/invalid-option-error.ts';
import { MissingPeerError } from './errors/missing-peer-error.ts';
import {
  BodyConsumedError,
  UnproxiableRequestError,
  UpstreamTimeoutError,
  UpstreamUnreachableError,
} from './errors/proxy-errors.ts';
import { SluiceError } from './errors/sluice-error.ts';

export {
  BackplaneUnavailableError,
  ChannelClosedError,
  ChannelEndedError,
  ProducerFencedError,
  RunCancelledError,
} from './errors/channel-errors.ts';
export { CodecFailedError, CodecUnavailableError } from './errors/codec-errors.ts';
export { InvalidOptionError } from './errors/invalid-option-error.ts';
export { MissingPeerError } from './errors/missing-peer-error.ts';
export {
  BodyConsumedError,
  ProxyError,
  UnproxiableRequestError,
  UpstreamTimeoutError,
  UpstreamUnreachableError,
} from './errors/proxy-errors.ts';
export { SluiceError } from './errors/sluice-error.ts';

/**
 * Why a stream is closed.
 *
 * - `ended`: the server finished it (`end`, `stop`, the handler returned, a refusal)
 * - `client-closed`: the client went away first
 * - `deadline`: its deadline passed
 * - `idle`: nothing moved, or was produced, for too long
 * - `draining`: the client was told to come back (`reconnect`), usually to another process
 * - `slow-consumer`: the client read so slowly that more than `maxBuffered` waited, or took nothing of what waited
 * - `heartbeat-timeout`: the peer gave no sign of life, though it was asked
 * - `error`: the handler, its source or the connection failed
 */
export type CloseReason =
  'ended' | 'client-closed' | 'deadline' | 'idle' | 'draining' | 'slow-consumer' | 'heartbeat-timeout' | 'error';

/**
 * An event cannot be framed: a line break or NUL in `event` or `id`, a bad `retry`, data that JSON cannot hold. Nothing
 * was written.
 */
export class InvalidEventError extends SluiceError {
  override readonly code = 'ERR_SLUICE_EVENT_INVALID';
  /** The field at fault, or `event` for the object as a whole. */
  readonly field: string;

  constructor(field: string, expected: string, options?: { cause?: unknown }) {
    super(`Event field \`${field}\` ${expected}`, options);
    this.field = field;
  }
}

/** A record cannot be written as JSON: `undefined`, a function, a BigInt, a cycle. Nothing was written. */
export class InvalidRecordError extends SluiceError {
  override readonly code = 'ERR_SLUICE_RECORD_INVALID';
}

/** `pipe` or `pipeBody` was given something that is not a source, or a source that has a reader already. */
export class InvalidSourceError extends SluiceError {
  override readonly code = 'ERR_SLUICE_SOURCE_INVALID';
}

/**
 * A source for a body produced something that is neither a string nor bytes, or `HeartbeatParser.push` was given
 * anything but bytes.
 */
export class InvalidChunkError extends SluiceError {
  override readonly code = 'ERR_SLUICE_BODY_CHUNK_INVALID';
}

/** A source produced more or fewer bytes than the response's `Content-Length` promised. */
export class BodyLengthError extends SluiceError {
  override readonly code = 'ERR_SLUICE_BODY_LENGTH_MISMATCH';
  /** Bytes announced in `Content-Length`. */
  readonly expected: number;
  /** Bytes that came; where there were too many, up to and including the chunk that was one too many. */
  readonly received: number;

  constructor(expected: number, received: number) {
    super(`The source gave ${received} bytes for a Content-Length of ${expected}`);
    this.expected = expected;
    this.received = received;
  }
}

/** A stream was opened on a response whose head is already sent, or that already carries a stream. */
export class ResponseStartedError extends SluiceError {
  override readonly code = 'ERR_SLUICE_RESPONSE_STARTED';
}

/**
 * The stream is closed. `send` and its siblings reject with this class and `reason`; `cause` is the
 * `reason` of the stream's signal, one of the subclasses below, one for each close reason.
 */
export class StreamClosedError extends SluiceError {
  override readonly code: string = 'ERR_SLUICE_STREAM_CLOSED';
  /** Why it is closed. */
  readonly reason: CloseReason;
  /**
   * Of what `send` and its siblings reject with: the `reason` of the stream's signal, so that `error.cause.code` tells
   * the reasons apart. Of a `StreamFailedError`: what went wrong. Else there may be none.
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what went wrong may be anything
  declare readonly cause?: any;

  constructor(reason: CloseReason, message = `The stream is closed: ${reason}`, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}

/** Close reason `ended`. */
export class StreamEndedError extends StreamClosedError {
  override readonly code = 'ERR_SLUICE_STREAM_ENDED';

  constructor(options?: { cause?: unknown }) {
    super('ended', 'The server ended the stream', options);
  }
}

/** Close reason `client-closed`: a normal outcome, not a failure. */
export class ClientClosedError extends StreamClosedError {
  override readonly code = 'ERR_SLUICE_CLIENT_CLOSED';

  constructor(options?: { cause?: unknown }) {
    super('client-closed', 'The client closed the connection', options);
  }
}

/** Close reason `deadline`; also what `waitWritable` rejects with when its deadline passes. */
export class DeadlineExceededError extends StreamClosedError {
  override readonly code = 'ERR_SLUICE_DEADLINE_EXCEEDED';

  constructor(options?: { cause?: unknown }) {
    super('deadline', 'The deadline passed', options);
  }
}

/** Close reason `idle`. */
export class IdleTimeoutError extends StreamClosedError {
  override readonly code = 'ERR_SLUICE_IDLE_TIMEOUT';

  constructor(options?: { cause?: unknown }) {
    super('idle', 'The stream was idle for too long', options);
  }
}

/** Close reason `draining`: the client was told to reconnect. */
export class DrainingError extends StreamClosedError {
  override readonly code = 'ERR_SLUICE_DRAINING';

  constructor(options?: { cause?: unknown }) {
    super('draining', 'The client was asked to reconnect', options);
  }
}

/**
 * Close reason `draining`: the registry of `heartbeat` had no room for the stream, and its client was told to come back
 * later. Nothing that the handler wrote was sent.
 */
export class StreamRefusedError extends StreamClosedError {
  override readonly code = 'ERR_SLUICE_STREAM_REFUSED';
  /** The limit that was reached: `maxConnections` or `maxPerClient`. */
  readonly limit: 'total' | 'client';

  constructor(limit: 'total' | 'client', options?: { cause?: unknown }) {
    super('draining', 'The stream was refused: too many are open', options);
    this.limit = limit;
  }
}

/**
 * Close reason `slow-consumer`: more than `maxBuffered` bytes waited for a client that does not read, or it took
 * nothing for too long.
 */
export class SlowConsumerError extends StreamClosedError {
  override readonly code = 'ERR_SLUICE_SLOW_CONSUMER';

  constructor(options?: { cause?: unknown }) {
    super('slow-consumer', 'The client reads too slowly', options);
  }
}

/** Close reason `heartbeat-timeout`: the peer gave no sign of life. */
export class HeartbeatTimeoutError extends StreamClosedError {
  override readonly code = 'ERR_SLUICE_HEARTBEAT_TIMEOUT';

  constructor(options?: { cause?: unknown }) {
    super('heartbeat-timeout', 'The peer stopped answering', options);
  }
}

/** Close reason `error`; `cause` is what went wrong. */
export class StreamFailedError extends StreamClosedError {
  override readonly code = 'ERR_SLUICE_STREAM_FAILED';

  constructor(options?: { cause?: unknown }) {
    super('error', 'The stream failed', options);
  }
}

/** Any of the library's error classes; for the table below. */
export type SluiceErrorClass = (abstract new (...args: never[]) => SluiceError) & { readonly name: string };

/** The one table of codes; `docs/errors.md` is compared with it, both ways, by a test. */
export const errorClasses: Readonly<Record<string, SluiceErrorClass>> = {
  ERR_SLUICE_OPTION_INVALID: InvalidOptionError,
  ERR_SLUICE_EVENT_INVALID: InvalidEventError,
  ERR_SLUICE_RECORD_INVALID: InvalidRecordError,
  ERR_SLUICE_SOURCE_INVALID: InvalidSourceError,
  ERR_SLUICE_BODY_CHUNK_INVALID: InvalidChunkError,
  ERR_SLUICE_BODY_LENGTH_MISMATCH: BodyLengthError,
  ERR_SLUICE_CODEC_UNAVAILABLE: CodecUnavailableError,
  ERR_SLUICE_CODEC_FAILED: CodecFailedError,
  ERR_SLUICE_RESPONSE_STARTED: ResponseStartedError,
  ERR_SLUICE_STREAM_CLOSED: StreamClosedError,
  ERR_SLUICE_STREAM_ENDED: StreamEndedError,
  ERR_SLUICE_CLIENT_CLOSED: ClientClosedError,
  ERR_SLUICE_DEADLINE_EXCEEDED: DeadlineExceededError,
  ERR_SLUICE_IDLE_TIMEOUT: IdleTimeoutError,
  ERR_SLUICE_DRAINING: DrainingError,
  ERR_SLUICE_STREAM_REFUSED: StreamRefusedError,
  ERR_SLUICE_SLOW_CONSUMER: SlowConsumerError,
  ERR_SLUICE_HEARTBEAT_TIMEOUT: HeartbeatTimeoutError,
  ERR_SLUICE_STREAM_FAILED: StreamFailedError,
  ERR_SLUICE_PEER_MISSING: MissingPeerError,
  ERR_SLUICE_CHANNEL_ENDED: ChannelEndedError,
  ERR_SLUICE_CHANNEL_CLOSED: ChannelClosedError,
  ERR_SLUICE_PRODUCER_FENCED: ProducerFencedError,
  ERR_SLUICE_BACKPLANE_UNAVAILABLE: BackplaneUnavailableError,
  ERR_SLUICE_RUN_CANCELLED: RunCancelledError,
  ERR_SLUICE_PROXY_UPSTREAM_UNREACHABLE: UpstreamUnreachableError,
  ERR_SLUICE_PROXY_UPSTREAM_TIMEOUT: UpstreamTimeoutError,
  ERR_SLUICE_PROXY_REQUEST_REFUSED: UnproxiableRequestError,
  ERR_SLUICE_PROXY_BODY_CONSUMED: BodyConsumedError,
};

const byReason: Readonly<Record<CloseReason, new (options?: { cause?: unknown }) => StreamClosedError>> = {
  ended: StreamEndedError,
  'client-closed': ClientClosedError,
  deadline: DeadlineExceededError,
  idle: IdleTimeoutError,
  draining: DrainingError,
  'slow-consumer': SlowConsumerError,
  'heartbeat-timeout': HeartbeatTimeoutError,
  error: StreamFailedError,
};

/** The error that stands for a close reason on `signal.reason`; `cause` is kept when there is one. */
export function closeError(reason: CloseReason, cause?: unknown): StreamClosedError {
  if (cause instanceof StreamClosedError && cause.reason === reason) return cause;
  return new byReason[reason](cause === undefined ? undefined : { cause });
}
