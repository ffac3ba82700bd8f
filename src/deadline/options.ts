import { InvalidOptionError } from '../errors.ts';
import type { DeadlineExceededError } from '../errors.ts';
import type { Hook, RoutedRequest, RoutedResponse } from '../internal/http/framework.ts';
import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readBoolean,
  readDuration,
  readFunction,
  readInteger,
  readOptions,
  refuseWhen,
} from '../internal/option.ts';
import { type DeadlineSource, deadlineSources } from './policy/source.ts';

/** Options of `deadline`. Durations are milliseconds or a string for `ms`; `Infinity` is no bound. */
export interface DeadlineOptions {
  /** How long a request may take, unless its client asks for less. @defaultValue `Infinity` */
  default?: Duration | undefined;
  /** How long any request may take, streams included. Nothing renews it. @defaultValue `Infinity` */
  max?: Duration | undefined;
  /**
   * Replaces `default` once the headers of a streamed response are sent: how long nothing may move. Each write, each
   * read of the request and each byte that the client takes renews it. The client's own deadline and `max` still hold.
   * @defaultValue `Infinity`: `default` holds to the end
   */
  idle?: Duration | undefined;
  /** The request fields to read. The shortest deadline counts. @defaultValue all known fields */
  sources?: readonly DeadlineSource[] | undefined;
  /** Whether to read the fields of a request. They can only shorten a deadline. @defaultValue `true` */
  trust?: boolean | Hook<[req: RoutedRequest]> | undefined;
  /** The status of a deadline that passes before the headers are sent. @defaultValue `504` */
  status?: number | undefined;
  /**
   * Answers instead of `status`, before it returns. A response that it leaves open gets `status`.
   * @defaultValue none
   */
  onExpired?: Hook<[error: DeadlineExceededError, req: RoutedRequest, res: RoutedResponse]> | undefined;
  /**
   * Whether `currentContext()` finds the context. `contextOf(req)` always does. `false` makes a request a little
   * cheaper.
   * @defaultValue `true`
   */
  asyncContext?: boolean | undefined;
}

/** `DeadlineOptions` with every default filled in. */
export interface ResolvedDeadlineOptions {
  readonly default: number;
  readonly max: number;
  readonly idle: number;
  readonly sources: readonly DeadlineSource[];
  readonly trusts: (req: HttpRequest) => unknown;
  readonly status: number;
  readonly onExpired: ((error: DeadlineExceededError, req: HttpRequest, res: HttpResponse) => unknown) | undefined;
  readonly asyncContext: boolean;
}

const names: OptionNames<DeadlineOptions> = {
  default: true,
  max: true,
  idle: true,
  sources: true,
  trust: true,
  status: true,
  onExpired: true,
  asyncContext: true,
};

const advice: OptionAdvice = {
  single: 'default',
  instead: {
    timeout: 'default',
    ms: 'default',
    time: 'default',
    duration: 'default',
    deadline: 'default',
    maxTime: 'max',
    limit: 'max',
    headers: 'sources',
    fields: 'sources',
    statusCode: 'status',
    onTimeout: 'onExpired',
    respond: 'It always answers. `onExpired` answers in its own way.',
    margin: 'It is an option of what makes calls: `contextFetch`, `deadlineInterceptor`, `propagate`.',
  },
};

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveDeadlineOptions(given: DeadlineOptions | undefined): ResolvedDeadlineOptions {
  const options = readOptions('deadline', given, names, advice);
  const [usual, max, idle] = (['default', 'max', 'idle'] as const).map((name) =>
    readTimeout(`deadline.${name}`, options[name]),
  ) as [number, number, number];
  const beyond = 'is longer than `max`, which ends the request before.';
  refuseWhen(usual > max && usual !== Infinity, 'deadline.default', beyond);
  refuseWhen(idle > max && idle !== Infinity, 'deadline.idle', beyond);
  return {
    default: usual,
    max,
    idle,
    sources: readSources(options.sources ?? deadlineSources),
    trusts: readTrust(options.trust ?? true),
    status: readInteger('deadline.status', options.status ?? 504, { min: 400, max: 599 }),
    onExpired: readFunction('deadline.onExpired', options.onExpired) as ResolvedDeadlineOptions['onExpired'],
    asyncContext: readBoolean('deadline.asyncContext', options.asyncContext ?? true),
  };
}

function readTimeout(option: string, value: Duration | undefined): number {
  return value === undefined || value === Infinity ? Infinity : readDuration(option, value, { min: 1 });
}

function readSources(value: unknown): readonly DeadlineSource[] {
  if (!Array.isArray(value) || !value.every((source) => deadlineSources.includes(source as DeadlineSource))) {
    throw new InvalidOptionError(
      'deadline.sources',
      `an array of ${deadlineSources.map((source) => JSON.stringify(source)).join(', ')}`,
      value,
    );
  }
  return [...(value as DeadlineSource[])];
}

function readTrust(trust: unknown): (req: HttpRequest) => unknown {
  if (typeof trust === 'function') return trust as (req: HttpRequest) => unknown;
  const trusts = readBoolean('deadline.trust', trust);
  return () => trusts;
}
