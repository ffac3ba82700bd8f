import type { ServerResponse } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import { isEnding, isPiping, type PipeStep, type Step, type Wait } from './script.ts';
import { bodyLength, fieldSets, fieldValues, headForms, pipedChunks, statusValues, trailers, writeArguments, chunkValue } from './values.ts';

/** What a handler sees of its response. */
export interface Trace {
  /** One for each step, in order. */
  readonly calls: Call[];
  /** Callbacks and events, in order. */
  readonly events: string[];
  /** Whether the script was through, and whether it left the response open: it is destroyed then. */
  outcome: 'running' | 'ended' | 'left open';
  /** Of the response when it had closed. */
  last: Sample | undefined;
}

export interface Call {
  readonly step: Step;
  /** Its index in the script. */
  readonly at: number;
  /** What it returned or threw. */
  readonly result: string;
  /** Of the response, directly behind it. */
  readonly sample: Sample;
}

/** What a response says of itself. */
export type Sample = Readonly<Record<(typeof properties)[number], unknown>>;

const properties = ['headersSent', 'writableEnded', 'finished', 'destroyed', 'closed', 'statusCode', 'statusMessage', 'writableFinished', 'writableCorked', 'writableLength', 'writableNeedDrain'] as const;

function sample(res: ServerResponse): Sample {
  const seen = Object.fromEntries(properties.map((name) => [name, res[name]])) as Record<(typeof properties)[number], unknown>;
  // How much waits is the encoder's business.
  return { ...seen, writableLength: typeof seen.writableLength };
}

// A wait that takes longer has missed what it waits for.
const patience = 1000;

// Nothing comes of a response that is neither ended nor destroyed.
const hopeless = 30;

/** As a script calls it: with whatever arguments. */
type Loose = Record<'write' | 'end' | 'writeHead' | 'setHeader' | 'appendHeader' | 'setHeaders' | 'addTrailers' | 'flush' | 'writeEarlyHints' | 'writeContinue' | 'writeProcessing' | 'send' | 'json' | 'getRawHeaderNames', (...args: unknown[]) => unknown>;

export interface PlayerInput {
  readonly res: ServerResponse;
  readonly steps: readonly Step[];
  readonly listens: boolean;
  readonly isHttp2: boolean;
}

/** Runs one script on one response. */
export class Player {
  readonly trace: Trace = { calls: [], events: [], outcome: 'running', last: undefined };
  /** Resolves at 'close'. */
  readonly closed: Promise<void>;
  readonly #res: ServerResponse;
  readonly #steps: readonly Step[];
  readonly #isHttp2: boolean;
  readonly #hasFlush: boolean;
  #corks = 0;
  #sources = 0;
  #isCalling = false;
  #hasFinished = false;
  #hasClosed = false;
  /** Whether a write was answered with `false`, and no 'drain' has come since. */
  #owesDrain = false;

  constructor({ res, steps, listens, isHttp2 }: PlayerInput) {
    this.#res = res;
    this.#steps = steps;
    this.#isHttp2 = isHttp2;
    this.#hasFlush = 'flush' in res;
    for (const event of ['pipe', 'unpipe'] as const) res.on(event, () => this.#tell(event));
    if (listens) res.on('error', (error: unknown) => this.#tell('error', error));
    res.on('drain', () => this.#onDrain());
    res.on('finish', () => {
      this.#tell('finish');
      this.#hasFinished = true;
    });
    this.closed = new Promise((resolve) => {
      res.on('close', () => {
        this.#tell('close');
        this.#hasClosed = true;
        resolve();
      });
    });
  }

  /** Resolves when the script is through. */
  async play(): Promise<void> {
    await new Promise<void>((resolve) => this.#run(0, resolve));
    this.#uncorkAll();
    const isOver = this.#isOver() || this.#steps.some((step) => step.do === 'destroy' || (isPiping(step) && isEnding(step)));
    this.trace.outcome = isOver ? 'ended' : 'left open';
    if (isOver) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.#res.destroy();
  }

  /** Everything has happened. */
  stop(): void {
    this.trace.last = sample(this.#res);
  }

  #isOver(): boolean {
    return this.#res.writableEnded || this.#res.destroyed || this.#hasClosed;
  }

  /** Without a turn of any kind between two steps, unless the script has one. */
  #run(from: number, done: () => void): void {
    for (let at = from; at < this.#steps.length; at++) {
      const step = this.#steps[at]!;
      if (step.do === 'wait') {
        this.#wait(step.for, at, () => this.#run(at + 1, done));
        return;
      }
      this.trace.calls.push({ step, at, result: this.#call(step, at), sample: sample(this.#res) });
    }
    done();
  }

  #call(step: Step, at: number): string {
    this.#isCalling = true;
    try {
      const value = this.#perform(step, at);
      if (value === false && step.do === 'write' && !this.#res.writableEnded) this.#owesDrain = true;
      return describe(value, this.#res);
    } catch (error) {
      return `threw ${nameOfError(error)}`;
    } finally {
      this.#isCalling = false;
    }
  }

  /** Its number is the connection's business; that it comes when it is due, and else not, is not. */
  #onDrain(): void {
    const isPiped = this.#steps.some(isPiping);
    if (!this.#owesDrain && !isPiped) this.#tell('drain that nothing waits for');
    this.#owesDrain = false;
  }

  #tell(what: string, error?: unknown): void {
    const within = this.#isCalling && what.includes('called back') ? ', within a call' : '';
    this.trace.events.push(`${what}${error == null ? '' : ` ${nameOfError(error)}`}${within}`);
  }

  #perform(step: Step, at: number): unknown {
    const res = this.#res as unknown as Omit<ServerResponse, keyof Loose> & Loose;
    const callback = (error?: unknown): void => this.#tell(`${step.do} #${at} called back`, error);
    switch (step.do) {
      case 'write':
      case 'end':
        return res[step.do](...writeArguments(step, at, callback));
      case 'writeHead':
        return res.writeHead(...headForms[step.form]());
      case 'statusCode':
        return void (res.statusCode = statusValues[step.value] as number);
      case 'statusMessage':
        return void (res.statusMessage = step.value);
      case 'setHeader':
      case 'appendHeader':
        // Node keeps the list that it is given, and adds to it.
        return res[step.do](step.name, structuredClone(fieldValues[step.value]));
      case 'removeHeader':
      case 'getHeader':
      case 'hasHeader':
        return res[step.do](step.name);
      case 'setHeaders':
        return res.setHeaders(fieldSets[step.form]());
      case 'addTrailers':
        return res.addTrailers(trailers[step.form]);
      case 'getHeaderNames':
      case 'getRawHeaderNames':
      case 'getHeaders':
      case 'flushHeaders':
        return (res[step.do] as () => unknown)();
      case 'strict':
        return void (res.strictContentLength = true);
      case 'contentLength':
        return res.setHeader('Content-Length', Math.max(0, bodyLength(this.#steps) + { right: 0, short: -3, long: 3 }[step.length]));
      case 'writeEarlyHints':
      case 'writeContinue':
      case 'writeProcessing':
        return this.#interim(step.do, step.callback ? [callback] : []);
      case 'pipe':
      case 'pipeline':
        return this.#pipe(step, at, callback);
      case 'destroy':
        return step.error ? res.destroy(Object.assign(new Error('of the script'), { code: 'E_SCRIPT' })) : res.destroy();
      case 'send':
        return res.send(chunkValue(step.chunk, at));
      case 'json':
        return res.json({ text: chunkValue({ kind: 'string', size: step.size }, at) });
      default:
        return this.#performRare(step);
    }
  }

  #performRare(step: Step): unknown {
    const res = this.#res as ServerResponse & { flush(): void };
    if (step.do === 'cork') {
      // Of an ended one the connection is the next response's.
      if (res.writableEnded) return 'late';
      this.#corks += 1;
      return res.cork();
    }
    // Node corks too, for a tick; only what the script has corked is its to uncork.
    if (step.do === 'uncork') return this.#corks === 0 ? undefined : void (this.#corks--, res.uncork());
    if (step.do !== 'flush') return undefined;
    if (this.#hasFlush) return res.flush();
    // Bare Node has none. What it does to the head is this; to one that is over, nothing.
    return this.#isOver() || this.trace.calls.some((call) => call.step.do === 'destroy') ? undefined : res.flushHeaders();
  }

  #interim(verb: 'writeEarlyHints' | 'writeContinue' | 'writeProcessing', rest: unknown[]): unknown {
    // Node would write it into the body.
    if (this.#res.headersSent) return 'late';
    const method = (this.#res as unknown as Loose)[verb] as Loose['write'] | undefined;
    return method?.call(this.#res, ...(verb === 'writeEarlyHints' ? [{ link: '</style.css>; rel=preload' }] : []), ...rest);
  }

  #pipe(step: PipeStep, at: number, callback: (error?: unknown) => void): unknown {
    const source = sourceOf(step, at);
    this.#sources += 1;
    source.on('close', () => (this.#sources -= 1));
    if (step.do === 'pipeline') return void pipeline(source, this.#res, callback);
    return source.on('error', this.#sourceOnError).pipe(this.#res, { end: !step.open }) === this.#res;
  }

  /** `pipe` leaves the response open then. */
  readonly #sourceOnError = (error: unknown): void => {
    this.#tell('source failed', error);
    setTimeout(() => {
      if (!this.#res.writableEnded) this.#res.destroy();
    }, 5);
  };

  /** What stays corked is never sent. */
  #uncorkAll(): void {
    for (; this.#corks > 0; this.#corks--) this.#res.uncork();
  }

  #wait(wait: Wait, at: number, next: () => void): void {
    if (wait === 'nextTick') process.nextTick(next);
    else if (wait === 'microtask') queueMicrotask(next);
    else if (wait === 'immediate') setImmediate(next);
    else {
      this.#uncorkAll();
      this.#await(wait, at, next);
    }
  }

  #await(wait: 'drain' | 'source' | 'finish' | 'within finish' | 'close', at: number, next: () => void): void {
    if (wait === 'source') this.#until(() => this.#sources === 0 || this.#hasClosed, () => setImmediate(next));
    // Whether there is one to wait for is the connection's business; that it comes is not.
    else if (wait === 'drain') this.#waitFor(['drain', 'close'], !this.#needsDrain() || this.#isOver(), at, next);
    // Behind 'finish' comes 'close', in the same turn.
    else if (wait === 'finish') this.#waitFor(['finish', 'close'], this.#hasFinished || this.#hasClosed, at, () => setImmediate(next));
    else if (wait === 'within finish') this.#waitFor(['finish', 'close'], this.#hasFinished || this.#hasClosed, at, next);
    else this.#waitFor(['close'], this.#hasClosed, at, next);
  }

  #needsDrain(): boolean {
    const { stream } = this.#res as { stream?: { writableNeedDrain: boolean } };
    return this.#res.writableNeedDrain || (this.#isHttp2 && stream?.writableNeedDrain === true);
  }

  #until(condition: () => boolean, next: () => void): void {
    if (condition()) next();
    else setImmediate(() => this.#until(condition, next));
  }

  #waitFor(events: readonly string[], isOver: boolean, at: number, next: () => void): void {
    if (isOver) {
      setImmediate(next);
      return;
    }
    const res = this.#res;
    const go = (): void => {
      clearTimeout(timer);
      for (const event of events) res.off(event, go);
      next();
    };
    const before = this.#steps.slice(0, at);
    const canCome = events.includes('drain') || res.writableEnded || res.destroyed || before.some((step) => step.do === 'destroy' || (isPiping(step) && (isEnding(step) || step.fails)));
    const timer = setTimeout(() => {
      if (canCome) this.trace.events.push(`${events[0]} never came`);
      go();
    }, canCome ? patience : hopeless);
    for (const event of events) res.on(event, go);
  }
}

function sourceOf(step: PipeStep, at: number): Readable {
  const values = pipedChunks(step, at);
  async function* give(): AsyncGenerator<string | Uint8Array> {
    yield* values;
    if (step.fails) throw Object.assign(new Error('of the source'), { code: 'E_SOURCE' });
  }
  return Readable.from(give(), { objectMode: false });
}

function describe(value: unknown, res: ServerResponse): string {
  if (value === res) return 'the response';
  if (typeof value === 'object' || typeof value === 'string') return JSON.stringify(value, (_key, each: unknown) => (each === res ? 'the response' : each)).slice(0, 400);
  return typeof value === 'function' ? 'a function' : String(value as undefined);
}

export function nameOfError(error: unknown): string {
  const { code, name, message } = error as NodeJS.ErrnoException;
  return code ?? `${name}: ${message}`;
}
