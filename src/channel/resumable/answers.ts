import { randomUUID } from 'node:crypto';
import { contextIn } from '../../internal/context/request-context.ts';
import type { RoutedRequest } from '../../internal/http/framework.ts';
import { type HttpRequest, type HttpResponse, isGone, type Next } from '../../internal/http/message.ts';
import { answer } from '../../internal/writer/answer.ts';
import { serveStream } from '../../internal/writer/serve.ts';
import { resolveSseOptions } from '../../sse/options.ts';
import type { LocalChannels } from '../family/family.ts';
import { hasCursor } from '../policy/answer.ts';
import { queryCursor } from '../policy/cursor.ts';
import { enterHost, headerCursor, isInForce, isRefused, isStopped } from '../subscribe.ts';
import type { ResolvedSubscribeOptions } from '../subscribe-options.ts';
import { type ChannelStream, streamKindOf } from '../subscriber.ts';
import { listenToControl, sendControl } from './run/control.ts';
import { Directory } from './run/directory.ts';
import { type AnswerKey, readAnswerKey, type ResolvedResumableOptions } from './options.ts';
import { Run } from './run/run.ts';
import { channelKeyOf, makeRunId, type RunRef } from './run/run-ref.ts';
import { RunWatch } from './run/run-watch.ts';

/** A request for an answer, and what `key` said of it. */
interface Visit {
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  readonly next: Next | undefined;
  readonly access: AnswerKey;
}

// Others may begin, and end, an answer of the same key meanwhile.
const mostAttempts = 5;

// How long `cancel` waits for the end, beyond the grace of the generator.
const cancelTime = 5_000;
const longestPoll = 250;

/** The answers of a family, as this process serves them. */
export class Answers {
  readonly #directory: Directory;
  readonly #options: ResolvedResumableOptions;
  readonly #subscribe: ResolvedSubscribeOptions;
  readonly #kind: ReturnType<typeof streamKindOf>;
  readonly #process = randomUUID();
  /** The runs that this process produces, and those that have clients here; by the keys of their channels. */
  readonly #runs = new Map<string, Run>();
  readonly #watches = new Map<string, RunWatch>();

  constructor(family: LocalChannels<object>, options: ResolvedResumableOptions) {
    this.#directory = new Directory(family, options);
    this.#options = options;
    this.#subscribe = subscribeOptionsOf(options);
    this.#kind = streamKindOf(this.#subscribe, hasCursor(options.framing) ? isStopped : () => false);
  }

  async start(req: HttpRequest, res: HttpResponse, next?: Next): Promise<void> {
    const visit = await this.#admit(req, res, next);
    if (!visit) return;
    const { entrance } = this.#directory.family;
    if (this.#kind.isStopped(req) || req.method === 'HEAD') {
      serveStream(this.#kind, () => undefined, req, res, next);
      return;
    }
    // Before anything is produced for it.
    if (isRefused(entrance, { cursor: undefined, authorization: visit.access, keys: [] }, req, res)) return;
    const ref = await this.#begin(visit);
    if (ref) this.#serve(visit, ref);
    else answer(res, { status: 409, text: 'Another answer is in progress\n' });
  }

  async resume(req: HttpRequest, res: HttpResponse, next?: Next): Promise<void> {
    const visit = await this.#admit(req, res, next);
    if (!visit) return;
    const ref = await this.#find(visit.access);
    const condition = ref ? await this.#inspect(ref) : 'gone';
    if (isGone(res)) return;
    // The AI SDK asks for an answer that goes on: it has the others.
    const isOver = condition === 'gone' || (condition === 'ended' && this.#options.framing === 'ui-message');
    if (ref && !isOver) this.#serve(visit, ref);
    else answer(res, { status: 204 });
  }

  async cancel(req: HttpRequest, res: HttpResponse, next?: Next): Promise<void> {
    const visit = await this.#admit(req, res, next);
    if (!visit) return;
    const ref = await this.#find(visit.access);
    const condition = ref ? await this.#inspect(ref) : 'gone';
    if (!ref || condition === 'gone') {
      answer(res, { status: 404, text: 'Not found\n' });
      return;
    }
    if (condition === 'running') await sendControl(this.#directory, ref, 'cancel', this.#process);
    const hasEnded = condition !== 'running' || (await this.#waitForEnd(ref));
    // 202: it was told, and has not ended yet.
    if (!isGone(res)) answer(res, { status: hasEnded ? 204 : 202 });
  }

  async #admit(req: HttpRequest, res: HttpResponse, next: Next | undefined): Promise<Visit | undefined> {
    const access = readAnswerKey(await this.#options.key(req as RoutedRequest));
    if (isGone(res)) return undefined;
    if (!access || !isInForce('resumable.key.until', access)) answer(res, { status: 403, text: 'Forbidden\n' });
    else if (!this.#refusesAll(access, req, res)) return { req, res, next, access };
    return undefined;
  }

  /** A family that is closed has no answers any more: a client that may come back is told so. */
  #refusesAll(authorization: AnswerKey, req: HttpRequest, res: HttpResponse): boolean {
    const { entrance } = this.#directory.family;
    return entrance.isClosed && isRefused(entrance, { cursor: undefined, authorization, keys: [] }, req, res);
  }

  /** The last run of a key, unless the request names another. */
  async #find({ key, run }: AnswerKey): Promise<RunRef | undefined> {
    const ref = await this.#directory.current(key);
    return run === undefined || ref?.label === run ? ref : undefined;
  }

  async #inspect(ref: RunRef): ReturnType<Directory['inspect']> {
    return this.#runOf(ref) ? 'running' : this.#directory.inspect(ref);
  }

  #runOf(ref: RunRef): Run | undefined {
    const run = this.#runs.get(channelKeyOf(ref));
    return run?.isProducing === true ? run : undefined;
  }

  /** The run that a request is to read: the one that goes on, or a new one. `undefined`: another one goes on. */
  async #begin(visit: Visit): Promise<RunRef | undefined> {
    const { access, req } = visit;
    for (let attempt = 0; attempt < mostAttempts; attempt++) {
      const current = await this.#directory.current(access.key);
      if (current) {
        const condition = await this.#inspect(current);
        const isSame = access.run !== undefined && current.label === access.run;
        if (condition === 'running') return isSame || access.run === undefined ? current : undefined;
        if (condition !== 'gone' && (isSame || (await this.#comesBack(req, current)))) return current;
      }
      const ref = await this.#make(visit, current, attempt);
      if (ref) return ref;
    }
    throw new Error(`The runs of \`${access.key}\` cannot be told apart: is its channel kept?`);
  }

  /** Whether a client that sends its request again, as some do to reconnect, has a part of that run. */
  async #comesBack(req: HttpRequest, ref: RunRef): Promise<boolean> {
    const cursor = hasCursor(this.#options.framing) ? headerCursor(req) : undefined;
    return cursor !== undefined && this.#directory.has(ref, cursor);
  }

  /** Begins a run. `undefined`: another process was first. */
  async #make({ access, req }: Visit, after: RunRef | undefined, attempt: number): Promise<RunRef | undefined> {
    const directory = this.#directory;
    const id = makeRunId();
    const channelKey = channelKeyOf({ key: access.key, id });
    const log = directory.open(channelKey);
    let unlisten: (() => void) | undefined;
    let isBegun = false;
    try {
      const claim = await log.claim(this.#options.lease);
      if (claim.status !== 'claimed') return undefined;
      const start = await log.start('now');
      const ref: RunRef = { key: access.key, id, label: access.run, start, fence: claim.fence };
      const run = new Run(directory, ref, log, req);
      const stopListening = await listenToControl(directory, channelKey, (word, process) => run.hear(word, process));
      unlisten = stopListening;
      await directory.point(ref, after, attempt);
      if ((await directory.current(access.key))?.id !== id) {
        await log.release(claim.fence);
        return undefined;
      }
      run.begin(() => void this.#runs.delete(channelKey), stopListening);
      isBegun = true;
      this.#runs.set(channelKey, run);
      return ref;
    } finally {
      if (!isBegun) {
        unlisten?.();
        log.close();
      }
    }
  }

  #serve({ req, res, next, access }: Visit, ref: RunRef): void {
    const { entrance } = this.#directory.family;
    const cursor = hasCursor(this.#options.framing) ? (headerCursor(req) ?? queryCursor(req.url)) : undefined;
    const entrant = { cursor: cursor ?? ref.start, authorization: access, keys: [channelKeyOf(ref)] };
    this.#limit(req, ref);
    let hasEntered = false as boolean;
    const enter = (stream: ChannelStream): void => {
      hasEntered = true;
      this.#watchOf(ref).enter(stream);
      enterHost(entrance, stream, entrant, this.#subscribe);
    };
    if (!isGone(res) && !isRefused(entrance, entrant, req, res)) serveStream(this.#kind, enter, req, res, next);
    if (!hasEntered) this.#noteAbsent(req, ref);
  }

  /** The client that began a run never came: an answer without clients may be one to cancel. */
  #noteAbsent(req: HttpRequest, ref: RunRef): void {
    const run = this.#runOf(ref);
    // Others may have joined meanwhile.
    if (run?.isOf(req) === true) run.presence.setLocal(this.#watches.get(channelKeyOf(ref))?.size ?? 0, false);
  }

  /** The deadline of the response that began a run is that of the run too: as it is once the headers are sent. */
  #limit(req: HttpRequest, ref: RunRef): void {
    const run = this.#runOf(ref);
    const context = contextIn(req);
    if (run?.isOf(req) !== true || !context) return;
    setImmediate(() => setImmediate(() => run.limit(context.remaining())));
  }

  #watchOf(ref: RunRef): RunWatch {
    const channelKey = channelKeyOf(ref);
    const known = this.#watches.get(channelKey);
    if (known) return known;
    const watch = new RunWatch(
      {
        directory: this.#directory,
        process: this.#process,
        runOf: (each) => this.#runOf(each),
        onOver: () => void this.#watches.delete(channelKey),
      },
      ref,
    );
    this.#watches.set(channelKey, watch);
    return watch;
  }

  async #waitForEnd(ref: RunRef): Promise<boolean> {
    const late = performance.now() + this.#options.grace + cancelTime;
    for (let pause = 10; performance.now() < late; pause = Math.min(2 * pause, longestPoll)) {
      if (await this.#directory.hasEnded(ref)) return true;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    return false;
  }
}

function subscribeOptionsOf({ framing }: ResolvedResumableOptions): ResolvedSubscribeOptions {
  const headers = framing === 'ui-message' ? { 'x-vercel-ai-ui-message-stream': 'v1' } : {};
  // Clients that know no ids do not come back by themselves: a shutdown lets them read on.
  const drain = hasCursor(framing) ? 'resumable' : 'finite';
  return {
    from: 'earliest',
    filter: undefined,
    map: undefined,
    cursor: undefined,
    authorize: undefined,
    overflow: 'close',
    as: framing,
    stream: resolveSseOptions({ drain, headers }, 'resumable'),
  };
}
