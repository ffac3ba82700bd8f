import { Writable } from 'node:stream';
import { isUint8Array } from 'node:util/types';
import type { Chunk } from './layer.ts';
import { type HttpResponse, isHttp2 } from './message.ts';

// Streams of newer Nodes take any view of bytes, and so do responses over HTTP/2, which are such streams. Those of
// HTTP/1 take strings and `Uint8Array` alone.
const streamsTakeViews = takesViews();

function takesViews(): boolean {
  try {
    new Writable({ write: (_chunk, _encoding, callback) => callback() }).write(new DataView(new ArrayBuffer(1)));
    return true;
  } catch {
    return false;
  }
}

/** The bytes of a view that Node takes as a chunk of this response; anything else as it is. */
export function bytesOfView<T extends Chunk | undefined>(res: HttpResponse, chunk: T): T | Uint8Array {
  if (typeof chunk === 'string' || !ArrayBuffer.isView(chunk)) return chunk;
  const view: ArrayBufferView = chunk;
  if (isUint8Array(view) || !streamsTakeViews || !isHttp2(res)) return chunk;
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
