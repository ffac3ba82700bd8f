import { Readable } from 'node:stream';
import vm from 'node:vm';
import { prose } from '../support/texts.ts';
import { isEnding, isPiping, type PipeStep, type Step, type WriteStep } from './script.ts';

/** How the bytes of a chunk are given. */
export type ChunkKind =
  | ('string' | 'buffer' | 'uint8' | 'uint16' | 'view' | 'array buffer' | 'foreign uint8' | 'foreign view')
  | ('empty string' | 'empty buffer' | 'null' | 'undefined' | 'number' | 'object' | 'array');

export interface ChunkSpec {
  readonly kind: ChunkKind;
  /** Characters, or bytes. */
  readonly size: number;
  /** Whether it begins with characters of more than one byte. */
  readonly wide?: boolean;
}

/** The arguments of `write` and `end`. `callback` alone is `end`'s; of a `write`, it comes behind the chunk. */
export type ArgumentForm =
  | ('none' | 'callback' | 'chunk' | 'chunk, callback' | 'chunk, encoding' | 'chunk, encoding, callback')
  | ('chunk, null, callback' | 'chunk, undefined, callback');

export type Encoding =
  'utf8' | 'UTF-8' | 'latin1' | 'binary' | 'ascii' | 'hex' | 'base64' | 'ucs2' | 'utf16le' | 'nonsense';

// Of another realm, as Jest with jsdom makes them: no instance of this one's Uint8Array.
const foreign = vm.runInNewContext(
  '({ uint8: (n) => new Uint8Array(n), view: (n) => new DataView(new ArrayBuffer(n)) })',
) as { uint8(length: number): Uint8Array; view(length: number): DataView };

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

function pipedChunks({ chunks }: PipeStep, at: number): (string | Uint8Array)[] {
  const values = chunks.map((chunk, index) => chunkValue(chunk, at + index));
  return values.filter((value): value is string | Uint8Array => typeof value === 'string' || ArrayBuffer.isView(value));
}

/** Gives its chunks, and fails behind them if it is to. */
export function makeSource(step: PipeStep, at: number): Readable {
  async function* give(): AsyncGenerator<string | Uint8Array> {
    // Not `yield*`: an array's iterator cannot be told that its reader fails.
    for (const chunk of pipedChunks(step, at)) yield chunk;
    if (step.fails) throw Object.assign(new Error('of the source'), { code: 'E_SOURCE' });
  }
  return Readable.from(give(), { objectMode: false });
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
  if (typeof value === 'string')
    return encoding === 'nonsense' ? 0 : Buffer.byteLength(value, encoding as BufferEncoding);
  return ArrayBuffer.isView(value) ? value.byteLength : 0;
}
