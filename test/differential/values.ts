import vm from 'node:vm';
import { prose } from '../support/texts.ts';
import { isEnding, isPiping, type PipeStep, type Step, type WriteStep } from './script.ts';

/** How the bytes of a chunk are given. */
export type ChunkKind = 'string' | 'buffer' | 'uint8' | 'uint16' | 'view' | 'array buffer' | 'foreign uint8' | 'foreign view' | 'empty string' | 'empty buffer' | 'null' | 'undefined' | 'number' | 'object' | 'array';

export interface ChunkSpec {
  readonly kind: ChunkKind;
  /** Characters, or bytes. */
  readonly size: number;
  /** Whether it begins with characters of more than one byte. */
  readonly wide?: boolean;
}

/** The arguments of `write` and `end`. `callback` alone is `end`'s; of a `write`, it comes behind the chunk. */
export type ArgumentForm = 'none' | 'callback' | 'chunk' | 'chunk, callback' | 'chunk, encoding' | 'chunk, encoding, callback' | 'chunk, null, callback' | 'chunk, undefined, callback';

export type Encoding = 'utf8' | 'UTF-8' | 'latin1' | 'binary' | 'ascii' | 'hex' | 'base64' | 'ucs2' | 'utf16le' | 'nonsense';

export type HeadForm = keyof typeof headForms;
export type StatusValue = keyof typeof statusValues;
export type FieldValue = keyof typeof fieldValues;
export type FieldSetForm = keyof typeof fieldSets;
export type TrailerForm = keyof typeof trailers;

/** Arguments of `writeHead`: what Node takes, and what it refuses. */
export const headForms = {
  status: () => [201],
  '204': () => [204],
  '304': () => [304],
  '206': () => [206],
  'status as string': () => ['202'],
  '204 as string': () => ['204'],
  '304 as string': () => ['304'],
  fraction: () => [200.9],
  reason: () => [200, 'Fine'],
  'empty reason': () => [200, ''],
  object: () => [202, { 'X-Given': 'object', 'X-List': ['a', 'b'] }],
  'object with type': () => [200, { 'Content-Type': 'text/html; charset=utf-8', ETag: '"abc"', 'Accept-Ranges': 'bytes' }],
  'object in lower case': () => [200, { 'content-type': 'application/json', 'x-one': 'given' }],
  'reason, object': () => [200, 'Fine', { 'X-Given': 'text' }],
  'undefined, object': () => [200, undefined, { 'X-Given': 'third' }],
  null: () => [200, null],
  'reason, null': () => [200, 'Fine', null],
  'empty object': () => [200, {}],
  'empty list': () => [200, []],
  list: () => [203, ['X-Given', 'one', 'X-Also', 'two']],
  'list with repeated names': () => [203, ['X-Given', 'one', 'X-Given', 'two', 'x-one', 'three']],
  'list with type': () => [200, ['Content-Type', 'text/html', 'X-Given', 'list']],
  'reason, list': () => [203, 'Listed', ['X-Given', 'one', 'X-Also', 'two']],
  pairs: () => [200, [['X-Given', 'tuple'], ['X-Also', 'two']]],
  'pairs with repeated names': () => [200, [['X-Given', 'tuple'], ['X-Given', 'again'], ['X-One', 'third']]],
  'numbers as values': () => [200, { 'X-Number': 5, 'X-Zero': 0 }],
  'undefined status': () => [undefined],
  zero: () => [0],
  '99': () => [99],
  '1000': () => [1000],
  NaN: () => [NaN],
  'no number': () => ['abc'],
  none: () => [],
  'bad reason': () => [200, 'a\nb'],
  'bad name': () => [200, { 'bad name': 'x' }],
  'bad value': () => [200, { 'X-Given': 'good', 'X-Bad': 'a\nb' }],
  'undefined value': () => [200, { 'X-Given': 'good', 'X-Undefined': undefined }],
  'odd list': () => [200, ['X-Given', 'one', 'X-Odd']],
  'bad name in list': () => [200, ['X-Given', 'one', 'bad name', 'x']],
  'bad value in list': () => [200, ['X-Given', 'one', 'X-Bad', 'a\nb']],
  'connection close': () => [200, { Connection: 'close' }],
  continue: () => [100],
} as const satisfies Record<string, () => unknown[]>;

export const statusValues = { '200': 200, '201': 201, '204': 204, '205': 205, '206': 206, '304': 304, '404': 404, '500': 500, "'204'": '204', "'206'": '206', "'304'": '304', "'404'": '404', '200.5': 200.5, '0': 0, '99': 99, '1000': 1000, NaN: NaN, "'abc'": 'abc', undefined: undefined, '101': 101 } as const;

export const fieldNames = ['X-One', 'x-one', 'X-Two', 'Content-Type', 'ETag', 'Vary', 'Accept-Ranges', 'Cache-Control', 'Content-Encoding', 'Content-Length', 'Connection', 'Trailer', 'Transfer-Encoding', 'Set-Cookie', 'Content-Range', 'Date', 'bad name', ''] as const;

export const fieldValues = {
  text: 'a',
  other: 'b',
  number: 7,
  list: ['a', 'b'],
  'empty list': [],
  empty: '',
  wide: 'a€',
  latin: 'é',
  'line feed': 'a\nb',
  undefined: undefined,
  json: 'application/json',
  html: 'text/html; charset=utf-8',
  image: 'image/png',
  'event stream': 'text/event-stream',
  tag: '"abc"',
  'weak tag': 'W/"abc"',
  bytes: 'bytes',
  close: 'close',
  'keep-alive': 'keep-alive',
  identity: 'identity',
  none: 'none',
  chunked: 'chunked',
  'no-transform': 'no-transform',
  'x-checksum': 'X-Checksum',
  'accept-encoding': 'Accept-Encoding',
  star: '*',
  cookie: 'a=1; Path=/',
} as const;

/** Fields that mean something. */
export const meaningfulFields: readonly (readonly [string, FieldValue])[] = [
  ['Content-Type', 'json'],
  ['Content-Type', 'html'],
  ['Content-Type', 'image'],
  ['Content-Type', 'event stream'],
  ['ETag', 'tag'],
  ['ETag', 'weak tag'],
  ['Vary', 'star'],
  ['Vary', 'accept-encoding'],
  ['Vary', 'text'],
  ['Accept-Ranges', 'bytes'],
  ['Cache-Control', 'no-transform'],
  ['Content-Encoding', 'identity'],
  ['Content-Encoding', 'none'],
  ['Connection', 'close'],
  ['Connection', 'keep-alive'],
  ['Trailer', 'x-checksum'],
  ['Transfer-Encoding', 'chunked'],
  ['Set-Cookie', 'cookie'],
];

export const fieldSets = {
  map: () => new Map<string, string | string[]>([['X-Map', 'a'], ['X-One', 'b'], ['Set-Cookie', 'c=1']]),
  headers: () => new Headers([['X-Headers', 'a'], ['Set-Cookie', 'c=1'], ['Set-Cookie', 'd=2']]),
  'bad value': () => new Map([['X-Map', 'a'], ['X-Bad', 'a\nb']]),
  object: () => ({ 'X-Map': 'a' }),
} as const;

export const trailers = {
  object: { 'X-Checksum': 'abc' },
  pairs: [['X-Checksum', 'abc'], ['X-Other', 'def']],
  'bad name': { 'bad name': 'x' },
  'bad value': { 'X-Checksum': 'a\nb' },
} as const;

// Of another realm, as Jest with jsdom makes them: no instance of this one's Uint8Array.
const foreign = vm.runInNewContext('({ uint8: (n) => new Uint8Array(n), view: (n) => new DataView(new ArrayBuffer(n)) })') as { uint8(length: number): Uint8Array; view(length: number): DataView };

const kinds: Readonly<Record<ChunkKind, (text: string, bytes: Buffer) => unknown>> = {
  string: (text) => text,
  buffer: (_text, bytes) => bytes,
  uint8: (_text, bytes) => new Uint8Array(bytes),
  uint16: (_text, bytes) => new Uint16Array(new Uint8Array(bytes.subarray(0, bytes.length & ~1)).buffer),
  view: (_text, bytes) => new DataView(new Uint8Array(bytes).buffer),
  'array buffer': (_text, bytes) => new Uint8Array(bytes).buffer,
  'foreign uint8': (_text, bytes) => {
    const made = foreign.uint8(bytes.length);
    made.set(bytes);
    return made;
  },
  'foreign view': (_text, bytes) => {
    const made = foreign.view(bytes.length);
    bytes.forEach((byte, index) => made.setUint8(index, byte));
    return made;
  },
  'empty string': () => '',
  'empty buffer': () => Buffer.alloc(0),
  null: () => null,
  undefined: () => undefined,
  number: () => 5,
  object: (text) => ({ text }),
  array: () => [1, 2, 3],
};

/** The value of a chunk. `at` makes each chunk of a script another. */
export function chunkValue({ kind, size, wide }: ChunkSpec, at: number, encoding: Encoding = 'utf8'): unknown {
  const start = at * 31;
  const text = `${at}:${wide ? 'é€😀' : ''}${prose(start + size).slice(start)}`.slice(0, Math.max(8, size));
  const bytes = Buffer.from(text);
  return kinds[kind](encoding === 'hex' || encoding === 'base64' ? bytes.toString(encoding) : text, bytes);
}

/** The arguments of a `write` or an `end`. */
export function writeArguments(step: WriteStep, at: number, callback: () => void): unknown[] {
  if (step.form === 'none') return [];
  if (step.form === 'callback' && step.do === 'end') return [callback];
  const chunk = chunkValue(step.chunk, at, encodingOf(step));
  const rest: Readonly<Record<Exclude<ArgumentForm, 'none'>, unknown[]>> = {
    callback: [callback],
    chunk: [],
    'chunk, callback': [callback],
    'chunk, encoding': [step.encoding],
    'chunk, encoding, callback': [step.encoding, callback],
    'chunk, null, callback': [null, callback],
    'chunk, undefined, callback': [undefined, callback],
  };
  return [chunk, ...rest[step.form]];
}

function encodingOf({ form, encoding }: WriteStep): Encoding {
  return form.includes('encoding') ? encoding : 'utf8';
}

/** What a source gives. */
export function pipedChunks({ chunks }: PipeStep, at: number): (string | Uint8Array)[] {
  const values = chunks.map((chunk, index) => chunkValue(chunk, at + index));
  return values.filter((value): value is string | Uint8Array => typeof value === 'string' || ArrayBuffer.isView(value));
}

/** Bytes that a script sends up to its first end, if nothing is refused. */
export function bodyLength(steps: readonly Step[]): number {
  const end = steps.findIndex(isEnding);
  const sizes = steps.slice(0, end < 0 ? steps.length : end + 1).map((step, at) => stepLength(step, at));
  return sizes.reduce((sum, size) => sum + size, 0);
}

function stepLength(step: Step, at: number): number {
  if (isPiping(step)) return pipedChunks(step, at).reduce((sum, chunk) => sum + byteLength(chunk, 'utf8'), 0);
  if (step.do !== 'write' && step.do !== 'end') return 0;
  const [chunk] = writeArguments(step, at, () => undefined);
  return byteLength(chunk, encodingOf(step));
}

function byteLength(value: unknown, encoding: Encoding): number {
  if (typeof value === 'string') return encoding === 'nonsense' ? 0 : Buffer.byteLength(value, encoding as BufferEncoding);
  return ArrayBuffer.isView(value) ? value.byteLength : 0;
}
