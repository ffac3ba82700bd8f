import { CodecUnavailableError } from '../errors.ts';
import { type Codec, unknownBody } from './codec.ts';

const loads = new WeakMap<Codec, Promise<void>>();

/** Loads a codec: once, and again only after it failed. */
export function loadCodec(codec: Codec): Promise<void> {
  let load = loads.get(codec);
  if (!load) {
    // A codec may be anybody's: one that throws rejects.
    load = Promise.resolve().then(() => codec.load?.());
    loads.set(codec, load);
    load.catch(() => loads.delete(codec));
  }
  return load;
}

const sample = new TextEncoder().encode('{"symbol":"SLC","price":101.25,"size":300}\n'.repeat(24));

/**
 * Loads codecs and has each that is available do a little of all that it can. Rejects with what a codec fails with, and with
 * `CodecUnavailableError` when there are some and none of them is available.
 */
export async function warmUp(codecs: readonly Codec[]): Promise<void> {
  await Promise.all(codecs.map(warmUpCodec));
  if (codecs.length === 0 || codecs.some(({ available }) => available)) return;
  const codings = codecs.map(({ coding }) => coding).join(', ');
  throw new CodecUnavailableError(codings, 'install what one of them needs, or add `gzip()`, which needs nothing');
}

async function warmUpCodec(codec: Codec): Promise<void> {
  await loadCodec(codec);
  if (!codec.available) return;
  openOnce(codec);
  await codec.encode?.(sample, { ...unknownBody, size: sample.length });
}

/** Makes each kind of encoder once, so that one that cannot be made is known before a head promises it. Throws what the codec does. */
export function openOnce(codec: Codec): void {
  codec.createBlocks?.({ ...unknownBody, history: 0 }).close();
  codec.createStream?.(unknownBody).transform.destroy();
}
