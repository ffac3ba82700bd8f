import { InvalidOptionError } from '../errors.ts';
import type { Hook, RoutedRequest } from '../internal/http/framework.ts';
import { type HttpRequest, requestField } from '../internal/http/message.ts';
import { Listeners } from '../internal/listeners.ts';
import { type OptionNames, readBag, readFunction, readOptions } from '../internal/option.ts';
import { proxyErrors } from './events.ts';
import type { ArmCounts, NamedRoute, ProxyOptions, TargetInput } from './options.ts';
import { type CanaryFacts, type CanaryRule, decideArm } from './policy/canary.ts';
import type { Trusts } from './policy/forwarded.ts';
import { readTargets } from './read-options.ts';
import { readRange, readTrust } from './trust.ts';
import { addressOf, trustsOfExpress } from './exchange/request-headers.ts';

/** One version of the service behind the proxy. */
export interface CanaryArm {
  /** Where its requests go. */
  readonly target: TargetInput;
  /** Its share of the clients that no rule names, relative to the weights of the other arms. */
  readonly weight: number;
}

/** Where requests go. */
export interface CanaryConfig {
  /** By name. */
  readonly arms: Readonly<Record<string, CanaryArm>>;
  /** The first one that applies decides. @defaultValue none */
  readonly rules?: readonly CanaryRule[] | undefined;
}

/** Options of `createCanary`. They stay while the configuration changes. */
export interface CanaryOptions {
  /**
   * What a client is known by: it stays on its arm as long as this stays the same. `undefined`: by its address.
   * @defaultValue the client's address
   */
  key?: Hook<[req: RoutedRequest], string | undefined> | undefined;
  /** The tier of a request's user, for the rules. @defaultValue none */
  tier?: Hook<[req: RoutedRequest], string | undefined> | undefined;
  /** As `trust` of `proxy`, for the client's address. @defaultValue as there */
  trust?: ProxyOptions['trust'] | undefined;
}

/** A change of the configuration. */
export interface CanaryChange {
  /** The version from now on. */
  readonly version: number;
  /** The configuration from now on. */
  readonly config: CanaryConfig;
}

/** A route for `proxy` that spreads clients over the versions of a service. */
export interface Canary {
  (req: HttpRequest): NamedRoute;
  /** The configuration by which requests are decided now. */
  readonly config: CanaryConfig;
  /** Counts the changes, from 1. */
  readonly version: number;
  /**
   * Replaces the configuration. Each request is decided by one configuration: the one that is there when it arrives.
   * Throws `InvalidOptionError`, and then nothing has changed.
   */
  swap(config: CanaryConfig): void;
  /** Changes weights; arms that are not named keep theirs. Throws `InvalidOptionError`. */
  setWeights(weights: Readonly<Record<string, number>>): void;
  /** What became of the requests of each arm that got one, since the start. */
  counts(): Record<string, Readonly<ArmCounts>>;
  /** Calls `listener` after each change. Returns the undo. */
  on(event: 'change', listener: (change: CanaryChange) => void): () => void;
}

/** A configuration that was checked. */
interface Checked {
  readonly config: CanaryConfig;
  readonly weights: ReadonlyMap<string, number>;
  readonly isIn: (range: string, address: string | undefined) => boolean;
}

/**
 * Makes a route that sends a share of the clients to each arm. A client stays on its arm. When a weight grows, clients
 * move to that arm only: from 1 % to 5 % to 50 % none goes back and forth. Throws `InvalidOptionError`.
 */
export function createCanary(initial: CanaryConfig, given?: CanaryOptions): Canary {
  const options = readOptions('canary', given, { key: true, tier: true, trust: true });
  const keyOf = readFunction('canary.key', options.key);
  const tierOf = readFunction('canary.tier', options.tier);
  const trusts: Trusts | undefined = options.trust === undefined ? undefined : readTrust('canary.trust', options.trust);
  const changes = new Listeners<CanaryChange>((error) => proxyErrors.report({ error, req: undefined }));
  const counts = new Map<string, ArmCounts>();
  let current = check(initial);
  let version = 1;

  function canary(req: HttpRequest): NamedRoute {
    const { config, weights, isIn } = current;
    const address = addressOf(req, trusts ?? trustsOfExpress(req));
    const facts: CanaryFacts = {
      header: (name) => requestField(req, name),
      cookie: (name) => cookieOf(req, name),
      isIn: (range) => isIn(range, address),
      tier: tierOf?.(req as RoutedRequest),
    };
    const decision = decideArm(config.rules ?? [], weights, facts, keyOf?.(req as RoutedRequest) ?? address ?? '');
    // There is an arm with a weight: it was checked.
    const arm = decision?.arm ?? '';
    const count = countsOf(arm);
    count.requests += 1;
    return { target: config.arms[arm]?.target ?? [], arm, counts: count };
  }

  function countsOf(arm: string): ArmCounts {
    let found = counts.get(arm);
    if (!found) counts.set(arm, (found = { requests: 0, active: 0, retries: 0, failures: 0 }));
    return found;
  }

  function swap(config: CanaryConfig): void {
    current = check(config);
    version += 1;
    changes.emit({ version, config });
  }

  const members = {
    swap,
    setWeights(weights: Readonly<Record<string, number>>): void {
      const { config } = current;
      for (const name of Object.keys(weights)) {
        const sentence = `does not exist. The arms are: ${Object.keys(config.arms).join(', ')}.`;
        if (!Object.hasOwn(config.arms, name)) throw new InvalidOptionError(`canary.weights.${name}`, { sentence });
      }
      const arms = Object.entries(config.arms).map(([name, arm]) => [
        name,
        { ...arm, weight: weights[name] ?? arm.weight },
      ]);
      swap({ ...config, arms: Object.fromEntries(arms) as CanaryConfig['arms'] });
    },
    counts: () => Object.fromEntries([...counts].map(([arm, count]) => [arm, { ...count }])),
    on: (_event: 'change', listener: (change: CanaryChange) => void) => changes.add(listener),
  };
  return Object.defineProperties(Object.assign(canary, members), {
    config: { get: () => current.config, enumerable: true },
    version: { get: () => version, enumerable: true },
  }) as unknown as Canary;
}

const armNames: OptionNames<CanaryArm> = { target: true, weight: true };

const ruleNames: OptionNames<CanaryRule> = { arm: true, headers: true, cookies: true, ranges: true, tiers: true };

function check(config: CanaryConfig): Checked {
  const { arms, rules = [] } = readOptions('canary', config, { arms: true, rules: true });
  const entries = Object.entries(readBag('canary.arms', arms) as Record<string, CanaryArm>);
  const weights = new Map<string, number>();
  for (const [name, arm] of entries) {
    const { target, weight } = readOptions(`canary.arms.${name}`, arm, armNames);
    readTargets(`canary.arms.${name}.target`, target as TargetInput);
    if (typeof weight !== 'number' || !(weight >= 0) || weight === Infinity) {
      throw new InvalidOptionError(`canary.arms.${name}.weight`, 'a number from 0 on', weight);
    }
    weights.set(name, weight);
  }
  if (![...weights.values()].some((weight) => weight > 0)) {
    throw new InvalidOptionError('canary.arms', 'at least one arm with a weight', arms);
  }
  const ranges = new Map<string, (address: string) => boolean>();
  if (!Array.isArray(rules)) throw new InvalidOptionError('canary.rules', 'a list', rules);
  for (const rule of rules as readonly CanaryRule[]) {
    // A condition that is misspelt would be none, and the rule would hold for every client.
    const { arm, ranges: named = [] } = readOptions('canary.rules', rule, ruleNames);
    if (!weights.has(arm ?? '')) throw new InvalidOptionError('canary.rules.arm', 'the name of an arm', arm);
    for (const range of named) ranges.set(range, readRange('canary.rules.ranges', range));
  }
  const isIn = (range: string, address: string | undefined): boolean =>
    address !== undefined && ranges.get(range)?.(address) === true;
  return { config, weights, isIn };
}

/** The value of a cookie (RFC 6265 4.2.1); the first one of its name. */
function cookieOf(req: HttpRequest, name: string): string | undefined {
  for (const pair of (requestField(req, 'cookie') ?? '').split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return undefined;
}
