import { type LocalChannel, logName } from '../../channel.ts';
import { type AnyChannelEvent, toEvent } from '../../delivery/event.ts';
import { channelEvents, reportChannelError } from '../../events.ts';
import type { LocalChannels } from '../../family/family.ts';
import type { ChannelLog, LogReceiver } from '../../log/backplane.ts';
import { endEntry, endEvent, type RunStatus } from '../../policy/answer.ts';
import type { ResolvedResumableOptions } from '../options.ts';
import type { RunOutcome } from '../policy/run-state.ts';
import { channelKeyOf, pointerEntry, readPointer, type RunRef } from './run-ref.ts';

/**
 * What is known of a run that this process does not produce. `interrupted`: its producer was dead, and this process has
 * ended it now. `gone`: its log is not kept any more.
 */
export type RunCondition = 'running' | 'ended' | 'interrupted' | 'gone';

const silent: LogReceiver = { entries: () => undefined, lost: () => undefined };

// Pages of events that are read for `onEnd`.
const pageSize = 256;

// Of the bytes of the history: a larger value would take the place of the answer itself.
const largestValue = 1 / 4;

// What another process answers while the pointer is read may be between the two.
const pointersRead = 8;

/** Finds runs in the logs of a family, and ends those whose producer is dead. */
export class Directory {
  readonly family: LocalChannels<object>;
  readonly options: ResolvedResumableOptions;

  constructor(family: LocalChannels<object>, options: ResolvedResumableOptions) {
    this.family = family;
    this.options = options;
  }

  /** The run of a key that began last. */
  async current(key: string): Promise<RunRef | undefined> {
    const { log } = this.family.room(key);
    const page = await log.read(await log.start(1), pointersRead);
    const last = page.lost === undefined ? page.entries.at(-1) : undefined;
    return last && readPointer(key, last);
  }

  /** Makes a run the current one, unless another has followed `after` already. Asked again by `current`. */
  async point(ref: RunRef, after: RunRef | undefined, attempt: number): Promise<void> {
    const idempotencyKey = `after ${after?.id ?? ''} ${String(attempt)}`;
    await this.family.room(ref.key).log.append(pointerEntry(ref), { idempotencyKey });
  }

  /** The pointer may be freed where nothing is appended for long: says it again. */
  async pointAgain(ref: RunRef): Promise<void> {
    await this.family.room(ref.key).log.append(pointerEntry(ref), {});
  }

  /** The channel that clients of a run are on. */
  channelOf(ref: RunRef): LocalChannel<object> {
    return this.family.room(channelKeyOf(ref));
  }

  /** The log of a run, apart from its channel: it stays open if the family closes. Close it. */
  open(channelKey: string, suffix: string = '', receiver: LogReceiver = silent): ChannelLog {
    const { backplane, history } = this.family.options.channel;
    return backplane.open(logName(this.family.name, channelKey) + suffix, history, receiver);
  }

  async has(ref: RunRef, cursor: string): Promise<boolean> {
    return (await this.channelOf(ref).log.read(cursor, 1)).lost === undefined;
  }

  /** Whether its last entry is there. */
  async hasEnded(ref: RunRef): Promise<boolean> {
    const { log } = this.channelOf(ref);
    // Not 'now': that may be where this process is, and it may not have heard of the end yet.
    const page = await log.read(await log.start(1), 1);
    return page.lost === undefined && page.isEnd;
  }

  /** Looks after a run. One whose producer is dead is ended, and `onEnd` is told. */
  async inspect(ref: RunRef): Promise<RunCondition> {
    const log = this.open(channelKeyOf(ref));
    try {
      const claim = await log.claim(this.options.lease);
      if (claim.status === 'held') return 'running';
      const isGone = (await log.read(ref.start, 1)).lost === 'unknown-id';
      if (claim.status === 'ended') return isGone ? 'gone' : 'ended';
      if (isGone) {
        // A new log has taken its name: nothing may be written there.
        await log.release(claim.fence);
        return 'gone';
      }
      await this.record(log, claim.fence, { status: 'interrupted' });
      await this.tellEnd(ref, { status: 'interrupted' });
      return 'interrupted';
    } finally {
      log.close();
    }
  }

  /** Appends the last entry. It is there once, however often this is tried. Fails if it is that of another process. */
  async record(log: ChannelLog, fence: string, { status, value }: RunOutcome): Promise<void> {
    // With one key for all processes, the entry of another would look like the own one.
    const idempotencyKey = `${endEvent} ${fence}`;
    const most = this.family.options.channel.history.bytes * largestValue;
    await log.append(endEntry({ status, value: recordable(value, most) }), { fence, idempotencyKey });
  }

  /** The end of a run is in the log, and is that of this process. */
  async tellEnd(ref: RunRef, { status, value, error }: RunOutcome): Promise<void> {
    this.tellState(ref, status);
    const events = (): Promise<readonly AnyChannelEvent[]> => this.#eventsOf(ref);
    try {
      await this.options.onEnd?.({ key: ref.key, run: ref.label, status, value, error, events });
    } catch (failure) {
      reportChannelError(failure);
    }
  }

  tellState({ key, id }: RunRef, state: 'started' | 'fenced' | RunStatus): void {
    channelEvents.run.publish({ channel: this.family.name, key, run: id, state });
  }

  async #eventsOf(ref: RunRef): Promise<readonly AnyChannelEvent[]> {
    const log = this.open(channelKeyOf(ref));
    try {
      const events: AnyChannelEvent[] = [];
      let position = ref.start;
      for (;;) {
        const page = await log.read(position, pageSize);
        if (page.lost === 'unknown-id') return events;
        if (page.lost !== undefined) {
          position = await log.start('earliest');
          continue;
        }
        for (const entry of page.entries) if (entry.isEnd !== true) events.push(toEvent(entry));
        if (page.entries.length < pageSize) return events;
        position = page.entries.at(-1)?.id ?? position;
      }
    } finally {
      log.close();
    }
  }
}

/** The value, if JSON can hold it in so many bytes. It goes to `onEnd` in any case. */
function recordable(value: unknown, most: number): unknown {
  try {
    const text = JSON.stringify(value) as string | undefined;
    return text !== undefined && Buffer.byteLength(text) <= most ? value : undefined;
  } catch {
    return undefined;
  }
}
