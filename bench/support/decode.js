// @ts-check
import { Buffer } from 'node:buffer';
import zlib from 'node:zlib';

/** @typedef {(coded: Buffer) => Buffer} Decoder */

/** @type {Record<string, Decoder | undefined>} */
const decoders = {
  identity: (coded) => coded,
  gzip: zlib.gunzipSync,
  deflate: zlib.inflateSync,
  br: zlib.brotliDecompressSync,
  // Not in every version of Node, and then nobody can have sent it.
  zstd: /** @type {{ zstdDecompressSync?: Decoder }} */ (zlib).zstdDecompressSync,
};

/**
 * Decodes a body by its content-coding; throws when it is not complete.
 * @param {readonly Buffer[]} parts
 * @param {string} coding
 */
export function decodeBody(parts, coding) {
  const decode = decoders[coding];
  if (!decode) throw new Error(`an answer in a coding that nobody can decode: ${coding}`);
  return decode(Buffer.concat(parts));
}
