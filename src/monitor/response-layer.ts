import type { ServerResponse } from 'node:http';
import { formatOf } from '../internal/format/keep-alive.ts';
import { mediaTypeOf } from '../internal/http/accept.ts';
import { type HttpRequest, type HttpResponse, isHttp2 } from '../internal/http/message.ts';
import {
  byteLengthOf,
  type Chunk,
  type Head,
  type HeadOutcome,
  keep,
  Layer,
  type Rank,
  rank,
  type WriteCallback,
} from '../internal/seam/layer.ts';
import { isClosed } from '../internal/seam/lifetime.ts';
import type { Seam } from '../internal/seam/response.ts';
import { type OutStream, streamOf } from '../internal/writer/stream.ts';
import { type CodingCounters, ResponseCounters, type RouteCounters } from './counters.ts';
import { isOwn } from './own.ts';
import { otherLabel } from './policy/labels.ts';

/** Takes what is not to be counted. */
const unread = new ResponseCounters(1);

/** What one monitor shares with the layers of all its responses. */
export interface LayerHost {
  readonly counters: ResponseCounters;
  /** Followers of each response. */
  readonly tracers: ReadonlySet<(req: HttpRequest) => ResponseTrace>;
  /** The label of a request's route. */
  labelOf(req: HttpRequest): string;
}

/** How a response ended. */
export interface ResponseEnd {
  readonly isStream: boolean;
  readonly reason: string;
  /** Since the request arrived. */
  readonly seconds: number;
  /** Of the body, as sent. */
  readonly bytes: number;
  readonly route: string;
}

/** Follows one response. */
export interface ResponseTrace {
  head(status: number, route: string): void;
  close(end: ResponseEnd): void;
}

/** Counts one response: the time of its headers and its first byte, its bytes, its end. Changes nothing. */
export class ResponseLayer extends Layer {
  override readonly rank: Rank = rank.counting;
  readonly #host: LayerHost;
  readonly #seam: Seam;
  /** Milliseconds, as `performance.now`. */
  readonly #arrived = performance.now();
  /** `waiting` for its head, then for its first byte. */
  #state: 'waiting' | 'head' | 'body' | 'closed' = 'waiting';
  #isStream = false;
  /** A stream of ours, which says by itself that it closed, and why. */
  #writer: OutStream | undefined;
  #counted: ResponseCounters | undefined;
  #route: RouteCounters | undefined;
  #coding: CodingCounters | undefined;
  /** Before the headers are settled, not counted yet: Node settles them within the first write. */
  #bytes = 0;
  readonly #traces: readonly ResponseTrace[] | undefined;

  constructor(host: LayerHost, seam: Seam) {
    super();
    this.#host = host;
    this.#seam = seam;
    // Usually none, and a stream of ours lives long.
    this.#traces = host.tracers.size === 0 ? undefined : Array.from(host.tracers, (trace) => trace(seam.res.req));
  }

  get host(): LayerHost {
    return this.#host;
  }

  /** Most responses are over before it is worth a listener. */
  override get asksForClose(): boolean {
    return true;
  }

  /** Waits for the close of a response that is not over yet. */
  watchClose(): void {
    if (this.#state === 'closed') return;
    if (isClosed(this.#seam.res)) this.close();
    else this.#seam.watchClose();
  }

  override head({ res }: Head): HeadOutcome {
    // Again for an error page in place of a head that was refused: its route and its time are those of the first.
    if (!this.#route) this.#settle(res);
    const early = this.#state === 'waiting' ? this.#bytes : 0;
    this.#bytes -= early;
    this.#state = 'head';
    this.#count(early);
    if (!isStreamType((res as ServerResponse).getHeader('content-type'))) return keep;
    this.#isStream = true;
    this.#writer = streamOf(res);
    this.#counters.streamOpened();
    this.#codingOf().streams += 1;
    return { kind: 'keep', undo: () => this.#withdrawStream() };
  }

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    this.#count(byteLengthOf(chunk, encoding));
    return this.below.write(chunk, encoding, callback);
  }

  override pass(segment: Uint8Array): boolean {
    if (!this.below.pass(segment)) return false;
    this.#count(segment.length);
    return true;
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    this.#count(byteLengthOf(chunk, encoding));
    this.below.end(chunk, encoding, callback);
    const { res } = this.#seam;
    // The kernel has all of it.
    if (!this.#isStream && !isHttp2(res) && res.writableEnded && res.writableLength === 0) this.close();
  }

  override close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    const { res } = this.#seam;
    const counters = this.#counters;
    // Never sent a head, or one that a layer below answered.
    const route = this.#route ?? counters.routes.get(this.#host.labelOf(res.req));
    if (this.#route) route.active -= 1;
    const hasEnded = res.writableEnded;
    route.ended.add(hasEnded ? statusClassOf(res.statusCode) : 'aborted');
    if (!this.#isStream && !this.#traces) return;
    const reason = this.#writer?.closedError?.reason ?? (hasEnded ? 'ended' : 'client-closed');
    if (this.#isStream) {
      counters.streamClosed(this.#seconds());
      this.#codingOf().streams -= 1;
      if (!this.#writer) counters.streamsEnded.add(reason);
    }
    if (this.#traces) this.#tellClosed(this.#traces, reason);
  }

  #settle(res: HttpResponse): void {
    const counters = this.#counters;
    const label = this.#host.labelOf(res.req);
    this.#route = counters.routes.get(label);
    this.#route.active += 1;
    counters.recordHead(this.#route, this.#seconds());
    if (this.#traces) for (const trace of this.#traces) trace.head(res.statusCode, label);
  }

  #tellClosed(traces: readonly ResponseTrace[], reason: string): void {
    const end: ResponseEnd = {
      isStream: this.#isStream,
      reason,
      seconds: this.#seconds(),
      bytes: this.#bytes,
      route: this.#route?.label ?? '',
    };
    for (const trace of traces) trace.close(end);
  }

  #withdrawStream(): void {
    if (!this.#isStream || this.#state === 'closed') return;
    this.#isStream = false;
    this.#counters.streamWithdrawn();
    this.#codingOf().streams -= 1;
    this.#coding = undefined;
  }

  #count(length: number): void {
    if (length === 0) return;
    this.#bytes += length;
    if (this.#state === 'waiting') return;
    this.#codingOf().out += length;
    if (this.#state !== 'head' || !this.#route) return;
    this.#state = 'body';
    this.#counters.recordFirstByte(this.#route, this.#seconds());
  }

  /** Known from the headers on. */
  #codingOf(): CodingCounters {
    if (!this.#coding) {
      const coding = (this.#seam.res as ServerResponse).getHeader('content-encoding');
      this.#coding = this.#counters.codings.get(typeof coding === 'string' ? coding : 'identity');
    }
    return this.#coding;
  }

  /** Not before the headers: until then the dashboard may take the response out of what is counted. */
  get #counters(): ResponseCounters {
    return (this.#counted ??= isOwn(this.#seam.res.req) ? unread : this.#host.counters);
  }

  #seconds(): number {
    return (performance.now() - this.#arrived) / 1_000;
  }
}

/** The first digit of a status: `2xx`. Made without a new text: the hash of those below is known. */
function statusClassOf(status: number): string {
  return statusClasses[Math.floor(status / 100)] ?? otherLabel;
}

const statusClasses: readonly string[] = Array.from({ length: 10 }, (_, digit) => `${digit}xx`);

// Most responses of a process have the same type.
let lastType: unknown;
let lastIsStream = false;

function isStreamType(type: unknown): boolean {
  if (type !== lastType) {
    lastType = type;
    lastIsStream = formatOf(mediaTypeOf(typeof type === 'string' ? type : undefined)) !== undefined;
  }
  return lastIsStream;
}
