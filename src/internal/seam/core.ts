import { ServerResponse } from 'node:http';
import type { Chunk, WriteCallback } from './layer.ts';
import { type HttpResponse, isHttp2 } from '../http/message.ts';

/** The methods that the library may replace. */
export type Verb = 'write' | 'end' | 'writeHead' | 'flush' | 'emit';

export type Method = (...args: never[]) => unknown;

/** `null`: there was none. `undefined`: not known. */
type Methods = Record<Verb, Method | null | undefined>;

const { write, end, writeHead, emit } = ServerResponse.prototype;

/** Those of most responses: what is the same for all is not kept for each. */
const nodeMethods: Methods & { readonly write: Method } = { write, end, writeHead, flush: null, emit };

// With all of its properties from the start: an object that grows takes twice the memory, for as long as a stream is
// open.
function noMethods(): Methods {
  return { write: undefined, end: undefined, writeHead: undefined, flush: undefined, emit: undefined };
}

const bits: Readonly<Record<Verb, number>> = { write: 1, end: 2, writeHead: 4, flush: 8, emit: 16 };

/** The methods and the state of a response below the library: Node's, or those of a patch that came before ours. */
export class ResponseCore {
  readonly res: HttpResponse;
  /** Whether Node's own `write` or `end` runs: what it reads on the response has to be its own. */
  isAtWork = false;
  /** The methods of a response that was taken from its handler. */
  detached: Readonly<Record<string, Method>> | undefined;
  /** The `bits` of the methods that are replaced. */
  #replaced = 0;
  /** Those of them that were not Node's. */
  #others: Methods | undefined;
  #ownWrite: Method | undefined;
  #ownFlush: Method | undefined;

  constructor(res: HttpResponse) {
    this.res = res;
  }

  /** Puts a method of ours in the place of the one that is there, once. */
  patch(verb: Verb, method: Method): void {
    if ((this.#replaced & bits[verb]) !== 0) return;
    this.remember(verb);
    if (verb === 'write') this.#ownWrite = method;
    if (verb === 'flush') this.#ownFlush = method;
    (this.res as unknown as Record<Verb, Method>)[verb] = method;
  }

  /** Remembers a method that something else is about to replace. */
  remember(verb: Verb): void {
    if ((this.#replaced & bits[verb]) !== 0) return;
    this.#replaced |= bits[verb];
    const method = this.#current(verb) ?? null;
    if (method !== nodeMethods[verb]) (this.#others ??= noMethods())[verb] = method;
  }

  // By name and not by `#below`: V8 looks a name up that is a variable, and each delivery pays for it.
  get nativeWrite(): (chunk: Chunk, encoding?: BufferEncoding, callback?: WriteCallback) => boolean {
    const isReplaced = (this.#replaced & bits.write) !== 0;
    const method = this.#others?.write ?? (isReplaced ? nodeMethods.write : (this.res as ServerResponse).write);
    return method as ResponseCore['nativeWrite'];
  }

  /** Whether `nativeWrite` stays as it is: what is below ours is known, whatever others put on the response. */
  get knowsWrite(): boolean {
    return (this.#replaced & bits.write) !== 0;
  }

  /** Our `write`, where it replaced another. */
  get ownWrite(): Method | undefined {
    return this.#ownWrite;
  }

  /** Our `flush`, where there is one. */
  get ownFlush(): Method | undefined {
    return this.#ownFlush;
  }

  get nativeEnd(): (chunk?: Chunk, encoding?: BufferEncoding, callback?: () => void) => unknown {
    return this.#below('end') as ResponseCore['nativeEnd'];
  }

  get nativeFlush(): (() => void) | undefined {
    // Where it is not ours, the one on the response is below.
    return this.#ownFlush ? (this.#native('flush') ?? undefined) : this.#current('flush');
  }

  /** Whether a `flush` is there that is not ours. */
  get hasOtherFlush(): boolean {
    if (this.#native('flush')) return true;
    const current = this.#current('flush');
    return current !== undefined && current !== this.#ownFlush;
  }

  nativeWriteHead(args: readonly unknown[]): void {
    this.#below('writeHead').apply(this.res, args as never[]);
  }

  nativeEmit(event: string | symbol, args: readonly unknown[]): boolean {
    return (this.#below('emit') as typeof this.res.emit).call(this.res, event, ...(args as []));
  }

  /** Node's own answer, where `finished` is what it is and not what it looks like. */
  nativeState(property: 'writableLength' | 'writableNeedDrain' | 'writableEnded' | 'writableFinished'): unknown {
    const before = this.isAtWork;
    this.isAtWork = true;
    try {
      return Reflect.get(Object.getPrototypeOf(this.res) as object, property, this.res);
    } finally {
      this.isAtWork = before;
    }
  }

  /** Node's own `writableNeedDrain`. */
  get nativeNeedsDrain(): boolean {
    // Before Node 24 the HTTP/2 response has no such property; its stream always has.
    return isHttp2(this.res) ? this.res.stream.writableNeedDrain : (this.nativeState('writableNeedDrain') as boolean);
  }

  #below(verb: Verb): Method {
    return this.#native(verb) ?? (this.#current(verb) as Method);
  }

  /** The method that was replaced. `null`: there was none. `undefined`: it is not replaced. */
  #native(verb: Verb): Method | null | undefined {
    const other = this.#others?.[verb];
    if (other !== undefined) return other;
    return (this.#replaced & bits[verb]) === 0 ? undefined : nodeMethods[verb];
  }

  #current(verb: Verb): Method | undefined {
    return (this.res as unknown as Partial<Record<Verb, Method>>)[verb];
  }
}
