import { brotli } from '../codecs/brotli.ts';
import { checkCodec, checkedWeight, isTrusted, trustCodec } from '../codecs/checked-codec.ts';
import type { Codec, NegotiationContext } from '../codec.ts';
import { deflate, gzip, type GzipOptions } from '../codecs/gzip.ts';
import type { CheckedProfile } from './profile.ts';
import { loadCodec } from '../codecs/warm-up.ts';
import { zstd } from '../codecs/zstd.ts';

/** What a middleware offers under one profile. */
export interface CodecSet {
  readonly codecs: readonly Codec[];
  /** Bytes. */
  readonly threshold: number;
  /** Whether open event streams follow the switch. */
  readonly live: boolean;
}

const defaultThreshold = 1024;

/** The profile of a switch over the options of a middleware. */
export function makeCodecSet(profile: CheckedProfile, options: CheckedProfile): CodecSet {
  const merged = { ...options, ...profile };
  const codecs = (merged.codecs ?? defaultCodecs(merged)).map(checkCodec);
  const { weigh } = merged;
  return {
    codecs: weigh ? codecs.map((codec) => weighCodec(codec, weigh)) : codecs,
    threshold: merged.threshold ?? defaultThreshold,
    live: merged.live ?? false,
  };
}

/** All that come with Node, and zstd where there is one. */
function defaultCodecs({
  level,
  memLevel,
  chunkSize,
  windowBits,
  strategy,
  brotli: brotliOptions,
}: CheckedProfile): Codec[] {
  const shared = Object.fromEntries(
    Object.entries({ level, memLevel, chunkSize, windowBits, strategy }).filter(([, value]) => value !== undefined),
  ) as GzipOptions;
  return [zstd(), brotli(brotliOptions), gzip(shared), deflate(shared)];
}

function weighCodec(codec: Codec, weigh: NonNullable<CheckedProfile['weigh']>): Codec {
  const weighed = new WeighedCodec(codec, weigh);
  return isTrusted(codec) ? trustCodec(weighed) : weighed;
}

/** A codec with the weight that a profile gives it. */
class WeighedCodec implements Codec {
  readonly coding: string;
  readonly levels?: NonNullable<Codec['levels']>;
  readonly streamMemory?: number;
  readonly blockMemory?: NonNullable<Codec['blockMemory']>;
  readonly pads?: NonNullable<Codec['pads']>;
  readonly encode?: NonNullable<Codec['encode']>;
  readonly createStream?: NonNullable<Codec['createStream']>;
  readonly createBlocks?: NonNullable<Codec['createBlocks']>;
  #codec: Codec;
  #weigh: NonNullable<CheckedProfile['weigh']>;

  constructor(codec: Codec, weigh: NonNullable<CheckedProfile['weigh']>) {
    this.#codec = codec;
    this.#weigh = weigh;
    this.coding = codec.coding;
    if (codec.levels) this.levels = codec.levels;
    if (codec.streamMemory !== undefined) this.streamMemory = codec.streamMemory;
    if (codec.blockMemory) this.blockMemory = codec.blockMemory.bind(codec);
    if (codec.pads) this.pads = codec.pads;
    if (codec.encode) this.encode = codec.encode.bind(codec);
    if (codec.createStream) this.createStream = codec.createStream.bind(codec);
    if (codec.createBlocks) this.createBlocks = codec.createBlocks.bind(codec);
  }

  get available(): boolean {
    return this.#codec.available;
  }

  async load(): Promise<void> {
    await loadCodec(this.#codec);
  }

  weight(context: NegotiationContext): number | undefined {
    return checkedWeight(this.coding, () => this.#weigh(this.coding, context)) ?? this.#codec.weight?.(context);
  }
}
