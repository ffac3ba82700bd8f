import { InvalidOptionError } from '../errors.ts';
import { type Context, type RequestContext, requireContext } from '../internal/context/context.ts';
import { type Duration, type OptionNames, readDuration, readOneOf, readOptions } from '../internal/option.ts';
import { type TimeoutField, timeoutFields, timeoutGrammars } from './policy/timeout-field.ts';

export type { TimeoutField } from './policy/timeout-field.ts';

/** Options of `propagate`, `contextFetch` and `deadlineInterceptor`. */
export interface PropagateOptions {
  /**
   * The fields to write. A field that the call carries already is shortened if it is too long, listed here or not.
   * @defaultValue `['grpc-timeout', 'x-request-timeout-ms']`
   */
  fields?: readonly TimeoutField[] | undefined;
  /**
   * Time to keep back for the network and for your own answer: milliseconds or a string for `ms`. At most a tenth of
   * the remaining time, so that a short deadline survives many hops. `0`: none.
   * @defaultValue `10`
   */
  margin?: Duration | undefined;
}

/** `PropagateOptions` with every default filled in. */
export interface ResolvedPropagateOptions {
  readonly fields: readonly TimeoutField[];
  readonly margin: number;
}

const names: OptionNames<PropagateOptions> = { fields: true, margin: true };

const instead = {
  timeout: 'Give it to the call: `fetch(url, { timeout })`, or make a child: `context.child({ timeout })`.',
  headers: 'fields',
};

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolvePropagateOptions(owner: string, given: PropagateOptions | undefined): ResolvedPropagateOptions {
  const { fields = ['grpc-timeout', 'x-request-timeout-ms'], margin = '10ms' } = readOptions(owner, given, names, {
    instead,
  });
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
  if (typeof headers !== 'object' || (headers as unknown) === null || accessOf(headers) === undefined) {
    throw new InvalidOptionError(
      'propagate.headers',
      'a Headers, a Map, an object of headers, or an array of names with their values',
      headers,
    );
  }
  writeTimeout(known, headers, resolved);
  return headers;
}

/** `propagate` with checked arguments. */
export function writeTimeout(context: Context, headers: object, { fields, margin }: ResolvedPropagateOptions): void {
  context.throwIfAborted();
  const left = context.remaining();
  if (left === Infinity) return;
  const access = accessOf(headers) ?? accessRecord(headers as OutgoingFields);
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

/** `undefined` for what cannot be read and changed. */
function accessOf(headers: object): FieldAccess | undefined {
  if (isHeaders(headers)) return accessHeaders(headers);
  if (headers instanceof Map) return accessMap(headers as Map<string, unknown>);
  if (Array.isArray(headers)) return headers.every(isPair) ? accessPairs(headers) : undefined;
  return Symbol.iterator in headers ? undefined : accessRecord(headers as OutgoingFields);
}

function isPair(value: unknown): value is [string, unknown] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string';
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

function accessMap(map: Map<string, unknown>): FieldAccess {
  const record = Object.fromEntries(map);
  const access = accessRecord(record);
  return {
    read: (field) => access.read(field),
    write: (field, value) => {
      access.write(field, value);
      for (const name of map.keys()) if (!Object.hasOwn(record, name)) map.delete(name);
      for (const [name, each] of Object.entries(record)) map.set(name, each);
    },
  };
}

function accessPairs(pairs: [string, unknown][]): FieldAccess {
  const isOf = (field: TimeoutField, [name]: [string, unknown]): boolean => name.toLowerCase() === field;
  return {
    read: (field) => pairs.filter((pair) => isOf(field, pair)).flatMap(([, value]) => splitValues(value)),
    write: (field, value) => {
      const first = pairs.find((pair) => isOf(field, pair));
      const kept = pairs.filter((pair) => pair === first || !isOf(field, pair));
      if (first) first[1] = value;
      else kept.push([field, value]);
      pairs.splice(0, pairs.length, ...kept);
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
