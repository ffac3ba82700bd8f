import zlib from 'node:zlib';
import { InvalidSourceError } from '../errors.ts';
import { isPullSource, openPull, type Pull, type PullSource } from '../internal/writer/pump.ts';
import { endToEndFields } from './response-fields.ts';

/** What can be piped as a body: chunks are strings (sent as UTF-8) or bytes. */
export type BodySource =
  | NodeJS.ReadableStream
  | AsyncIterable<string | ArrayBufferView | ArrayBuffer>
  | Iterable<string | ArrayBufferView | ArrayBuffer>
  | ReadableStream<string | ArrayBufferView | ArrayBuffer>
  | Response
  | Blob;

/** A source, made ready: its chunks and what it says about itself. */
export interface OpenBody {
  /** `undefined` for a `Response` without a body. */
  readonly pull: Pull<unknown> | undefined;
  readonly status: number | undefined;
  /** Fields in order of appearance; a name may come twice. */
  readonly fields: readonly (readonly [string, string])[];
  /** Whether the source has succeeded already, so that the head need not wait for its first chunk. */
  readonly settled: boolean;
}

// What fetch decodes. The Content-Encoding that it leaves on the Response is no longer true then. zstd takes a zlib
// that has it and an undici that uses it: that of Node 22 does not, the package of the same name may.
const alwaysDecoded = ['gzip', 'x-gzip', 'deflate', 'br'];
const zlibHasZstd = 'createZstdDecompress' in zlib;
const decodedByPackage = new Set([...alwaysDecoded, ...(zlibHasZstd ? ['zstd'] : [])]);
const nodesUndici = Number.parseInt((process.versions as Record<string, string | undefined>)['undici'] ?? '0', 10);
const decodedByNode = nodesUndici >= 7 ? decodedByPackage : new Set(alwaysDecoded);

/** Looks at a source and starts to read it. Throws `InvalidSourceError`; nothing is read then. */
export function openBody(source: BodySource): OpenBody {
  if (isResponse(source)) return openResponse(source);
  if (isBlob(source)) {
    const fields: [string, string][] = [['Content-Length', String(source.size)]];
    if (source.type !== '') fields.unshift(['Content-Type', source.type]);
    return { pull: openPull(source.stream() as PullSource<unknown>), status: undefined, fields, settled: true };
  }
  if (!isPullSource(source) || ArrayBuffer.isView(source)) {
    throw new InvalidSourceError('Expected a stream, an async iterable, an iterable of chunks, a Response or a Blob');
  }
  return { pull: openPull(source as PullSource<unknown>), status: undefined, fields: [], settled: false };
}

function openResponse(response: Response): OpenBody {
  if (response.bodyUsed) throw new InvalidSourceError('The body of the Response was read already');
  if (response.status < 200) throw new InvalidSourceError('A Response of type "error" has no body to pipe');
  return {
    pull: response.body === null ? undefined : openPull(response.body as PullSource<unknown>),
    status: response.status,
    fields: endToEndFields(response.headers, decodedCodings(response)),
    settled: true,
  };
}

function decodedCodings(response: Response): ReadonlySet<string> {
  // One that was made by hand, and not fetched, has no URL: its body is as its fields say.
  if (response.url === '') return new Set();
  return response instanceof Response ? decodedByNode : decodedByPackage;
}

// By shape, because a Response of the undici package is none of Node's own.
function isResponse(source: unknown): source is Response {
  return hasMembers(source, ['status', 'headers', 'body', 'bodyUsed', 'arrayBuffer']);
}

function isBlob(source: unknown): source is Blob {
  return hasMembers(source, ['size', 'type', 'stream', 'slice']);
}

function hasMembers(source: unknown, names: readonly string[]): boolean {
  return typeof source === 'object' && source !== null && names.every((name) => name in source);
}
