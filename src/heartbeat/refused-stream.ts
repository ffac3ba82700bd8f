import type { ServerResponse } from 'node:http';
import type { StreamRefusedError } from '../errors.ts';
import { rememberHead } from '../internal/http/headers.ts';
import { type Chunk, Layer, type LayerKind, type Rank, rank, type WriteCallback } from '../internal/seam/layer.ts';
import { type HttpRequest, type HttpResponse, isGone } from '../internal/http/message.ts';
import { abortResponse, closeUnterminated } from '../internal/seam/closing.ts';
import { decideRefusal, type Refusal, type RefusalOptions, setRefusalHead } from '../internal/writer/refusal.ts';
import { abortRequest } from '../internal/context/request-context.ts';
import type { Seam } from '../internal/seam/response.ts';
import { streamOf } from '../internal/writer/stream.ts';
import { reportHeartbeatError } from '../internal/health/events.ts';
import { shortMove } from '../internal/health/transport.ts';

/** What a refused stream is made of. */
export interface RefusedStreamInput {
  readonly seam: Seam;
  readonly req: HttpRequest;
  readonly options: RefusalOptions;
  readonly error: StreamRefusedError;
}

/**
 * A stream that exceeds a limit. Its head becomes the head of the refusal. What its handler writes is dropped, and the
 * signals of its stream and of its request abort.
 *
 *     head of the refusal ──next tick──▶ its text, closed or ended ──▶ the handler's calls do nothing
 */
export class RefusedStream extends Layer {
  override readonly rank: Rank = rank.heartbeat;
  override readonly kind: LayerKind = 'injector';
  readonly #seam: Seam;
  readonly #req: HttpRequest;
  readonly #res: HttpResponse;
  readonly #refusal: Refusal;
  readonly #error: StreamRefusedError;
  #state: 'waiting' | 'answered' | 'withdrawn' = 'waiting';
  #hasEnded = false;

  constructor({ seam, req, options, error }: RefusedStreamInput) {
    super();
    this.#seam = seam;
    this.#req = req;
    this.#res = seam.res;
    this.#refusal = decideRefusal(req, options);
    this.#error = error;
  }

  /** Changes the head that is about to go out; returns the undo. In this tick the response is still the handler's. */
  begin(): () => void {
    const restore = rememberHead(this.#res);
    setRefusalHead(this.#res, this.#refusal);
    process.nextTick(answer, this);
    return () => {
      this.#state = 'withdrawn';
      restore();
    };
  }

  override write(_chunk: Chunk, _encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    if (callback) process.nextTick(callback, this.#error);
    // In the handler's tick there is no room, so that a loop in it stops. Later writes are bytes that an encoder above
    // held back, and has to get rid of.
    return this.#state === 'answered';
  }

  override end(_chunk: Chunk | undefined, _encoding: BufferEncoding | undefined, callback?: () => void): void {
    if (this.#refusal.kind === 'unavailable' && !this.#hasEnded) this.#end(callback);
    else if (callback) process.nextTick(callback, this.#error);
  }

  /** Sends the rest of the refusal, and detaches the response from its handler. */
  answer(): void {
    if (this.#state !== 'waiting' || isGone(this.#res)) return;
    this.#state = 'answered';
    try {
      if (this.#refusal.kind === 'stream') this.#sendHint();
      else this.#endForAll();
    } catch (error) {
      // A patch of the response threw, and no caller is here to catch it.
      reportHeartbeatError(error);
      abortResponse(this.#res);
    }
    this.#seam.detach(this.#error, ignoreLate);
    streamOf(this.#res)?.finishClose(this.#error.reason, this.#error);
    abortRequest(this.#req, this.#error);
  }

  /**
   * Sends the text below the patches of others, since an encoder would hold it back. But they get their `end`:
   * `express-session` waits for it to save the session.
   */
  #endForAll(): void {
    const hasHandlerEnded = this.#res.writableEnded;
    if (!this.#hasEnded) this.#end(undefined);
    if (!hasHandlerEnded) (this.#res as ServerResponse).end();
  }

  #end(callback: (() => void) | undefined): void {
    this.#hasEnded = true;
    // Over HTTP/2 the text of an `end` goes through `res.write`, and through its patches.
    this.below.write(this.#refusal.text, undefined, undefined);
    this.below.end(undefined, undefined, callback);
  }

  #sendHint(): void {
    this.below.write(this.#refusal.text, undefined, undefined);
    this.below.flush(undefined);
    closeUnterminated(this.#res, shortMove);
  }
}

function answer(stream: RefusedStream): void {
  stream.answer();
}

function ignoreLate(): void {
  // A handler may still write: it does not know yet.
}
