import type { CheckedProfile, CompressionProfile } from '../../compress/control/profile.ts';
import { readProfile } from '../../compress/control/switch.ts';
import { InvalidOptionError } from '../../errors.ts';
import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readBag,
  readOptions,
  refuseWhen,
} from '../../internal/option.ts';
import { type RedisBackplaneOptions, readConnection } from '../options.ts';
import type { Source } from '../connection/source.ts';

/** A profile in a set of named ones: its name is its key there. */
export type NamedProfiles = Readonly<Record<string, CompressionProfile>>;

/** Options of `redisSwitch`: a `url` or a `client`, and `profiles`. */
export interface RedisSwitchOptions {
  /**
   * Where Redis is, as for `redisBackplane`: `redis://localhost:6379`, or several nodes of a cluster.
   * @defaultValue none
   */
  url?: string | readonly string[] | undefined;
  /**
   * A client of node-redis, connected, or an adapter of another one. It is used for commands. Messages come through a
   * duplicate of it. `close()` leaves it open. @defaultValue none
   */
  client?: RedisBackplaneOptions['client'];
  /** What the key and the channel in Redis begin with. No braces. @defaultValue `'sluice:'` */
  prefix?: string | undefined;
  /** Which switch of the service this is: all instances that give one name are a fleet. @defaultValue `'compress'` */
  name?: string | undefined;
  /**
   * What can be switched to, by name. The first is in use until another is. Only the name travels: each instance has
   * the code itself.
   */
  profiles: NamedProfiles;
  /**
   * How long an answer of Redis may take before the connection is replaced, and how long a change waits for one.
   * Milliseconds or a string for `ms`, at least 100. @defaultValue `'5s'`
   */
  timeout?: Duration | undefined;
  /**
   * How often a connection is pinged. A dark one is found within `ping` plus `timeout`. Milliseconds or a string for
   * `ms`, at least 100. @defaultValue `'5s'`
   */
  ping?: Duration | undefined;
}

/** `RedisSwitchOptions` with every default filled in. */
export interface ResolvedRedisSwitchOptions {
  readonly source: Source;
  /** The key of the state in Redis, and the channel on which its changes are published. */
  readonly key: string;
  readonly profiles: ReadonlyMap<string, CheckedProfile>;
  /** The one that is in use at first. */
  readonly first: { readonly name: string; readonly profile: CheckedProfile };
  readonly timeout: number;
  readonly ping: number;
}

const names: OptionNames<RedisSwitchOptions> = {
  url: true,
  client: true,
  prefix: true,
  name: true,
  profiles: true,
  timeout: true,
  ping: true,
};
const advice: OptionAdvice = {
  single: 'url',
  call: "compress({ switch: redisSwitch({ url: 'redis://localhost', profiles }) })",
  instead: { host: 'url', redis: 'client', keyPrefix: 'prefix', pingInterval: 'ping' },
};

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveRedisSwitchOptions(given: RedisSwitchOptions | undefined): ResolvedRedisSwitchOptions {
  const owner = 'redisSwitch';
  const options = readOptions(owner, given, names, advice);
  const { prefix, ...connection } = readConnection(owner, options);
  return {
    ...connection,
    key: `${prefix}switch:${readName(`${owner}.name`, options.name ?? 'compress')}`,
    ...readProfiles(`${owner}.profiles`, options.profiles),
  };
}

function readProfiles(
  option: string,
  given: NamedProfiles | undefined,
): Pick<ResolvedRedisSwitchOptions, 'profiles' | 'first'> {
  const named = Object.entries(readBag(option, given) as NamedProfiles).map(([name, profile]) => ({
    name,
    profile: readNamed(`${option}.${name}`, name, profile),
  }));
  const [first] = named;
  if (!first)
    throw new InvalidOptionError(option, 'profiles by name, as in `{ normal: {}, cheap: { level: 1 } }`', given);
  return { profiles: new Map(named.map(({ name, profile }) => [name, profile])), first };
}

function readNamed(option: string, name: string, given: CompressionProfile): CheckedProfile {
  if (name === '') throw new InvalidOptionError(option, { sentence: 'has an empty name.' });
  const profile = readProfile(option, given);
  const isOther = profile.name !== undefined && profile.name !== name;
  refuseWhen(isOther, `${option}.name`, 'is another name than its key: leave it out.');
  return Object.freeze({ ...profile, name });
}

function readName(option: string, value: unknown): string {
  if (typeof value !== 'string' || value === '' || /[{}]/.test(value))
    throw new InvalidOptionError(option, 'a name without braces', value);
  return value;
}
