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

/** What an idle clock is given. */
export interface IdleInput {
  readonly res: HttpResponse;
  /** Milliseconds. */
  readonly idle: number;
  /** The head of a response in pieces is out: the clock runs. */
  readonly onStart: () => void;
  /** Nothing moved for that long. */
  readonly onIdle: () => void;
}

// It is looked at four times in the span: the deadline comes up to a quarter late, and traffic costs nothing.
const looks = 4;

/**
 * The idle deadline of one response: it begins with the head of a body in pieces, and ends with the body. That
 * something moves is seen by what the socket has counted when it is looked at, so that one large write that the client
 * takes slowly is traffic for as long as it does.
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

  /** What was counted so far: another text, and something has moved. */
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
    this.#look();
  }

  #look(): void {
    this.#stop = startTimer(this.#input.idle / looks, () => {
      const progress = this.measure();
      this.#unmoved = progress === this.#progress && this.#mustMove() ? this.#unmoved + 1 : 0;
      this.#progress = progress;
      if (this.#unmoved < looks) this.#look();
      else this.#input.onIdle();
    });
  }

  /** An event stream that `heartbeat` cannot keep busy has to move only while something waits for its client. */
  #mustMove(): boolean {
    return seamOf(this.#input.res)?.mayBeQuiet !== true || this.isWaiting();
  }
}

/**
 * Over HTTP/2 the connection's counters are those of all its streams: writes are counted, and what waits is looked at.
 */
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
    // While bytes wait, those that leave are the connection's: it is not told whose they are.
    const written = stream.bufferSize > 0 ? (socket?.bytesWritten ?? 0) : 0;
    // What the client may still send shrinks with what it sends.
    return `${this.#writes} ${stream.bufferSize} ${written} ${stream.state.localWindowSize ?? 0}`;
  }

  protected override isWaiting(): boolean {
    return this.#res.stream.bufferSize > 0;
  }
}

function socketProgress(socket: Socket): string {
  return `${socket.bytesWritten} ${socket.bytesRead} ${queuedBytes(socket)}`;
}

// What libuv has not given to the kernel yet. Node's own socket timeout looks at it too, for the same reason: of one
// large write, `bytesWritten` counts all at once.
function queuedBytes(socket: Socket): number {
  const { writeQueueSize } = (socket as { _handle?: { writeQueueSize?: unknown } | null })._handle ?? {};
  return typeof writeQueueSize === 'number' ? writeQueueSize : 0;
}
