import { SluiceError } from './sluice-error.ts';

/** The channel has ended: nothing is published after its last event. */
export class ChannelEndedError extends SluiceError {
  override readonly code = 'ERR_SLUICE_CHANNEL_ENDED';
  /** The name of the channel. */
  readonly channel: string;

  constructor(channel: string, options?: { cause?: unknown }) {
    super(`The channel \`${channel}\` has ended`, options);
    this.channel = channel;
  }
}

/** The channel is closed in this process: `close` was called. */
export class ChannelClosedError extends SluiceError {
  override readonly code = 'ERR_SLUICE_CHANNEL_CLOSED';
  /** The status with which Express answers: another process may have the channel. */
  readonly status = 503;
  /** The same for Fastify and others. */
  readonly statusCode = 503;
  /** The name of the channel. */
  readonly channel: string;

  constructor(channel: string, options?: { cause?: unknown }) {
    super(`The channel \`${channel}\` is closed`, options);
    this.channel = channel;
  }
}

/** Another process is the producer of the channel now: what this one would append is not appended. */
export class ProducerFencedError extends SluiceError {
  override readonly code = 'ERR_SLUICE_PRODUCER_FENCED';
  /** The name of the channel. */
  readonly channel: string;

  constructor(channel: string, options?: { cause?: unknown }) {
    super(`Another producer has the channel \`${channel}\` now`, options);
    this.channel = channel;
  }
}

/**
 * The backplane of the channel could not be reached, or refused. `cause` says why. If only the answer was lost, the
 * event is in the log all the same: publish it again with the same `idempotencyKey`.
 */
export class BackplaneUnavailableError extends SluiceError {
  override readonly code = 'ERR_SLUICE_BACKPLANE_UNAVAILABLE';
  /** The status with which Express answers. */
  readonly status = 503;
  /** The same for Fastify and others. */
  readonly statusCode = 503;
  /** The name of the channel. */
  readonly channel: string;

  constructor(channel: string, options?: { cause?: unknown }) {
    super(`The backplane of the channel \`${channel}\` is not available: ${messageOf(options?.cause)}`, options);
    this.channel = channel;
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** Why an answer of `resumable` was cancelled: `signal.reason` of its run. */
export class RunCancelledError extends SluiceError {
  override readonly code = 'ERR_SLUICE_RUN_CANCELLED';
  /** `requested`: by `cancel`. `disconnected`: no client was left, and `onDisconnect` says so. */
  readonly reason: 'requested' | 'disconnected';

  constructor(reason: 'requested' | 'disconnected', options?: { cause?: unknown }) {
    super(reason === 'requested' ? 'The answer was cancelled' : 'No client was left to read the answer', options);
    this.reason = reason;
  }
}
