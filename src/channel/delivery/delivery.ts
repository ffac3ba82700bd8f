import { atTickEnd, type Flushable } from '../../internal/writer/tick.ts';
import { startTimer } from '../../internal/time/clock.ts';
import { ChannelTexts } from './channel-text.ts';
import { type GivenEntry, Segment } from './segment.ts';
import { serveSlice } from './slice.ts';

/** A client that gets what is published now. */
export interface LiveMember {
  /**
   * Does not throw. It may have been removed since the round began, and takes nothing then.
   * @returns the bytes of text that it got
   */
  deliver(segment: Segment): number;
}

/** What a delivery tells of. */
export interface DeliveryObserver {
  /** All members got a segment. @param round - how many members, and bytes of text for all of them */
  onRoundEnd(segment: Segment, round: { readonly members: number; readonly bytes: number }): void;
}

/**
 * Gives the entries of a channel to its live clients, in rounds. A round takes what waits, and gives it to all of them
 * as one segment. What is published meanwhile waits for the next round.
 *
 *     idle ──add──▶ waiting ──end of the tick, or of `batch`──▶ giving ──all have it──▶ idle, or waiting
 */
export class Delivery implements Flushable {
  /** In one process the text of a channel is made once, however many clients there are. */
  readonly texts: ChannelTexts = new ChannelTexts();
  readonly #batch: number;
  readonly #observer: DeliveryObserver;
  readonly #members = new Set<LiveMember>();
  #state: 'idle' | 'waiting' | 'giving' = 'idle';
  #waiting: GivenEntry[] = [];
  #given: string | undefined;
  #segment: Segment | undefined;
  /** The members of the round, and how many of them had their turn. */
  #round: readonly LiveMember[] = [];
  #next = 0;
  /** What they got. */
  #bytes = 0;
  #stopBatch: (() => void) | undefined;

  /** @param batch - ms for which entries wait for others */
  constructor(batch: number, observer: DeliveryObserver) {
    this.#batch = batch;
    this.#observer = observer;
  }

  /** The id of the last entry of the last round; `undefined` before the first. */
  get given(): string | undefined {
    return this.#given;
  }

  get size(): number {
    return this.#members.size;
  }

  add(member: LiveMember): void {
    this.#members.add(member);
  }

  remove(member: LiveMember): void {
    this.#members.delete(member);
  }

  /** Entries for the next round. */
  push(entries: readonly GivenEntry[]): void {
    for (const entry of entries) this.#waiting.push(entry);
    if (this.#state === 'idle') this.#wait();
  }

  flushTick(): void {
    if (this.#state === 'waiting') this.#begin();
  }

  /** Gives everything that waits to everyone, at once. */
  flush(): void {
    this.#stopBatch?.();
    if (this.#state === 'giving') this.#giveAll();
    while (this.#waiting.length > 0) {
      this.#start();
      this.#giveAll();
    }
    this.#state = 'idle';
  }

  #wait(): void {
    this.#state = 'waiting';
    if (this.#batch === 0) atTickEnd(this);
    else this.#stopBatch = startTimer(this.#batch, () => this.flushTick());
  }

  #begin(): void {
    this.#start();
    this.#slice();
  }

  #start(): void {
    this.#state = 'giving';
    const [first, ...rest] = this.#waiting;
    this.#waiting = [];
    if (!first) return;
    this.#segment = new Segment(first, rest, this.texts);
    this.#given = this.#segment.last.id;
    // A client that comes during the round reads these entries in the log.
    this.#round = [...this.#members];
    this.#next = this.#bytes = 0;
  }

  #slice(): void {
    if (this.#state !== 'giving') return;
    if (serveSlice(() => this.#giveNext())) {
      setImmediate(() => this.#slice());
      return;
    }
    this.#state = 'idle';
    if (this.#waiting.length > 0) this.#wait();
  }

  #giveAll(): void {
    while (this.#giveNext());
  }

  /** Gives the segment to the next client. @returns whether there is another */
  #giveNext(): boolean {
    const segment = this.#segment;
    if (!segment) return false;
    const member = this.#round[this.#next++];
    if (member) this.#bytes += member.deliver(segment);
    // What it does may have closed the channel, which gives the rest at once.
    if (this.#segment !== segment) return false;
    if (this.#next < this.#round.length) return true;
    const { length: members } = this.#round;
    this.#segment = undefined;
    this.#round = [];
    this.#observer.onRoundEnd(segment, { members, bytes: this.#bytes });
    return false;
  }
}
