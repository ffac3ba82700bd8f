import { defineErrors, defineEvents, type ErrorEvent, type ErrorMessage, type Events } from '../internal/events.ts';

/** Message on `sluice:redis:connection`: a connection to Redis is there, or is lost. */
export interface RedisConnectionMessage {
  /** What it is for. */
  readonly use: 'commands' | 'subscriptions';
  /** Whether it is there. */
  readonly state: 'up' | 'down';
  /** Why it is not; `undefined` if it is. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as Express types the error of an error handler
  readonly error: any;
}

interface RedisEvents {
  readonly connection: RedisConnectionMessage;
}

export const redisEvents: Events<RedisEvents> = defineEvents<RedisEvents>('redis', {
  connection: ({ use, state, error }) =>
    state === 'up' ? ['connection for %s is up', use] : ['connection for %s is down: %O', use, error],
});

/** Message on `sluice:redis:error`. */
export type RedisErrorMessage = ErrorMessage;

/** Errors that have no caller: connections that were lost, and reads for live clients that are tried again. */
export const redisErrors: ErrorEvent = defineErrors('redis');

/** Reports an error that has no caller. */
export function reportRedisError(error: unknown): void {
  redisErrors.report({ error, req: undefined });
}
