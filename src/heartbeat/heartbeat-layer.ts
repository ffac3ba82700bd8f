import type { AsyncResource } from 'node:async_hooks';
import type { Http2ServerResponse } from 'node:http2';
import { Socket } from 'node:net';
import { type CloseReason, closeError, type StreamClosedError } from '../errors.ts';
import {
  type Chunk,
  type Departure,
  type FiniteReason,
  Layer,
  type LayerKind,
  type Rank,
  rank,
  type WriteCallback,
} from '../internal/seam/layer.ts';
import { captureScope } from '../internal/context/async-scope.ts';
import { jittered } from '../internal/time/clock.ts';
import {
  type HttpRequest,
  type HttpResponse,
  isGone,
  isHttp2,
  requestField,
  requestPath,
} from '../internal/http/message.ts';
import { abortResponse, closeUnterminated } from '../internal/seam/closing.ts';
import { abortRequest } from '../internal/context/request-context.ts';
import type { Seam } from '../internal/seam/response.ts';
import { type OutStream, streamOf } from '../internal/writer/stream.ts';
import { formatRetryHint } from '../internal/format/event-stream.ts';
import { writtenBytes } from '../internal/health/ack-probe.ts';
import { BomFilter } from '../internal/format/bom.ts';
import type { BoundaryTracker } from '../internal/format/boundary.ts';
import { type SessionWatch, watchSession } from './watch-http2.ts';
import type { Carrier } from './policy/injection.ts';
import type { ResolvedHeartbeatOptions } from './options.ts';
import type { MonitoredConnection } from '../internal/health/connection.ts';
import { full, written } from '../internal/health/policy/note.ts';
import { Resumption } from './policy/resumption.ts';
import {
  type ConnectionTransport,
  isLateness,
  longMove,
  QueueGauge,
  shortMove,
  type Transport,
} from '../internal/health/transport.ts';

/** What a pulse is given. */
export interface PulseInput {
  readonly seam: Seam;
  readonly req: HttpRequest;
  readonly carrier: Carrier;
  readonly options: ResolvedHeartbeatOptions;
}

/**
 * The heartbeats of one response. Follows what its handler writes, and writes a heartbeat where nothing was written for
 * a while, nothing waits, and no message is half written.
 *
 *     handler ──write──▶ boundary ──────────▶ below ──▶ compress ──▶ socket
 *                                      ▲
 *     wheel ──ask──▶ at a boundary? ───┘ heartbeat, flush
 */
export class Pulse extends Layer implements ConnectionTransport, Departure {
  override readonly rank: Rank = rank.heartbeat;
  override readonly kind: LayerKind = 'injector';
  readonly #req: HttpRequest;
  // Express gives each request and response a shape of its own, where a property takes ten times as long to find: what
  // each look needs is here.
  /**
   * One socket serves many responses, one after the other: the one of the request is there from the start, and stays.
   */
  readonly #socket: Socket | undefined;
  readonly #isHttp2: boolean;
  readonly #res: HttpResponse;
  readonly #carrier: Carrier;
  readonly #options: ResolvedHeartbeatOptions;
  readonly #boundary: BoundaryTracker;
  /** The stream of ours that writes here, if one does. */
  readonly #writer: OutStream | undefined;
  /** Where that has none of its own: the async context of the code that sent the head. */
  readonly #scope: AsyncResource | undefined;
  /** Of an event stream that is not ours. */
  readonly #resumption: Resumption | undefined;
  #state: 'open' | 'leaving' | 'left' | 'ended' = 'open';
  /** How long a client may take for what waits, once it is told. */
  #linger = shortMove;
  #reason: CloseReason = 'draining';
  /** The client was sent away, with a hint where its format has one. */
  #isTold = false;
  /** What its request is aborted with once it is closed, where that was not by the client. */
  #farewell: StreamClosedError | undefined;
  #connection!: MonitoredConnection;
  #session: SessionWatch | undefined;
  #bom: BomFilter | undefined;
  #hasWritten = false;
  #producedAt: number | undefined;
  /** Where no socket counts its bytes, and only those: for a stream of HTTP/2. */
  readonly #gauge: QueueGauge | undefined;

  constructor({ seam, req, carrier, options }: PulseInput) {
    super();
    this.#req = req;
    this.#isHttp2 = isHttp2(seam.res);
    this.#socket = this.#isHttp2 ? undefined : req.socket;
    this.#res = seam.res;
    this.#carrier = carrier;
    this.#options = options;
    this.#boundary = carrier.makeBoundary();
    this.#writer = streamOf(seam.res);
    this.#scope = this.#writer ? undefined : captureScope();
    if (carrier.isEventStream && !this.#writer) {
      const lastEventId = requestField(req, 'last-event-id');
      this.#resumption = new Resumption(options.drain, { method: req.method, lastEventId });
    }
    if (!(this.#socket instanceof Socket)) this.#gauge = new QueueGauge();
    this.#noteProduced(options.registry.now());
  }

  /** Starts to be watched. */
  begin(): void {
    const res = this.#res;
    this.#connection = this.#options.registry.add(this, this.#options, this.#socket);
    if (!isHttp2(res)) return;
    if (res.stream.session) this.#session = watchSession(res.stream.session, this.#options, this);
  }

  /** The head was refused: it was no stream. */
  withdraw(): void {
    this.#session?.forget(this);
    this.#connection.release();
  }

  // The layer.

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    if (this.#state === 'left') return this.#refuse(callback);
    const now = this.#options.registry.now();
    this.#noteProduced(now);
    const ok = this.#pass(chunk, encoding, callback);
    this.#noteSent(now);
    if (!ok) this.#connection.note(full, now);
    if (this.#state === 'leaving' && this.#boundary.atBoundary) this.#leave();
    return ok;
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    if (this.#state === 'left') {
      if (callback) process.nextTick(callback, closeError(this.#reason));
      return;
    }
    this.#state = 'ended';
    if (!this.#bom || this.#bom.done) this.below.end(chunk, encoding, callback);
    else this.below.end(this.#withoutBom(chunk, encoding), undefined, callback);
  }

  override close(): void {
    const reason =
      this.#writer?.closedError?.reason ??
      this.#farewell?.reason ??
      (this.#res.writableEnded ? 'ended' : 'client-closed');
    this.#state = 'ended';
    this.#session?.forget(this);
    this.#connection.noteClosed(reason);
    // First come, first served: whoever hears of the close next takes it for the client's.
    if (this.#farewell && !this.#res.writableEnded) abortRequest(this.#req, this.#farewell);
  }

  // The departure.

  override get departure(): Departure | undefined {
    return this.#resumption && this;
  }

  finiteBecause(): FiniteReason | undefined {
    return this.#farewell && !this.#isTold ? 'half-event' : this.#resumption?.finiteBecause();
  }

  leave(): Promise<void> {
    this.#linger = longMove;
    this.#depart('draining', undefined);
    return Promise.resolve();
  }

  // The wire.

  get transport(): Transport {
    return this.#isHttp2 ? 'http2-stream' : 'http1';
  }

  get answers(): boolean {
    return false;
  }

  get quietBy(): 'writes' {
    return 'writes';
  }

  get label(): string | undefined {
    return requestPath(this.#req);
  }

  get remoteAddress(): string | undefined {
    return (this.#socket ?? this.#req.socket).remoteAddress;
  }

  received(): number | undefined {
    return this.#socket?.bytesRead;
  }

  queued(): number {
    const res = this.#res;
    if (this.#isHttp2) return (res as Http2ServerResponse).stream.writableLength;
    // What waits for its turn on a connection, behind other responses, does not wait for the client.
    return res.socket ? res.writableLength : 0;
  }

  taken(): number {
    if (!this.#gauge) return this.#socket ? writtenBytes(this.#socket) : 0;
    return this.#gauge.look(this.queued()) + (this.#session?.progress ?? 0);
  }

  producedAt(): number {
    return this.#producedAt ?? Infinity;
  }

  ask(now: number): boolean {
    if (!this.#canBeat()) return false;
    if (!this.#hasWritten && this.#carrier.isEventStream) this.#bom ??= new BomFilter();
    this.#inScope(() => {
      this.below.write(this.#carrier.beat, undefined, undefined);
      this.below.flush(undefined);
    });
    this.#options.registry.counters.heartbeats += 1;
    this.#noteSent(now);
    return true;
  }

  move(reason: CloseReason, cause?: Error): void {
    this.#note(reason, cause);
    if (isLateness(reason) && (this.#state === 'ended' || this.queued() > 0)) this.cut(reason, cause);
    else if (this.#writer) void this.#writer.leave(reason, { cause, last: this.#retryHint() });
    else this.#depart(reason, cause);
  }

  isEnding(): boolean {
    return this.#state === 'ended';
  }

  moveTimeout(): number {
    // A stream of ours sees to its own end.
    return this.#writer ? Infinity : shortMove;
  }

  /** Its session sends its clients away. */
  evict(reason: CloseReason): void {
    this.#connection.evict(reason);
  }

  cut(reason: CloseReason, cause?: Error): void {
    this.#state = 'left';
    this.#farewell ??= closeError(reason, cause);
    this.#inScope(() => {
      if (this.#writer) this.#writer.abort(reason, cause);
      else abortRequest(this.#req, closeError(reason, cause));
      abortResponse(this.#res);
    });
  }

  /**
   * Calls a function in the async context of the handler: the clock has none, and an administrator's request its own.
   */
  #inScope(call: () => void): void {
    if (this.#writer) this.#writer.inScope(call);
    else this.#scope?.runInAsyncScope(call);
  }

  #note(reason: CloseReason, cause: Error | undefined): void {
    this.#reason = reason;
    this.#farewell = closeError(reason, cause);
  }

  /** Sends the client away, now or when the message that is under way has ended. */
  #depart(reason: CloseReason, cause: Error | undefined): void {
    if (this.#state !== 'open') return;
    this.#note(reason, cause);
    this.#state = 'leaving';
    if (this.#boundary.atBoundary) this.#inScope(() => this.#leave());
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

  // Seldom asked for, and each event of each stream would pay for it.
  #noteProduced(now: number): void {
    if (this.#options.idleProducer !== Infinity) this.#producedAt = now;
  }

  /** The last piece, with what was held back and without a BOM. */
  #withoutBom(chunk: Chunk | undefined, encoding: BufferEncoding | undefined): Uint8Array {
    const bom = this.#bom ?? new BomFilter();
    const last = bom.filter(
      typeof chunk === 'string' ? Buffer.from(chunk, encoding) : (chunk ?? new Uint8Array()),
    ) as Uint8Array;
    return Buffer.concat([bom.flush(), last]);
  }

  #noteSent(now: number): void {
    this.#connection.note(written, now);
    this.#session?.noteSent(now);
  }

  #canBeat(): boolean {
    const res = this.#res;
    if (this.#state !== 'open' || isGone(res) || res.writableEnded || !this.#boundary.atBoundary || this.queued() > 0)
      return false;
    // A pipelined response waits for its turn, and a stream of ours that is closing for stillness.
    return (this.#isHttp2 || res.socket !== null) && (this.#writer?.state ?? 'open') === 'open';
  }

  /** Nothing that is written from here on is sent: where the client goes on, that is not missing. */
  #leave(): void {
    this.#isTold = true;
    const last = this.#retryHint();
    if (last !== '') {
      this.below.write(last, undefined, undefined);
      this.below.flush(undefined);
    }
    this.#state = 'left';
    // By `deadline` a context that is idle, or too late, cuts what is still to be sent: it hears of it at the close.
    if (this.#reason !== 'idle' && this.#reason !== 'deadline')
      abortRequest(this.#req, this.#farewell ?? closeError(this.#reason));
    closeUnterminated(this.#res, this.#linger);
  }

  #retryHint(): string {
    if (!this.#carrier.isEventStream) return '';
    const { reconnectDelay, comments } = this.#options;
    return formatRetryHint(Math.max(1, Math.round(jittered(reconnectDelay, Math.random))), comments);
  }

  #refuse(callback: WriteCallback | undefined): boolean {
    if (callback) process.nextTick(callback, closeError(this.#reason));
    return false;
  }
}
