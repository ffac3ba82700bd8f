import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream';
import { chunkValue, makeSource, bodyLength, writeArguments } from './chunks.ts';
import { fieldSets, fieldValues, headForms, statusValues, trailers } from './heads.ts';
import { isEnding, isPiping, type PipeStep, type Step, type Wait } from './script.ts';
import { describeValue, nameOfError, sample, type Trace } from './trace.ts';

// A wait that takes longer has missed what it waits for.
const patience = 1500;

// Nothing comes of a response that is neither ended nor destroyed.
const hopeless = 30;

/** A response as a script calls it: with whatever arguments. */
type Loose = Record<
  | ('write' | 'end' | 'writeHead' | 'setHeader' | 'appendHeader' | 'setHeaders' | 'addTrailers' | 'flush')
  | ('writeEarlyHints' | 'writeContinue' | 'writeProcessing' | 'getRawHeaderNames' | 'send' | 'json'),
  (...args: unknown[]) => unknown
>;

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
    const ends = (step: Step): boolean => step.do === 'destroy' || (isPiping(step) && isEnding(step));
    const isOver = this.#isOver() || this.#steps.some(ends);
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
      if (value === false && step.do === 'write' && !this.#isOver()) this.#onFull();
      return describeValue(value, this.#res);
    } catch (error) {
      return `threw ${nameOfError(error)}`;
    } finally {
      this.#isCalling = false;
    }
  }

  #onFull(): void {
    this.#owesDrain = true;
    // Before Node 24 HTTP/2 has no such property.
    const needsDrain = (this.#res as { writableNeedDrain?: boolean }).writableNeedDrain ?? true;
    if (!needsDrain && !this.#res.req.socket.destroyed) this.#tell('drain is not needed, though write says false');
  }

  /** How often it comes is the connection's business; that it comes when it is due, and else not, is not. */
  #onDrain(): void {
    if (!this.#owesDrain && !this.#steps.some(isPiping)) this.#tell('drain that nothing waits for');
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
      case 'writeEarlyHints':
      case 'writeContinue':
      case 'writeProcessing':
        return this.#interim(step.do, step.callback ? [callback] : []);
      case 'pipe':
      case 'pipeline':
        return this.#pipe(step, at, callback);
      case 'send':
        return res.send(chunkValue(step.chunk, at));
      case 'json':
        return res.json({ text: chunkValue({ kind: 'string', size: step.size }, at) });
      default:
        return this.#performSimple(step);
    }
  }

  #performSimple(step: Step): unknown {
    const res = this.#res as ServerResponse & Pick<Loose, 'getRawHeaderNames'>;
    switch (step.do) {
      case 'getHeaderNames':
      case 'getRawHeaderNames':
      case 'getHeaders':
      case 'flushHeaders':
        return (res[step.do] as () => unknown)();
      case 'strict':
        return void (res.strictContentLength = true);
      case 'contentLength': {
        const wrong = { right: 0, short: -3, long: 3 }[step.length];
        return res.setHeader('Content-Length', Math.max(0, bodyLength(this.#steps) + wrong));
      }
      case 'destroy':
        return step.error
          ? res.destroy(Object.assign(new Error('of the script'), { code: 'E_SCRIPT' }))
          : res.destroy();
      case 'cork':
        // Of an ended one the connection is the next response's.
        return res.writableEnded ? 'late' : void (this.#corks++, res.cork());
      case 'uncork':
        // Node corks too, for a tick; only what the script has corked is its to uncork.
        return this.#corks === 0 ? undefined : void (this.#corks--, res.uncork());
      default:
        return step.do === 'flush' ? this.#flush() : undefined;
    }
  }

  #flush(): unknown {
    const res = this.#res as ServerResponse & { flush(): void };
    if (this.#hasFlush) return res.flush();
    // Bare Node has none. What it does to the head is this; to one that is over, nothing.
    const isDestroyed = this.trace.calls.some((call) => call.step.do === 'destroy');
    return this.#isOver() || isDestroyed || res.req.socket.destroyed ? undefined : res.flushHeaders();
  }

  #interim(verb: 'writeEarlyHints' | 'writeContinue' | 'writeProcessing', rest: unknown[]): unknown {
    // Node would write it into the body.
    if (this.#res.headersSent) return 'late';
    const method = (this.#res as unknown as Partial<Loose>)[verb];
    const hints = verb === 'writeEarlyHints' ? [{ link: '</style.css>; rel=preload' }] : [];
    return method?.call(this.#res, ...hints, ...rest);
  }

  #pipe(step: PipeStep, at: number, callback: (error?: unknown) => void): unknown {
    const source = makeSource(step, at);
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
    const later = (): void => void setImmediate(next);
    const isOver = this.#hasFinished || this.#hasClosed;
    if (wait === 'source') this.#until(() => this.#sources === 0 || this.#hasClosed, later);
    // Whether there is one to wait for is the connection's business; that it comes is not.
    else if (wait === 'drain') this.#waitFor(['drain', 'close'], !this.#needsDrain() || this.#isOver(), at, next);
    // Behind 'finish' comes 'close', in the same turn.
    else if (wait === 'finish') this.#waitFor(['finish', 'close'], isOver, at, later);
    else if (wait === 'within finish') this.#waitFor(['finish', 'close'], isOver, at, next);
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
    const ends = (step: Step): boolean => step.do === 'destroy' || (isPiping(step) && (isEnding(step) || step.fails));
    const canCome = events.includes('drain') || this.#isOver() || this.#steps.slice(0, at).some(ends);
    const timer = setTimeout(
      () => {
        if (canCome) this.#tell(`${events[0]} never came`);
        go();
      },
      canCome ? patience : hopeless,
    );
    for (const event of events) res.on(event, go);
  }
}
