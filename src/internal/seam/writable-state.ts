import type { AsyncResource } from 'node:async_hooks';
import { captureScope } from '../context/async-scope.ts';
import { reportError } from '../events.ts';
import { isGone, isHttp2 } from '../http/message.ts';
import { callEach } from '../listeners.ts';
import type { BodyEnd } from './body-end.ts';
import type { ResponseCore } from './core.ts';
import { ended, methods, writableStateGetters } from './methods.ts';
import type { LayerStack } from './stack.ts';

/** What a response says of its queue and of its end, for Node and the layers together. */
export class WritableState {
  readonly #core: ResponseCore;
  readonly #stack: LayerStack;
  readonly #body: BodyEnd;
  #isOurs = false;
  /** The async context in which the handler was told to wait for 'drain'. */
  #awaitsDrain: AsyncResource | undefined;

  constructor(core: ResponseCore, stack: LayerStack, body: BodyEnd) {
    this.#core = core;
    this.#stack = stack;
    this.#body = body;
  }

  /** Answers in Node's place from here on: Node answers for its own queue only. */
  takeOver(): void {
    if (this.#isOurs) return;
    this.#isOurs = true;
    const { res } = this.#core;
    Object.defineProperties(res, isHttp2(res) ? { ...writableStateGetters, finished: ended } : writableStateGetters);
    this.#core.patch('emit', methods.emit);
  }

  get length(): number {
    const below = this.#core.nativeState('writableLength') as number;
    // From Node 24.22 on Node itself asks: in `write`, whether it is full, and before it emits the 'drain' that it
    // owes. If the layers' bytes counted there, they would wait for a 'drain' that is not owed, or that waits for them.
    if (this.#core.isAtWork || (below === 0 && this.#core.nativeNeedsDrain)) return below;
    return below + this.#stack.bufferedBytes;
  }

  get needDrain(): boolean {
    // As Node's: whether a write was answered with `false`, and so a 'drain' is due. What layers pass on later may fill
    // the bottom again; the handler hears of that at its next write.
    return this.#awaitsDrain !== undefined && !this.#body.hasEnded && !isGone(this.#core.res);
  }

  get ended(): boolean {
    const { res } = this.#core;
    if (this.#body.hasEnded) return true;
    if (isHttp2(res)) return this.#core.nativeState('writableEnded') as boolean;
    // Asked for each event: Node's own answer, without its getter. It looks ended only where the handler has ended it.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    return res.finished;
  }

  get finished(): boolean {
    return !this.#body.isBetween && (this.#core.nativeState('writableFinished') as boolean);
  }

  /** A write was answered with `false`. */
  awaitDrain(): void {
    this.#awaitsDrain ??= captureScope();
  }

  /** The bottom has room again: the layers go on from the lowest up, then the handler hears of it. */
  drained(): void {
    callEach(
      this.#stack.bottomUp,
      (layer) => layer.drained?.(),
      (error) => reportError(this.#core.res.req, error),
    );
    this.layerDrained();
  }

  /** A layer has room again: tells the handler, if it waits and every floor has room. */
  layerDrained(): void {
    if (!this.needDrain || this.#core.nativeNeedsDrain || this.#stack.needDrain) return;
    const scope = this.#awaitsDrain;
    this.#awaitsDrain = undefined;
    scope?.runInAsyncScope(() => this.#core.nativeEmit('drain', []));
  }
}
