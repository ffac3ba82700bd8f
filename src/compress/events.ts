import {
  defineErrors,
  defineEvents,
  type ErrorEvent,
  type ErrorMessage,
  type Events,
  unlogged,
} from '../internal/events.ts';
import type { RoutedRequest } from '../internal/http/framework.ts';
import { type HttpRequest, requestLabel } from '../internal/http/message.ts';
import type { BodyKind, Tier } from './codec.ts';
import type { IdentityReason } from './policy/decide.ts';

/** Message on `sluice:compress:error`: an error that no caller could be told of. */
export type CompressErrorMessage = ErrorMessage;

/** A governor's step from one tier to another; the message on `sluice:compress:tier`. */
export interface TierChange {
  /** The tier from now on: 0 to 3. */
  readonly tier: Tier;
  /** The tier before. */
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
  /** The request that the response answers. */
  readonly req: RoutedRequest;
  /** The content-coding used; `identity` is none. */
  readonly coding: string;
  /** Why this coding, or none. */
  readonly reason: CompressionReason;
  /** What kind of body it is. */
  readonly kind: BodyKind;
  /** The tier of the governor; 0 without one. */
  readonly tier: Tier;
  /** The version of the switch: how often it was changed. */
  readonly version: number;
  /** Whether the body was not encoded, because the option `cache` had it. */
  readonly cached: boolean;
}

/**
 * Message on `sluice:compress:bytes`: a piece of a body was encoded. The sums are right when the body has ended. Comes
 * with each flush of a stream, and is not in the debug log.
 */
export interface CompressedBytesMessage {
  /** The request that the response answers. */
  readonly req: RoutedRequest;
  /** The content-coding. */
  readonly coding: string;
  /** Bytes of the handler that went into it. */
  readonly bytesIn: number;
  /** Bytes that came out. */
  readonly bytesOut: number;
}

/** Message on `sluice:compress:switch`: the switch was thrown. */
export interface SwitchChange {
  /** Whether anything new is compressed. */
  readonly enabled: boolean;
  /** Goes up by one with each change. */
  readonly version: number;
  /** The profile from now on. */
  readonly profile: { readonly name?: string | undefined };
}

interface CompressEvents {
  readonly decision: CompressionDecisionMessage;
  readonly bytes: CompressedBytesMessage;
  readonly tier: TierChange;
  readonly switch: SwitchChange;
}

export const compressEvents: Events<CompressEvents> = defineEvents<CompressEvents>('compress', {
  decision: ({ req, coding, reason }) => ['%s %s: %s', requestLabel(req), coding, reason],
  bytes: unlogged,
  tier: ({ tier, previous, load }) => ['tier %d after %d at a load of %d', tier, previous, load],
  switch: ({ enabled, version, profile }) => [
    'switch %s, profile %s, version %d',
    enabled ? 'on' : 'off',
    profile.name ?? 'without a name',
    version,
  ],
});

export const compressErrors: ErrorEvent = defineErrors('compress');

/** Reports a piece of a body that was encoded. */
export function reportBytes(req: HttpRequest, coding: string, bytesIn: number, bytesOut: number): void {
  if (compressEvents.bytes.isHeard) compressEvents.bytes.publish({ req, coding, bytesIn, bytesOut });
}

/** Reports an error that has no caller. */
export function reportCompressError(error: unknown, req?: HttpRequest): void {
  compressErrors.report({ error, req });
}
