import type { BodyKind, Codec, Tier, Tuning } from './codec.ts';
import { EncoderBudget } from './policy/budget.ts';
import { BodyCache } from './control/body-cache.ts';
import { createGovernor, type Governor } from './control/governor.ts';
import { makeCodecSet, type CodecSet } from './control/codec-set.ts';
import { type CompressOptions, type ResolvedCompressOptions, resolveCompressOptions } from './options.ts';
import type { CheckedProfile } from './control/profile.ts';
import { reportCompressError } from './events.ts';
import { type CompressionSwitch, createSwitch, ProfileSwitch } from './control/switch.ts';
import { loadCodec, warmUp } from './codecs/warm-up.ts';

// Bytes. The time that a larger piece takes says more about its size than about the wait.
const largestObserved = 65_536;

/** What all responses of one middleware share. */
export class Compressor {
  readonly options: ResolvedCompressOptions;
  readonly switch: CompressionSwitch;
  readonly governor: Governor | undefined;
  readonly budget: EncoderBudget;
  /** Bodies that came before. Not with padding, which has to be another each time. */
  readonly cache: BodyCache | undefined;
  #ownsGovernor: boolean;
  #isClosed = false;
  #leaveSwitch: (() => void) | undefined;
  #codecSets = new WeakMap<CheckedProfile, CodecSet>();

  constructor(given: CompressOptions | null | undefined) {
    const options = (this.options = resolveCompressOptions(given));
    this.switch = options.switch ?? createSwitch();
    this.budget = new EncoderBudget(options.budget);
    this.cache = options.cache > 0 ? new BodyCache(options.cache) : undefined;
    const { governor } = options;
    this.#ownsGovernor = governor !== undefined && !isGovernor(governor);
    this.governor = governor === undefined || isGovernor(governor) ? governor : createGovernor(governor);
    // A bad combination is refused here, and not at the first response.
    this.codecSetOf(this.switch.profile);
    this.#leaveSwitch =
      this.switch instanceof ProfileSwitch ? this.switch.addUser((profile) => this.#prepare(profile)) : undefined;
  }

  get tier(): Tier {
    // One that is closed stays at the tier where it was.
    return this.#isClosed ? 0 : (this.governor?.tier ?? 0);
  }

  /** What is offered under a profile; made, and its codecs loaded, when it is first seen. */
  codecSetOf(profile: CheckedProfile): CodecSet {
    let codecSet = this.#codecSets.get(profile);
    if (!codecSet) {
      codecSet = makeCodecSet(profile, this.options.profile);
      this.#codecSets.set(profile, codecSet);
      for (const codec of codecSet.codecs) loadCodec(codec).catch((error: unknown) => reportCompressError(error));
    }
    return codecSet;
  }

  /** Loads the codecs of a profile and tries them. */
  async #prepare(profile: CheckedProfile): Promise<void> {
    const { codecs } = this.codecSetOf(profile);
    const loaded = await Promise.allSettled(codecs.map(loadCodec));
    // One that cannot be loaded was reported, and is not offered.
    await warmUp(codecs.filter(({ available }, index) => available && loaded[index]?.status === 'fulfilled'));
  }

  /** The codecs that can be used for a kind of body. */
  candidates({ codecs }: CodecSet, kind: BodyKind): readonly Codec[] {
    return this.options.randomPadding ? codecs.filter(({ pads }) => pads?.includes(kind)) : codecs;
  }

  /** What an open stream goes on with, when it follows the switch. */
  tuningFor(coding: string): Tuning {
    const { enabled, profile } = this.switch.current;
    const codec = this.codecSetOf(profile).codecs.find((each) => each.coding === coding);
    return enabled && codec ? { codec, tier: this.tier } : 'stored';
  }

  /** Bytes of padding for one response. */
  drawPadding(): number {
    const { randomPadding } = this.options;
    return randomPadding ? 1 + Math.floor(Math.random() * randomPadding.max) : 0;
  }

  /** Tells the governor how long an encode in another thread took, in ms. */
  readonly observe = (size: number, latency: number): void => {
    if (size > largestObserved) return;
    try {
      this.governor?.observe(latency);
    } catch (error) {
      // The governor may be the application's: its error must not keep the bytes from the response.
      reportCompressError(error);
    }
  };

  close(): void {
    this.#leaveSwitch?.();
    this.cache?.clear();
    if (!this.#ownsGovernor) return;
    this.#isClosed = true;
    this.governor?.close();
  }
}

function isGovernor(value: object): value is Governor {
  return 'observe' in value && 'tier' in value;
}
