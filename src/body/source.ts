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

/** A source that is being read: its chunks, and what it says about itself. */
export interface OpenBody {
  /** `undefined` for a `Response` without a body. */
  readonly pull: Pull<unknown> | undefined;
  readonly status: number | undefined;
  /** Headers in order of appearance; a name may come twice. */
  readonly fields: readonly (readonly [string, string])[];
  /** Whether the source has already succeeded: then the head need not wait for the first chunk. */
  readonly settled: boolean;
}

// What fetch decodes. It leaves the Content-Encoding on the Response all the same. zstd needs a zlib that has it and an
// undici that uses it: Node 22's own undici does not, the package of that name may.
const alwaysDecoded = ['gzip', 'x-gzip', 'deflate', 'br'];
const zlibHasZstd = 'createZstdDecompress' in zlib;
const decodedByPackage = new Set([...alwaysDecoded, ...(zlibHasZstd ? ['zstd'] : [])]);
const nodesUndici = Number.parseInt((process.versions as Record<string, string | undefined>)['undici'] ?? '0', 10);
const decodedByNode = nodesUndici >= 7 ? decodedByPackage : new Set(alwaysDecoded);

/** Starts to read a source. Throws `InvalidSourceError`, before anything is read. */
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
  if (response.bodyUsed) throw new InvalidSourceError('The body of the Response was already read');
  if (response.status < 200) throw new InvalidSourceError('A Response of type "error" has no body to pipe');
  return {
    pull: response.body === null ? undefined : openPull(response.body as PullSource<unknown>),
    status: response.status,
    fields: endToEndFields(response.headers, decodedCodings(response)),
    settled: true,
  };
}

function decodedCodings(response: Response): ReadonlySet<string> {
  // A Response that was made by hand has no URL. Its body is as its headers say.
  if (response.url === '') return new Set();
  return response instanceof Response ? decodedByNode : decodedByPackage;
}

// By its shape: a Response of the undici package is not Node's.
function isResponse(source: unknown): source is Response {
  return hasMembers(source, ['status', 'headers', 'body', 'bodyUsed', 'arrayBuffer']);
}

function isBlob(source: unknown): source is Blob {
  return hasMembers(source, ['size', 'type', 'stream', 'slice']);
}

function hasMembers(source: unknown, names: readonly string[]): boolean {
  return typeof source === 'object' && source !== null && names.every((name) => name in source);
}
