import { ProfileSwitch, type CompressionSwitch } from '../../compress/control/switch.ts';
import type { CheckedProfile, CompressionProfile } from '../../compress/control/profile.ts';
import { BackplaneUnavailableError, InvalidOptionError } from '../../errors.ts';
import { makeDeferred, watched } from '../../internal/deferred.ts';
import { startTimer } from '../../internal/time/clock.ts';
import { reportRedisError } from '../events.ts';
import { type FleetChange, type FleetState, isBehind, parseFleetState, supersedes } from '../policy/fleet-state.ts';
import { SwitchLink } from './link.ts';
import { type RedisSwitchOptions, type ResolvedRedisSwitchOptions, resolveRedisSwitchOptions } from './options.ts';
import { switchArguments } from './script.ts';

/** A switch of `compress` that all instances of a service share. */
export interface RedisSwitch extends CompressionSwitch {
  /**
   * Resolves when this instance is set as the fleet is. Until then it uses the first of its profiles. Does not reject
   * while Redis is out of reach: the switch goes on trying. Rejects with `MissingPeerError` without the package
   * `redis`, and with `BackplaneUnavailableError` if the switch is closed before.
   */
  readonly ready: Promise<void>;
  /**
   * Has all instances compress from now on. Resolves when it is written. Rejects with `BackplaneUnavailableError` when
   * Redis does not answer in time. Then the change may have been made, or not.
   */
  // eslint-disable-next-line @typescript-eslint/no-misused-promises -- a caller may ignore it
  enable(): Promise<void>;
  /** Has no instance compress anything new. Resolves and rejects as `enable` does. */
  // eslint-disable-next-line @typescript-eslint/no-misused-promises -- a caller may ignore it
  disable(): Promise<void>;
  /**
   * Changes the profile of all instances, by its name. Of a profile that is given as an object only `name` counts.
   * Loads its codecs here first, as `swap` of `createSwitch` does, so that one that fails reaches no other instance.
   * Resolves when it is written, and in use here. Rejects as `enable` does, with `InvalidOptionError` for a name that
   * is none of `profiles`, and with what a codec fails with.
   */
  swap(profile: string | CompressionProfile): Promise<void>;
  /** Leaves the fleet: the switch stays as it is. Ends the connections that it made. */
  close(): void;
}

/**
 * Makes a switch for `compress({ switch })` that is set the same in all instances of a service. A new instance starts
 * as the others are. One that cannot reach Redis keeps what it has, and follows as soon as it can.
 *
 * The name of a profile travels, not its code. An instance that does not have a name keeps its profile; this is
 * reported on `sluice:redis:error`, as all errors are that have no caller. Throws `InvalidOptionError`.
 */
export function redisSwitch(options: RedisSwitchOptions): RedisSwitch {
  return new FleetSwitch(resolveRedisSwitchOptions(options));
}

// After a sync that failed while the connection stands, such as with a Redis that still loads its data.
const retryDelay = 1_000;

class FleetSwitch extends ProfileSwitch implements RedisSwitch {
  readonly #key: string;
  readonly #profiles: ReadonlyMap<string, CheckedProfile>;
  readonly #link: SwitchLink;
  readonly #ready = makeDeferred();
  #known: FleetState;
  /** The name of the profile that is in use, or soon is. */
  #wanted: string;
  #inUse: Promise<void> = Promise.resolve();
  #swapCalls = 0;
  #newestWritten = 0;
  #cancelRetry: (() => void) | undefined;

  constructor(options: ResolvedRedisSwitchOptions) {
    const { name, profile } = options.first;
    super(profile);
    this.#key = options.key;
    this.#profiles = options.profiles;
    this.#wanted = name;
    this.#known = { version: 0, enabled: true, profile: name };
    this.#link = new SwitchLink(options, {
      onConnected: () => void this.#sync(),
      onMessage: (text) => {
        if (this.#accept(text)) this.#follow();
        else if (isBehind(text, this.#known)) void this.#sync();
      },
      onMissing: this.#ready.reject,
    });
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  // eslint-disable-next-line @typescript-eslint/no-misused-promises -- a caller may ignore it
  override enable(): Promise<void> {
    return watched(this.#write({ enabled: true }), reportRedisError);
  }

  // eslint-disable-next-line @typescript-eslint/no-misused-promises -- a caller may ignore it
  override disable(): Promise<void> {
    return watched(this.#write({ enabled: false }), reportRedisError);
  }

  override async swap(given: string | CompressionProfile): Promise<void> {
    const name = typeof given === 'string' ? given : (given as CompressionProfile | undefined)?.name;
    const profile = name === undefined ? undefined : this.#profiles.get(name);
    if (name === undefined || !profile) throw new InvalidOptionError('redisSwitch.swap', this.#expected(), given);
    const call = (this.#swapCalls += 1);
    await this.prepare(profile);
    if (call < this.#newestWritten) return;
    this.#newestWritten = call;
    await this.#write({ profile: name });
  }

  close(): void {
    this.#cancelRetry?.();
    this.#link.close();
    this.#ready.reject(new BackplaneUnavailableError(this.#key, { cause: new Error('The switch is closed') }));
  }

  /** Settles when the state is written, and in use here. */
  async #write(change: FleetChange): Promise<void> {
    this.#accept(await this.#link.run(switchArguments(this.#key, this.#known, change)));
    this.#follow();
    await this.#inUse;
  }

  /** Reads the state of the fleet, and writes the own where that is newer. Does not reject. */
  async #sync(): Promise<void> {
    this.#cancelRetry?.();
    try {
      await this.#write({});
      this.#ready.resolve();
    } catch (error) {
      if (this.#link.isClosed) return;
      reportRedisError(error);
      this.#cancelRetry = startTimer(retryDelay, () => void this.#sync());
    }
  }

  /** Takes note of a state of the fleet. Returns whether it is news. */
  #accept(text: unknown): boolean {
    const state = parseFleetState(text);
    if (!state || this.#link.isClosed || !supersedes(state, this.#known)) return false;
    this.#known = state;
    return true;
  }

  /** Sets this instance as the fleet is. A profile that could not be used is tried again with each call. */
  #follow(): void {
    const { enabled, profile } = this.#known;
    if (enabled) super.enable();
    else super.disable();
    if (profile !== this.#wanted) this.#inUse = this.#take(profile);
  }

  /** Does not reject. */
  async #take(name: string): Promise<void> {
    const profile = this.#profiles.get(name);
    const before = this.#wanted;
    if (!profile) {
      const sentence = `has no \`${name}\`, to which the fleet has changed. This instance keeps \`${before}\`.`;
      reportRedisError(new InvalidOptionError('redisSwitch.profiles', { sentence }));
      return;
    }
    this.#wanted = name;
    try {
      await this.use(profile);
    } catch (error) {
      if (this.#wanted === name) this.#wanted = before;
      reportRedisError(error);
    }
  }

  #expected(): string {
    const names = Array.from(this.#profiles.keys(), (name) => JSON.stringify(name));
    return `the name of one of its profiles: ${names.join(', ')}`;
  }
}
