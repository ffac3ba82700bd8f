import { startTimer } from '../../internal/time/clock.ts';
import type { RedisAdapter } from './adapter.ts';
import type { Link } from './link.ts';

const retryDelay = 1000;

/** What listens to a channel of Redis. */
export interface Follower {
  /** Every message from now on comes, until the next call: messages between two may be missing. */
  onSubscribed(): void;
  onMessage(message: string): void;
}

/** A channel of Redis with the followers of this process. */
interface Topic {
  readonly name: string;
  readonly followers: Set<Follower>;
  /** The connection that has subscribed to it. */
  on: RedisAdapter | undefined;
  unsubscribe: (() => PromiseLike<unknown>) | undefined;
  /** The connection on which a command is under way. */
  busy: RedisAdapter | undefined;
}

/**
 * The channels that this process is subscribed to, on one connection: each as long as it has followers. When the
 * connection is replaced, all are subscribed to again.
 *
 * Followers may come and go while a command is under way. So a topic has at most one on a connection: when it is done,
 * what there is is compared with what is wanted. One that takes long is waited for: with a second subscription each
 * message would come twice. A connection that does not answer at all is found by its ping.
 */
export class Subscriptions {
  readonly #link: Link;
  readonly #timeout: number;
  readonly #onError: (error: unknown) => void;
  readonly #topics = new Map<string, Topic>();
  #stopRetry: (() => void) | undefined;
  #isClosed = false;

  constructor(link: Link, timeout: number, onError: (error: unknown) => void) {
    this.#link = link;
    this.#timeout = timeout;
    this.#onError = onError;
  }

  /** The number of channels that this process is subscribed to, or wants to be. */
  get size(): number {
    return this.#topics.size;
  }

  /** Returns the undo. */
  add(name: string, follower: Follower): () => void {
    let topic = this.#topics.get(name);
    if (!topic) {
      topic = { name, followers: new Set(), on: undefined, unsubscribe: undefined, busy: undefined };
      this.#topics.set(name, topic);
    }
    const followed = topic;
    followed.followers.add(follower);
    this.#link.start();
    if (followed.on && followed.on === this.#link.current) follower.onSubscribed();
    else void this.#settle(followed);
    return () => {
      followed.followers.delete(follower);
      void this.#settle(followed);
    };
  }

  /** There is another connection. */
  renew(): void {
    for (const topic of this.#topics.values()) void this.#settle(topic);
  }

  close(): void {
    this.#isClosed = true;
    this.#stopRetry?.();
    this.#topics.clear();
  }

  async #settle(topic: Topic): Promise<void> {
    const adapter = this.#link.current;
    if (topic.busy !== undefined && topic.busy === adapter) return;
    topic.busy = adapter;
    try {
      // What ends the loop clears `busy` in the same step: a follower that comes between two would be seen by none.
      while (adapter && this.#isBehind(topic, adapter)) await this.#step(topic, adapter);
    } catch (error) {
      if (!this.#isClosed && topic.busy === adapter) {
        this.#onError(error);
        this.#retryLater();
      }
    }
    // Another connection may have its turn by now.
    if (topic.busy !== adapter) return;
    topic.busy = undefined;
    if (topic.followers.size === 0 && !this.#isOn(topic)) this.#topics.delete(topic.name);
  }

  #isOn(topic: Topic): boolean {
    return topic.on !== undefined && topic.on === this.#link.current;
  }

  /** Whether a connection that is in use has something else than what is wanted. */
  #isBehind(topic: Topic, adapter: RedisAdapter): boolean {
    return adapter === this.#link.current && this.#isOn(topic) !== topic.followers.size > 0;
  }

  /** Brings what there is nearer to what is wanted. */
  async #step(topic: Topic, adapter: RedisAdapter): Promise<void> {
    if (topic.followers.size === 0) {
      topic.on = undefined;
      if (topic.unsubscribe) await this.#confirmed(topic.unsubscribe());
      return;
    }
    const subscribing = adapter.subscribe(topic.name, (message) => {
      for (const follower of [...topic.followers]) follower.onMessage(message);
    });
    const unsubscribe = await this.#confirmed(subscribing);
    if (adapter !== this.#link.current) return;
    topic.unsubscribe = unsubscribe;
    topic.on = adapter;
    for (const follower of [...topic.followers]) follower.onSubscribed();
  }

  /** Waits for an answer. Reports one that is late. */
  async #confirmed<T>(answer: PromiseLike<T>): Promise<T> {
    const stopTimer = startTimer(this.#timeout, () => {
      if (!this.#isClosed) this.#onError(new Error('Redis did not confirm a subscription in time'));
    });
    try {
      return await answer;
    } finally {
      stopTimer();
    }
  }

  #retryLater(): void {
    if (this.#stopRetry) return;
    this.#stopRetry = startTimer(retryDelay, () => {
      this.#stopRetry = undefined;
      this.renew();
    });
  }
}
