import { InvalidOptionError } from '../errors.ts';
import type { Hook } from '../internal/http/framework.ts';
import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readDuration,
  readFunction,
  readInteger,
  readOneOf,
  readOptions,
  readSize,
  type Size,
} from '../internal/option.ts';
import { longestDelay } from '../internal/time/clock.ts';
import type { Overflow } from '../internal/writer/policy/overflow.ts';
import type { AnyEvents } from '../sse/event-map.ts';
import type { Backplane, HistoryLimits } from './log/backplane.ts';
import type { AnyChannelInput } from './delivery/event.ts';
import { createMemoryBackplane } from './log/memory-backplane.ts';

/** How much of a channel is kept for clients that reconnect, or that want to see what was before. */
export interface HistoryOptions {
  /** The number of events. 0: none is kept, so that every client that reconnects late is reset. @defaultValue `1000` */
  count?: number | undefined;
  /** Bytes of their names and data. @defaultValue `'1mb'` */
  bytes?: Size | undefined;
}

/**
 * Joins small events, such as the tokens of a language model, before they are published: `{ ms: 40, key, merge }`. All
 * others go out at once, and behind the one that waits.
 */
export interface CoalesceOptions<M extends object = AnyEvents> {
  /** How long an event waits for others, at most. Milliseconds or a string for `ms`, at least 1. */
  ms: Duration;
  /**
   * Which events are joined: those with the same key that come one after another. `undefined`: none.
   */
  key: Hook<[event: CoalescedInput<M>], string | undefined>;
  /** Makes one event of two, the earlier first. */
  merge: Hook<[earlier: CoalescedInput<M>, later: CoalescedInput<M>], CoalescedInput<M>>;
}

// What a function of the application reads may be anything, where no type says what is published.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type CoalescedInput<M extends object> = string extends keyof M ? any : Publication<M>;

type Publication<M extends object> = { [K in keyof M & string]: { event: K; data: M[K] } }[keyof M & string];

/** Options of `createChannel`. */
export interface ChannelOptions<M extends object = AnyEvents> {
  /** The name of the channel. Processes that share a backplane share the channels of one name. */
  name: string;
  /** What is kept for clients that come later. @defaultValue `{ count: 1000, bytes: '1mb' }` */
  history?: HistoryOptions | undefined;
  /**
   * Where the events are kept, and how other processes get them. @defaultValue the memory of this process
   */
  backplane?: Backplane | undefined;
  /**
   * The default of `subscribe({ overflow })`: what happens to clients that read too slowly.
   * @defaultValue `'close'`
   */
  overflow?: Overflow | undefined;
  /**
   * How long an event waits for others, so that they leave in one write. Milliseconds or a string for `ms`. 0: until
   * the end of the tick. @defaultValue `0`
   */
  batch?: Duration | undefined;
  /** Joins small events before they are published. @defaultValue none */
  coalesce?: CoalesceOptions<M> | undefined;
}

export interface ResolvedCoalesce {
  readonly ms: number;
  /** Throws `InvalidOptionError` for what is no key. */
  readonly key: (event: AnyChannelInput) => string | undefined;
  readonly merge: (earlier: AnyChannelInput, later: AnyChannelInput) => unknown;
}

export interface ResolvedChannelOptions {
  readonly name: string;
  readonly history: HistoryLimits;
  readonly backplane: Backplane;
  readonly overflow: Overflow;
  readonly batch: number;
  readonly coalesce: ResolvedCoalesce | undefined;
}

/** Options that a family has for each of its channels. */
export const sharedNames: OptionNames<Omit<ChannelOptions, 'name'>> = {
  history: true,
  backplane: true,
  overflow: true,
  batch: true,
  coalesce: true,
};

const names: OptionNames<ChannelOptions> = { name: true, ...sharedNames };

const advice: OptionAdvice = {
  single: 'name',
  call: "createChannel({ name: 'ticks' })",
  instead: {
    id: 'name',
    key: 'name',
    historySize: 'history',
    limit: 'history',
    maxHistory: 'history',
    adapter: 'backplane',
    redis: 'backplane',
    backpressure: 'overflow',
    filter: 'Filter for each route: `channel.subscribe({ filter })`.',
    from: 'Say for each route where a client begins: `channel.subscribe({ from })`.',
    authorize: 'Authorize for each route: `channel.subscribe({ authorize })`.',
    ttl: 'A channel lives until `close()`. Those of `createChannels({ ttl })` are freed when they are idle.',
  },
};

const historyNames: OptionNames<HistoryOptions> = { count: true, bytes: true };
const historyAdvice: OptionAdvice = { single: 'count', instead: { size: 'bytes', length: 'count', limit: 'count' } };
const coalesceNames: OptionNames<CoalesceOptions> = { ms: true, key: true, merge: true };
const coalesceAdvice: OptionAdvice = { single: 'ms', instead: { delay: 'ms', every: 'ms', join: 'merge' } };

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveChannelOptions<M extends object>(given: ChannelOptions<M> | undefined): ResolvedChannelOptions {
  const owner = 'createChannel';
  const options = readOptions(owner, given as ChannelOptions | undefined, names, advice);
  return { name: readName(`${owner}.name`, options.name), ...resolveShared(owner, options) };
}

/** The options that channels have with and without a family. */
export function resolveShared(
  owner: string,
  options: Partial<Omit<ChannelOptions, 'name'>>,
): Omit<ResolvedChannelOptions, 'name'> {
  return {
    history: readHistory(`${owner}.history`, options.history),
    backplane: readBackplane(`${owner}.backplane`, options.backplane),
    overflow: readOneOf(`${owner}.overflow`, options.overflow ?? 'close', ['close', 'drop', 'latest']),
    batch: readDuration(`${owner}.batch`, options.batch ?? 0, { max: longestDelay }),
    coalesce: options.coalesce && readCoalesce(`${owner}.coalesce`, options.coalesce),
  };
}

export function readName(option: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new InvalidOptionError(option, 'a name', value);
  return value;
}

function readHistory(option: string, value: HistoryOptions | undefined): HistoryLimits {
  const { count, bytes } = readOptions(option, value, historyNames, historyAdvice);
  return {
    count: readInteger(`${option}.count`, count ?? 1000),
    bytes: readSize(`${option}.bytes`, bytes ?? '1mb', { max: Infinity }),
  };
}

function readBackplane(option: string, value: Backplane | undefined): Backplane {
  if (value === undefined) return createMemoryBackplane();
  const isBackplane = typeof value === 'object' && (value as unknown) !== null && typeof value.open === 'function';
  if (!isBackplane) throw new InvalidOptionError(option, 'a backplane', value);
  return value;
}

/** Throws `InvalidOptionError`. */
export function readCoalesce(option: string, value: CoalesceOptions): ResolvedCoalesce {
  const { ms, key, merge } = readOptions(option, value, coalesceNames, coalesceAdvice);
  const keyOf = needed(`${option}.key`, readFunction(`${option}.key`, key));
  return {
    ms: readDuration(`${option}.ms`, ms, { min: 1, max: longestDelay }),
    key(event) {
      const given: unknown = keyOf(event);
      if (given === undefined || typeof given === 'string') return given;
      throw new InvalidOptionError(`${option}.key`, 'a function that returns a string or undefined', given);
    },
    merge: needed(`${option}.merge`, readFunction(`${option}.merge`, merge)),
  };
}

/** A function that has no default. Throws `InvalidOptionError`. */
export function needed<T>(option: string, value: T | undefined): T {
  if (value === undefined) throw new InvalidOptionError(option, 'a function', value);
  return value;
}

/** Options of `publish`. */
export interface PublishOptions {
  /**
   * Of the events with one key, only the newest matters: to clients that start with `from: 'latest'`, and to those that
   * lag with `overflow: 'latest'`. @defaultValue the name of the event, `message` for none
   */
  key?: string | undefined;
  /**
   * Publishes once, however often it is tried: an event with the same `idempotencyKey` as one of the last two minutes
   * is not published again, and the promise gives the id of the first.
   * @defaultValue none
   */
  idempotencyKey?: string | undefined;
}

const publishNames: OptionNames<PublishOptions> = { key: true, idempotencyKey: true };
const publishAdvice: OptionAdvice = { single: 'key', instead: { id: 'idempotencyKey', dedupe: 'idempotencyKey' } };

/** Throws `InvalidOptionError`. */
export function readPublishOptions(given: PublishOptions | undefined): Partial<PublishOptions> {
  if (given === undefined) return {};
  const options = readOptions('publish', given, publishNames, publishAdvice);
  for (const name of ['key', 'idempotencyKey'] as const) {
    const value: unknown = options[name];
    if (value !== undefined && typeof value !== 'string')
      throw new InvalidOptionError(`publish.${name}`, 'a string', value);
  }
  return options;
}
