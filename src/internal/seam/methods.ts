import type { Chunk, WriteCallback } from './layer.ts';
import type { HttpResponse } from '../http/message.ts';
import type { Method, ResponseCore, Verb } from './core.ts';
import type { HeadArguments } from './head.ts';

// A property and not a WeakMap, which costs the garbage collector more than all else that is done here; and one that is
// found through a Proxy, or from a child, of the response.
export const seamKey: unique symbol = Symbol('sluice.seam');

/** What the getters on a response ask of its seam. */
export interface ResponseState {
  readonly length: number;
  readonly needDrain: boolean;
  readonly ended: boolean;
  readonly finished: boolean;
  drained(): void;
}

/** What the methods on a response ask of its seam. */
export interface ResponseVerbs {
  readonly core: ResponseCore;
  readonly state: ResponseState;
  writeHead(args: HeadArguments): void;
  write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean;
  end(chunk: Chunk | undefined, encoding: BufferEncoding | undefined, callback: (() => void) | undefined): void;
  flush(callback: (() => void) | undefined): void;
}

export type Seamed = HttpResponse & { [seamKey]?: ResponseVerbs };

// The methods that go on a response: one set for all, which find the seam by `this`. That may be a Proxy or a child of
// the response; Node's own methods need no less of it.
export const methods: Readonly<Record<Exclude<Verb, 'flush'>, Method>> = {
  write(
    this: Required<Seamed>,
    chunk: Chunk,
    encoding?: BufferEncoding | WriteCallback,
    callback?: WriteCallback,
  ): boolean {
    const seam = this[seamKey];
    if (typeof encoding === 'function') return seam.write(chunk, undefined, encoding);
    return seam.write(chunk, encoding, callback);
  },
  end(
    this: Required<Seamed>,
    chunk?: Chunk | (() => void) | null,
    encoding?: BufferEncoding | (() => void) | null,
    callback?: () => void,
  ): unknown {
    const seam = this[seamKey];
    if (typeof chunk === 'function') seam.end(undefined, undefined, chunk);
    else if (typeof encoding === 'function') seam.end(chunk ?? undefined, undefined, encoding);
    else seam.end(chunk ?? undefined, encoding ?? undefined, callback);
    return this;
  },
  writeHead(this: Required<Seamed>, ...args: HeadArguments): unknown {
    this[seamKey].writeHead(args);
    return this;
  },
  emit(this: Required<Seamed>, event: string | symbol, ...args: unknown[]): boolean {
    const seam = this[seamKey];
    if (event !== 'drain') return seam.core.nativeEmit(event, args);
    seam.state.drained();
    return true;
  },
};

// Bound, as that of `compression` is, which people hand to timers and emitters as it is: with whatever arguments those
// call it.
export function boundFlush(seam: ResponseVerbs): Method {
  return function flush(callback?: unknown): void {
    seam.flush(typeof callback === 'function' ? (callback as () => void) : undefined);
  };
}

/** Whether the handler has ended the body. */
export const ended: PropertyDescriptor & ThisType<Required<Seamed>> = {
  configurable: true,
  get(): boolean {
    return this[seamKey].state.ended;
  },
};

export const writableStateGetters: PropertyDescriptorMap & ThisType<Required<Seamed>> = {
  writableLength: {
    configurable: true,
    get(): number {
      return this[seamKey].state.length;
    },
  },
  writableNeedDrain: {
    configurable: true,
    get(): boolean {
      return this[seamKey].state.needDrain;
    },
  },
  writableEnded: ended,
  writableFinished: {
    configurable: true,
    get(): boolean {
      return this[seamKey].state.finished;
    },
  },
};
