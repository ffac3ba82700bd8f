import type { AsyncResource } from 'node:async_hooks';
import { captureScope, inScope } from '../context/async-scope.ts';
import { reportError } from '../events.ts';
import { callEach } from '../listeners.ts';
import { isGone, isHttp2 } from '../http/message.ts';
import type { ResponseCore } from './core.ts';
import { lookEnded } from './ending.ts';
import type { Chunk, Layer } from './layer.ts';

type EndCallback = (() => void) | undefined;

/** The end of a body while layers still work on it. */
interface Wait {
  /** The async context of the handler's `end`. */
  readonly scope: AsyncResource;
  readonly callback: EndCallback;
  /** Makes the response look open again. */
  readonly undo: (() => void) | undefined;
}

/**
 * The end of one body. The handler ends it first, and Node when the layers are done.
 *
 *     handler's end ──▶ layers ──▶ Node's end
 *           └── calls from here on ──▶ wait, and get Node's answer
 */
export class BodyEnd {
  /** Whether the handler has ended the body. */
  hasEnded = false;
  /** Whether the response is closed. */
  isClosed = false;
  /** Node's `end`. While it runs, the HTTP/2 compatibility API calls `res.write` from it. */
  native: 'open' | 'ending' | 'ended' = 'open';
  readonly #core: ResponseCore;
  #wait: Wait | undefined;
  /** Calls of the handler that came after its `end`. */
  #late: (() => void)[] | undefined;

  constructor(core: ResponseCore) {
    this.#core = core;
  }

  /** Whether the handler has ended the body, and Node has not. */
  get isBetween(): boolean {
    return this.hasEnded && this.native === 'open';
  }

  /**
   * The handler ends the body.
   * @returns whether layers still work on it
   */
  end(top: Layer, chunk: Chunk | undefined, encoding: BufferEncoding | undefined, given: EndCallback): boolean {
    const { res } = this.#core;
    // Over HTTP/2 Node may call it back for the last write of a layer.
    const callback = typeof given === 'function' ? inScope(given) : given;
    this.hasEnded = true;
    try {
      top.end(chunk, encoding, callback);
    } catch (error) {
      // Node refused it: nothing has ended.
      if (this.native === 'open') this.hasEnded = false;
      throw error;
    }
    if (this.native !== 'open' || this.isClosed) return false;
    const undo = isHttp2(res) ? undefined : lookEnded(res, () => this.#core.isAtWork);
    this.#wait = { scope: captureScope(), callback, undo };
    return true;
  }

  /** Calls Node's `end` in the async context of the handler's: 'finish' and the callback follow from it. */
  endNative(call: () => void): void {
    const before = this.native;
    this.native = 'ending';
    this.#core.isAtWork = true;
    try {
      const wait = this.#wait;
      this.#wait = undefined;
      wait?.undo?.();
      if (wait) wait.scope.runInAsyncScope(call);
      else call();
      this.native = 'ended';
    } finally {
      this.#core.isAtWork = false;
      // Node refused the arguments: nothing has ended.
      if (this.native === 'ending') this.native = before;
    }
    this.replayLate();
  }

  /** A call that came after `end`: Node answers it, and may throw, now if it has ended too, or else when it has. */
  defer(call: () => unknown): false {
    if (this.#isLayersTurn()) (this.#late ??= []).push(inScope(call));
    else call();
    return false;
  }

  /**
   * The client left before the layers were done. Patches below, as that of `express-session`, wait for the call of
   * `end` to save what they hold.
   */
  endBelow(bottom: Layer): void {
    // Over HTTP/2 Node calls back at once for a stream that is closed, also where it would not have without the layers.
    bottom.end(undefined, undefined, isHttp2(this.#core.res) ? undefined : this.#wait?.callback);
  }

  /** Makes the calls that waited for Node's end. */
  replayLate(): void {
    const late = this.#late;
    if (!late || this.#isLayersTurn()) return;
    this.#late = undefined;
    callEach(
      late,
      (call) => call(),
      (error) => reportError(this.#core.res.req, error),
    );
  }

  #isLayersTurn(): boolean {
    return this.hasEnded && this.native !== 'ended' && !this.isClosed && !isGone(this.#core.res);
  }
}
