import { IncomingMessage, ServerResponse, STATUS_CODES } from 'node:http';
import { Socket } from 'node:net';
import { endsWithHead } from '../http/body-rules.ts';
import type { Head } from './layer.ts';
import { type HttpResponse, isHttp2 } from '../http/message.ts';
import { hasRemovedLength, openStrictLength, type StrictLength } from './strict-length.ts';

/** The arguments of `writeHead`. */
export type HeadArguments = readonly [status: number, ...rest: unknown[]];

/** What may be given to `writeHead`: a bag, a flat list of names and values, or a list of pairs. */
type HeadFields = Record<string, number | string | readonly string[] | undefined> | readonly unknown[];

/** A head as `writeHead` was called for it. */
export interface AskedHead {
  readonly res: HttpResponse;
  /** Of `writeHead`. */
  readonly args: HeadArguments;
  readonly complete: Head['complete'];
  readonly host: HeadHost;
}

/** Who asks for a head to be completed. */
export interface HeadHost {
  /** Asks the layers. Each may change the fields of the response. */
  askLayers(): LayersAnswer;
  /** Registers a step for a head that is refused. */
  onRefused(undo: () => void): void;
}

/** What the layers make of a head, all together. */
export interface LayersAnswer {
  /** Whether the body will differ from what the handler writes. */
  readonly changesBody: boolean;
  /** Whether a layer holds the head back. */
  readonly isHeld: boolean;
}

/** A head that the layers have completed. */
export class CompletedHead {
  /** Whether a layer holds it back. */
  readonly isHeld: boolean;
  /** The length that the handler announced, if it is to be checked. */
  readonly strictLength: StrictLength | undefined;
  readonly #res: HttpResponse;
  readonly #status: number;
  readonly #text: string | undefined;
  /** Whether no field was set before: the fields go with the arguments. */
  readonly #isUnset: boolean;

  constructor(res: HttpResponse, isHeld: boolean, text: string | undefined, before: HeadBefore) {
    this.isHeld = isHeld;
    this.strictLength = before.strictLength;
    this.#res = res;
    this.#status = res.statusCode;
    this.#text = text;
    this.#isUnset = before.isUnset;
  }

  /** The arguments for Node's `writeHead`, once the last fields are set. */
  args(): readonly unknown[] {
    const args: unknown[] = [this.#status];
    if (this.#text !== undefined) args.push(this.#text);
    if (this.#isUnset) args.push(takeFields(this.#res));
    return args;
  }
}

/** A head before the layers have seen it. */
interface HeadBefore {
  readonly strictLength: StrictLength | undefined;
  readonly isUnset: boolean;
}

/**
 * Merges the fields of a head and asks the layers.
 * @returns `undefined` for a head that Node refuses. No layer has seen it; Node's `writeHead` gets the same arguments
 */
export function completeHead({ res, args, complete, host }: AskedHead): CompletedHead | undefined {
  const [given, second, third] = args;
  const status = toStatus(res, given);
  if (status === undefined) return undefined;
  const reason = typeof second === 'string' ? second : undefined;
  const fields = (reason === undefined ? (second ?? third) : third) as HeadFields | null | undefined;
  const isUnset = !isHttp2(res) && hasNoFields(res);
  // Where Node sets it, so that a refused head leaves behind what it leaves.
  if (!isHttp2(res)) setStatus(res, status, reason);
  if (isUnset) host.onRefused(() => dropFields(res));
  if (!mergeFields(res, fields, isUnset)) return undefined;
  if (isHttp2(res) && hasRefusedField(res)) return undefined;
  if (!isHttp2(res) && (badStatusText.test(res.statusMessage) || hasLostTrailer(res, status))) return undefined;
  res.statusCode = status;
  const strictLength = openStrictLength(res);
  const wantsLength = !hasRemovedLength(res);
  const { changesBody, isHeld } = host.askLayers();
  if (complete && wantsLength && !changesBody) frameComplete(res, complete);
  const holdsText = isHeld && !isHttp2(res);
  // Node sets it with the head, which goes out later here.
  if (holdsText) res.statusMessage ||= STATUS_CODES[res.statusCode] ?? 'unknown';
  // What the handler sets from here on is too late. A layer may have replaced the handler's answer.
  const text = holdsText ? res.statusMessage : res.statusCode === status ? reason : undefined;
  return new CompletedHead(res, isHeld, text, { strictLength, isUnset });
}

/** Whether trailers are announced for a message that cannot be chunked (RFC 9112 7.1.2). Node refuses it. */
function hasLostTrailer(res: ServerResponse, status: number): boolean {
  if (!res.hasHeader('trailer') || res.hasHeader('transfer-encoding')) return false;
  return !res.useChunkedEncodingByDefault || endsWithHead(res.req.method, status);
}

// RFC 9113 8.2.2.
const connectionFields = [
  'connection',
  'upgrade',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'te',
];

const singleFields = [
  'access-control-allow-credentials',
  'access-control-max-age',
  'age',
  'content-language',
  'content-length',
  'content-location',
  'content-md5',
  'content-range',
  'content-type',
  'date',
  'etag',
  'expires',
  'last-modified',
  'location',
  'retry-after',
];

/**
 * Whether there are fields for which Node refuses a head of HTTP/2. It says so when the head is sent: now, and not
 * later.
 */
function hasRefusedField(response: HttpResponse): boolean {
  const res = response as ServerResponse;
  if (connectionFields.some((name) => res.hasHeader(name))) return true;
  return singleFields.some((name) => {
    const value: unknown = res.getHeader(name);
    return Array.isArray(value) && value.length > 1;
  });
}

function setStatus(res: ServerResponse, status: number, text: string | undefined): void {
  res.statusCode = status;
  if (text !== undefined) res.statusMessage = text;
}

// RFC 9112 4: reason-phrase = 1*( HTAB / SP / VCHAR / obs-text ).
const badStatusText = /[^\t\x20-\x7e\x80-\xff]/;

/** A status as Node reads it, which takes text as well; `undefined` for one that it refuses (RFC 9110 15). */
function toStatus(res: HttpResponse, given: unknown): number | undefined {
  const status = (given as number) | 0;
  return status >= (isHttp2(res) ? 200 : 100) && status <= (isHttp2(res) ? 599 : 999) ? status : undefined;
}

// Where `writeHead` is given fields and none was set before, Node sends them as they are and sets none: `getHeader`
// knows none of them afterwards. The layers read and change fields on `res`. So the fields are set here, and taken off
// again before Node sends them.
const fieldsKey = findFieldsKey();

type WithFields = Record<symbol, object | null>;

function findFieldsKey(): symbol | undefined {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  return Object.getOwnPropertySymbols(response).find(({ description }) => description === 'kOutHeaders');
}

function hasNoFields(res: HttpResponse): boolean {
  return fieldsKey !== undefined && (res as unknown as WithFields)[fieldsKey] === null;
}

function dropFields(res: HttpResponse): void {
  if (fieldsKey !== undefined) (res as unknown as WithFields)[fieldsKey] = null;
}

/** `ServerResponse` has it, and its types do not. */
interface RawNames {
  getRawHeaderNames(): string[];
}

/** Takes all fields off a response, for `writeHead` to send. */
function takeFields(res: HttpResponse): Record<string, unknown> {
  const fields = Object.create(null) as Record<string, unknown>;
  for (const name of (res as ServerResponse & RawNames).getRawHeaderNames()) fields[name] = res.getHeader(name);
  dropFields(res);
  return fields;
}

/**
 * Puts the fields given to `writeHead` on `res`, by the rules of Node's `writeHead`: they replace what is set, and a
 * list may repeat a name. `false`, with nothing done, for a list that Node refuses.
 * @param isUnset - whether no field was set before. Over HTTP/1.1 Node takes a list of pairs only then
 */
function mergeFields(response: HttpResponse, fields: HeadFields | null | undefined, isUnset: boolean): boolean {
  if (fields === undefined || fields === null) return true;
  const res = response as ServerResponse;
  if (!Array.isArray(fields)) {
    for (const [name, value] of Object.entries(fields as Record<string, string>))
      if (name !== '') res.setHeader(name, value);
    return true;
  }
  const list = ((isUnset || isHttp2(response)) && Array.isArray(fields[0]) ? fields.flat() : fields) as string[];
  if (list.length % 2 !== 0) return false;
  const pairs = Array.from(
    { length: list.length / 2 },
    (_, index) => [list[2 * index] ?? '', list[2 * index + 1] ?? ''] as const,
  );
  if (!isUnset && repeatsReplace && !isHttp2(response)) {
    for (const [name, value] of pairs) if (name) res.setHeader(name, value);
    return true;
  }
  for (const [name] of pairs) res.removeHeader(name);
  for (const [name, value] of pairs) if (name) res.appendHeader(name, value);
  return true;
}

// Up to Node 20 the last of several values for one name is sent, where fields were set before.
const repeatsReplace = Number(process.versions.node.split('.')[0]) < 22;

/** Node gives a body that comes whole a Content-Length, but only where its own `end` sends the head. */
function frameComplete(res: HttpResponse, { chunk, encoding }: NonNullable<Head['complete']>): void {
  if (
    isHttp2(res) ||
    !res.useChunkedEncodingByDefault ||
    res.hasHeader('content-length') ||
    res.hasHeader('transfer-encoding')
  )
    return;
  if (endsWithHead(res.req.method, res.statusCode)) return;
  setLength(res, typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : (chunk?.length ?? 0));
}

// RFC 9112 6.2: none beside a Transfer-Encoding. And a message with a Trailer is one of chunks (7.1.2), as Node has it.
/** Sets the Content-Length of a body, where it may have one. */
export function setLength(res: HttpResponse, length: number): void {
  if (isHttp2(res) || !(res.hasHeader('transfer-encoding') || res.hasHeader('trailer')))
    (res as ServerResponse).setHeader('Content-Length', length);
}
