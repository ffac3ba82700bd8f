import type { ServerResponse } from 'node:http';
import { Bottom, type Core } from './bottom.ts';
import type { Chunk, Head, Layer, WriteCallback } from './layer.ts';
import { type HttpResponse, isGone, isHttp2 } from './message.ts';

const kSeam: unique symbol = Symbol('sluice.seam');

type Patched = HttpResponse & { [kSeam]?: Seam };

type HeadArguments = readonly [status: number, ...rest: unknown[]];

type EndCallback = (() => void) | undefined;

/**
 * Where the library meets a response, once for all middlewares: it owns `write, end, writeHead, flushHeaders,
 * flush` (and, while a layer transforms, `emit` and three getters), and holds the layers in the order of their ranks.
 */
export class Seam {
  readonly res: HttpResponse;
  readonly bottom: Bottom;
  /** The `Cache-Control: no-transform` on `res` is a writer's, meant for intermediaries: our own `compress` may still compress. */
  noTransformByWriter = false;
  #core: Core;
  /** Top down, without the bottom. */
  #layers: Layer[] = [];
  #top: Layer;
  #transforms = false;
  #head: 'open' | 'settling' | 'fixed' = 'open';
  #complete: Head['complete'];
  /** The handler has ended the body; the layers may still be at it. */
  #ended = false;
  /** The handler was told to wait for 'drain'. */
  #awaitsDrain = false;
  /** Calls that came after `end` while a layer was still at it: Node answers them when it has ended too. */
  #late: (() => void)[] = [];
  #closed = false;

  constructor(res: HttpResponse, core: Core) {
    this.res = res;
    this.#core = core;
    this.bottom = new Bottom(res, core, this);
    this.#top = this.bottom;
  }

  /** Puts a layer at its rank; within a rank the one added last is nearest to the handler. Returns its removal. */
  add(layer: Layer): () => void {
    const index = this.#layers.findIndex((other) => other.rank >= layer.rank);
    this.#layers.splice(index < 0 ? this.#layers.length : index, 0, layer);
    this.#relink();
    if (layer.transforms && !this.#transforms) {
      this.#transforms = true;
      answerForLayers(this.res);
    }
    return () => {
      this.remove(layer);
    };
  }

  /** Takes a layer out. It must not hold bytes any more. */
  remove(layer: Layer): void {
    const index = this.#layers.indexOf(layer);
    if (index < 0) return;
    this.#layers.splice(index, 1);
    this.#relink();
  }

  /** Whether `res.flush()` would do something: a layer or somebody's patch may hold bytes back. */
  get flushes(): boolean {
    return this.#transforms || this.#core.flush !== undefined || (this.res as { flush?: unknown }).flush !== flush;
  }

  writeHead(args: HeadArguments): void {
    const layers = this.#head === 'open' && !this.res.headersSent ? this.#layers.filter((layer) => layer.head) : [];
    if (layers.length > 0) this.#settleHead(layers, args);
    else this.#core.writeHead.apply(this.res, args as [number, ...unknown[]]);
  }

  flushHeaders(): void {
    this.#core.flushHeaders.call(this.res);
    this.bottom.headFlushed();
  }

  write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    const { res } = this;
    // Node's own `end` at work, or a call that Node refuses.
    if (this.bottom.state === 'ending' || !isChunk(chunk)) return this.#core.write.call(res, chunk, encoding, callback);
    if (!this.#transforms) return this.#top.write(chunk, encoding, callback);
    if (this.#ended) return this.#defer(() => this.#core.write.call(res, chunk, encoding, callback));
    this.#requireHead();
    const ok = this.#top.write(chunk, encoding, callback);
    if (!ok) this.#awaitsDrain = true;
    return ok;
  }

  end(chunk: Chunk | undefined, encoding: BufferEncoding | undefined, callback: EndCallback): void {
    const { res } = this;
    if (!this.#transforms) {
      this.#top.end(chunk, encoding, callback);
    } else if (this.#ended || isGone(res) || (chunk !== undefined && !isChunk(chunk))) {
      this.#defer(() => this.#core.end.call(res, chunk, encoding, callback));
    } else {
      this.#complete = { chunk, encoding };
      try {
        this.#requireHead();
      } finally {
        this.#complete = undefined;
      }
      this.#ended = true;
      this.#top.end(chunk, encoding, callback);
    }
  }

  flush(callback: EndCallback): void {
    if (isGone(this.res) || this.res.writableEnded) {
      if (callback) process.nextTick(callback);
      return;
    }
    if (!this.res.headersSent) (this.res as ServerResponse).flushHeaders();
    this.#top.flush(callback);
  }

  // Node's answers, with what the layers hold.

  get bufferedBytes(): number {
    const below = nodeAnswer(this.res, 'writableLength') as number;
    // From Node 26 on this is what Node itself looks at before it emits the 'drain' that it owes: if the layers' bytes
    // counted here, they would wait for that 'drain' and it for them.
    if (below === 0 && this.#coreNeedsDrain()) return 0;
    return this.#layers.reduce((sum, layer) => sum + layer.bufferedBytes, below);
  }

  get needDrain(): boolean {
    if (isGone(this.res) || this.#ended) return false;
    return this.#layers.some((layer) => layer.needDrain) || this.#coreNeedsDrain();
  }

  get ended(): boolean {
    return this.#ended || (nodeAnswer(this.res, 'writableEnded') as boolean);
  }

  /** The bottom has room again: the layers go on from the lowest up, then the handler hears of it. */
  drained(): void {
    for (const layer of this.#layers.toReversed()) layer.drained?.();
    this.layerDrained();
  }

  /** A layer has room again: tells the handler, if it waits and every floor has room. */
  layerDrained(): void {
    if (!this.#awaitsDrain || this.#ended || this.needDrain) return;
    this.#awaitsDrain = false;
    this.#core.emit.call(this.res, 'drain');
  }

  /** Node's `end` was called: the layers are done. */
  bottomEnded(): void {
    this.#replayLate();
  }

  emit(event: string | symbol, args: readonly unknown[]): boolean {
    return this.#core.emit.call(this.res, event, ...args);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Bottom up: an encoder is freed before the writer above it tells the application.
    for (const layer of this.#layers.toReversed()) layer.close?.();
    this.#replayLate();
  }

  #relink(): void {
    this.#top = this.bottom;
    for (const layer of this.#layers.toReversed()) {
      layer.below = this.#top;
      this.#top = layer;
    }
  }

  #coreNeedsDrain(): boolean {
    // Before Node 24 the HTTP/2 response has no such property; its stream always has.
    return isHttp2(this.res) ? this.res.stream.writableNeedDrain : (nodeAnswer(this.res, 'writableNeedDrain') as boolean);
  }

  #requireHead(): void {
    // As Node's own implicit head: through `res`, so that patches above ours see it.
    if (!this.res.headersSent && this.#head === 'open') this.res.writeHead(this.res.statusCode);
  }

  #settleHead(layers: readonly Layer[], args: HeadArguments): void {
    const { res } = this;
    const [status, reason, fields] = args;
    const rest = typeof reason === 'string' ? [reason] : [];
    this.#head = 'settling';
    try {
      // Where Node sets it, so that a refused head leaves behind what it leaves.
      if (!isHttp2(res)) res.statusCode = status;
      if (!mergeFields(res, (typeof reason === 'string' ? fields : (reason ?? fields)) as HeadFields | undefined)) {
        this.#core.writeHead.apply(res, args as [number, ...unknown[]]);
        return;
      }
      res.statusCode = status;
      let changed = false;
      for (const layer of layers) changed = layer.head?.({ res, complete: this.#complete }) === true || changed;
      if (!changed && this.#complete) frameComplete(res, this.#complete);
      this.#core.writeHead.call(res, res.statusCode, ...rest);
      this.#head = 'fixed';
    } finally {
      if (this.#head === 'settling') this.#head = 'open';
    }
  }

  #defer(call: () => unknown): boolean {
    this.#late.push(call);
    this.#replayLate();
    return false;
  }

  #replayLate(): void {
    if (this.#ended && this.bottom.state !== 'ended' && !this.#closed && !isGone(this.res)) return;
    const late = this.#late;
    this.#late = [];
    for (const call of late) call();
  }
}

/** The response's seam; installed the first time it is asked for. */
export function openSeam(res: HttpResponse): Seam {
  return (res as Patched)[kSeam] ?? install(res);
}

/** The response's seam, if it has one. */
export function seamOf(res: HttpResponse): Seam | undefined {
  return (res as Patched)[kSeam];
}

function install(res: HttpResponse): Seam {
  const target = res as ServerResponse & { flush?: () => void };
  const { write, end, writeHead, flushHeaders, flush: flushBelow, emit } = target;
  const seam = new Seam(res, { write, end, writeHead, flushHeaders, flush: flushBelow, emit } as unknown as Core);
  Object.defineProperty(res, kSeam, { value: seam });
  Object.assign(target, { write: writeChunk, end: endBody, writeHead: fixHead, flushHeaders: flushHead, flush });
  // First in line: an encoder is destroyed before anybody else hears of the close.
  target.prependListener('close', responseOnClose);
  if (!isHttp2(res) && !res.socket) watchPipelined(res, seam);
  return seam;
}

// The methods themselves. Module-level, so that a response carries five references and no closures.

type This = HttpResponse & { [kSeam]: Seam };

function writeChunk(this: This, chunk: Chunk, encoding?: BufferEncoding | WriteCallback, callback?: WriteCallback): boolean {
  if (typeof encoding === 'function') return this[kSeam].write(chunk, undefined, encoding);
  return this[kSeam].write(chunk, encoding, callback);
}

function endBody(this: This, chunk?: Chunk | (() => void) | null, encoding?: BufferEncoding | (() => void) | null, callback?: () => void): This {
  if (typeof chunk === 'function') this[kSeam].end(undefined, undefined, chunk);
  else if (typeof encoding === 'function') this[kSeam].end(chunk ?? undefined, undefined, encoding);
  else this[kSeam].end(chunk ?? undefined, encoding ?? undefined, callback);
  return this;
}

function fixHead(this: This, ...args: HeadArguments): This {
  this[kSeam].writeHead(args);
  return this;
}

function flushHead(this: This): void {
  this[kSeam].flushHeaders();
}

function flush(this: This, callback?: () => void): void {
  this[kSeam].flush(callback);
}

function emitTruthfully(this: This, event: string | symbol, ...args: unknown[]): boolean {
  const seam = this[kSeam];
  if (event !== 'drain') return seam.emit(event, args);
  seam.drained();
  return true;
}

function responseOnClose(this: This): void {
  this[kSeam].close();
}

/** Node answers for its own queue only; with a transforming layer the seam answers for all of them. */
function answerForLayers(res: HttpResponse): void {
  Object.assign(res, { emit: emitTruthfully });
  Object.defineProperties(res, {
    writableLength: { configurable: true, get: (): number => openSeam(res).bufferedBytes },
    writableNeedDrain: { configurable: true, get: (): boolean => openSeam(res).needDrain },
    writableEnded: { configurable: true, get: (): boolean => openSeam(res).ended },
  });
}

function nodeAnswer(res: HttpResponse, property: 'writableLength' | 'writableNeedDrain' | 'writableEnded'): unknown {
  return Reflect.get(Object.getPrototypeOf(res) as object, property, res);
}

function isChunk(chunk: unknown): chunk is Chunk {
  return typeof chunk === 'string' || chunk instanceof Uint8Array;
}

// Before Node 24 a pipelined response whose connection dies before its turn never emits 'close'.
function watchPipelined(res: ServerResponse, seam: Seam): void {
  const socket = (res.req as typeof res.req | undefined)?.socket;
  if (!socket) return;
  const onSocketClose = (): void => {
    seam.close();
  };
  socket.on('close', onSocketClose);
  res.once('close', () => socket.off('close', onSocketClose));
}

type HeadFields = Record<string, number | string | readonly string[] | undefined> | readonly unknown[];

/**
 * Puts the fields given to `writeHead` on `res`, by the rules of Node's `writeHead`: they replace what is set,
 * and a list may repeat a name. `false`, with nothing done, for a list that Node refuses.
 */
function mergeFields(res: HttpResponse, fields: HeadFields | undefined): boolean {
  const target = res as ServerResponse;
  if (!Array.isArray(fields)) {
    for (const [name, value] of Object.entries((fields ?? {}) as Record<string, string>)) if (name !== '') target.setHeader(name, value);
    return true;
  }
  const flat = (Array.isArray(fields[0]) ? fields.flat() : fields) as string[];
  if (flat.length % 2 !== 0) return false;
  for (let at = 0; at < flat.length; at += 2) target.removeHeader(flat[at] ?? '');
  for (let at = 0; at < flat.length; at += 2) if (flat[at]) target.appendHeader(flat[at] ?? '', flat[at + 1] ?? '');
  return true;
}

/** Node gives a body that comes whole a Content-Length, but only where its own `end` sends the head. */
function frameComplete(res: HttpResponse, { chunk, encoding }: NonNullable<Head['complete']>): void {
  if (isHttp2(res) || !res.useChunkedEncodingByDefault || res.hasHeader('content-length') || res.hasHeader('transfer-encoding')) return;
  const bodiless = res.req.method === 'HEAD' || res.statusCode < 200 || res.statusCode === 204 || res.statusCode === 304;
  if (bodiless) return;
  const length = typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : (chunk?.length ?? 0);
  res.setHeader('Content-Length', length);
}
