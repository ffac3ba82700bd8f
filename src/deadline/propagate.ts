import { InvalidOptionError } from '../errors.ts';
import { type Context, type RequestContext, requireContext } from '../internal/context/context.ts';
import { type Duration, readBag, readDuration, readOneOf } from '../internal/option.ts';
import { type TimeoutField, timeoutFields, timeoutGrammars } from './policy/timeout-field.ts';

export type { TimeoutField } from './policy/timeout-field.ts';

/** Options of `propagate`, `contextFetch` and `deadlineInterceptor`. */
export interface PropagateOptions {
  /**
   * The fields to write. One that a call carries already is shortened where it is too long, whether it is listed here
   * or not.
   * @defaultValue `['grpc-timeout', 'x-request-timeout-ms']`
   */
  fields?: readonly TimeoutField[];
  /**
   * What is kept back of the time that is left, for the way there and for an answer of one's own: milliseconds or a
   * string for `ms`; never more than a tenth of what is left, so that a short deadline outlives many hops. `0`:
   * nothing.
   * @defaultValue `10`
   */
  margin?: Duration;
}

/** `PropagateOptions` with every default filled in. */
export interface ResolvedPropagateOptions {
  readonly fields: readonly TimeoutField[];
  readonly margin: number;
}

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolvePropagateOptions(owner: string, given: PropagateOptions | undefined): ResolvedPropagateOptions {
  const { fields = ['grpc-timeout', 'x-request-timeout-ms'], margin = 10 } = readBag(owner, given);
  if (!Array.isArray(fields)) throw new InvalidOptionError(`${owner}.fields`, 'a list of fields', fields);
  return {
    fields: fields.map((field) => readOneOf(`${owner}.fields`, field, timeoutFields)),
    margin: readDuration(`${owner}.margin`, margin),
  };
}

/**
 * Writes what is left of a context's deadline, less a margin, into the fields of a call that is made for it: into a
 * `Headers` or an object of fields, which it returns. A shorter timeout that the fields carry already holds; one that
 * cannot be read is replaced. Without a deadline they stay as they are.
 *
 * Throws the context's reason when it is aborted or its deadline has passed: there is nothing to call for. Throws
 * `InvalidOptionError`.
 */
export function propagate<H extends object>(context: RequestContext, headers: H, options?: PropagateOptions): H {
  const resolved = resolvePropagateOptions('propagate', options);
  const known = requireContext('propagate.context', context);
  if (!isHeaders(headers) && !isRecord(headers)) {
    throw new InvalidOptionError('propagate.headers', 'a Headers object or an object of fields', headers);
  }
  writeTimeout(known, headers, resolved);
  return headers;
}

/** `propagate`, of checked arguments. */
export function writeTimeout(context: Context, headers: object, { fields, margin }: ResolvedPropagateOptions): void {
  context.throwIfAborted();
  const left = context.remaining();
  if (left === Infinity) return;
  const access = isHeaders(headers) ? accessHeaders(headers) : accessRecord(headers as OutgoingFields);
  const carried = timeoutFields.map((field) => ({ field, texts: access.read(field) }));
  const own = carried.flatMap(({ field, texts }) => texts.map((text) => readTimeout(field, text)));
  const timeout = Math.min(left - Math.min(margin, left / 10), ...own);
  for (const { field, texts } of carried) {
    if (texts.length === 0 && !fields.includes(field)) continue;
    const [text, second] = texts;
    if (text !== undefined && second === undefined && readTimeout(field, text) === timeout) continue;
    access.write(field, timeoutGrammars[field].format(timeout));
  }
}

/** `Infinity` for what is no timeout. */
function readTimeout(field: TimeoutField, text: string): number {
  return timeoutGrammars[field].parse(text) ?? Infinity;
}

/** The fields of a call, in whatever they come. */
interface FieldAccess {
  /** All values of a field. */
  read(field: TimeoutField): string[];
  write(field: TimeoutField, value: string): void;
}

/** As `fetch` and others know it; not only the global class. */
interface HeadersLike {
  get(name: string): string | null;
  set(name: string, value: string): void;
  append(name: string, value: string): void;
}

type OutgoingFields = Record<string, unknown>;

function isHeaders(value: unknown): value is HeadersLike {
  if (typeof value !== 'object' || value === null) return false;
  const { get, set, append } = value as Partial<HeadersLike>;
  return [get, set, append].every((method) => typeof method === 'function');
}

function isRecord(value: unknown): value is OutgoingFields {
  return typeof value === 'object' && value !== null && !(Symbol.iterator in value);
}

function accessHeaders(headers: HeadersLike): FieldAccess {
  return { read: (field) => splitValues(headers.get(field)), write: (field, value) => headers.set(field, value) };
}

/** Names in any case, and a field more than once. */
function accessRecord(record: OutgoingFields): FieldAccess {
  const namesOf = (field: TimeoutField): string[] => Object.keys(record).filter((name) => name.toLowerCase() === field);
  return {
    read: (field) => namesOf(field).flatMap((name) => [record[name]].flat().flatMap(splitValues)),
    write: (field, value) => {
      const [name = field, ...others] = namesOf(field);
      for (const other of others) Reflect.deleteProperty(record, other);
      record[name] = value;
    },
  };
}

/** A field that is sent more than once arrives as a list. */
function splitValues(value: unknown): string[] {
  return value == null
    ? []
    : String(value as string | number)
        .split(',')
        .map((each) => each.trim());
}
