import type { Http2ServerResponse } from 'node:http2';
import { Socket } from 'node:net';
import type { CloseReason } from '../errors.ts';
import { writtenBytes } from '../internal/health/ack-probe.ts';
import { type ConnectionTransport, QueueGauge, shortMove, type Transport } from '../internal/health/transport.ts';
import { type HttpRequest, type HttpResponse, isHttp2, requestPath } from '../internal/http/message.ts';
import type { OutStream } from '../internal/writer/stream.ts';
import type { ResolvedHeartbeatOptions } from './options.ts';
import { type SessionMember, type SessionTransport, watchSession } from './session-transport.ts';

/** The layer that writes heartbeats into a response. */
export interface HeartbeatWriter extends SessionMember {
  /** The stream of this library that writes the response, if there is one. It closes the response itself. */
  readonly stream: OutStream | undefined;
  readonly isEnding: boolean;
  /** Writes a heartbeat if one may be written now. @returns whether it did */
  sendHeartbeat(now: number): boolean;
  move(reason: CloseReason, cause: Error | undefined): void;
}

/** A response as the transport of a monitored connection. */
export class ResponseTransport implements ConnectionTransport {
  // Express gives each request and response a shape of its own, where a property takes ten times as long to find: what
  // each look needs is here.
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  /** Of HTTP/1. One socket carries many responses, one after the other. The socket of the request does not change. */
  readonly socket: Socket | undefined;
  readonly #writer: HeartbeatWriter;
  /** Where no socket counts its bytes, and only those: for a stream of HTTP/2. */
  readonly #gauge: QueueGauge | undefined;
  #session: SessionTransport | undefined;
  #producedAt: number | undefined;

  constructor(writer: HeartbeatWriter, req: HttpRequest, res: HttpResponse) {
    this.#writer = writer;
    this.req = req;
    this.res = res;
    this.socket = isHttp2(res) ? undefined : req.socket;
    if (!(this.socket instanceof Socket)) this.#gauge = new QueueGauge();
  }

  get transport(): Transport {
    return this.socket ? 'http1' : 'http2-stream';
  }

  get answers(): boolean {
    return false;
  }

  get quietBy(): 'writes' {
    return 'writes';
  }

  get label(): string | undefined {
    return requestPath(this.req);
  }

  get remoteAddress(): string | undefined {
    return (this.socket ?? this.req.socket).remoteAddress;
  }

  /** Over HTTP/2, watches the session as well. */
  watchSession(options: ResolvedHeartbeatOptions): void {
    const { res } = this;
    if (isHttp2(res) && res.stream.session) this.#session = watchSession(res.stream.session, options, this.#writer);
  }

  forgetSession(): void {
    this.#session?.forget(this.#writer);
  }

  /** Bytes were written that the session carries. */
  noteSent(now: number): void {
    this.#session?.noteSent(now);
  }

  noteProduced(now: number): void {
    this.#producedAt = now;
  }

  producedAt(): number {
    return this.#producedAt ?? Infinity;
  }

  received(): number | undefined {
    return this.socket?.bytesRead;
  }

  queued(): number {
    const { res } = this;
    if (!this.socket) return (res as Http2ServerResponse).stream.writableLength;
    // The bytes of a pipelined response wait behind other responses, and not for the client.
    return res.socket ? res.writableLength : 0;
  }

  taken(): number {
    if (!this.#gauge) return this.socket ? writtenBytes(this.socket) : 0;
    return this.#gauge.look(this.queued()) + (this.#session?.progress ?? 0);
  }

  ask(now: number): boolean {
    return this.#writer.sendHeartbeat(now);
  }

  isEnding(): boolean {
    return this.#writer.isEnding;
  }

  move(reason: CloseReason, cause?: Error): void {
    this.#writer.move(reason, cause);
  }

  moveTimeout(): number {
    return this.#writer.stream ? Infinity : shortMove;
  }

  cut(reason: CloseReason): void {
    this.#writer.cut(reason);
  }
}
