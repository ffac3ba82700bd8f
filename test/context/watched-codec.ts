import { Transform } from 'node:stream';
import type { Codec } from '../../src/compress/index.ts';
import { storeHere, type Witness } from './witness.ts';

/** Names its request in a text, for a codec that sees nothing else of it. */
export function signed(owner: string, text: string): string {
  return `<<${owner}>>${text}`;
}

function signerOf(text: Uint8Array): string | undefined {
  return /<<(.*?)>>/.exec(Buffer.from(text).toString('latin1'))?.[1];
}

/**
 * The codec of an application, each method of which notes whose store it finds. Its coding leaves the text as it is.
 */
export function watchedCodec(witness: Witness, coding = 'x-watched'): Codec {
  return {
    coding,
    available: true,
    pads: [],
    encode(body) {
      const owner = signerOf(body);
      if (owner !== undefined) witness.see('codec.encode', owner);
      // One that became no shorter would be sent as it is.
      const shorter = body.subarray(1);
      return body.length > 16_384 ? Promise.resolve(shorter) : shorter;
    },
    createStream() {
      const made = storeHere();
      let owner: string | undefined;
      const transform = new Transform({
        transform(chunk: Uint8Array, _encoding, callback) {
          if (owner === undefined) {
            owner = signerOf(chunk);
            if (owner !== undefined) witness.see('codec.createStream', owner, made);
          }
          if (owner !== undefined) witness.see('codec stream: transform', owner);
          callback(null, chunk);
        },
        flush(callback) {
          if (owner !== undefined) witness.see('codec stream: last flush', owner);
          callback();
        },
        destroy(error, callback) {
          if (owner !== undefined) witness.see('codec stream: destroy', owner);
          callback(error);
        },
      });
      return {
        transform,
        memory: 0,
        flush(callback) {
          if (owner !== undefined) witness.see('codec stream: flush', owner);
          setImmediate(callback);
        },
      };
    },
    createBlocks() {
      const made = storeHere();
      let owner: string | undefined;
      return {
        memory: 0,
        encode(text) {
          if (owner === undefined) {
            owner = signerOf(text);
            if (owner !== undefined) witness.see('codec.createBlocks', owner, made);
          }
          if (owner !== undefined) witness.see('codec blocks: encode', owner);
          return text.length > 16_384 ? Promise.resolve(text) : text;
        },
        close() {
          if (owner !== undefined) witness.see('codec blocks: close', owner);
        },
      };
    },
  };
}
