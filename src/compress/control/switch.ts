import { Listeners } from '../../internal/listeners.ts';
import { readOneOf, readOptions, requireFunction } from '../../internal/option.ts';
import { checkCodec } from '../codecs/checked-codec.ts';
import { makeCodecSet } from './codec-set.ts';
import {
  type CheckedProfile,
  checkProfile,
  type CompressionProfile,
  profileNames,
  refuseBesideCodecs,
} from './profile.ts';
import { reportCompressError, compressEvents } from '../events.ts';
import { warmUp } from '../codecs/warm-up.ts';

/** How a switch is set. Frozen: a change replaces it as a whole. */
export interface SwitchState {
  /** Whether anything new is compressed. */
  readonly enabled: boolean;
  /** As it was checked: frozen, `threshold` in bytes. */
  readonly profile: CheckedProfile;
  /** How many changes came before: 0 at first. */
  readonly version: number;
}

/** Turns compression on and off, and changes its profile, while the service runs. */
export interface CompressionSwitch extends SwitchState {
  /** All three of one moment. A response reads it once, at its head, and keeps what it has read. */
  readonly current: SwitchState;
  /** Compresses from now on. Where it does already, nothing changes. */
  enable(): void;
  /** Compresses nothing new from now on. Where it does not already, nothing changes. */
  disable(): void;
  /**
   * Loads the codecs of a profile and has each encode a little, then replaces the profile; `enabled` stays what it is
   * then. Until that moment, and if it fails, the old one is used. Of several swaps under way the last call wins: none
   * waits for another, and one that is ready after a later one took effect changes nothing any more, and resolves.
   *
   * Rejects with `InvalidOptionError`, with whatever a codec fails with, with `CodecFailedError` when one takes
   * longer than 10 s to load or 10 s to encode, and with `CodecUnavailableError` when the profile has codecs and none
   * of them is available.
   */
  swap(profile: CompressionProfile): Promise<void>;
  /**
   * Calls `listener` after each change, before the call that made it returns. Returns the undo. What a listener throws
   * is published on the diagnostics channel `sluice:compress:error`. Throws `InvalidOptionError`.
   */
  on(event: 'change', listener: (state: SwitchState) => void): () => void;
}

/**
 * Makes a switch that is on. The codecs of its first profile are not loaded here: `compress` does that. Throws
 * `InvalidOptionError`.
 */
export function createSwitch(profile?: CompressionProfile): CompressionSwitch {
  return new ProfileSwitch(readProfile('switch.profile', profile));
}

const advice = { call: 'compress({ switch: createSwitch() })' };

/**
 * Checks a profile as a switch has it. Throws `InvalidOptionError`.
 * @param owner - what the profile belongs to, for error messages
 */
export function readProfile(owner: string, given: CompressionProfile | undefined): CheckedProfile {
  const profile = checkProfile(owner, readOptions(owner, given, profileNames, advice));
  refuseBesideCodecs(owner, profile);
  // What its codecs are made of is checked by making them: not at the first response.
  makeCodecSet(profile, {});
  return profile;
}

/** What a middleware does with a profile before it is used. */
type Prepare = (profile: CheckedProfile) => Promise<void>;

/**
 * A switch of this library's make, which knows the middlewares that use it: a profile leaves to them what it does not
 * say.
 */
export class ProfileSwitch implements CompressionSwitch {
  #users: readonly Prepare[] = [];
  readonly #listeners = new Listeners<SwitchState>(reportCompressError);
  #current: SwitchState;
  #swaps = 0;
  /** Which of the swaps the profile is of. */
  #effective = 0;

  constructor(profile: CheckedProfile) {
    this.#current = Object.freeze({ enabled: true, profile, version: 0 });
  }

  get current(): SwitchState {
    return this.#current;
  }

  get enabled(): boolean {
    return this.#current.enabled;
  }

  get profile(): CheckedProfile {
    return this.#current.profile;
  }

  get version(): number {
    return this.#current.version;
  }

  enable(): void {
    if (!this.enabled) this.#change({ enabled: true });
  }

  disable(): void {
    if (this.enabled) this.#change({ enabled: false });
  }

  async swap(given: CompressionProfile): Promise<void> {
    return this.use(readProfile('switch.profile', given));
  }

  /** `swap` to a profile that is checked. */
  async use(profile: CheckedProfile): Promise<void> {
    const swap = (this.#swaps += 1);
    await this.prepare(profile);
    if (swap < this.#effective) return;
    this.#effective = swap;
    this.#change({ profile });
  }

  /** Loads the codecs of a profile and has each encode a little. Rejects as `swap` does. */
  async prepare(profile: CheckedProfile): Promise<void> {
    const own = warmUp((profile.codecs ?? []).map(checkCodec));
    await Promise.all([own, ...this.#users.map((prepare) => prepare(profile))]);
  }

  /** Has a middleware prepare each profile before it is used. Returns the undo. */
  addUser(prepare: Prepare): () => void {
    this.#users = [...this.#users, prepare];
    return () => {
      this.#users = this.#users.filter((each) => each !== prepare);
    };
  }

  on(event: 'change', listener: (state: SwitchState) => void): () => void {
    readOneOf('switch.on', event, ['change']);
    requireFunction('switch.on.listener', listener);
    return this.#listeners.add(listener);
  }

  #change(change: Partial<SwitchState>): void {
    this.#current = Object.freeze({ ...this.#current, ...change, version: this.#current.version + 1 });
    compressEvents.switch.publish(this.#current);
    this.#listeners.emit(this.#current);
  }
}
