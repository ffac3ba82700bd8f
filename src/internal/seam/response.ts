import type { ServerResponse } from 'node:http';
import { isUint8Array } from 'node:util/types';
import { ClientClosedError } from '../../errors.ts';
import { BodyEnd } from './body-end.ts';
import { Bottom } from './bottom.ts';
import { ResponseCore } from './core.ts';
import {
  byteLengthOf,
  bytesOfView,
  type Chunk,
  type Departure,
  type Layer,
  type Rank,
  rank,
  type WriteCallback,
} from './layer.ts';
import { reportError } from '../events.ts';
import type { HeadArguments } from './head.ts';
import { type HttpResponse, isGone, isHttp2 } from '../http/message.ts';
import { callEach } from '../listeners.ts';
import { abortResponse } from './closing.ts';
import { detach, type OnLate } from './detach.ts';
import { useDictionaryMode } from './dictionary-mode.ts';
import { watchSilentClose } from './lifetime.ts';
import { boundFlush, methods, type ResponseVerbs, type Seamed, seamKey } from './methods.ts';
import { ResponseHead } from './response-head.ts';
import { type LayersHost, LayerStack, overrides } from './stack.ts';
import { openStrictLength } from './strict-length.ts';
import { WritableState } from './writable-state.ts';

type EndCallback = (() => void) | undefined;

/**
 * Where the library meets a response, once for all middlewares. It owns those of `write, end, writeHead, flush, emit`
 * that a layer needs; the others stay Node's.
 */
export class Seam implements ResponseVerbs, LayersHost {
  readonly res: HttpResponse;
  readonly core: ResponseCore;
  readonly layers: LayerStack;
  readonly head: ResponseHead;
  readonly state: WritableState;
  readonly bottom: Bottom;
  /**
   * The `Cache-Control: no-transform` on `res` is a writer's, meant for intermediaries: our own `compress` may still
   * compress.
   */
  noTransformByWriter = false;
  /** An event stream in which no heartbeat can stand: that nothing moves in it says nothing. */
  mayBeQuiet = false;
  /** Why a layer cut the response. */
  failure: unknown;
  readonly #body: BodyEnd;
  #watchesClose = false;

  constructor(res: HttpResponse) {
    this.res = res;
    this.core = new ResponseCore(res);
    this.#body = new BodyEnd(this.core);
    this.bottom = new Bottom(this.core, this.#body);
    this.layers = new LayerStack(this.bottom, this);
    this.head = new ResponseHead(this.core, this.layers);
    this.state = new WritableState(this.core, this.layers, this.#body);
  }

  /** Adds a layer at its rank; within a rank the one added last is nearest to the handler. Returns its removal. */
  add(layer: Layer): () => void {
    this.layers.add(layer);
    return () => this.layers.remove(layer);
  }

  /** Puts a layer in the place of another. */
  replace(old: Layer, layer: Layer): void {
    this.layers.replace(old, layer);
  }

  /** Takes a layer out. It must not hold bytes any more. */
  remove(layer: Layer): void {
    this.layers.remove(layer);
  }

  /** The topmost layer of a rank. */
  layerAt(wanted: Rank): Layer | undefined {
    return this.layers.at(wanted);
  }

  /** Whether a stream or a body is under way: there is room for one. */
  get hasWriter(): boolean {
    return this.layers.at(rank.writer) !== undefined;
  }

  /**
   * Writes as the handler would by `res.write`, and flushes the layers. It takes no detour where that leads straight
   * back here, or to Node. A patch above ours, or on a method that is not ours, still sees every write; it may forget
   * to pass the answer on.
   */
  send(chunk: Chunk): boolean | undefined {
    const { core, layers } = this;
    const res = this.res as ServerResponse & { flush?: () => void };
    const own = core.ownWrite;
    const ok = own && res.write !== own ? res.write(chunk) : this.write(chunk, undefined, undefined);
    if (!layers.transforms && !core.hasOtherFlush) return ok;
    const { flush } = res;
    if (flush !== undefined && flush === core.ownFlush) this.flush(undefined);
    else flush?.call(res);
    return ok;
  }

  /**
   * Writes past Node, where nothing would see what `send` writes: no layer, and no patch. A segment of a shared text
   * passes the layers too. `false`: something is in the way.
   */
  sendDirect(chunk: Chunk, isSegment = false): boolean {
    if ((this.res as ServerResponse).write !== methods.write)
      return this.core.ownWrite === undefined && this.bottom.writeDirect(chunk);
    if (!isSegment || typeof chunk === 'string') return false;
    return !this.head.strictLength && this.layers.top.pass(chunk);
  }

  /** Sends the head as the handler would by `res.flushHeaders`. */
  flushHeaders(): void {
    (this.res as ServerResponse).flushHeaders();
    this.bottom.headFlushed();
  }

  writeHead(args: HeadArguments): void {
    this.head.write(args);
  }

  write(given: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    const { res, core, layers } = this;
    const body = this.#body;
    const chunk = bytesOfView(res, given);
    // Over HTTP/2 Node looks at the end first, and then at what it is given.
    if (body.isBetween && isHttp2(res)) return body.defer(lateWrite(core, given, encoding, callback));
    // Node's own `end` at work, or a call that Node refuses.
    if (body.native === 'ending' || !isChunk(chunk)) return this.#refuseWrite(given, encoding, callback);
    if (!layers.transforms) return layers.top.write(chunk, encoding, callback);
    if (body.hasEnded || isGone(res)) return body.defer(lateWrite(core, chunk, encoding, callback));
    const isFirst = !res.headersSent;
    this.head.require();
    this.head.strictLength?.take(byteLengthOf(chunk, encoding), isFirst);
    const ok = layers.top.write(chunk, encoding, callback);
    if (!ok) this.state.awaitDrain();
    return ok;
  }

  end(given: Chunk | undefined, encoding: BufferEncoding | undefined, callback: EndCallback): void {
    const { res, core, layers } = this;
    const body = this.#body;
    // Over HTTP/1.1 Node takes whatever is falsy for no chunk.
    const chunk = given || isHttp2(res) ? bytesOfView(res, given) : undefined;
    if (!layers.transforms) {
      layers.top.end(chunk, encoding, callback);
    } else if (!body.hasEnded && chunk !== undefined && !isChunk(chunk)) {
      this.#refuseEnd(chunk, encoding, callback);
    } else if (body.hasEnded || isGone(res)) {
      body.defer(() => core.nativeEnd.call(res, chunk, encoding, callback));
    } else {
      const size = byteLengthOf(chunk, encoding);
      // Before the layers see a head for this body: another one may follow.
      if (!res.headersSent) openStrictLength(res)?.end(size);
      this.head.require({ chunk, encoding });
      this.head.strictLength?.end(size);
      if (body.end(layers.top, chunk, encoding, callback)) this.state.takeOver();
    }
  }

  flush(callback: EndCallback): void {
    const { res, layers } = this;
    if (res.writableEnded) {
      if (callback) process.nextTick(callback);
      return;
    }
    if (isGone(res)) {
      if (callback) process.nextTick(callback, new ClientClosedError());
      return;
    }
    if (!this.bottom.isHeadOnWire) {
      // What the layers hold takes the head along.
      const holdsBytes = res.headersSent && layers.bufferedBytes > 0;
      if (!holdsBytes) this.flushHeaders();
    }
    layers.top.flush(callback);
  }

  /** Cuts the response for a failure that is not the client's: a body that cannot go on must not look complete. */
  abort(failure: unknown): void {
    this.failure ??= failure;
    abortResponse(this.res);
  }

  /**
   * From here on nothing that the handler calls has an effect: not a call throws into a response that is over, and
   * `onLate` is told of each. What is on its way is still sent.
   */
  detach(reason: Error, onLate: OnLate): void {
    detach(this.core, this.#body, reason, onLate);
  }

  close(): void {
    const body = this.#body;
    if (body.isClosed) return;
    body.isClosed = true;
    // These have no caller to whom an error could be thrown.
    const report = (error: unknown): void => reportError(this.res.req, error);
    // Bottom up: an encoder is freed before the writer above it tells the application.
    callEach(this.layers.bottomUp, (layer) => layer.close?.(), report);
    if (body.isBetween) callEach([this], (seam) => seam.#endBelow(), report);
    body.replayLate();
  }

  #endBelow(): void {
    this.head.close();
    this.#body.endBelow(this.bottom);
  }

  /** Takes over the methods that a layer needs and that are not ours yet. */
  layerAdded(layer: Layer): void {
    const { core } = this;
    const all = layer.kind !== 'observer';
    if (layer.close && !layer.asksForClose) this.watchClose();
    if (all || layer.head) core.patch('writeHead', methods.writeHead);
    if (all || overrides(layer, 'write')) core.patch('write', methods.write);
    if (all || overrides(layer, 'end')) core.patch('end', methods.end);
    if ((all && layer.kind !== 'injector') || overrides(layer, 'flush')) core.patch('flush', boundFlush(this));
    if (layer.kind === 'buffer') this.state.takeOver();
  }

  /** Closes the layers when the response closes. */
  watchClose(): void {
    if (this.#watchesClose) return;
    this.#watchesClose = true;
    const { res } = this;
    // First in line: an encoder is destroyed before other listeners hear of the close.
    // Not by `this`: a response behind a Proxy closes as itself.
    (res as ServerResponse).prependListener('close', () => {
      this.close();
    });
    watchSilentClose(res, () => this.close());
  }

  /** Refused at once, whatever the state. Not by Node's `end`: that leaves the connection corked when it throws. */
  #refuseEnd(chunk: Chunk, encoding: BufferEncoding | undefined, callback: EndCallback): void {
    const { res, nativeEnd, nativeWrite } = this.core;
    if (isHttp2(res) || this.#body.native === 'ended') nativeEnd.call(res, chunk, encoding, callback);
    else nativeWrite.call(res, chunk, encoding);
  }

  #refuseWrite(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: WriteCallback | undefined,
  ): boolean {
    // As `compression` answers a write of nothing after the end, for which Node throws.
    if (chunk === undefined && !callback && this.#body.hasEnded) return false;
    return this.core.nativeWrite.call(this.res, chunk as Chunk, encoding, callback);
  }
}

/** The response's seam; made the first time it is asked for. */
export function openSeam(res: HttpResponse): Seam {
  const seam = seamOf(res);
  if (seam) return seam;
  useDictionaryMode(res);
  return ((res as Seamed)[seamKey] = new Seam(res));
}

/** The response's seam, if it has one. */
export function seamOf(res: HttpResponse): Seam | undefined {
  return (res as Seamed)[seamKey] as Seam | undefined;
}

/** How a response can leave in a drain, if one of its layers has an answer. */
export function departureOf(res: HttpResponse): Departure | undefined {
  return seamOf(res)?.layers.departure;
}

// Not within `write`: a function that is made there would take memory at each call.
function lateWrite(
  { res, nativeWrite }: ResponseCore,
  chunk: Chunk,
  encoding: BufferEncoding | undefined,
  callback: WriteCallback | undefined,
): () => boolean {
  return () => nativeWrite.call(res, chunk, encoding, callback);
}

function isChunk(chunk: unknown): chunk is Chunk {
  // Not `instanceof`: bytes may come from another realm, as those of a test under Jest do (nodejs/node#20978).
  return typeof chunk === 'string' || isUint8Array(chunk);
}
