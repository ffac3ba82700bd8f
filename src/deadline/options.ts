import { InvalidOptionError } from '../errors.ts';
import type { DeadlineExceededError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import { type Duration, readBag, readBoolean, readDuration, readFunction, readInteger } from '../internal/option.ts';
import { type DeadlineSource, deadlineSources } from './policy/source.ts';

/** Options of `deadline`. Durations are milliseconds or a string for `ms`; `Infinity` is no bound. */
export interface DeadlineOptions {
  /** How long a request may take, if its client says nothing shorter. @defaultValue `Infinity` */
  default?: Duration;
  /** The longest that any request may take, streams included: nothing renews it. @defaultValue `Infinity` */
  max?: Duration;
  /**
   * What a response that comes in pieces has in place of `default` from its head on: how long nothing may move.
   * Whatever is written or read, and whatever the client takes of what was written, renews it; what the client asked
   * for, and `max`, stay as they are.
   * @defaultValue `Infinity`: `default` holds to the end
   */
  idle?: Duration;
  /** Request fields that are read; the shortest counts. @defaultValue all that there are */
  sources?: readonly DeadlineSource[];
  /** Whether the fields of a request are read. They can only shorten a deadline. @defaultValue `true` */
  // A method, so that a function typed for a framework's request fits.
  trust?: boolean | ((req: HttpRequest) => boolean);
  /** The status when the deadline passes before the head. @defaultValue `504` */
  status?: number;
  /** Answers in place of the status, before it returns. What it leaves unanswered gets the status. */
  onExpired?(error: DeadlineExceededError, req: HttpRequest, res: HttpResponse): void;
  /**
   * Whether `currentContext()` finds the context. Without it `contextOf(req)` still does, and a request costs a little
   * less. @defaultValue `true`
   */
  asyncContext?: boolean;
}

/** `DeadlineOptions` with every default filled in. */
export interface ResolvedDeadlineOptions {
  readonly default: number;
  readonly max: number;
  readonly idle: number;
  readonly sources: readonly DeadlineSource[];
  readonly trusts: (req: HttpRequest) => boolean;
  readonly status: number;
  readonly onExpired: DeadlineOptions['onExpired'];
  readonly asyncContext: boolean;
}

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveDeadlineOptions(given: DeadlineOptions | undefined): ResolvedDeadlineOptions {
  const options = readBag('deadline', given);
  return {
    default: readTimeout('deadline.default', options.default),
    max: readTimeout('deadline.max', options.max),
    idle: readTimeout('deadline.idle', options.idle),
    sources: readSources(options.sources ?? deadlineSources),
    trusts: readTrust(options.trust ?? true),
    status: readInteger('deadline.status', options.status ?? 504, { min: 400, max: 599 }),
    onExpired: readFunction('deadline.onExpired', options.onExpired),
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

function readTrust(trust: unknown): (req: HttpRequest) => boolean {
  if (typeof trust === 'function') return trust as (req: HttpRequest) => boolean;
  const trusts = readBoolean('deadline.trust', trust);
  return () => trusts;
}
