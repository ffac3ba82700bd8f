import { channel } from 'node:diagnostics_channel';
import debug from 'debug';
import type { HttpRequest } from '../internal/http/message.ts';
import { warnUnheard } from '../internal/unheard.ts';
import type { IdentityReason } from './policy/decide.ts';
import type { BodyKind, Tier } from './codec.ts';

const errors = channel('sluice:compress:error');
const decisions = channel('sluice:compress:decision');
const tiers = channel('sluice:compress:tier');
const log = debug('sluice:compress');

/** Message on `sluice:compress:error`: an error that no caller could be told of. */
export interface CompressErrorMessage {
  readonly error: unknown;
  /** The request whose response failed; `undefined` for what concerns none. */
  readonly req: HttpRequest | undefined;
}

/** A governor's step from one tier to another; the message on `sluice:compress:tier`. */
export interface TierChange {
  readonly tier: Tier;
  readonly previous: Tier;
  /** The smoothed load that decided it: 0 idle, 1 saturated. */
  readonly load: number;
}

/**
 * Why a response is as it is: the reason of the decision; or `no-gain`, where the body was encoded and became no
 * shorter, and `codec-failed`, where the codec threw before anything was sent. Both are then sent as they are.
 */
export type CompressionReason = 'negotiated' | IdentityReason | 'no-gain' | 'codec-failed';

/**
 * Message on `sluice:compress:decision`, once for each head: an error page in place of a head that was refused counts
 * again.
 */
export interface CompressionDecisionMessage {
  readonly req: HttpRequest;
  /** The content-coding used; `identity` is none. */
  readonly coding: string;
  readonly reason: CompressionReason;
  readonly kind: BodyKind;
  /** The governor's, 0 without one. */
  readonly tier: Tier;
  /** The switch's version. */
  readonly version: number;
}

/** Tells observers what became of a response. */
export function reportDecision(message: CompressionDecisionMessage): void {
  if (log.enabled) log('%s %s %s: %s', message.req.method, message.req.url, message.coding, message.reason);
  if (decisions.hasSubscribers) decisions.publish(message);
}

/** Makes an error seen that has no caller to be thrown at. */
export function reportCompressError(error: unknown, req?: HttpRequest): void {
  log('%O', error);
  if (errors.hasSubscribers) errors.publish({ error, req } satisfies CompressErrorMessage);
  else
    warnUnheard(error, {
      cure: 'To handle such errors, subscribe to the diagnostics channel `sluice:compress:error`.',
      req,
    });
}

/** Tells observers that a governor changed its tier. */
export function reportTier(change: TierChange): void {
  log('tier %d after %d at a load of %d', change.tier, change.previous, change.load);
  if (tiers.hasSubscribers) tiers.publish(change);
}

/** Tells the debug namespace that a switch was thrown. */
export function reportSwitch(state: {
  readonly enabled: boolean;
  readonly version: number;
  readonly profile: { readonly name?: string | undefined };
}): void {
  log(
    'switch %s, profile %s, version %d',
    state.enabled ? 'on' : 'off',
    state.profile.name ?? 'without a name',
    state.version,
  );
}
