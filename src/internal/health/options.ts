import { InvalidOptionError } from '../../errors.ts';
import { type Duration, readBag, readDuration, readInteger, readOneOf, readSize, type Size } from '../option.ts';
import { AckProbe } from './ack-probe.ts';
import type { HealthPolicy } from './policy/health-policy.ts';
import { type ConnectionRegistry, Registry, requireRegistry } from './registry.ts';

/** Whether to read what the kernel knows of acknowledgements. `'auto'`: where it can be read. */
export type AckProbeMode = 'auto' | boolean;

/**
 * What `heartbeat` and the watchers have in common. Durations are milliseconds or a string for `ms`; `Infinity` is
 * never.
 */
export interface HealthOptions {
  /** How long a connection is silent before a heartbeat is sent. @defaultValue `'15s'` */
  every?: Duration;
  /**
   * By which part of it `every`, and `maxAge`, vary up and down, from 0 to 1: so that clients that came together do not
   * stay in step. @defaultValue `0.1`
   */
  jitter?: number;
  /**
   * How long after its last sign of life a peer that was asked for one is late. Varies by a fifteenth, and by no more
   * than 2 s.
   * @defaultValue twice `every`
   */
  readDeadline?: Duration;
  /**
   * How long what was written may wait without a byte of it being taken. A reader that is slow, and goes on, is not
   * late. @defaultValue `'10s'`
   */
  writeDeadline?: Duration;
  /**
   * Bytes per second that a peer has to take, on average, while something waits for it: for `writeDeadline` and for
   * each further second that this many bytes are worth. 0: any progress will do.
   * @defaultValue `0`
   */
  minRate?: Size;
  /** How often in a row a connection must be found late before it is given up, at least 1. @defaultValue `3` */
  failures?: number;
  /** For how long it must have been late before it is given up. @defaultValue `'5s'` */
  grace?: Duration;
  /**
   * After how long a connection is ended gently, so that none outlives a deploy or a token. Varies by `jitter`.
   * @defaultValue `Infinity`
   */
  maxAge?: Duration;
  /**
   * Linux shows what the peer's kernel has acknowledged, the only sign of life of a client that only reads. `'auto'`:
   * where it can be read, else TCP keep-alive. `true`: a platform without it is refused. `false`: not at all.
   * @defaultValue `'auto'`
   */
  ackProbe?: AckProbeMode;
  /**
   * Bytes that may wait in the process for a peer before it is given up as a slow consumer. Looked at with each write
   * that finds the queue full, and where writes are not seen (WebSockets, sockets) once a second. The streams of `sse`
   * and `records` have a bound of their own.
   * @defaultValue `Infinity`
   */
  maxBuffered?: Size;
  /**
   * Where the connections are counted and watched; one for several middlewares and watchers, so that their numbers are
   * one. @defaultValue one of its own
   */
  registry?: ConnectionRegistry;
}

/** `HealthOptions` with every default filled in. */
export interface ResolvedHealthOptions extends HealthPolicy {
  readonly registry: Registry;
}

/**
 * Fills in defaults and checks. @param owner - the function's name, for error messages. Throws `InvalidOptionError`.
 */
export function resolveHealthOptions(owner: string, given: HealthOptions | undefined): ResolvedHealthOptions {
  const options = readBag(owner, given);
  const every = readSpan(`${owner}.every`, options.every ?? '15s');
  const readDeadline = readSpan(`${owner}.readDeadline`, options.readDeadline ?? 2 * every);
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
