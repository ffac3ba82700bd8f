import { constants } from 'node:os';
import { InvalidOptionError } from '../errors.ts';
import { longestDelay } from '../internal/time/clock.ts';
import type { HttpRequest } from '../internal/http/message.ts';
import { type Duration, readBag, readBoolean, readDuration, readFunction, readInteger } from '../internal/option.ts';
import { isProbe } from './probes.ts';

/** Options of `lifecycle`. Durations are milliseconds or a string for `ms`. */
export interface LifecycleOptions {
  /**
   * The whole of a drain; what is left then is cut. Less than the time after which the process is killed: Kubernetes'
   * 30 s, with what a `preStop` hook takes. `Infinity`: nothing is cut before a further signal.
   * @defaultValue `'25s'`
   */
  drainTimeout?: Duration;
  /**
   * How long everything is still served after the begin of the drain, because load balancers learn late. A part of
   * `drainTimeout`. `0`: not at all. Left out where nothing is open and no probe was ever asked: no load balancer is
   * there.
   * @defaultValue `'5s'`, or a fifth of `drainTimeout` where that is less
   */
  preDrain?: Duration;
  /**
   * The window, after `preDrain`, over which resumable streams and WebSockets are sent away, one by one. A part of
   * `drainTimeout`: where `preDrain` leaves less, it is four fifths of what is left. `0`: all at once.
   * @defaultValue `'10s'`, or two fifths of `drainTimeout` where that is less
   */
  spread?: Duration;
  /**
   * Signals of the process that begin a drain; a further one cuts what is left, from `forceAfter` on. They no longer
   * end the process by themselves until it is dead. `false` or `[]`: none, as for a lifecycle that is not of the whole
   * process.
   * @defaultValue `['SIGTERM']`
   */
  signals?: readonly NodeJS.Signals[] | false;
  /**
   * How long after the first signal another one cuts what is left. One that comes earlier means the same Ctrl-C: under
   * npm it reaches the process twice. `Infinity`: none cuts.
   * @defaultValue `'1s'`
   */
  forceAfter?: Duration;
  /**
   * Whether to call `process.exit` after a drain: with 0 when nothing was cut, else 1. Without it the process ends by
   * itself when nothing is left that keeps it, which leaves it time to close its databases.
   * @defaultValue `false`
   */
  exit?: boolean;
  /**
   * The `keepAliveTimeout` that `attach` gives to a server which still has Node's default, 5 s; `headersTimeout` is
   * raised above it. Longer than the idle timeout of the load balancer, or that sends a request on a connection which
   * is just being closed. `false`: both are left.
   * @defaultValue `'75s'`
   */
  keepAlive?: Duration | false;
  /**
   * The `Retry-After` of a refused request, spread evenly between half and one and a half times this; sent as whole
   * seconds, at least 1.
   * @defaultValue `'5s'`
   */
  retryAfter?: Duration;
  /** The retry hint to a refused event source, spread in the same way. At least 1 ms. @defaultValue `'2s'` */
  reconnectDelay?: Duration;
  /**
   * Requests that are served all the time. What it throws is published on `sluice:lifecycle:error`, and means no.
   * @defaultValue paths that end in `/livez`, `/readyz` or `/healthz`
   */
  // A method, so that functions typed for a framework's request fit.
  exempt?(req: HttpRequest): boolean;
  /**
   * The close code for WebSockets: 1012 is a restart of the service, 1001 a server that goes away.
   * @defaultValue `1012`
   */
  webSocketCode?: number;
}

/** `LifecycleOptions` with every default filled in. */
export interface ResolvedLifecycleOptions {
  readonly drainTimeout: number;
  readonly preDrain: number;
  readonly spread: number;
  readonly signals: readonly NodeJS.Signals[];
  readonly forceAfter: number;
  readonly exit: boolean;
  /** `undefined`: left as it is. */
  readonly keepAlive: number | undefined;
  readonly retryAfter: number;
  readonly reconnectDelay: number;
  readonly exempt: (req: HttpRequest) => boolean;
  readonly webSocketCode: number;
}

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveLifecycleOptions(given: LifecycleOptions | undefined): ResolvedLifecycleOptions {
  const options = readBag('lifecycle', given);
  const drainTimeout =
    options.drainTimeout === Infinity
      ? Infinity
      : readDuration('lifecycle.drainTimeout', options.drainTimeout ?? '25s', { max: longestDelay });
  const max = Math.min(drainTimeout, longestDelay);
  return {
    drainTimeout,
    preDrain: readDuration('lifecycle.preDrain', options.preDrain ?? Math.min(5000, drainTimeout / 5), { max }),
    spread: readDuration('lifecycle.spread', options.spread ?? Math.min(10_000, (drainTimeout * 2) / 5), { max }),
    signals: readSignals('lifecycle.signals', options.signals ?? ['SIGTERM']),
    forceAfter: readForceAfter('lifecycle.forceAfter', options.forceAfter ?? '1s'),
    exit: readBoolean('lifecycle.exit', options.exit ?? false),
    keepAlive:
      options.keepAlive === false
        ? undefined
        : readDuration('lifecycle.keepAlive', options.keepAlive ?? '75s', { min: 1, max: longestDelay }),
    retryAfter: readDuration('lifecycle.retryAfter', options.retryAfter ?? '5s', { max: longestDelay }),
    reconnectDelay: readDuration('lifecycle.reconnectDelay', options.reconnectDelay ?? '2s', {
      min: 1,
      max: longestDelay,
    }),
    exempt: readFunction('lifecycle.exempt', options.exempt) ?? isProbe,
    webSocketCode: readCloseCode('lifecycle.webSocketCode', options.webSocketCode ?? 1012),
  };
}

function readForceAfter(option: string, value: Duration): number {
  return value === Infinity ? Infinity : readDuration(option, value);
}

function readSignals(option: string, value: unknown): readonly NodeJS.Signals[] {
  if (value === false) return [];
  if (!Array.isArray(value) || !value.every(isCatchable)) {
    throw new InvalidOptionError(option, 'false or an array of signals that can be caught', value);
  }
  return [...new Set<NodeJS.Signals>(value)];
}

function isCatchable(value: unknown): value is NodeJS.Signals {
  return (
    typeof value === 'string' && Object.hasOwn(constants.signals, value) && value !== 'SIGKILL' && value !== 'SIGSTOP'
  );
}

// RFC 6455 7.4: others are reserved, or stand for a close without a code.
function readCloseCode(option: string, value: unknown): number {
  const code = readInteger(option, value, { min: 1000, max: 4999 });
  const isAllowed = code >= 3000 || (code <= 1014 && (code < 1004 || code > 1006));
  if (!isAllowed) throw new InvalidOptionError(option, 'a close code that may be sent', value);
  return code;
}
