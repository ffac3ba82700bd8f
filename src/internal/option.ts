import parseBytes from 'bytes';
import parseMs from 'ms';
import debug from 'debug';
import { InvalidOptionError } from '../errors.ts';
import { nearestName } from './nearest-name.ts';

/** Milliseconds, or a string that `ms` reads: `'30s'`, `'1.5m'`. */
export type Duration = number | string;

/** Bytes, or a string that `bytes` reads: `'64kb'`, `'1mb'` (1 kB = 1,024 bytes). */
export type Size = number | string;

/**
 * What a resolver returns: every option is there, and durations and sizes are numbers. Those in `Unset` have no default
 * and may be `undefined`.
 */
export type Resolved<Options, Unset extends keyof Options = never> = {
  readonly [Name in keyof Options]-?:
    Parsed<Exclude<Options[Name], undefined>> | (Name extends Unset ? undefined : never);
};

type Parsed<Value> = [Duration | Size] extends [Value] ? number : Value;

/** An inclusive range; `Infinity` as `max` allows `Infinity` itself as a value. */
export interface Range {
  readonly min?: number;
  readonly max?: number;
}

const log = debug('sluice:option');

// `bytes` falls back to parseInt, which reads '64 potatoes' as 64 and '1e3' as 1.
const sizePattern = /^\d+(\.\d+)?\s*(b|kb|mb|gb|tb|pb)?$/i;

/** Reads a duration option as milliseconds. Throws `InvalidOptionError`. */
export function readDuration(option: string, value: unknown, range: Range = {}): number {
  const parsed =
    typeof value === 'string' && value !== '' ? (parseMs(value as parseMs.StringValue) as number | undefined) : value;
  if (looksLikeSeconds(value)) log('`%s` is %d ms. Write "%ds" for seconds.', option, value, value);
  return inRange(option, 'a duration: milliseconds or a string like "30s"', parsed, range, value);
}

// Few things in a service are to take less than a tenth of a second, and few more than that many seconds.
const fewSeconds = 100;

function looksLikeSeconds(value: unknown): boolean {
  return typeof value === 'number' && value > 0 && value < fewSeconds;
}

/** Reads a size option as bytes. Throws `InvalidOptionError`. */
export function readSize(option: string, value: unknown, range: Range = {}): number {
  const parsed = typeof value === 'string' ? (sizePattern.test(value) ? parseBytes.parse(value) : undefined) : value;
  return inRange(option, 'a size: bytes or a string like "64kb"', parsed, range, value);
}

/** Reads an integer option. Throws `InvalidOptionError`. */
export function readInteger(option: string, value: unknown, range: Range = {}): number {
  const parsed = typeof value === 'number' && Number.isInteger(value) ? value : undefined;
  return inRange(option, 'an integer', parsed, range, value);
}

/** Reads a boolean option. Throws `InvalidOptionError`. */
export function readBoolean(option: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new InvalidOptionError(option, 'a boolean', value);
  return value;
}

/** Reads a function option; `undefined` stays `undefined`. Throws `InvalidOptionError`. */
export function readFunction<F extends (...args: never[]) => unknown>(
  option: string,
  value: F | undefined,
): F | undefined {
  if (value !== undefined && typeof value !== 'function') throw new InvalidOptionError(option, 'a function', value);
  return value;
}

/** Reads a signal; `undefined` stays `undefined`. Throws `InvalidOptionError`. */
export function readSignal(option: string, value: AbortSignal | undefined): AbortSignal | undefined {
  // By its shape: under Jest with jsdom the global class is not Node's.
  const isSignal =
    typeof value === 'object' && (value as unknown) !== null && 'aborted' in value && 'addEventListener' in value;
  if (value !== undefined && !isSignal) throw new InvalidOptionError(option, 'an AbortSignal', value);
  return value;
}

/** Reads an option that is one of a few words. Throws `InvalidOptionError`. */
export function readOneOf<T extends string>(option: string, value: unknown, allowed: readonly T[]): T {
  const found = allowed.find((word) => word === value);
  if (found === undefined) {
    throw new InvalidOptionError(option, `one of ${allowed.map((word) => JSON.stringify(word)).join(', ')}`, value);
  }
  return found;
}

/** Reads an object whose keys are free: `undefined` is an empty one. Throws `InvalidOptionError`. */
export function readBag<T extends object>(option: string, value: T | undefined): Partial<T> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || (value as unknown) === null || Array.isArray(value)) {
    throw new InvalidOptionError(option, 'an object', value);
  }
  return value;
}

/** All options of an object, by name. TypeScript tells of one that is missing here. */
export type OptionNames<T> = { readonly [Name in keyof T]-?: true };

/** What to say of an object of options that is not right. */
export interface OptionAdvice {
  /**
   * What an option of another package, or a likely wrong name, is called here. What is not the name of an option is a
   * sentence that says where to find it.
   */
  readonly instead?: Readonly<Record<string, string>>;
  /** The option that a single value is meant for: `default` of `deadline('5s')`. */
  readonly single?: string;
  /** Names that are accepted and have no effect. */
  readonly ignored?: readonly string[];
  /** How the function is called right, for one that was mounted without a call. @defaultValue `app.use(owner())` */
  readonly call?: string;
}

/**
 * Reads an object of options: `undefined` is an empty one. Throws `InvalidOptionError`, also for an option that does
 * not exist.
 * @param owner - the name of what has the options, for error messages
 */
export function readOptions<T extends object>(
  owner: string,
  value: T | undefined,
  names: OptionNames<T>,
  advice: OptionAdvice = {},
): Partial<T> {
  if (value === undefined) return {};
  refuseRequest(owner, value, advice.call);
  if (typeof value !== 'object' || (value as unknown) === null || Array.isArray(value) || isEmitter(value)) {
    const example = advice.single === undefined ? '' : `, as in \`${owner}({ ${advice.single}: … })\``;
    throw new InvalidOptionError(owner, `an object${example}`, value);
  }
  for (const name of Object.keys(value)) {
    if (Object.hasOwn(names, name) || advice.ignored?.includes(name) === true) continue;
    if ((value as Record<string, unknown>)[name] !== undefined)
      throw unknownOption(owner, name, Object.keys(names), advice.instead ?? {});
  }
  return value;
}

/**
 * Throws `InvalidOptionError` for a factory that was mounted without a call, and is called with a request. Each request
 * would else hang: the factory makes a middleware and does not call `next`.
 */
export function refuseRequest(owner: string, value: unknown, call = `app.use(${owner}())`): void {
  if (typeof value !== 'object' || value === null || !('httpVersion' in value && 'headers' in value)) return;
  throw new InvalidOptionError(owner, {
    sentence: `was mounted without a call: it got a request in place of its options. Call it: \`${call}\``,
  });
}

/** Servers, sockets and responses, in the place of options. */
function isEmitter(value: object): boolean {
  return 'emit' in value && typeof value.emit === 'function';
}

function unknownOption(
  owner: string,
  name: string,
  names: readonly string[],
  instead: Readonly<Record<string, string>>,
): InvalidOptionError {
  const found = Object.hasOwn(instead, name) ? instead[name] : nearestName(name, names);
  const options = names.length === 0 ? 'It has no options.' : `The options are: ${names.join(', ')}.`;
  const cure = found === undefined ? options : names.includes(found) ? `Did you mean \`${found}\`?` : found;
  return new InvalidOptionError(`${owner}.${name}`, { sentence: `does not exist. ${cure}` });
}

/** Throws `InvalidOptionError` where two options contradict each other. */
export function refuseWhen(isRefused: boolean, option: string, sentence: string): void {
  if (isRefused) throw new InvalidOptionError(option, { sentence });
}

function inRange(option: string, kind: string, parsed: unknown, range: Range, value: unknown): number {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = range;
  if (typeof parsed !== 'number' || Number.isNaN(parsed) || parsed < min || parsed > max) {
    const limit = max === Number.MAX_SAFE_INTEGER || max === Infinity ? `>= ${min}` : `from ${min} to ${max}`;
    throw new InvalidOptionError(option, `${kind}, ${limit}`, value);
  }
  return parsed;
}

/** Checks a required function argument. Throws `InvalidOptionError`. */
export function requireFunction(option: string, value: unknown, expected = 'a function'): void {
  if (typeof value !== 'function') throw new InvalidOptionError(option, expected, value);
}
