import { InvalidOptionError } from '../errors.ts';
import { type Compression, type CompressionProfile, createSwitch } from '../compress/index.ts';
import type { ConnectionRegistry } from '../heartbeat/index.ts';
import { type Registry, requireRegistry } from '../internal/health/registry.ts';
import type { Hook, RoutedRequest } from '../internal/http/framework.ts';
import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readBag,
  readDuration,
  readFunction,
  readInteger,
  readOptions,
} from '../internal/option.ts';
import { longestDelay } from '../internal/time/clock.ts';
import type { Lifecycle } from '../lifecycle/index.ts';
import type { Canary, Proxy } from '../proxy/index.ts';
import type { AlertRule } from './policy/alerts.ts';
import { routeTemplateOf } from './policy/route.ts';

/** When an alert fires. */
export interface AlertOptions {
  /** The threshold. @defaultValue 0.05 for `unresponsive_ratio`, 800 for `avg_heartbeat_rt` */
  above?: number | undefined;
  /**
   * How long the number must be above it. Milliseconds or a string for `ms`; at least 0.
   * @defaultValue `'1m'` for `unresponsive_ratio`, `0` for `avg_heartbeat_rt`
   */
  for?: Duration | undefined;
}

/** The alerts of a monitor. */
export interface AlertsOptions {
  /** The share of watched connections that are not healthy. `false`: no alert. @defaultValue above 0.05 for 1 min */
  unresponsive_ratio?: AlertOptions | false | undefined;
  /** The mean round trip of heartbeats, in ms. `false`: no alert. @defaultValue above 800 */
  avg_heartbeat_rt?: AlertOptions | false | undefined;
}

/** Options of `monitor`. The parts that it is given are those that it can show and change. */
export interface MonitorOptions {
  /**
   * Who may see the dashboard, the numbers and the metrics, and may change settings. It answers `true`, or a promise of
   * it. Without it nothing is served. An error that it throws, or rejects with, means no.
   * @defaultValue none
   */
  authorize?: Hook<[req: RoutedRequest], boolean | Promise<boolean>> | undefined;
  /** Registries of watched connections: `heartbeat().registry`, or what `createRegistry` returns. @defaultValue none */
  registry?: ConnectionRegistry | readonly ConnectionRegistry[] | undefined;
  /** The middleware of `compress`. @defaultValue none */
  compress?: Compression | undefined;
  /** Profiles that the dashboard can give `compress`, by name. Each is checked here. @defaultValue none */
  profiles?: Readonly<Record<string, CompressionProfile>> | undefined;
  /** The middleware of `lifecycle`. @defaultValue none */
  lifecycle?: Lifecycle | undefined;
  /** Middlewares of `proxy`, by a name for them. @defaultValue none */
  proxies?: Readonly<Record<string, Proxy>> | undefined;
  /** What `createCanary` returned, by a name. @defaultValue none */
  canaries?: Readonly<Record<string, Canary>> | undefined;
  /**
   * The label of a request's route. Called at the headers. It must not return what a client can choose, such as a path
   * with an id. What it throws is published on `sluice:monitor:error`, and the label is `__other__`.
   * @defaultValue the template of Express's route, `/users/:id`; `__other__` where there is none
   */
  route?: Hook<[req: RoutedRequest], string | undefined> | undefined;
  /** The most labels of routes; later ones count as `__other__`. At least 1. @defaultValue `50` */
  maxRoutes?: number | undefined;
  /** How often rates and alerts are computed. Milliseconds or a string for `ms`, at least 100. @defaultValue `'1s'` */
  interval?: Duration | undefined;
  /** When alerts fire. @defaultValue as for each */
  alerts?: AlertsOptions | undefined;
}

/** `MonitorOptions`, checked. */
export interface ResolvedMonitorOptions {
  readonly authorize: ((req: RoutedRequest) => unknown) | undefined;
  readonly registries: readonly Registry[];
  readonly compress: Compression | undefined;
  readonly profiles: Readonly<Record<string, CompressionProfile>>;
  readonly lifecycle: Lifecycle | undefined;
  readonly proxies: Readonly<Record<string, Proxy>>;
  readonly canaries: Readonly<Record<string, Canary>>;
  readonly route: (req: RoutedRequest) => unknown;
  readonly maxRoutes: number;
  readonly interval: number;
  readonly alerts: readonly AlertRule[];
}

const names: OptionNames<MonitorOptions> = {
  authorize: true,
  registry: true,
  compress: true,
  profiles: true,
  lifecycle: true,
  proxies: true,
  canaries: true,
  route: true,
  maxRoutes: true,
  interval: true,
  alerts: true,
};

const advice: OptionAdvice = {
  instead: {
    auth: 'authorize',
    heartbeat: 'registry',
    registries: 'registry',
    compression: 'compress',
    profile: 'profiles',
    proxy: 'proxies',
    canary: 'canaries',
    normalizePath: 'route',
  },
};

/** Checks the options. Throws `InvalidOptionError`. */
export function resolveMonitorOptions(given: MonitorOptions | undefined): ResolvedMonitorOptions {
  const options = readOptions('monitor', given, names, advice);
  const { registry = [], interval = '1s', maxRoutes = 50 } = options;
  const registries = (Array.isArray(registry) ? registry : [registry]) as readonly ConnectionRegistry[];
  return {
    authorize: readFunction('monitor.authorize', options.authorize),
    registries: registries.map((each) => requireRegistry('monitor.registry', each)),
    compress: requirePart('monitor.compress', 'what `compress` returns', options.compress, 'switch'),
    profiles: readProfiles(options.profiles),
    lifecycle: requirePart('monitor.lifecycle', 'what `lifecycle` returns', options.lifecycle, 'drain'),
    proxies: requireParts('monitor.proxies', 'what `proxy` returns', options.proxies, 'upstreams'),
    canaries: requireParts('monitor.canaries', 'what `createCanary` returns', options.canaries, 'setWeights'),
    route: readFunction('monitor.route', options.route) ?? routeTemplateOf,
    maxRoutes: readInteger('monitor.maxRoutes', maxRoutes, { min: 1 }),
    interval: readDuration('monitor.interval', interval, { min: 100, max: longestDelay }),
    alerts: readAlerts(options.alerts),
  };
}

function requirePart<T extends object>(
  option: string,
  expected: string,
  value: T | undefined,
  member: string,
): T | undefined {
  if (value !== undefined && (typeof value !== 'function' || !(member in value)))
    throw new InvalidOptionError(option, expected, value);
  return value;
}

function requireParts<T extends object>(
  option: string,
  expected: string,
  value: Readonly<Record<string, T>> | undefined,
  member: string,
): Readonly<Record<string, T>> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || (value as unknown) === null)
    throw new InvalidOptionError(option, `an object of ${expected}, by name`, value);
  for (const [name, part] of Object.entries(value)) requirePart(`${option}.${name}`, expected, part, member);
  return value;
}

function readProfiles(given: MonitorOptions['profiles']): ResolvedMonitorOptions['profiles'] {
  const profiles = readBag('monitor.profiles', given) as Readonly<Record<string, CompressionProfile>>;
  for (const [name, profile] of Object.entries(profiles)) createSwitch({ name, ...profile });
  return profiles;
}

const alertDefaults = {
  unresponsive_ratio: { above: 0.05, for: '1m' },
  avg_heartbeat_rt: { above: 800, for: 0 },
} as const;

function readAlerts(given: AlertsOptions | undefined): AlertRule[] {
  const alerts = readOptions('monitor.alerts', given, { unresponsive_ratio: true, avg_heartbeat_rt: true });
  return (['unresponsive_ratio', 'avg_heartbeat_rt'] as const).flatMap((name) => {
    const value = alerts[name];
    if (value === false) return [];
    const owner = `monitor.alerts.${name}`;
    const rule = readOptions<AlertOptions>(owner, value, { above: true, for: true });
    const { above = alertDefaults[name].above } = rule;
    if (typeof above !== 'number' || !(above >= 0)) throw new InvalidOptionError(`${owner}.above`, 'a number', above);
    return [{ name, above, for: readDuration(`${owner}.for`, rule.for ?? alertDefaults[name].for, { min: 0 }) }];
  });
}
