import type { Http2ServerResponse } from 'node:http2';
import type { Socket } from 'node:net';
import { startTimer } from '../internal/time/clock.ts';
import {
  type Chunk,
  type Head,
  type HeadOutcome,
  keep,
  Layer,
  type Rank,
  rank,
  type WriteCallback,
} from '../internal/seam/layer.ts';
import { type HttpResponse, isHttp2 } from '../internal/http/message.ts';
import { seamOf } from '../internal/seam/response.ts';

/** What an idle deadline needs. */
export interface IdleInput {
  readonly res: HttpResponse;
  /** Milliseconds. */
  readonly idle: number;
  /** The headers of a streamed response are sent: the idle deadline begins. */
  readonly onStart: () => void;
  /** Nothing moved for `idle` ms. */
  readonly onIdle: () => void;
}

// Progress is checked four times in `idle`: the deadline comes up to a quarter late, and traffic costs nothing.
const checks = 4;

/**
 * The idle deadline of one response. It begins with the headers of a streamed body, and ends with the body. Progress is
 * read from the counters of the socket: one large write that the client reads slowly is traffic all the while.
 *
 *     before head ──▶ running ──no change in `idle`──▶ over
 *          └── whole body, close ──────────────────────▲
 */
export class IdleLayer extends Layer {
  override readonly rank: Rank = rank.counting;
  #input: IdleInput;
  #progress = '';
  #unmoved = 0;
  #stop: (() => void) | undefined;
  #isOver = false;

  constructor(input: IdleInput) {
    super();
    this.#input = input;
  }

  override head({ complete }: Head): HeadOutcome {
    if (!complete && !this.#stop && !this.#isOver) this.#start();
    return keep;
  }

  override close(): void {
    this.#isOver = true;
    this.#stop?.();
  }

  /** The counters, as text. A different text means progress. */
  protected measure(): string {
    const { res } = this.#input;
    return isHttp2(res) ? '' : `${res.writableLength} ${socketProgress(res.socket ?? res.req.socket)}`;
  }

  /** Whether bytes wait for the client. */
  protected isWaiting(): boolean {
    const { res } = this.#input;
    return !isHttp2(res) && (res.writableLength > 0 || queuedBytes(res.socket ?? res.req.socket) > 0);
  }

  #start(): void {
    this.#input.onStart();
    this.#progress = this.measure();
    this.#check();
  }

  #check(): void {
    this.#stop = startTimer(this.#input.idle / checks, () => {
      const progress = this.measure();
      this.#unmoved = progress === this.#progress && this.#mustMove() ? this.#unmoved + 1 : 0;
      this.#progress = progress;
      if (this.#unmoved < checks) this.#check();
      else this.#input.onIdle();
    });
  }

  /** An event stream without heartbeats has to progress only while bytes wait for its client. */
  #mustMove(): boolean {
    return seamOf(this.#input.res)?.mayBeQuiet !== true || this.isWaiting();
  }
}

/** The same over HTTP/2, where the socket's counters are those of all streams: counts writes, and reads the queue. */
export class Http2IdleLayer extends IdleLayer {
  #res: Http2ServerResponse;
  #writes = 0;

  constructor(input: IdleInput & { readonly res: Http2ServerResponse }) {
    super(input);
    this.#res = input.res;
  }

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    this.#writes += 1;
    return super.write(chunk, encoding, callback);
  }

  protected override measure(): string {
    const { stream } = this.#res;
    const { socket } = stream.session ?? {};
    // While bytes wait, what the connection sends may be this stream's.
    const written = stream.bufferSize > 0 ? (socket?.bytesWritten ?? 0) : 0;
    // The window of the client shrinks with each byte that it sends.
    return `${this.#writes} ${stream.bufferSize} ${written} ${stream.state.localWindowSize ?? 0}`;
  }

  protected override isWaiting(): boolean {
    return this.#res.stream.bufferSize > 0;
  }
}

function socketProgress(socket: Socket): string {
  return `${socket.bytesWritten} ${socket.bytesRead} ${queuedBytes(socket)}`;
}

// Bytes that libuv has not given to the kernel yet. Node's own socket timeout reads it too: `bytesWritten` counts one
// large write at once.
function queuedBytes(socket: Socket): number {
  const { writeQueueSize } = (socket as { _handle?: { writeQueueSize?: unknown } | null })._handle ?? {};
  return typeof writeQueueSize === 'number' ? writeQueueSize : 0;
}
