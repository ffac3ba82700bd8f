import { CodecUnavailableError, InvalidOptionError } from '../../errors.ts';
import { type OptionNames, readOptions } from '../../internal/option.ts';
import { isContentCoding, toLowerCase } from '../policy/accept-encoding.ts';
import type { Codec, NegotiationContext } from '../codec.ts';

/**
 * A class like the platform's `CompressionStream`, which is made for a format, and throws for one that it does not
 * have.
 */
export type CompressionStreamClass = new (format: never) => {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream;
};

/** Options of `webCodec`. */
export interface WebCodecOptions {
  /**
   * The class that encodes.
   * @defaultValue the platform's, else that of the optional peer `compression-streams-polyfill`, which has `gzip` and
   * `deflate`
   */
  CompressionStream?: CompressionStreamClass | undefined;
  /**
   * What the class calls the format of this coding. A format that is not that of the coding (RFC 9110 8.4.1) gives
   * bodies that no client can read.
   * @defaultValue `'brotli'` for `br`; the coding itself for `gzip`, `deflate` and `zstd`; others have to say it
   */
  format?: string | undefined;
  /**
   * The server's own weight, 0 to 1, over the built-in one; 0 refuses. A function may give `undefined` to leave it to
   * that.
   * @defaultValue the built-in one
   */
  weight?: number | ((context: NegotiationContext) => number | undefined) | undefined;
}

const formats: ReadonlyMap<string, string> = new Map([
  ['gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'brotli'],
  ['zstd', 'zstd'],
]);
// What compression-streams-polyfill has and HTTP too.
const polyfilled: ReadonlySet<string> = new Set(['gzip', 'deflate']);
const empty = new Uint8Array(0);

/**
 * A content-coding by a `CompressionStream`, which cannot be flushed (whatwg/compression#56): for complete bodies only.
 * It has no levels and adds no padding, so it is not offered with `randomPadding`. Each body is copied. Not available
 * before `load()`, which rejects with `CodecUnavailableError` where there is no class for the format. Throws
 * `InvalidOptionError`.
 *
 * The polyfill starts a thread for every body, which takes some 40 ms: it is for platforms that have nothing else.
 * @param token - the content-coding (RFC 9110 8.4.1), in any case
 */
export function webCodec(token: string, options?: WebCodecOptions): Codec {
  const { coding, format, given, weight } = resolve(token, options);
  let available = false;
  let loading: Promise<CompressionStreamClass> | undefined;

  function load(): Promise<CompressionStreamClass> {
    return (loading ??= findClass(coding, format, given).then((found) => {
      available = true;
      return found;
    }));
  }

  return {
    coding,
    get available() {
      return available;
    },
    load: () => load().then(() => undefined),
    encode: async (body) => encode(await load(), format, body),
    ...(weight !== undefined && { weight }),
  };
}

interface Resolved {
  readonly coding: string;
  readonly format: string;
  readonly given: CompressionStreamClass | undefined;
  readonly weight: ((context: NegotiationContext) => number | undefined) | undefined;
}

const names: OptionNames<WebCodecOptions> = { CompressionStream: true, format: true, weight: true };

function resolve(token: string, given: WebCodecOptions | undefined): Resolved {
  const coding = readToken(token);
  const options = readOptions('webCodec', given, names);
  const { CompressionStream: Class, format = formats.get(coding) } = options;
  if (Class !== undefined && typeof Class !== 'function')
    throw new InvalidOptionError('webCodec.CompressionStream', 'a class like CompressionStream', Class);
  if (typeof format !== 'string' || format === '')
    throw new InvalidOptionError('webCodec.format', `the name of the format of ${coding}`, format);
  return { coding, format, given: Class, weight: readWeight(options.weight) };
}

function readToken(token: unknown): string {
  const coding = toLowerCase(token);
  if (!isContentCoding(coding)) throw new InvalidOptionError('webCodec.token', 'a content-coding', token);
  return coding;
}

function readWeight(weight: unknown): Resolved['weight'] {
  if (weight === undefined || typeof weight === 'function') return weight as Resolved['weight'];
  if (typeof weight !== 'number' || !(weight >= 0 && weight <= 1))
    throw new InvalidOptionError('webCodec.weight', 'a number from 0 to 1, or a function', weight);
  return () => weight;
}

async function findClass(
  coding: string,
  format: string,
  given: CompressionStreamClass | undefined,
): Promise<CompressionStreamClass> {
  const Class = given ?? (globalThis as { CompressionStream?: CompressionStreamClass }).CompressionStream;
  let cause: unknown;
  if (Class !== undefined) {
    try {
      // Not made alone: what is made and left may leave something running, such as a thread of the polyfill.
      await encode(Class, format, empty);
      return Class;
    } catch (error) {
      cause = error;
    }
  }
  if (given !== undefined)
    throw new CodecUnavailableError(coding, `the \`CompressionStream\` that was given has no format \`${format}\``, {
      cause,
    });
  if (polyfilled.has(format)) return importPolyfill(coding);
  throw new CodecUnavailableError(
    coding,
    `this platform has no \`CompressionStream\` for \`${format}\`: pass one, or use a newer platform`,
    { cause },
  );
}

async function importPolyfill(coding: string): Promise<CompressionStreamClass> {
  try {
    // The part that changes no globals.
    const { makeCompressionStream } = await import('compression-streams-polyfill/ponyfill');
    return makeCompressionStream(TransformStream);
  } catch (error) {
    throw new CodecUnavailableError(
      coding,
      'this platform has no `CompressionStream` for it: install `compression-streams-polyfill`',
      { cause: error },
    );
  }
}

async function encode(Class: CompressionStreamClass, format: string, body: Uint8Array): Promise<Uint8Array> {
  const { readable, writable } = new Class(format as never);
  const writer = writable.getWriter();
  // A copy: the polyfill transfers what it is given to its thread, and with it all that the buffer holds.
  const written = Promise.all([writer.write(new Uint8Array(body)), writer.close()]);
  const [coded] = await Promise.all([collect(readable), written]);
  return coded;
}

async function collect(readable: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of readable) chunks.push(chunk);
  return Buffer.concat(chunks);
}
