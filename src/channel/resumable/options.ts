import { InvalidOptionError } from '../../errors.ts';
import type { Hook, RoutedRequest } from '../../internal/http/framework.ts';
import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readDuration,
  readFunction,
  readOneOf,
  readOptions,
} from '../../internal/option.ts';
import { longestDelay } from '../../internal/time/clock.ts';
import type { ChannelEvent } from '../delivery/event.ts';
import { readKey } from '../family/options.ts';
import { type CoalesceOptions, needed, readCoalesce, type ResolvedCoalesce } from '../options.ts';
import type { AnswerFraming, RunStatus } from '../policy/answer.ts';
import type { Authorization } from '../subscribe-options.ts';

/** Which answer a request is about. */
export interface AnswerKey extends Authorization {
  /** The conversation, or the answer: any text of 1 to 200 characters. One answer at a time is produced for it. */
  key: string;
  /**
   * Names the question, such as the id of the user's message. A `start` with the `run` of the last answer gets that
   * answer, also when it has ended. One with another `run` gets a new answer, or 409 while the last one goes on.
   * @defaultValue none: `start` joins the answer that goes on, and begins a new one when there is none
   */
  run?: string | undefined;
}

/** What `run` gets. */
export interface AnswerRun {
  /** The request that began the answer. Its response may be over. */
  readonly req: RoutedRequest;
  /**
   * Aborts when the answer is to stop. `signal.reason` is a `RunCancelledError`, `DeadlineExceededError`,
   * `DrainingError`, `ChannelClosedError`, `ProducerFencedError`, `InvalidEventError`, or a `StreamFailedError` if the
   * answer could not be published.
   */
  readonly signal: AbortSignal;
  /** What `key` returned. */
  readonly key: string;
}

/** What `onEnd` gets. */
export interface AnswerEnd {
  /** What `key` returned. */
  readonly key: string;
  /** What `key` returned as `run`. */
  readonly run: string | undefined;
  /**
   * `done`: the generator returned. `cancelled`: by `cancel`, or by `onDisconnect`. `failed`: the generator threw, its
   * deadline passed, or its output could not be published. `interrupted`: its process died or went down.
   */
  readonly status: RunStatus;
  /** What went wrong, if anything did. That of a `failed` answer is published on `sluice:channel:error` too. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what was thrown
  readonly error: any;
  /** What the generator returned, such as the usage. `undefined` if it did not return. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what the application returns
  readonly value: any;
  /** Reads the events of the answer that are kept. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what the application yields
  events(): Promise<readonly ChannelEvent<Record<string, any>>[]>;
}

type KeyAnswer = AnswerKey | string | false | null | undefined;

/** Options of `resumable`. */
export interface ResumableOptions {
  /**
   * Says which answer a request is about, or `false` for a client that may not have it: 403. Asked by all handlers. May
   * return a promise. What it throws goes to `next`.
   */
  key: Hook<[req: RoutedRequest], KeyAnswer | PromiseLike<KeyAnswer>>;
  /**
   * Makes the answer: an async generator, or returns another source or a promise of one. What it yields is an event, or
   * a string, with `format: 'sse'`; a part, or a chunk, with the others. What it returns goes to `onEnd`. It runs in
   * the async context of the request that began it, and goes on without its client.
   */
  run: Hook<[run: AnswerRun]>;
  /** Joins small pieces before they are published: `mergeDeltas({ ms: 40 })`. @defaultValue none */
  coalesce?: CoalesceOptions | undefined;
  /**
   * What happens to an answer without clients. `'continue'`: it goes on. `'cancel'`: it is cancelled when the last
   * client leaves. `{ cancelAfter: '1m' }`: if none is back after that time. Clients of all processes count.
   * @defaultValue `'continue'`
   */
  onDisconnect?: 'continue' | 'cancel' | { cancelAfter: Duration } | undefined;
  /**
   * Called once for each answer, in the process that wrote its end. A shutdown waits for its promise. What it throws is
   * published on `sluice:channel:error`. @defaultValue none
   */
  onEnd?: Hook<[end: AnswerEnd]> | undefined;
  /**
   * What clients read. `'sse'`: events with ids, at last `sluice.end`. `'ui-message'`: the stream of the AI SDK.
   * `'openai'`: chunks of a chat completion. @defaultValue `'sse'`
   */
  format?: 'sse' | 'ui-message' | 'openai' | undefined;
  /**
   * How long a process that produces an answer may be silent before it counts as dead. Clients of an answer whose
   * process died are told about one and a half times as late. Milliseconds or a string for `ms`, at least 100.
   * @defaultValue `'15s'`
   */
  lease?: Duration | undefined;
  /**
   * How long a generator may take to end after its signal aborted. Then the answer ends without it. Milliseconds or a
   * string for `ms`. @defaultValue `'5s'`
   */
  grace?: Duration | undefined;
}

export interface ResolvedResumableOptions {
  readonly key: (req: RoutedRequest) => unknown;
  readonly run: (run: AnswerRun) => unknown;
  readonly coalesce: ResolvedCoalesce | undefined;
  /** ms without clients; `Infinity`: it goes on. */
  readonly cancelAfter: number;
  readonly onEnd: ((end: AnswerEnd) => unknown) | undefined;
  readonly framing: AnswerFraming;
  readonly lease: number;
  readonly grace: number;
}

const names: OptionNames<ResumableOptions> = {
  key: true,
  run: true,
  coalesce: true,
  onDisconnect: true,
  onEnd: true,
  format: true,
  lease: true,
  grace: true,
};

const advice: OptionAdvice = {
  call: 'resumable(rooms, { key, run })',
  instead: {
    id: 'key',
    streamId: 'key',
    authorize: 'Decide in `key`: it returns `false` for a client that may not have the answer.',
    generate: 'run',
    handler: 'run',
    as: 'format',
    onFinish: 'onEnd',
    onError: 'onEnd',
    onAbort: 'onDisconnect',
    ttl: 'The channels have it: `createChannels({ ttl })`.',
    history: 'The channels have it: `createChannels({ history })`.',
    backplane: 'The channels have it: `createChannels({ backplane })`.',
    timeout: 'lease',
  },
};

const disconnectNames: OptionNames<{ cancelAfter: Duration }> = { cancelAfter: true };

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveResumableOptions(given: ResumableOptions | undefined): ResolvedResumableOptions {
  const options = readOptions('resumable', given, names, advice);
  const { key, run, coalesce, onDisconnect, onEnd, format, lease, grace } = options;
  const framing = readOneOf('resumable.format', format ?? 'sse', ['sse', 'ui-message', 'openai']);
  return {
    key: needed('resumable.key', readFunction('resumable.key', key)),
    run: needed('resumable.run', readFunction('resumable.run', run)),
    coalesce: coalesce && readCoalesce('resumable.coalesce', coalesce),
    cancelAfter: readDisconnect('resumable.onDisconnect', onDisconnect ?? 'continue'),
    onEnd: readFunction('resumable.onEnd', onEnd),
    framing: framing === 'sse' ? 'answer' : framing,
    lease: readDuration('resumable.lease', lease ?? '15s', { min: 100, max: longestDelay }),
    grace: readDuration('resumable.grace', grace ?? '5s', { max: longestDelay }),
  };
}

function readDisconnect(option: string, value: NonNullable<ResumableOptions['onDisconnect']>): number {
  if (typeof value !== 'object') return readOneOf(option, value, ['continue', 'cancel']) === 'cancel' ? 0 : Infinity;
  const { cancelAfter } = readOptions(option, value, disconnectNames, { single: 'cancelAfter' });
  return readDuration(`${option}.cancelAfter`, cancelAfter, { max: longestDelay });
}

// A key is a part of the names of its channels.
const longestKey = 200;

/** What `key` said of a request. `undefined`: it may not have the answer. Throws `InvalidOptionError`. */
export function readAnswerKey(value: unknown): AnswerKey | undefined {
  if (value === false || value === undefined || value === null || value === '') return undefined;
  const given = (typeof value === 'string' ? { key: value } : value) as Partial<AnswerKey>;
  if (typeof given !== 'object') throw new InvalidOptionError('resumable.key', 'a function that returns a key', value);
  const { run } = given;
  const key = readKey('resumable.key', given.key, longestKey);
  if (run !== undefined && (typeof run !== 'string' || run.length > longestKey))
    throw new InvalidOptionError('resumable.key.run', `a text of up to ${String(longestKey)} characters`, run);
  return { ...given, key };
}
