import parseBytes from 'bytes';
import parseMs from 'ms';
import { InvalidOptionError } from '../errors.ts';

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

// `bytes` falls back to parseInt, which reads '64 potatoes' as 64 and '1e3' as 1.
const sizePattern = /^\d+(\.\d+)?\s*(b|kb|mb|gb|tb|pb)?$/i;

/** Reads a duration option as milliseconds. Throws `InvalidOptionError`. */
export function readDuration(option: string, value: unknown, range: Range = {}): number {
  const parsed =
    typeof value === 'string' && value !== '' ? (parseMs(value as parseMs.StringValue) as number | undefined) : value;
  return inRange(option, 'a duration: milliseconds or a string like "30s"', parsed, range, value);
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

/** Reads an option that is one of a few words. Throws `InvalidOptionError`. */
export function readOneOf<T extends string>(option: string, value: unknown, allowed: readonly T[]): T {
  const found = allowed.find((word) => word === value);
  if (found === undefined) {
    throw new InvalidOptionError(option, `one of ${allowed.map((word) => JSON.stringify(word)).join(', ')}`, value);
  }
  return found;
}

/** Reads an options bag: `undefined` is an empty one. Throws `InvalidOptionError`. */
export function readBag<T extends object>(option: string, value: T | undefined): Partial<T> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || (value as unknown) === null || Array.isArray(value)) {
    throw new InvalidOptionError(option, 'an object', value);
  }
  return value;
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
export function requireFunction(option: string, value: unknown): void {
  if (typeof value !== 'function') throw new InvalidOptionError(option, 'a function', value);
}
