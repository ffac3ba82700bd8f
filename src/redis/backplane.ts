import type { Backplane, ChannelLog, HistoryLimits, LogReceiver } from '../channel/log/backplane.ts';
import { startTimer } from '../internal/time/clock.ts';
import { type Call, Commands } from './connection/commands.ts';
import { reportRedisError } from './events.ts';
import type { Link } from './connection/link.ts';
import { observedLink } from './connection/observed-link.ts';
import { type LogHost, RedisLog } from './log/redis-log.ts';
import type { ResolvedRedisOptions } from './options.ts';
import { openSource, type OpenSource } from './connection/source.ts';
import { type Follower, Subscriptions } from './connection/subscriptions.ts';

// Logs with clients are looked at in turn, a few each second: they must not expire, and a message may have been lost.
const longestRound = 60_000;
const roundStep = 1000;

/** The backplane of one process: a connection for commands, one for subscriptions, and the logs that are open. */
export class RedisBackplane implements Backplane, LogHost {
  readonly options: ResolvedRedisOptions;
  readonly #source: OpenSource;
  readonly #commandLink: Link;
  readonly #subscriptionLink: Link;
  readonly #commands: Commands;
  readonly #subscriptions: Subscriptions;
  /** Logs with clients. The first was looked at longest ago. */
  readonly #followed = new Set<RedisLog>();
  /** Characters of entries that wait. */
  #waiting = 0;
  #stopRounds: (() => void) | undefined;

  constructor(options: ResolvedRedisOptions) {
    this.options = options;
    this.#source = openSource(options.source, options.timeout);
    const { commands, subscriptions } = this.#source;
    this.#commandLink = observedLink('commands', commands, options);
    this.#subscriptionLink = observedLink('subscriptions', subscriptions, options, {
      onUp: () => this.#subscriptions.renew(),
    });
    this.#commands = new Commands(this.#commandLink, options.timeout);
    this.#subscriptions = new Subscriptions(this.#subscriptionLink, options.timeout, reportRedisError);
  }

  open(channel: string, { count, bytes }: HistoryLimits, receiver: LogReceiver): ChannelLog {
    const { maxLength, maxBytes } = this.options;
    const limits = { count: Math.min(count, maxLength), bytes: Math.min(bytes, maxBytes) };
    return new RedisLog(this, channel, limits, receiver);
  }

  close(): void {
    this.#stopRounds?.();
    this.#subscriptions.close();
    this.#commands.close();
    this.#commandLink.close();
    this.#subscriptionLink.close();
    this.#source.close();
  }

  get publishCommand(): 'PUBLISH' | 'SPUBLISH' {
    return this.#commandLink.current?.isSharded === true ? 'SPUBLISH' : 'PUBLISH';
  }

  run(call: Call): Promise<readonly string[]> {
    return this.#commands.run(call);
  }

  connected(channel: string, deadline: number): Promise<unknown> {
    return this.#commands.connected(channel, deadline);
  }

  reserve(length: number): boolean {
    if (this.#waiting + length > this.options.maxWaiting) return false;
    this.#waiting += length;
    return true;
  }

  free(length: number): void {
    this.#waiting -= length;
  }

  follow(log: RedisLog, name: string, follower: Follower): () => void {
    this.#followed.add(log);
    if (!this.#stopRounds) this.#nextRound();
    const undo = this.#subscriptions.add(name, follower);
    return () => {
      this.#followed.delete(log);
      undo();
    };
  }

  onError(error: unknown): void {
    reportRedisError(error);
  }

  #nextRound(): void {
    const round = Math.min(longestRound, this.options.ttl / 3);
    const step = Math.min(roundStep, round);
    this.#stopRounds = startTimer(step, () => {
      this.#stopRounds = undefined;
      // So many that each has its turn once in a round.
      this.#look(Math.ceil((this.#followed.size * step) / round));
      if (this.#followed.size > 0) this.#nextRound();
    });
  }

  #look(count: number): void {
    if (!this.#commandLink.current) return;
    for (const log of [...this.#followed].slice(0, count)) {
      this.#followed.delete(log);
      this.#followed.add(log);
      log.refresh().catch(reportRedisError);
    }
  }
}
