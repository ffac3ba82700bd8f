import { type ServerResponse, validateHeaderName, validateHeaderValue } from 'node:http';
import { InvalidOptionError } from '../../errors.ts';
import type { HttpResponse } from './message.ts';
import { readBag } from '../option.ts';

/** Response fields by name; a list sends the field several times. */
export type Fields = Record<string, string | number | readonly string[]>;

/**
 * Reads an option of response fields. Here, because Node refuses a bad field only when a request is being answered.
 * Throws `InvalidOptionError`.
 */
export function readFields(option: string, value: Fields | undefined): Fields {
  const fields = readBag(option, value) as Fields;
  for (const [name, field] of Object.entries(fields)) {
    if (!isField(name, field))
      throw new InvalidOptionError(`${option}.${name}`, 'a header field that HTTP allows', field);
  }
  return { ...fields };
}

function isField(name: string, field: unknown): boolean {
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
