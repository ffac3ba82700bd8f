import { ClientError } from '../client-error.ts';
import type { Outcome } from './outcome.ts';

/** When a request is sent again by itself; see `ClientOptions`. */
export type ReconnectMode = 'always' | 'on-error' | 'never';

/** `close`: with or without an error · `wait`: and try again, not before the server's `Retry-After`. */
export interface Next {
  readonly kind: 'close' | 'wait';
  readonly error?: ClientError;
  readonly after?: number | undefined;
}

/**
 * What to do when a request has ended.
 *
 * | outcome | always | on-error | never |
 * |---|---|---|---|
 * | stopped | close | close | close |
 * | ended | wait | close | close |
 * | ended, partial | wait | wait | close with an error |
 * | lost | wait | wait | close with the error |
 * | failed | close with the error | = | = |
 */
export function decideNext(outcome: Outcome, mode: ReconnectMode): Next {
  switch (outcome.kind) {
    case 'stopped':
    case 'failed':
      return { ...outcome, kind: 'close' };
    case 'lost':
      return { ...outcome, kind: mode === 'never' ? 'close' : 'wait' };
    case 'ended': {
      if (!outcome.isPartial && mode !== 'always') return { kind: 'close' };
      const error = new ClientError('ERR_SLUICE_CLIENT_DISCONNECTED', 'The stream ended early');
      return { kind: mode === 'never' ? 'close' : 'wait', error };
    }
  }
}
