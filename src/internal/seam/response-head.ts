import type { ResponseCore } from './core.ts';
import { type CompletedHead, completeHead, type HeadArguments, type HeadHost, type LayersAnswer } from './head.ts';
import { holdHead, refuse, releaseHead } from './held-head.ts';
import { type Head, type HeadOutcome, keep, type Layer } from './layer.ts';
import { reportError } from '../events.ts';
import { isGone, isHttp2 } from '../http/message.ts';
import { callEach } from '../listeners.ts';
import type { LayerStack } from './stack.ts';
import type { StrictLength } from './strict-length.ts';

/** Of a head that is not being settled. */
const none: (() => void)[] = [];

/**
 * The head of one response.
 *
 *     open ──writeHead──▶ settling ──▶ fixed
 *      ▲                     │ └─────▶ held ──sendHeld──▶ fixed
 *      └──────refused────────┘
 */
export class ResponseHead implements HeadHost {
  /** With `strictContentLength`, where layers change the length. */
  strictLength: StrictLength | undefined;
  readonly #core: ResponseCore;
  readonly #stack: LayerStack;
  #state: 'open' | 'settling' | 'held' | 'fixed' = 'open';
  #held: CompletedHead | undefined;
  #complete: Head['complete'];
  /** What puts a head that is refused back, while it is settled. */
  #undo: (() => void)[] = none;

  constructor(core: ResponseCore, stack: LayerStack) {
    this.#core = core;
    this.#stack = stack;
  }

  write(args: HeadArguments): void {
    const { res } = this.#core;
    if (this.#state === 'held') refuse(res, 'write');
    // Where its close is over, nothing would end what a layer opens.
    const isOpen = this.#state === 'open' && !res.headersSent && !isGone(res);
    if (isOpen && this.#stack.hasHeadLayers) this.#settle(args);
    else this.#core.nativeWriteHead(args);
  }

  /**
   * Settles the head, unless it is. As Node's implicit head: through `res`, so that patches above ours see it.
   * @param complete - the whole body
   */
  require(complete?: Head['complete']): void {
    const { res } = this.#core;
    if (res.headersSent || this.#state !== 'open') return;
    this.#complete = complete;
    try {
      res.writeHead(res.statusCode);
    } finally {
      this.#complete = undefined;
    }
  }

  /**
   * Sends a head that a layer holds.
   * @param complete - sets its last fields
   */
  sendHeld(complete: () => void): void {
    const { res, detached } = this.#core;
    releaseHead(res);
    complete();
    this.#state = 'fixed';
    const { statusCode, statusMessage } = res;
    this.#core.nativeWriteHead(this.#held?.args() ?? []);
    // What the handler has set since is not sent, but the handler can read it.
    res.statusCode = statusCode;
    if (!isHttp2(res)) res.statusMessage = statusMessage;
    if (detached) Object.assign(res, detached);
  }

  /** No head is sent any more: the response is closed. */
  close(): void {
    if (this.#state === 'held') releaseHead(this.#core.res);
    this.#state = 'fixed';
  }

  onRefused(undo: () => void): void {
    this.#undo.push(undo);
  }

  askLayers(): LayersAnswer {
    let changesBody = false;
    let isHeld = false;
    const head = { res: this.#core.res, complete: this.#complete };
    for (const layer of this.#stack.headLayers) {
      const outcome = layer.head?.(head) ?? keep;
      if (outcome.undo) this.#undo.push(outcome.undo);
      if (outcome.kind === 'keep') continue;
      this.#undo.push(this.#move(layer, outcome));
      if (outcome.kind === 'leave') continue;
      changesBody ||= outcome.layer.kind !== 'observer';
      isHeld ||= outcome.kind === 'hold';
    }
    return { changesBody, isHeld };
  }

  #settle(args: HeadArguments): void {
    const { res } = this.#core;
    this.#state = 'settling';
    this.strictLength = undefined;
    this.#undo = [];
    try {
      const head = completeHead({ res, args, complete: this.#complete, host: this });
      this.strictLength = head?.strictLength;
      if (head?.isHeld) {
        this.#held = head;
        holdHead(res);
        this.#state = 'held';
      } else {
        this.#core.nativeWriteHead(head?.args() ?? args);
        if (head) this.#state = 'fixed';
      }
    } finally {
      if (this.#state === 'settling') this.#putBack();
      this.#undo = none;
    }
  }

  #putBack(): void {
    this.#state = 'open';
    // One that throws must not keep the others from their turn, nor take the place of Node's error.
    callEach(
      this.#undo.toReversed(),
      (step) => step(),
      (error) => reportError(this.#core.res.req, error),
    );
  }

  /** Moves a layer as its outcome says. Returns the undo. */
  #move(layer: Layer, outcome: Exclude<HeadOutcome, { kind: 'keep' }>): () => void {
    const stack = this.#stack;
    if (outcome.kind === 'leave') {
      stack.remove(layer);
      return () => stack.add(layer);
    }
    const { layer: other } = outcome;
    stack.replace(layer, other);
    return () => stack.replace(other, layer);
  }
}
