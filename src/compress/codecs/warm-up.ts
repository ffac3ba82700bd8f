import { CodecFailedError, CodecUnavailableError } from '../../errors.ts';
import { captureScope } from '../../internal/context/async-scope.ts';
import { within } from '../../internal/deferred.ts';
import { destroyTransform } from './checked-stream.ts';
import { type Codec, type StreamEncoder, unknownBody } from '../codec.ts';

// For a library or a module of WebAssembly from a disk that is busy. What comes over a network can be loaded before
// it is offered.
const patience = 10_000;

const loads = new WeakMap<Codec, Promise<void>>();

// What is loaded is for all requests, also where one of them is the first to need it.
const scope = captureScope();

/** Loads a codec: once, and again only after it failed. Rejects with `CodecFailedError` when that takes too long. */
export function loadCodec(codec: Codec): Promise<void> {
  let load = loads.get(codec);
  if (!load) {
    // A codec may be the application's: where it throws, this rejects.
    const loading = scope.runInAsyncScope(() => Promise.resolve().then(() => codec.load?.()));
    load = codec.load ? inTime(codec, 'load', loading) : loading;
    loads.set(codec, load);
    load.catch(() => loads.delete(codec));
  }
  return load;
}

const sample = new TextEncoder().encode('{"symbol":"SLC","price":101.25,"size":300}\n'.repeat(24));

/**
 * Loads codecs and has each that is available do a little of all that it can. Rejects with what a codec fails with,
 * with `CodecFailedError` where it takes too long, and with `CodecUnavailableError` when there are some and none of
 * them is available.
 */
export async function warmUp(codecs: readonly Codec[]): Promise<void> {
  await Promise.all(codecs.map(warmUpCodec));
  if (codecs.length === 0 || codecs.some(({ available }) => available)) return;
  const codings = codecs.map(({ coding }) => coding).join(', ');
  throw new CodecUnavailableError(codings, 'install what one of them needs, or add `gzip()`, which needs nothing');
}

async function warmUpCodec(codec: Codec): Promise<void> {
  await loadCodec(codec);
  if (codec.available) await Promise.all([tryEncode(codec), tryStream(codec), tryBlocks(codec)]);
}

async function tryEncode(codec: Codec): Promise<void> {
  const coded = codec.encode?.(sample, { ...unknownBody, size: sample.length });
  await inTime(codec, 'encode', Promise.resolve(coded));
}

async function tryStream(codec: Codec): Promise<void> {
  const encoder = codec.createStream?.(unknownBody);
  if (!encoder) return;
  try {
    await inTime(codec, 'createStream', encodeSample(encoder));
  } finally {
    destroyTransform(encoder.transform);
  }
}

function encodeSample(encoder: StreamEncoder): Promise<void> {
  const { transform } = encoder;
  return new Promise((resolve, reject) => {
    transform.on('error', reject).on('end', resolve).resume();
    transform.write(sample);
    encoder.flush(() => transform.end());
  });
}

async function tryBlocks(codec: Codec): Promise<void> {
  const blocks = codec.createBlocks?.({ ...unknownBody, history: 0 });
  if (!blocks) return;
  try {
    await inTime(codec, 'createBlocks', Promise.resolve(blocks.encode(sample, false)));
    await inTime(codec, 'createBlocks', Promise.resolve(blocks.encode(new Uint8Array(), true)));
  } finally {
    blocks.close();
  }
}

function inTime<T>(codec: Codec, member: string, promise: Promise<T>): Promise<T> {
  const late = (): Error => new CodecFailedError(codec.coding, member, `has not settled after ${patience / 1000} s`);
  return within(promise, patience, late);
}

/**
 * Makes each kind of encoder once, so that one that cannot be made is known before a head promises it. Throws what the
 * codec does.
 */
export function openOnce(codec: Codec): void {
  codec.createBlocks?.({ ...unknownBody, history: 0 }).close();
  codec.createStream?.(unknownBody).transform.destroy();
}
