import type { AsyncResource } from 'node:async_hooks';
import type { ServerResponse } from 'node:http';
import { isUint8Array } from 'node:util/types';
import { ClientClosedError } from '../../errors.ts';
import { captureScope, inScope } from '../context/async-scope.ts';
import { Bottom, type Ground } from './bottom.ts';
import {
  byteLengthOf,
  bytesOfView,
  type Chunk,
  type Departure,
  type Head,
  keep,
  Layer,
  type Rank,
  rank,
  type WriteCallback,
} from './layer.ts';
import { reportError } from '../events.ts';
import { lookEnded } from './ending.ts';
import {
  type CompletedHead,
  completeHead,
  type HeadArguments,
  holdHead,
  type LayersAnswer,
  refuse,
  releaseHead,
} from './head.ts';
import { type HttpResponse, isGone, isHttp2 } from '../http/message.ts';
import { abortResponse } from './closing.ts';
import { type OnLate, retiredMethods } from './detach.ts';
import { makeRoom } from './dictionary-mode.ts';
import { openStrictLength, type StrictLength } from './strict-length.ts';
import {
  answers,
  boundFlush,
  ended,
  type Method,
  methods,
  type ResponseVerbs,
  type Seamed,
  seamKey,
  type Verb,
} from './methods.ts';
import { watchSilentClose } from './lifetime.ts';

type EndCallback = (() => void) | undefined;

/**
 * Where the library meets a response, once for all middlewares. It holds the layers in the order of their ranks, and
 * owns those of `write, end, writeHead, flush, emit` that some layer needs; what none needs stays Node's.
 */
export class Seam implements Ground, ResponseVerbs {
  readonly res: HttpResponse;
  readonly bottom: Bottom;
  /**
   * The `Cache-Control: no-transform` on `res` is a writer's, meant for intermediaries: our own `compress` may still
   * compress.
   */
  noTransformByWriter = false;
  /** An event stream in which no heartbeat can stand: that nothing moves in it says nothing. */
  mayBeQuiet = false;
  /** What made a layer cut the response. */
  failure: unknown;
  /** The methods that were on `res` when they became ours. */
  #core: Partial<Record<Verb, Method>> = {};
  /** What they became. */
  #own: Partial<Record<Verb, Method>> = {};
  /** Top down, without the bottom. */
  #layers: Layer[] = [];
  #top: Layer;
  #transforms = false;
  #head: 'open' | 'settling' | 'held' | 'fixed' = 'open';
  /** A head that waits for `sendHead`. */
  #heldHead: CompletedHead | undefined;
  #complete: Head['complete'];
  /** With `strictContentLength`, where layers change the length. */
  #strictLength: StrictLength | undefined;
  /** The handler has ended the body; the layers may still be at it. */
  #ended = false;
  /** What the handler's `end` left to be done, while layers are still at it. */
  #ending: Ending | undefined;
  /** The async context in which the handler was told to wait for 'drain'. */
  #awaitsDrain: AsyncResource | undefined;
  /** Node's answers are replaced by ours. */
  #answers = false;
  /** Calls that came after `end` while a layer was still at it: Node answers them when it has ended too. */
  #late: (() => void)[] | undefined;
  /** What the handler's calls became when the response was taken from it. */
  #retired: Record<string, Method> | undefined;
  /** Whether the layers will hear of the close. */
  #close: 'unwatched' | 'watched' | 'closed' = 'unwatched';

  constructor(res: HttpResponse) {
    this.res = res;
    this.bottom = new Bottom(this);
    this.#top = this.bottom;
  }

  /** Puts a layer at its rank; within a rank the one added last is nearest to the handler. Returns its removal. */
  add(layer: Layer): () => void {
    const index = this.#layers.findIndex((other) => other.rank >= layer.rank);
    this.#layers.splice(index < 0 ? this.#layers.length : index, 0, layer);
    this.#settleIn(layer);
    return () => {
      this.remove(layer);
    };
  }

  /** Puts a layer where another is, which leaves. */
  replace(old: Layer, layer: Layer): void {
    this.#layers.splice(this.#layers.indexOf(old), 1, layer);
    this.#settleIn(layer);
  }

  /** Takes a layer out. It must not hold bytes any more. */
  remove(layer: Layer): void {
    const index = this.#layers.indexOf(layer);
    if (index < 0) return;
    this.#layers.splice(index, 1);
    this.#relink();
  }

  /**
   * Writes as the handler would by `res.write`, and flushes whoever may hold bytes back. Without the detour where that
   * leads straight back here, or to Node: a patch that somebody put above ours, or on a method that is not ours, still
   * sees every write. It may forget to pass the answer on.
   */
  send(chunk: Chunk): boolean | undefined {
    const res = this.res as ServerResponse & { flush?: () => void };
    const own = this.#own.write;
    if (!own && this.bottom.writeDirect(chunk)) return true;
    const ok = own && res.write !== own ? res.write(chunk) : this.write(chunk, undefined, undefined);
    if (this.#flushes()) res.flush?.();
    return ok;
  }

  /** Sends the head as the handler would by `res.flushHeaders`. */
  flushHeaders(): void {
    (this.res as ServerResponse).flushHeaders();
    this.bottom.headFlushed();
  }

  /**
   * Sends a head that a layer had held back.
   * @param complete - sets its last fields
   */
  sendHead(complete: () => void): void {
    releaseHead(this.res);
    complete();
    this.#head = 'fixed';
    const { statusCode, statusMessage } = this.res;
    this.#coreWriteHead(this.#heldHead?.args() ?? []);
    // As the handler may have set them since: for its own eyes.
    this.res.statusCode = statusCode;
    if (!isHttp2(this.res)) this.res.statusMessage = statusMessage;
    if (this.#retired) Object.assign(this.res, this.#retired);
  }

  writeHead(args: HeadArguments): void {
    if (this.#head === 'held') refuse(this.res, 'write');
    const isOpen = this.#head === 'open' && !this.res.headersSent && !isGone(this.res);
    const layers = isOpen ? this.#layers.filter((layer) => layer.head) : [];
    if (layers.length > 0) this.#settleHead(layers, args);
    else this.#coreWriteHead(args);
  }

  write(given: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    const { res } = this;
    const chunk = bytesOfView(res, given);
    // Over HTTP/2 Node looks at the end first, and then at what it is given.
    if (this.#ended && this.bottom.state === 'open' && isHttp2(res))
      return this.#defer(() => this.coreWrite.call(res, given, encoding, callback));
    // Node's own `end` at work, or a call that Node refuses.
    if (this.bottom.state === 'ending' || !isChunk(chunk)) return this.#refuseWrite(given, encoding, callback);
    if (!this.#transforms) return this.#top.write(chunk, encoding, callback);
    if (this.#ended || isGone(res)) return this.#defer(() => this.coreWrite.call(res, chunk, encoding, callback));
    const isFirst = !res.headersSent;
    this.#requireHead();
    this.#strictLength?.take(byteLengthOf(chunk, encoding), isFirst);
    const ok = this.#top.write(chunk, encoding, callback);
    if (!ok) this.#awaitsDrain ??= captureScope();
    return ok;
  }

  end(given: Chunk | undefined, encoding: BufferEncoding | undefined, callback: EndCallback): void {
    const { res } = this;
    // Over HTTP/1.1 Node takes whatever is falsy for no chunk.
    const chunk = given || isHttp2(res) ? bytesOfView(res, given) : undefined;
    if (!this.#transforms) {
      this.#top.end(chunk, encoding, callback);
    } else if (!this.#ended && chunk !== undefined && !isChunk(chunk)) {
      this.#refuseEnd(chunk, encoding, callback);
    } else if (this.#ended || isGone(res)) {
      this.#defer(() => this.coreEnd.call(res, chunk, encoding, callback));
    } else {
      this.#complete = { chunk, encoding };
      const size = byteLengthOf(chunk, encoding);
      try {
        // Before the layers see a head for this body: another one may follow.
        if (!res.headersSent) openStrictLength(res)?.end(size);
        this.#requireHead();
      } finally {
        this.#complete = undefined;
      }
      this.#strictLength?.end(size);
      this.#endLayers(chunk, encoding, callback);
    }
  }

  #endLayers(chunk: Chunk | undefined, encoding: BufferEncoding | undefined, given: EndCallback): void {
    // Over HTTP/2 Node may call it back for the last write of a layer.
    const callback = typeof given === 'function' ? inScope(given) : given;
    this.#ended = true;
    try {
      this.#top.end(chunk, encoding, callback);
    } catch (error) {
      // Node refused it: nothing has ended.
      if (this.bottom.state === 'open') this.#ended = false;
      throw error;
    }
    if (this.bottom.state === 'open' && this.#close !== 'closed') this.#waitForLayers(callback);
  }

  /** The body has ended, and layers still work on it. */
  #waitForLayers(callback: EndCallback): void {
    const { res } = this;
    this.#answerForLayers();
    const undo = isHttp2(res) ? undefined : lookEnded(res, () => this.bottom.atWork);
    this.#ending = { scope: captureScope(), callback, undo };
  }

  /** Whether a stream or a body is under way: there is room for one. */
  get hasWriter(): boolean {
    return this.layerAt(rank.writer) !== undefined;
  }

  /** The topmost layer of a rank. */
  layerAt(wanted: Rank): Layer | undefined {
    return this.#layers.find((layer) => layer.rank === wanted);
  }

  /** How the client leaves in a drain: as the topmost layer has it that knows. */
  get departure(): Departure | undefined {
    return this.#layers.find((layer) => layer.departure)?.departure;
  }

  flush(callback: EndCallback): void {
    if (this.res.writableEnded) {
      if (callback) process.nextTick(callback);
      return;
    }
    if (isGone(this.res)) {
      if (callback) process.nextTick(callback, new ClientClosedError());
      return;
    }
    // What the layers hold takes the head along.
    if (!this.bottom.isHeadOnWire && !this.#holdsBytes()) this.flushHeaders();
    this.#top.flush(callback);
  }

  #holdsBytes(): boolean {
    return this.res.headersSent && this.#layers.some((layer) => layer.bufferedBytes > 0);
  }

  // Node's answers, with what the layers hold.

  get bufferedBytes(): number {
    const below = this.#nodeAnswer('writableLength') as number;
    // From Node 24.22 on Node itself asks: in `write`, whether it is full, and before it emits the 'drain' that it
    // owes. If the layers' bytes counted there, they would wait for a 'drain' that nobody owes, or that waits for them.
    if (this.bottom.atWork || (below === 0 && this.coreNeedsDrain())) return below;
    return this.#layers.reduce((sum, layer) => sum + layer.bufferedBytes, below);
  }

  get needDrain(): boolean {
    // As Node's: whether a write was answered with `false`, and so a 'drain' is due. A floor may be full again by what
    // layers pass on by themselves; of that the handler hears at its next write.
    return this.#awaitsDrain !== undefined && !this.#ended && !isGone(this.res);
  }

  get ended(): boolean {
    return this.#ended || (this.#nodeAnswer('writableEnded') as boolean);
  }

  get finished(): boolean {
    return (!this.#ended || this.bottom.state !== 'open') && (this.#nodeAnswer('writableFinished') as boolean);
  }

  /** The bottom has room again: the layers go on from the lowest up, then the handler hears of it. */
  drained(): void {
    for (const layer of this.#layers.toReversed()) layer.drained?.();
    this.layerDrained();
  }

  /** A layer has room again: tells the handler, if it waits and every floor has room. */
  layerDrained(): void {
    if (!this.needDrain || this.coreNeedsDrain() || this.#layers.some((layer) => layer.needDrain)) return;
    const scope = this.#awaitsDrain;
    this.#awaitsDrain = undefined;
    scope?.runInAsyncScope(() => this.emit('drain', []));
  }

  /** Calls Node's `end` in the async context of the handler's: 'finish' and the callback follow from it. */
  endCore(call: () => void): void {
    const ending = this.#ending;
    this.#ending = undefined;
    ending?.undo?.();
    if (ending) ending.scope.runInAsyncScope(call);
    else call();
  }

  /** Node's `end` was called: the layers are done. */
  bottomEnded(): void {
    this.#replayLate();
  }

  emit(event: string | symbol, args: readonly unknown[]): boolean {
    return (this.#lower('emit') as typeof this.res.emit).call(this.res, event, ...(args as []));
  }

  get coreWrite(): Ground['coreWrite'] {
    return (this.#core.write ?? this.res.write) as Ground['coreWrite'];
  }

  get coreEnd(): Ground['coreEnd'] {
    return this.#lower('end') as Ground['coreEnd'];
  }

  get coreFlush(): Ground['coreFlush'] {
    // Where it is not ours, whatever is there is below.
    return this.#own.flush ? this.#core.flush : (this.res as { flush?: Method }).flush;
  }

  /** Cuts the response for a failure that is not the client's: a body that cannot go on must not look complete. */
  abort(failure: unknown): void {
    this.failure ??= failure;
    abortResponse(this.res);
  }

  /**
   * From here on nothing that the handler calls has an effect: not a call throws into a response that is over, and
   * `onLate` is told of each. What is on its way goes out.
   */
  retire(reason: Error, onLate: OnLate): void {
    const target = this.res as unknown as Record<string, Method>;
    // For what is still on its way.
    for (const verb of ['write', 'end', 'writeHead', 'flush'] as const) this.#core[verb] ??= target[verb] as Method;
    this.#retired = retiredMethods(reason, onLate, (name) => name in target);
    for (const verb of ['write', 'writeHead'] as const)
      this.#retired[verb] = this.#exceptNodes(target[verb] as Method, this.#retired[verb] as Method);
    Object.assign(target, this.#retired);
  }

  /** Node's own `end`, which may come later than that of whoever answered, calls these two on the response. */
  #exceptNodes(method: Method, retired: Method): Method {
    const { bottom, res } = this;
    return function (this: unknown, ...args: unknown[]): unknown {
      const isImplicitHead = !res.headersSent && args.length === 1 && args[0] === res.statusCode;
      return (bottom.state === 'ending' || isImplicitHead ? method : retired).apply(this, args as never[]);
    };
  }

  close(): void {
    if (this.#close === 'closed') return;
    this.#close = 'closed';
    // Bottom up: an encoder is freed before the writer above it tells the application.
    for (const layer of this.#layers.toReversed()) this.#contain(() => layer.close?.());
    this.#contain(() => this.#endBelow());
    this.#replayLate();
  }

  /**
   * The client left before the layers were done with a body that the handler had ended. Patches below, as that of
   * `express-session`, wait for the call of `end` to save what they hold.
   */
  #endBelow(): void {
    if (!this.#ended || this.bottom.state !== 'open') return;
    if (this.#head === 'held') releaseHead(this.res);
    this.#head = 'fixed';
    // Over HTTP/2 Node calls back at once for a stream that is closed, also where it would not have without the layers.
    this.bottom.end(undefined, undefined, isHttp2(this.res) ? undefined : this.#ending?.callback);
  }

  /** Runs a step that has no caller to whom its error could be thrown. */
  #contain(step: () => void): void {
    try {
      step();
    } catch (error) {
      reportError(this.res.req, error);
    }
  }

  #flushes(): boolean {
    if (this.#transforms || this.#core.flush !== undefined) return true;
    const { flush: current } = this.res as { flush?: unknown };
    return current !== undefined && current !== this.#own.flush;
  }

  /** A method as it is below the library. */
  #lower(verb: Verb): Method {
    return this.#core[verb] ?? (this.res as unknown as Record<Verb, Method>)[verb];
  }

  /** Takes over the methods that a layer needs and that are not ours yet. */
  #settleIn(layer: Layer): void {
    this.#relink();
    if (layer.close) this.#watchClose();
    const all = layer.kind !== 'observer';
    this.#transforms ||= all;
    if (all || layer.head) this.#patch('writeHead');
    if (all || layer.write !== Layer.prototype.write) this.#patch('write');
    if (all || layer.end !== Layer.prototype.end) this.#patch('end');
    if ((all && layer.kind !== 'injector') || layer.flush !== Layer.prototype.flush) this.#patch('flush');
  }

  #watchClose(): void {
    if (this.#close !== 'unwatched') return;
    this.#close = 'watched';
    const { res } = this;
    // First in line: an encoder is destroyed before anybody else hears of the close.
    // Not by `this`: a response behind a Proxy closes as itself.
    (res as ServerResponse).prependListener('close', () => {
      this.close();
    });
    watchSilentClose(res, () => this.close());
  }

  #patch(verb: Verb): void {
    const target = this.res as unknown as Record<Verb, Method>;
    if (verb in this.#core) return;
    this.#core[verb] = target[verb];
    this.#own[verb] = target[verb] = verb === 'flush' ? boundFlush(this) : methods[verb];
  }

  /** The topmost layer that does something about writes and ends is the first to be asked. */
  #relink(): void {
    let below: Layer = this.bottom;
    this.#top = below;
    for (const layer of this.#layers.toReversed()) {
      layer.below = below;
      below = layer;
      if (
        layer.kind !== 'observer' ||
        layer.write !== Layer.prototype.write ||
        layer.end !== Layer.prototype.end ||
        layer.flush !== Layer.prototype.flush
      ) {
        this.#top = layer;
      }
    }
  }

  #coreWriteHead(args: readonly unknown[]): void {
    this.#lower('writeHead').apply(this.res, args as never[]);
  }

  coreNeedsDrain(): boolean {
    // Before Node 24 the HTTP/2 response has no such property; its stream always has.
    return isHttp2(this.res) ? this.res.stream.writableNeedDrain : (this.#nodeAnswer('writableNeedDrain') as boolean);
  }

  /** As Node has it, where `finished` is what it is and not what it looks like. */
  #nodeAnswer(property: 'writableLength' | 'writableNeedDrain' | 'writableEnded' | 'writableFinished'): unknown {
    const { bottom } = this;
    const before = bottom.atWork;
    bottom.atWork = true;
    try {
      return Reflect.get(Object.getPrototypeOf(this.res) as object, property, this.res);
    } finally {
      bottom.atWork = before;
    }
  }

  #requireHead(): void {
    // As Node's own implicit head: through `res`, so that patches above ours see it.
    if (!this.res.headersSent && this.#head === 'open') this.res.writeHead(this.res.statusCode);
  }

  #settleHead(layers: readonly Layer[], args: HeadArguments): void {
    const { res } = this;
    this.#head = 'settling';
    this.#strictLength = undefined;
    const undo: (() => void)[] = [];
    try {
      const head = completeHead({
        res,
        args,
        complete: this.#complete,
        askLayers: () => this.#askLayers(layers, undo),
        onRefused: (step) => void undo.push(step),
      });
      if (!head) {
        this.#coreWriteHead(args);
        return;
      }
      this.#strictLength = head.strictLength;
      if (this.#layers.some((layer) => layer.kind === 'buffer')) this.#answerForLayers();
      if (head.isHeld) {
        this.#heldHead = head;
        holdHead(res);
        this.#head = 'held';
      } else {
        this.#coreWriteHead(head.args());
        this.#head = 'fixed';
      }
    } finally {
      if (this.#head === 'settling') {
        this.#head = 'open';
        for (const step of undo.toReversed()) step();
      }
    }
  }

  #askLayers(layers: readonly Layer[], undo: (() => void)[]): LayersAnswer {
    const { res } = this;
    let changesBody = false;
    let isHeld = false;
    for (const layer of layers) {
      const outcome = layer.head?.({ res, complete: this.#complete }) ?? keep;
      if (outcome.undo) undo.push(outcome.undo);
      if (outcome.kind === 'leave') {
        this.remove(layer);
        undo.push(() => void this.add(layer));
      } else if (outcome.kind !== 'keep') {
        const { kind, layer: other } = outcome;
        this.replace(layer, other);
        undo.push(() => this.replace(other, layer));
        changesBody ||= other.kind !== 'observer';
        isHeld ||= kind === 'hold';
      }
    }
    return { changesBody, isHeld };
  }

  /** Node answers for its own queue only. */
  #answerForLayers(): void {
    if (this.#answers) return;
    this.#answers = true;
    Object.defineProperties(this.res, isHttp2(this.res) ? { ...answers, finished: ended } : answers);
    this.#patch('emit');
  }

  /**
   * Node's answer to a call that comes after `end`: now if Node has ended too, and then it may throw, else when it has.
   */
  #defer(call: () => unknown): boolean {
    if (this.#isLayersTurn()) (this.#late ??= []).push(inScope(call));
    else call();
    return false;
  }

  #replayLate(): void {
    const late = this.#late;
    if (!late || this.#isLayersTurn()) return;
    this.#late = undefined;
    for (const call of late) this.#contain(call);
  }

  #isLayersTurn(): boolean {
    return this.#ended && this.bottom.state !== 'ended' && this.#close !== 'closed' && !isGone(this.res);
  }

  /** Refused at once, whatever the state. Not by Node's `end`: that leaves the connection corked when it throws. */
  #refuseEnd(chunk: Chunk, encoding: BufferEncoding | undefined, callback: EndCallback): void {
    if (isHttp2(this.res) || this.bottom.state === 'ended') this.coreEnd.call(this.res, chunk, encoding, callback);
    else this.coreWrite.call(this.res, chunk, encoding);
  }

  #refuseWrite(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: WriteCallback | undefined,
  ): boolean {
    // As `compression` answers a write of nothing after the end, for which Node throws.
    if (chunk === undefined && !callback && this.#ended) return false;
    return this.coreWrite.call(this.res, chunk as Chunk, encoding, callback);
  }
}

/** What waits for the layers once the handler has ended the body. */
interface Ending {
  /** The async context of the handler's `end`. */
  readonly scope: AsyncResource;
  readonly callback: EndCallback;
  /** Of what makes the response look ended. */
  readonly undo: (() => void) | undefined;
}

/** The response's seam; made the first time it is asked for. */
export function openSeam(res: HttpResponse): Seam {
  const seam = seamOf(res);
  if (seam) return seam;
  makeRoom(res);
  return ((res as Seamed)[seamKey] = new Seam(res));
}

/** The response's seam, if it has one. */
export function seamOf(res: HttpResponse): Seam | undefined {
  return (res as Seamed)[seamKey] as Seam | undefined;
}

/** How a response can leave, where one of its layers knows that. */
export function departureOf(res: HttpResponse): Departure | undefined {
  return seamOf(res)?.departure;
}

function isChunk(chunk: unknown): chunk is Chunk {
  // Not `instanceof`: bytes may come from another realm, as those of a test under Jest do (nodejs/node#20978).
  return typeof chunk === 'string' || isUint8Array(chunk);
}
