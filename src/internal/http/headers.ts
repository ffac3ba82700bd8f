import { type ServerResponse, validateHeaderName, validateHeaderValue } from 'node:http';
import { InvalidOptionError } from '../../errors.ts';
import type { HttpResponse } from './message.ts';
import { readBag } from '../option.ts';

/** The value of a response header; a list sends the header several times. */
export type FieldValue = string | number | readonly string[];

/** Response headers by name. */
export type Fields = Record<string, FieldValue>;

/** Response headers as an object, as a `Headers` or a `Map`, or as a list of names with their values. */
export type FieldsInit = Fields | Iterable<readonly [string, FieldValue]>;

/**
 * Reads an option of response headers. Here, because Node refuses a bad header only when a request is being answered.
 * Throws `InvalidOptionError`.
 */
export function readFields(option: string, value: FieldsInit | undefined): Fields {
  const fields = isIterable(value) ? collectPairs(option, value) : (readBag(option, value) as Fields);
  for (const [name, field] of Object.entries(fields)) {
    if (!isField(name, field)) throw new InvalidOptionError(`${option}.${name}`, 'a header that HTTP allows', field);
  }
  return { ...fields };
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value;
}

/** A name that comes again, in whatever case, adds to the values: cookies of a `Headers` are pairs of their own. */
function collectPairs(option: string, pairs: Iterable<unknown>): Fields {
  const names = new Map<string, string>();
  const fields: Fields = {};
  for (const pair of pairs) {
    const [name, value] = Array.isArray(pair) && pair.length === 2 ? (pair as [unknown, FieldValue]) : [];
    if (typeof name !== 'string' || value === undefined)
      throw new InvalidOptionError(option, 'an object, a Headers, or a list of names with their values', pairs);
    const known = names.get(name.toLowerCase());
    if (known === undefined) names.set(name.toLowerCase(), name);
    const before = known === undefined ? undefined : fields[known];
    fields[known ?? name] = before === undefined ? value : [before, value].flat().map(String);
  }
  return fields;
}

/** Whether HTTP allows the name and the value, or each value of a list. */
export function isField(name: string, field: unknown): boolean {
  const values: unknown[] = Array.isArray(field) ? field : [field];
  if (!values.every((each) => typeof each === 'string' || typeof each === 'number')) return false;
  try {
    validateHeaderName(name);
    for (const each of values) validateHeaderValue(name, String(each));
    return true;
  } catch {
    return false;
  }
}

/** Sets fields, replacing what is there. */
export function setFields(res: HttpResponse, fields: Fields): void {
  for (const [name, value] of Object.entries(fields)) (res as ServerResponse).setHeader(name, value);
}

/** Whether a bag has a field, whatever its case. */
export function hasField(fields: Fields, name: string): boolean {
  return Object.keys(fields).some((key) => key.toLowerCase() === name);
}

/** One field of the response as text, or `undefined`; a list is joined. */
export function responseField(res: HttpResponse, name: string): string | undefined {
  const value = (res as ServerResponse).getHeader(name);
  if (value === undefined || typeof value === 'string') return value;
  return Array.isArray(value) ? value.join(', ') : String(value);
}

/** Remembers status and fields. Returns what puts them back. */
export function rememberHead(response: HttpResponse): () => void {
  const res = response as ServerResponse;
  const { statusCode } = res;
  const fields = res.getHeaders();
  return () => {
    res.statusCode = statusCode;
    for (const name of res.getHeaderNames()) if (!(name in fields)) res.removeHeader(name);
    for (const [name, value] of Object.entries(fields)) if (value !== undefined) res.setHeader(name, value);
  };
}
