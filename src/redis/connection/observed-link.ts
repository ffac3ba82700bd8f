import { type RedisConnectionMessage, redisEvents, reportRedisError } from '../events.ts';
import type { Open } from './adapter.ts';
import { Link, type LinkOptions } from './link.ts';

/**
 * A link that tells of itself on the diagnostics channels of Redis.
 * @param onUp - is called with each connection
 * @param onDown - is called when there is none any more, or an attempt failed
 */
export function observedLink(
  use: RedisConnectionMessage['use'],
  open: Open,
  options: LinkOptions,
  { onUp, onDown }: { readonly onUp?: () => void; readonly onDown?: (error: unknown) => void } = {},
): Link {
  return new Link(open, options, {
    onUp: () => {
      redisEvents.connection.publish({ use, state: 'up', error: undefined });
      onUp?.();
    },
    onDown: (error) => {
      redisEvents.connection.publish({ use, state: 'down', error });
      reportRedisError(error);
      onDown?.(error);
    },
  });
}
