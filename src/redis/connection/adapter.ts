/** How a connection tells that it is lost, or may have missed messages. */
export type OnLost = (error: unknown) => void;

/** Opens a connection. @param signal - aborted when it is not wanted any more, also after it was closed */
export type Open = (onLost: OnLost, signal: AbortSignal) => PromiseLike<RedisAdapter>;

/**
 * What a backplane needs of a client of Redis. Clients of node-redis (the package `redis`) are taken as they are. For
 * another one write these five methods: `redisBackplane({ client: adapter })`.
 *
 * A client may connect again by itself, and may send a command again: a script does its work once.
 */
export interface RedisAdapter {
  /**
   * Runs a script: `EVALSHA`, or `EVAL` where Redis does not know it. All keys are of one slot. Gives the reply, an
   * array of strings. Rejects with the error of Redis, its code first in the message, or with that of the connection.
   */
  eval(script: string, keys: readonly string[], args: readonly string[]): PromiseLike<unknown>;
  /** Resolves when Redis answers a `PING`, on a connection with subscriptions too. */
  ping(): PromiseLike<unknown>;
  /**
   * Subscribes to a channel. Resolves when Redis has confirmed it, with the function that unsubscribes.
   * @param listener - gets each message
   */
  subscribe(channel: string, listener: (message: string) => void): PromiseLike<() => PromiseLike<unknown>>;
  /**
   * Opens another connection to the same Redis, and resolves when it is ready.
   * @param onLost - is called when the connection is closed, or when messages may be missing. It is not used any more
   *   then, but for `close`.
   * @param signal - is aborted when the connection is not wanted any more. One that is ready later is closed.
   */
  duplicate(onLost: OnLost, signal: AbortSignal): PromiseLike<RedisAdapter>;
  /** Closes the connection at once. Does not throw. */
  close(): void;
  /** Whether new entries are published with `SPUBLISH`, for a cluster. @defaultValue `false` */
  readonly isSharded?: boolean | undefined;
}
