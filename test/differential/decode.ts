import zlib from 'node:zlib';
import { fieldOf, type Message } from './messages.ts';

// Not in the types of Node 20.
const { zstdDecompressSync } = zlib as { zstdDecompressSync?: (bytes: Uint8Array, options: object) => Buffer };

const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH } = zlib.constants;

// Each with what makes it content with a body that was cut.
const decoders: Readonly<Record<string, ((body: Buffer, isWhole: boolean) => Buffer) | undefined>> = {
  gzip: (body, isWhole) => zlib.gunzipSync(body, isWhole ? {} : { finishFlush: Z_SYNC_FLUSH }),
  deflate: (body, isWhole) => zlib.inflateSync(body, isWhole ? {} : { finishFlush: Z_SYNC_FLUSH }),
  br: (body, isWhole) => zlib.brotliDecompressSync(body, isWhole ? {} : { finishFlush: BROTLI_OPERATION_FLUSH }),
  zstd: (body, isWhole) => zstdDecompressSync?.(body, isWhole ? {} : { finishFlush: 1 }) ?? body,
};

/** The body without its coding; of one that was cut, what there is. */
export function decodeBody(message: Message, isCut: boolean): Buffer {
  const decoder = decoders[fieldOf(message, 'content-encoding') ?? ''];
  if (!decoder || message.body.length === 0) return message.body;
  try {
    return decoder(message.body, message.complete && !isCut);
  } catch (error) {
    return Buffer.from(`<cannot be decoded: ${(error as Error).message}>`);
  }
}
