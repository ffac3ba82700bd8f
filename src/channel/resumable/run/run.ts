import { setTimeout as wait } from 'node:timers/promises';
import {
  ChannelClosedError,
  ChannelEndedError,
  DeadlineExceededError,
  DrainingError,
  ProducerFencedError,
  RunCancelledError,
  StreamFailedError,
} from '../../../errors.ts';
import { captureScope } from '../../../internal/context/async-scope.ts';
import { Context } from '../../../internal/context/context.ts';
import { runIn, takeHold } from '../../../internal/context/request-context.ts';
import type { RoutedRequest } from '../../../internal/http/framework.ts';
import type { HttpRequest } from '../../../internal/http/message.ts';
import { startTimer } from '../../../internal/time/clock.ts';
import type { AnyChannelInput } from '../../delivery/event.ts';
import { channelEvents, reportChannelError } from '../../events.ts';
import type { ChannelLog } from '../../log/backplane.ts';
import type { RunStatus } from '../../policy/answer.ts';
import { ClaimKeeper } from './claim-keeper.ts';
import type { ControlWord } from './control.ts';
import type { Directory } from './directory.ts';
import { publishFailure, reportLateError } from './failure.ts';
import { moveRun, running, type RunEvent, type RunOutcome, type RunState } from '../policy/run-state.ts';
import { Presence } from './presence.ts';
import { Publisher } from './publisher.ts';
import { channelKeyOf, type RunRef } from './run-ref.ts';
import { Source } from './source.ts';

// How long the end is tried. Backplanes know for two minutes what was appended once.
const recordTime = 100_000;
const longestPause = 5_000;

/**
 * Produces one answer: runs the generator, publishes what it yields, holds the claim, and writes the end. It belongs to
 * no response. See `RunState` for its states.
 */
export class Run {
  readonly ref: RunRef;
  readonly presence: Presence;
  readonly #directory: Directory;
  readonly #log: ChannelLog;
  readonly #req: HttpRequest;
  readonly #publisher: Publisher;
  /** Its signal is that of the generator. */
  readonly #context = new Context(undefined, Infinity);
  /** The async context of the request that began it. */
  readonly #scope = captureScope();
  readonly #undo: (() => void)[] = [];
  #state: RunState = running;
  #stopGrace: (() => void) | undefined;
  /** What the generator gives. */
  #source: Source | undefined;
  /** Warns of the error of a run that has failed. */
  #warnOfFailure: (() => void) | undefined;

  constructor(directory: Directory, ref: RunRef, log: ChannelLog, req: HttpRequest) {
    this.ref = ref;
    this.#directory = directory;
    this.#log = log;
    this.#req = req;
    const { cancelAfter, lease, coalesce } = directory.options;
    this.presence = new Presence({ cancelAfter, lease }, () => this.#cancel('disconnected'));
    this.#publisher = new Publisher(
      (entry) => this.#append(entry),
      coalesce,
      (error) => this.#failToPublish(error),
    );
  }

  /** Whether it is still to write its end. */
  get isProducing(): boolean {
    return this.#state.phase !== 'ended' && this.#state.phase !== 'fenced';
  }

  /** Whether that request began it. */
  isOf(req: HttpRequest): boolean {
    return this.#req === req;
  }

  /** What another process tells it. */
  hear(word: ControlWord, process: string): void {
    if (word === 'cancel') this.#cancel('requested');
    else if (word === 'reader') this.presence.note(process);
    else this.presence.forget(process);
  }

  /** Begins. @param onOver - called when all is done, also `onEnd` @param onWordsOver - ends what calls `hear` */
  begin(onOver: () => void, onWordsOver: () => void): void {
    const { family } = this.#directory;
    // A channel with a listener is not freed.
    const channels = [family.room(this.ref.key), this.#directory.channelOf(this.ref)];
    this.#undo.push(
      onWordsOver,
      takeHold(this.#req, () => this.#stop('interrupted', new DrainingError())),
      family.onClosing(() => this.#stop('interrupted', new ChannelClosedError(family.name))),
      ...channels.map((channel) => channel.on('end', () => undefined)),
      onOver,
    );
    this.#context.onAbort((reason) => {
      if (reason instanceof DeadlineExceededError) this.#stop('failed', reason);
    });
    this.#directory.tellState(this.ref, 'started');
    const keeper = new ClaimKeeper(this.#directory, this.ref, this.#log, () => {
      // The end may be ours: it is on its way while this is answered.
      if (this.#state.phase !== 'ending') this.#lose();
    });
    this.#undo.push(() => keeper.stop());
    void this.#scope.runInAsyncScope(() => runIn(this.#context, () => this.#produce()));
  }

  /** Ends it after that time at the latest. @param timeout - ms from now */
  limit(timeout: number): void {
    this.#context.reschedule(timeout);
  }

  async #produce(): Promise<void> {
    try {
      this.#move({ type: 'returned', value: await this.#consume() });
    } catch (error) {
      if (this.#state.phase !== 'running') reportLateError(this.#req, error, this.#context.reason);
      this.#move({ type: 'threw', error });
    }
    let isHandled = false;
    try {
      // Text that waits for more belongs to the answer, also to one that is cancelled.
      await this.#publisher.flush();
      if (await this.#record()) {
        isHandled = this.#directory.options.onEnd !== undefined;
        await this.#directory.tellEnd(this.ref, this.#outcome());
      } else if (this.#isFenced()) this.#directory.tellState(this.ref, 'fenced');
    } catch (error) {
      reportChannelError(error);
    } finally {
      if (!isHandled) this.#warnOfFailure?.();
      this.#close();
    }
  }

  async #consume(): Promise<unknown> {
    const given = { req: this.#req as RoutedRequest, signal: this.#context.signal, key: this.ref.key };
    const onLateError = (error: unknown): void => reportLateError(this.#req, error, this.#context.reason);
    const source = (this.#source = new Source(() => this.#directory.options.run(given), onLateError));
    for (;;) {
      const step = await source.next();
      if (step?.done === true) return step.value;
      if (!step) return undefined;
      if (this.#state.phase === 'running') await this.#publish(source, step.value);
    }
  }

  async #publish(source: Source, item: unknown): Promise<void> {
    const { framing } = this.#directory.options;
    try {
      await this.#publisher.publish((framing === 'answer' ? item : { data: item }) as AnyChannelInput | string);
    } catch (error) {
      // It yielded what is no event: a generator that has failed. It must not go on unseen.
      this.#stop('failed', error);
      source.cancel(error as Error);
      throw error;
    }
  }

  #append(entry: Parameters<ChannelLog['append']>[0]): string | PromiseLike<string> {
    const { family } = this.#directory;
    const note = (id: string): string => {
      const [channel, key] = [family.name, channelKeyOf(this.ref)];
      channelEvents.publish.publish({ channel, key, id, event: entry.event });
      return id;
    };
    const id = this.#log.append(entry, { fence: this.ref.fence });
    return typeof id === 'string' ? note(id) : id.then(note);
  }

  #failToPublish(error: unknown): void {
    if (isLost(error)) this.#lose();
    else this.#stop('failed', new StreamFailedError({ cause: error }));
  }

  /** Writes the end. @returns whether it is in the log, and ours */
  async #record(): Promise<boolean> {
    const since = performance.now();
    for (let pause = 50; !this.#isFenced(); pause = Math.min(2 * pause, longestPause)) {
      try {
        await this.#directory.record(this.#log, this.ref.fence, this.#outcome());
        this.#move({ type: 'recorded' });
        return true;
      } catch (error) {
        if (isLost(error)) this.#lose();
        else if (performance.now() - since > recordTime) throw error;
        else await wait(pause);
      }
    }
    return false;
  }

  #cancel(reason: RunCancelledError['reason']): void {
    this.#stop('cancelled', new RunCancelledError(reason));
  }

  /** Tells the generator to stop. The first reason counts. */
  #stop(status: RunStatus, error: unknown): void {
    this.#move({ type: 'stop', status, error });
    if (this.#state.phase !== 'stopping' || this.#stopGrace) return;
    const { grace } = this.#directory.options;
    this.#stopGrace = startTimer(grace, () => this.#abandon());
    this.#context.abort(error);
  }

  /** Another process has the run: nothing more of this one counts. */
  #lose(): void {
    this.#move({ type: 'fenced' });
    this.#context.abort(new ProducerFencedError(channelKeyOf(this.ref)));
    this.#abandon();
  }

  #abandon(): void {
    this.#source?.giveUp(this.#context.reason as Error);
  }

  #move(event: RunEvent): void {
    this.#state = moveRun(this.#state, event);
    const { status, error } = this.#outcome();
    if (status === 'failed') this.#warnOfFailure ??= publishFailure(this.#req, error);
  }

  #outcome(): RunOutcome {
    return 'outcome' in this.#state ? this.#state.outcome : { status: 'interrupted' };
  }

  // A method: what is awaited may change it, and TypeScript would not see it.
  #isFenced(): boolean {
    return this.#state.phase === 'fenced';
  }

  #close(): void {
    this.#stopGrace?.();
    this.presence.close();
    this.#context.dispose();
    try {
      // From now on they are kept for their `ttl`.
      if (!this.#directory.family.isClosed) {
        this.#directory.family.room(this.ref.key);
        this.#directory.channelOf(this.ref);
      }
    } finally {
      for (const undo of this.#undo) undo();
      this.#log.close();
    }
  }
}

/** Whether the run belongs to another process now, or is over by another. */
function isLost(error: unknown): boolean {
  return error instanceof ProducerFencedError || error instanceof ChannelEndedError;
}
