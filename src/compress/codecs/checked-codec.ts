import { CodecFailedError } from '../../errors.ts';
import { isThenable, within } from '../../internal/deferred.ts';
import { checkBytes, CheckedStream, kindOf } from './checked-stream.ts';
import type { BlockEncoder, Codec, StreamEncoder } from '../codec.ts';
import { reportCompressError } from '../events.ts';

// Longer than a healthy machine takes for any body, and shorter than most clients and proxies wait for an answer.
const encodeLimit = 30_000;

const trusted = new WeakSet<Codec>();
const checked = new WeakMap<Codec, Codec>();

/** Marks a codec of this library's own, whose encoders are Node's: it is used as it is. Returns it. */
export function trustCodec<C extends Codec>(codec: C): C {
  trusted.add(codec);
  return codec;
}

/**
 * Whether a codec is one of this library's own: it can be made when there is text for it, and not before a head names
 * it.
 */
export function isTrusted(codec: Codec): boolean {
  return trusted.has(codec);
}

/**
 * The border to a codec of the user's: what it gives is checked, and its promises have a limit. What concerns one
 * body throws or rejects, with `CodecFailedError` where the codec itself reports nothing; what concerns no body is
 * reported, and counts as a no.
 */
export function checkCodec(codec: Codec): Codec {
  if (trusted.has(codec)) return codec;
  let result = checked.get(codec);
  if (!result) checked.set(codec, (result = new CheckedCodec(codec)));
  return result;
}

class CheckedCodec implements Codec {
  readonly coding: string;
  readonly levels?: NonNullable<Codec['levels']>;
  readonly pads?: NonNullable<Codec['pads']>;
  readonly streamMemory?: number;
  readonly load?: NonNullable<Codec['load']>;
  readonly blockMemory?: NonNullable<Codec['blockMemory']>;
  readonly weight?: NonNullable<Codec['weight']>;
  readonly encode?: NonNullable<Codec['encode']>;
  readonly createStream?: NonNullable<Codec['createStream']>;
  readonly createBlocks?: NonNullable<Codec['createBlocks']>;
  readonly #codec: Codec;

  constructor(codec: Codec) {
    const { coding } = codec;
    this.#codec = codec;
    this.coding = coding;
    if (codec.levels) this.levels = codec.levels;
    if (codec.pads) this.pads = codec.pads;
    if (codec.streamMemory !== undefined) this.streamMemory = amountOf(codec.streamMemory);
    if (codec.load) this.load = async () => codec.load?.();
    if (codec.blockMemory) this.blockMemory = (history) => contained(() => amountOf(codec.blockMemory?.(history)), 0);
    if (codec.weight) this.weight = (context) => checkedWeight(coding, () => codec.weight?.(context));
    if (codec.encode) {
      this.encode = (body, settings) => bytesOrPromise(coding, 'encode', codec.encode?.(body, settings));
    }
    if (codec.createStream) this.createStream = (settings) => checkStream(coding, codec.createStream?.(settings));
    if (codec.createBlocks) this.createBlocks = (settings) => checkBlocks(coding, codec.createBlocks?.(settings));
  }

  get available(): boolean {
    return contained(() => this.#codec.available, false);
  }
}

/**
 * The server's weight for a coding, as a function of the user's gives it. One that is none is reported, and refuses
 * the coding.
 */
export function checkedWeight(coding: string, weigh: () => unknown): number | undefined {
  return contained(() => {
    const weight = weigh();
    if (weight === undefined || (typeof weight === 'number' && weight >= 0 && weight <= 1)) return weight;
    throw new CodecFailedError(coding, 'weight', `gave ${kindOf(weight)}, and not a number from 0 to 1`);
  }, 0);
}

function bytesOrPromise(coding: string, member: string, value: unknown): Uint8Array | Promise<Uint8Array> {
  if (!isThenable(value)) return checkBytes(coding, member, value);
  const late = (): Error => new CodecFailedError(coding, member, `has not settled after ${encodeLimit / 1000} s`);
  return within(value, encodeLimit, late, { idles: true }).then((bytes) => checkBytes(coding, member, bytes));
}

function checkStream(coding: string, given: unknown): StreamEncoder {
  const { transform, flush } = Object(given) as Partial<StreamEncoder>;
  const isStream = hasMethods(transform, ['write', 'end', 'on', 'pause', 'resume', 'isPaused', 'destroy']);
  if (isStream && typeof flush === 'function') return new CheckedStream(coding, given as StreamEncoder, encodeLimit);
  throw new CodecFailedError(coding, 'createStream', `gave ${kindOf(given)} without a \`transform\` and a \`flush\``);
}

function checkBlocks(coding: string, given: unknown): BlockEncoder {
  if (hasMethods(given, ['encode', 'close'])) return new CheckedBlocks(coding, given as BlockEncoder);
  throw new CodecFailedError(coding, 'createBlocks', `gave ${kindOf(given)} without an \`encode\` and a \`close\``);
}

class CheckedBlocks implements BlockEncoder {
  readonly memory: number;
  readonly retune?: NonNullable<BlockEncoder['retune']>;
  readonly #coding: string;
  #blocks: BlockEncoder | undefined;

  constructor(coding: string, blocks: BlockEncoder) {
    this.#coding = coding;
    this.#blocks = blocks;
    this.memory = amountOf(blocks.memory);
    if (blocks.retune) this.retune = (tuning) => this.#blocks?.retune?.(tuning);
  }

  encode(text: Uint8Array, last: boolean): Uint8Array | Promise<Uint8Array> {
    return bytesOrPromise(this.#coding, 'createBlocks().encode', this.#blocks?.encode(text, last));
  }

  close(): void {
    const blocks = this.#blocks;
    this.#blocks = undefined;
    if (blocks) contained(() => blocks.close(), undefined);
  }
}

/** An estimate of memory. What is no amount counts for nothing, and must not spoil a sum. */
function amountOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
}

/** What it throws is reported: its caller has others to serve. */
function contained<T>(step: () => T, fallback: T): T {
  try {
    return step();
  } catch (error) {
    reportCompressError(error);
    return fallback;
  }
}

function hasMethods(value: unknown, names: readonly string[]): boolean {
  const target = Object(value) as Readonly<Record<string, unknown>>;
  return names.every((name) => typeof target[name] === 'function');
}
