import { InvalidOptionError } from '../../errors.ts';
import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readDuration,
  readInteger,
  readOptions,
} from '../../internal/option.ts';
import { longestDelay } from '../../internal/time/clock.ts';
import type { AnyEvents } from '../../sse/event-map.ts';
import { type ChannelOptions, readName, type ResolvedChannelOptions, resolveShared, sharedNames } from '../options.ts';

/** How many clients a family takes. */
export interface ChannelsLimits {
  /**
   * Clients of one identity, which must be a string or a number then. Clients without an identity are not limited. One
   * more is refused with 429, or told to come back later if it is an `EventSource`. @defaultValue `Infinity`
   */
  perIdentity?: number | undefined;
  /**
   * Clients of one channel. One more is refused with 503, or told to come back later if it is an `EventSource`.
   * @defaultValue `Infinity`
   */
  perChannel?: number | undefined;
}

/** Options of `createChannels`: those of `createChannel` for each of the channels, and these. */
export interface ChannelsOptions<M extends object = AnyEvents> extends Omit<ChannelOptions<M>, 'name'> {
  /**
   * The name of the family. Families that share a backplane need names of their own. @defaultValue `'channels'`
   */
  name?: string | undefined;
  /**
   * How long a channel is kept that has no clients, and on which nothing is published. Then its history is freed if it
   * is in memory. Milliseconds or a string for `ms`, at least 1. @defaultValue `'10m'`
   */
  ttl?: Duration | undefined;
  /** How many clients there may be. @defaultValue none */
  limits?: ChannelsLimits | undefined;
}

export interface ResolvedChannelsOptions {
  readonly channel: ResolvedChannelOptions;
  readonly ttl: number;
  readonly limits: Readonly<Record<keyof ChannelsLimits, number>>;
}

const names: OptionNames<ChannelsOptions> = { name: true, ...sharedNames, ttl: true, limits: true };

const advice: OptionAdvice = {
  single: 'ttl',
  call: "createChannels({ ttl: '10m' })",
  instead: {
    adapter: 'backplane',
    redis: 'backplane',
    maxAge: 'ttl',
    idle: 'ttl',
    timeout: 'ttl',
    max: 'limits',
    limit: 'limits',
    authorize: 'Authorize for each route: `rooms.subscribe({ authorize })`.',
    filter: 'Filter for each route: `rooms.subscribe(keys, { filter })`.',
  },
};

const limitNames: OptionNames<ChannelsLimits> = { perIdentity: true, perChannel: true };
const limitAdvice: OptionAdvice = {
  single: 'perIdentity',
  instead: { identity: 'perIdentity', user: 'perIdentity', channel: 'perChannel', room: 'perChannel' },
};

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveChannelsOptions<M extends object>(
  given: ChannelsOptions<M> | undefined,
): ResolvedChannelsOptions {
  const owner = 'createChannels';
  const options = readOptions(owner, given as ChannelsOptions | undefined, names, advice);
  const limits = readOptions(`${owner}.limits`, options.limits, limitNames, limitAdvice);
  return {
    channel: { name: readName(`${owner}.name`, options.name ?? 'channels'), ...resolveShared(owner, options) },
    ttl: readDuration(`${owner}.ttl`, options.ttl ?? '10m', { min: 1, max: longestDelay }),
    limits: {
      perIdentity: readLimit(`${owner}.limits.perIdentity`, limits.perIdentity),
      perChannel: readLimit(`${owner}.limits.perChannel`, limits.perChannel),
    },
  };
}

function readLimit(option: string, value: number | undefined): number {
  if (value === undefined || value === Infinity) return Infinity;
  return readInteger(option, value, { min: 1 });
}

// Long enough for two UUIDs.
const longestKey = 256;

/** A key of a channel. Throws `InvalidOptionError`. @param longest - characters */
export function readKey(option: string, value: unknown, longest: number = longestKey): string {
  if (typeof value !== 'string' || value === '' || value.length > longest || /\p{Surrogate}/u.test(value))
    throw new InvalidOptionError(option, `a key: a text of 1 to ${String(longest)} characters`, value);
  return value;
}

/** One key or several, each once, in order. Throws `InvalidOptionError`. */
export function readKeys(option: string, value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return [...new Set(list.map((key) => readKey(option, key)))];
}
