import { InvalidOptionError } from '../../errors.ts';
import {
  type Duration,
  type OptionNames,
  readDuration,
  readInteger,
  readOneOf,
  readSize,
  refuseWhen,
  type Size,
} from '../option.ts';
import { AckProbe } from './ack-probe.ts';
import type { HealthPolicy } from './policy/judge.ts';
import { type ConnectionRegistry, Registry, requireRegistry } from './registry.ts';

/** Whether to read from the kernel what peers have acknowledged. `'auto'`: where the platform shows it. */
export type AckProbeMode = 'auto' | boolean;

/**
 * The options that `heartbeat` and the watchers have in common. Durations are milliseconds or a string for `ms`;
 * `Infinity` is never.
 */
export interface HealthOptions {
  /** How long a connection is silent before a heartbeat is sent. @defaultValue `'15s'` */
  every?: Duration | undefined;
  /**
   * The share by which `every` and `maxAge` vary up and down, from 0 to 1, so that clients that connected together do
   * not stay in step. @defaultValue `0.1`
   */
  jitter?: number | undefined;
  /**
   * How long after its last sign of life a peer is late, if it was asked for one. Varies by a fifteenth, and by no more
   * than 2 s.
   * @defaultValue twice `every`
   */
  readDeadline?: Duration | undefined;
  /**
   * How long written bytes may wait while the peer takes none of them. A reader that is slow but goes on is not late.
   * @defaultValue `'10s'`
   */
  writeDeadline?: Duration | undefined;
  /**
   * Bytes per second that a peer has to take on average while bytes wait for it. It has `writeDeadline`, and a second
   * more for each `minRate` bytes that it took. 0: any progress is enough.
   * @defaultValue `0`
   */
  minRate?: Size | undefined;
  /** How often in a row a connection must be found late before it is given up, at least 1. @defaultValue `3` */
  failures?: number | undefined;
  /** How long a connection must have been late before it is given up. @defaultValue `'5s'` */
  grace?: Duration | undefined;
  /**
   * After how long a connection is ended gently, so that none outlives a deploy or a token. Varies by `jitter`.
   * @defaultValue `Infinity`
   */
  maxAge?: Duration | undefined;
  /**
   * Linux shows what the peer's kernel has acknowledged. That is the only sign of life of a client that only reads.
   * `'auto'`: reads it where it can be read, and uses TCP keep-alive elsewhere. `true`: refuses a platform without it.
   * `false`: does not read it.
   * @defaultValue `'auto'`
   */
  ackProbe?: AckProbeMode | undefined;
  /**
   * Bytes that may wait in the process for a peer before it is given up as a slow consumer. Checked with each write
   * that finds the queue full, and once a second where writes are not seen (WebSockets, sockets). The streams of `sse`
   * and `records` have a limit of their own.
   * @defaultValue `Infinity`
   */
  maxBuffered?: Size | undefined;
  /**
   * The registry that watches and counts the connections. Share one to have the numbers of several middlewares and
   * watchers in one place. @defaultValue a new registry
   */
  registry?: ConnectionRegistry | undefined;
}

/** `HealthOptions` with every default filled in. */
export interface ResolvedHealthOptions extends HealthPolicy {
  readonly registry: Registry;
}

/** The options that `heartbeat` and all watchers have. */
export const healthNames: OptionNames<HealthOptions> = {
  every: true,
  jitter: true,
  readDeadline: true,
  writeDeadline: true,
  minRate: true,
  failures: true,
  grace: true,
  maxAge: true,
  ackProbe: true,
  maxBuffered: true,
  registry: true,
};

const ofRegistry = 'It is an option of `createRegistry`, whose result is the option `registry`.';

/** What other names are called here. */
export const healthAdvice: Readonly<Record<string, string>> = {
  interval: 'every',
  period: 'every',
  pingInterval: 'every',
  heartbeatInterval: 'every',
  keepAlive: 'every',
  keepAliveInterval: 'every',
  timeout: 'readDeadline',
  pingTimeout: 'readDeadline',
  readTimeout: 'readDeadline',
  writeTimeout: 'writeDeadline',
  retries: 'failures',
  maxFailures: 'failures',
  maxConnections: ofRegistry,
  maxPerClient: ofRegistry,
  clientKey: ofRegistry,
};

/**
 * Fills in defaults and checks values, but not names. @param owner - the function's name, for error messages. Throws
 * `InvalidOptionError`.
 */
export function resolveHealthOptions(owner: string, options: HealthOptions): ResolvedHealthOptions {
  const every = readSpan(`${owner}.every`, options.every ?? '15s');
  const readDeadline =
    options.readDeadline === undefined ? 2 * every : readSpan(`${owner}.readDeadline`, options.readDeadline);
  refuseWhen(
    readDeadline <= every && every !== Infinity,
    `${owner}.readDeadline`,
    'must be longer than `every`: a client is asked for a sign of life only after `every`.',
  );
  return {
    every,
    jitter: readShare(`${owner}.jitter`, options.jitter ?? 0.1),
    readDeadline,
    readJitter: Math.min(1 / 15, 2000 / readDeadline),
    writeDeadline: readSpan(`${owner}.writeDeadline`, options.writeDeadline ?? '10s'),
    minRate: readSize(`${owner}.minRate`, options.minRate ?? 0),
    failures: readInteger(`${owner}.failures`, options.failures ?? 3, { min: 1 }),
    grace: readDuration(`${owner}.grace`, options.grace ?? '5s'),
    maxAge: readSpan(`${owner}.maxAge`, options.maxAge ?? Infinity),
    idleProducer: Infinity,
    maxBuffered: readSize(`${owner}.maxBuffered`, options.maxBuffered ?? Infinity, { max: Infinity }),
    isProbing: readProbeMode(`${owner}.ackProbe`, options.ackProbe ?? 'auto'),
    registry: options.registry === undefined ? new Registry() : requireRegistry(`${owner}.registry`, options.registry),
  };
}

/** Reads a duration of at least 1 ms, or `Infinity`. Throws `InvalidOptionError`. */
export function readSpan(option: string, value: Duration): number {
  return value === Infinity ? Infinity : readDuration(option, value, { min: 1 });
}

function readShare(option: string, value: unknown): number {
  if (typeof value === 'number' && value >= 0 && value <= 1) return value;
  throw new InvalidOptionError(option, 'a number from 0 to 1', value);
}

function readProbeMode(option: string, value: unknown): boolean {
  if (typeof value !== 'boolean') readOneOf(option, value, ['auto']);
  if (value === false || AckProbe.isAvailable()) return value !== false;
  if (value === true) throw new InvalidOptionError(option, '"auto" or false where there is no /proc/net/tcp', value);
  return false;
}
