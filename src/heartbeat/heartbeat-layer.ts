import type { AsyncResource } from 'node:async_hooks';
import { type CloseReason, closeError, type StreamClosedError } from '../errors.ts';
import { captureScope } from '../internal/context/async-scope.ts';
import { abortRequest } from '../internal/context/request-context.ts';
import { BomFilter } from '../internal/format/bom.ts';
import type { BoundaryTracker } from '../internal/format/boundary.ts';
import { formatRetryHint } from '../internal/format/event-stream.ts';
import type { MonitoredConnection } from '../internal/health/connection.ts';
import { full, written } from '../internal/health/policy/note.ts';
import { isLateness, longMove, shortMove } from '../internal/health/transport.ts';
import { type HttpRequest, isGone, requestField } from '../internal/http/message.ts';
import { abortResponse, closeUnterminated } from '../internal/seam/closing.ts';
import {
  type Chunk,
  type Departure,
  type LayerKind,
  type Rank,
  rank,
  type WriteCallback,
} from '../internal/seam/layer.ts';
import type { Seam } from '../internal/seam/response.ts';
import { retryDelay } from '../internal/time/clock.ts';
import { HeartbeatPort } from '../internal/writer/shared-heartbeats.ts';
import { type OutStream, streamOf } from '../internal/writer/stream.ts';
import type { ResolvedHeartbeatOptions } from './options.ts';
import type { HeartbeatFormat } from './policy/injection.ts';
import { Resumption } from './policy/resumption.ts';
import { type HeartbeatWriter, ResponseTransport } from './response-transport.ts';

/** What a heartbeat layer is made of. */
export interface HeartbeatLayerInput {
  readonly seam: Seam;
  readonly req: HttpRequest;
  readonly format: HeartbeatFormat;
  readonly options: ResolvedHeartbeatOptions;
}

/** How the client is sent away. */
interface Farewell {
  /** The request is aborted with it. */
  error: StreamClosedError;
  /** How long the client may take for what waits, in ms. */
  linger: number;
  /** Whether the last complete message and the retry hint were written. */
  isTold: boolean;
}

/**
 * Writes heartbeats into one response, and sends its client away. Follows what the handler writes: a heartbeat is
 * written after a silence, if nothing waits and no message is half written.
 *
 *     handler ──write──▶ boundary ──────────▶ below ──▶ compress ──▶ socket
 *                                      ▲
 *     timer ──ask──▶ at a boundary? ───┘ heartbeat, flush
 *
 *     open ──depart──▶ leaving ──boundary──▶ left ──▶ ended
 *       ├──────────────────cut──────────────▶ left      ▲
 *       └──end, close───────────────────────────────────┘
 */
export class HeartbeatLayer extends HeartbeatPort implements HeartbeatWriter {
  override readonly rank: Rank = rank.heartbeat;
  override readonly kind: LayerKind = 'injector';
  override readonly options: ResolvedHeartbeatOptions;
  override readonly format: HeartbeatFormat;
  readonly #transport: ResponseTransport;
  readonly #boundary: BoundaryTracker;
  /** The stream of this library that writes the response, if there is one. */
  readonly stream: OutStream | undefined;
  /** The async context of the code that sent the head. A stream has its own. */
  readonly #scope: AsyncResource | undefined;
  /** Of an event stream that is not made by this library. */
  readonly #resumption: Resumption | undefined;
  #connection!: MonitoredConnection;
  #state: 'open' | 'leaving' | 'left' | 'ended' = 'open';
  #farewell: Farewell | undefined;
  /** Once a heartbeat was written before the first byte of the handler. */
  #bom: BomFilter | undefined;
  #hasWritten = false;

  constructor({ seam, req, format, options }: HeartbeatLayerInput) {
    super();
    this.options = options;
    this.format = format;
    this.#transport = new ResponseTransport(this, req, seam.res);
    this.#boundary = format.makeBoundary();
    this.stream = streamOf(seam.res);
    this.#scope = this.stream ? undefined : captureScope();
    if (format.isEventStream && !this.stream) {
      const lastEventId = requestField(req, 'last-event-id');
      this.#resumption = new Resumption(options.drain, { method: req.method, lastEventId });
    }
    if (options.idleProducer !== Infinity) this.#transport.noteProduced(options.registry.now());
  }

  get isEnding(): boolean {
    return this.#state === 'ended';
  }

  override get departure(): Departure | undefined {
    const resumption = this.#resumption;
    return (
      resumption && {
        finiteBecause: () => (this.#farewell?.isTold === false ? 'half-event' : resumption.finiteBecause()),
        leave: () => {
          this.#depart('draining', undefined, longMove);
          return Promise.resolve();
        },
      }
    );
  }

  /** Begins to watch the response. */
  begin(): void {
    const { registry } = this.options;
    this.#connection = registry.add(this.#transport, this.options, this.#transport.socket);
    this.#transport.watchSession(this.options);
  }

  /** The head was refused: it was no stream. */
  withdraw(): void {
    this.#transport.forgetSession();
    this.#connection.release();
  }

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    if (this.#state === 'left') {
      refuse(callback, this.#farewell);
      return false;
    }
    const now = this.options.registry.now();
    // The option is rare, and each event of each stream would pay for it.
    if (this.options.idleProducer !== Infinity) this.#transport.noteProduced(now);
    const ok = this.#pass(chunk, encoding, callback);
    this.#noteSent(now);
    if (!ok) this.#connection.note(full, now);
    if (this.#state === 'leaving' && this.#boundary.atBoundary) this.#leave();
    return ok;
  }

  override pass(segment: Uint8Array): boolean {
    // It begins and ends between messages. So it changes nothing where one is not half written.
    if (this.#state !== 'open' || this.#resumption || !this.#boundary.atBoundary) return false;
    if ((this.#bom && !this.#bom.done) || !this.below.pass(segment)) return false;
    const now = this.options.registry.now();
    if (this.options.idleProducer !== Infinity) this.#transport.noteProduced(now);
    this.#hasWritten = true;
    this.#noteSent(now);
    return true;
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    if (this.#state === 'left') {
      refuse(callback, this.#farewell);
      return;
    }
    this.#state = 'ended';
    if (!this.#bom || this.#bom.done) this.below.end(chunk, encoding, callback);
    else this.below.end(lastBytes(this.#bom, chunk, encoding), undefined, callback);
  }

  override close(): void {
    const { req, res } = this.#transport;
    const error = this.#farewell?.error;
    const reason = this.stream?.closedError?.reason ?? error?.reason ?? (res.writableEnded ? 'ended' : 'client-closed');
    this.#state = 'ended';
    this.#transport.forgetSession();
    this.#connection.noteClosed(reason);
    // Before others hear of the close, and take it for the client's.
    if (error && !res.writableEnded) abortRequest(req, error);
  }

  sendHeartbeat(now: number): boolean {
    if (!this.#canSend()) return false;
    return this.stream?.heartbeats?.send(this, now) === true || this.take(this.format.heartbeat, now);
  }

  override take(heartbeat: Chunk, since: number): boolean {
    const { sentAt, wait } = this.#connection.liveness;
    if (sentAt >= since || wait || !this.#canSend()) return false;
    if (!this.#hasWritten && this.format.isEventStream) this.#bom ??= new BomFilter();
    if (typeof heartbeat === 'string' || !this.below.pass(heartbeat))
      this.#inScope(() => {
        this.below.write(heartbeat, undefined, undefined);
        this.below.flush(undefined);
      });
    this.options.registry.counters.heartbeats += 1;
    this.#noteSent(this.options.registry.now());
    return true;
  }

  move(reason: CloseReason, cause: Error | undefined): void {
    this.#setReason(reason, cause);
    if (isLateness(reason) && (this.#state === 'ended' || this.#transport.queued() > 0)) this.cut(reason, cause);
    else if (this.stream) void this.stream.leave(reason, { cause, last: retryHint(this.format, this.options) });
    else this.#depart(reason, cause, shortMove);
  }

  /** The session of the response sends its clients away. */
  evict(reason: CloseReason): void {
    this.#connection.evict(reason);
  }

  cut(reason: CloseReason, cause?: Error): void {
    const { req, res } = this.#transport;
    this.#state = 'left';
    if (!this.#farewell) this.#setReason(reason, cause);
    this.#inScope(() => {
      if (this.stream) this.stream.abort(reason, cause);
      else abortRequest(req, closeError(reason, cause));
      abortResponse(res);
    });
  }

  /** Calls a function in the async context of the handler. The timer has none, and an evicting request has its own. */
  #inScope(call: () => void): void {
    if (this.stream) this.stream.inScope(call);
    else this.#scope?.runInAsyncScope(call);
  }

  #setReason(reason: CloseReason, cause: Error | undefined): Farewell {
    const error = closeError(reason, cause);
    const farewell = (this.#farewell ??= { error, linger: shortMove, isTold: false });
    farewell.error = error;
    return farewell;
  }

  /** Sends the client away, now or at the end of the message that is half written. */
  #depart(reason: CloseReason, cause: Error | undefined, linger: number): void {
    if (this.#farewell && linger > this.#farewell.linger) this.#farewell.linger = linger;
    if (this.#state !== 'open') return;
    this.#setReason(reason, cause).linger = linger;
    this.#state = 'leaving';
    if (this.#boundary.atBoundary) this.#inScope(() => this.#leave());
  }

  /** The client misses nothing that is written after this: where it reconnects, it gets that again. */
  #leave(): void {
    const { req, res } = this.#transport;
    const farewell = this.#farewell ?? this.#setReason('draining', undefined);
    farewell.isTold = true;
    const last = retryHint(this.format, this.options);
    if (last !== '') {
      this.below.write(last, undefined, undefined);
      this.below.flush(undefined);
    }
    this.#state = 'left';
    // For these two, `deadline` would cut what is still to be sent. It hears of it at the close.
    const { reason } = farewell.error;
    if (reason !== 'idle' && reason !== 'deadline') abortRequest(req, farewell.error);
    closeUnterminated(res, farewell.linger);
  }

  #pass(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    const isText = typeof chunk === 'string' && (encoding === undefined || encoding === 'utf8' || encoding === 'utf-8');
    const bytes = isText || typeof chunk !== 'string' ? chunk : Buffer.from(chunk, encoding);
    this.#boundary.push(bytes);
    this.#resumption?.push(bytes);
    if (bytes.length > 0) this.#hasWritten = true;
    return this.#bom && !this.#bom.done
      ? this.below.write(this.#bom.filter(bytes), undefined, callback)
      : this.below.write(chunk, encoding, callback);
  }

  #noteSent(now: number): void {
    this.#connection.note(written, now);
    this.#transport.noteSent(now);
  }

  #canSend(): boolean {
    const { res, socket } = this.#transport;
    if (this.#state !== 'open' || isGone(res) || res.writableEnded) return false;
    if (!this.#boundary.atBoundary || this.#transport.queued() > 0) return false;
    // A pipelined response waits for its turn, and a stream that is closing waits until nothing is written any more.
    return (!socket || res.socket !== null) && (this.stream?.state ?? 'open') === 'open';
  }
}

/** Calls back with the error that a write gets after the client was sent away. */
function refuse(callback: WriteCallback | undefined, farewell: Farewell | undefined): void {
  if (callback) process.nextTick(callback, closeError(farewell?.error.reason ?? 'draining'));
}

function retryHint(format: HeartbeatFormat, { reconnectDelay, comments }: ResolvedHeartbeatOptions): string {
  if (!format.isEventStream) return '';
  return formatRetryHint(retryDelay(reconnectDelay), comments);
}

/** The last bytes of a body: those that the filter held back, and the chunk without a BOM. */
function lastBytes(bom: BomFilter, chunk: Chunk | undefined, encoding: BufferEncoding | undefined): Uint8Array {
  const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : (chunk ?? new Uint8Array());
  const last = bom.filter(bytes) as Uint8Array;
  return Buffer.concat([bom.flush(), last]);
}
