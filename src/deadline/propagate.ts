import { InvalidOptionError } from '../errors.ts';
import { type Context, type RequestContext, requireContext } from '../internal/context/context.ts';
import { type Duration, readBag, readDuration, readOneOf } from '../internal/option.ts';
import { type TimeoutField, timeoutFields, timeoutGrammars } from './policy/timeout-field.ts';

export type { TimeoutField } from './policy/timeout-field.ts';

/** Options of `propagate`, `contextFetch` and `deadlineInterceptor`. */
export interface PropagateOptions {
  /**
   * The fields to write. A field that the call carries already is shortened if it is too long, listed here or not.
   * @defaultValue `['grpc-timeout', 'x-request-timeout-ms']`
   */
  fields?: readonly TimeoutField[];
  /**
   * Time to keep back for the network and for your own answer: milliseconds or a string for `ms`. At most a tenth of
   * the remaining time, so that a short deadline survives many hops. `0`: none.
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
 * Writes the remaining time of a context, less a margin, into the headers of an outgoing call: a `Headers` or a plain
 * object, which it returns. A shorter timeout in the headers stays; an unreadable one is replaced. Without a deadline
 * it changes nothing.
 *
 * Throws the context's reason if it is aborted or out of time. Throws `InvalidOptionError`.
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

/** `propagate` with checked arguments. */
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

/** `Infinity`: not a timeout. */
function readTimeout(field: TimeoutField, text: string): number {
  return timeoutGrammars[field].parse(text) ?? Infinity;
}

/** The headers of a call, of either kind. */
interface FieldAccess {
  /** All values of a field. */
  read(field: TimeoutField): string[];
  write(field: TimeoutField, value: string): void;
}

/** `Headers` of any implementation, not only the global class. */
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

/** Names may have any case, and a field may come more than once. */
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

/** A field that was sent more than once arrives as a list. */
function splitValues(value: unknown): string[] {
  return value == null
    ? []
    : String(value as string | number)
        .split(',')
        .map((each) => each.trim());
}
