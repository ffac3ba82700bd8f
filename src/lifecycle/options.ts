import { constants } from 'node:os';
import { InvalidOptionError } from '../errors.ts';
import { longestDelay } from '../internal/time/clock.ts';
import type { Hook, RoutedRequest } from '../internal/http/framework.ts';
import type { HttpRequest } from '../internal/http/message.ts';
import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readBoolean,
  readDuration,
  readFunction,
  readInteger,
  readOptions,
  refuseWhen,
} from '../internal/option.ts';
import { isProbe } from './probes.ts';

/** Options of `lifecycle`. Durations are milliseconds or a string for `ms`. */
export interface LifecycleOptions {
  /**
   * The limit of a whole drain; the rest is cut then. Keep it below the time after which the process is killed: 30 s on
   * Kubernetes, less the `preStop` hook. `Infinity`: only a second signal cuts.
   * @defaultValue `'25s'`
   */
  drainTimeout?: Duration | undefined;
  /**
   * How long a drain still serves everything, because load balancers learn late. Part of `drainTimeout`. `0`: not at
   * all. Skipped if nothing is open and no probe ever came: there is no load balancer then.
   * @defaultValue `'5s'`, or a fifth of `drainTimeout` where that is less
   */
  preDrain?: Duration | undefined;
  /**
   * The window after `preDrain` over which resumable streams and WebSockets are asked to reconnect, one by one. Part of
   * `drainTimeout`: at most four fifths of what `preDrain` leaves. `0`: all at once.
   * @defaultValue `'10s'`, or two fifths of `drainTimeout` where that is less
   */
  spread?: Duration | undefined;
  /**
   * Signals that begin a drain. A second one, after `forceAfter`, cuts the rest. Until `dead` they no longer end the
   * process by themselves. `false` or `[]`: none, for a lifecycle of only a part of the process.
   * @defaultValue `['SIGTERM']`
   */
  signals?: readonly NodeJS.Signals[] | false | undefined;
  /**
   * How long after the first signal a second one cuts the rest. An earlier one is the same Ctrl-C, which under npm
   * reaches the process twice. `Infinity`: none cuts.
   * @defaultValue `'1s'`
   */
  forceAfter?: Duration | undefined;
  /**
   * Whether to call `process.exit` after a drain: with 0 if nothing was cut, else 1. Without it the process ends when
   * nothing keeps it alive, which leaves time to close databases.
   * @defaultValue `false`
   */
  exit?: boolean | undefined;
  /**
   * The `keepAliveTimeout` that `attach` sets on a server that still has Node's default of 5 s. `headersTimeout` is
   * raised above it. Keep it longer than the idle timeout of the load balancer, which would else send a request on a
   * connection that is being closed. `false`: changes neither.
   * @defaultValue `'75s'`
   */
  keepAlive?: Duration | false | undefined;
  /**
   * The `Retry-After` of a refused request, spread evenly between 0.5 and 1.5 times this. Sent as whole seconds, at
   * least 1.
   * @defaultValue `'5s'`
   */
  retryAfter?: Duration | undefined;
  /** The retry hint to a refused event source, with the same spread. At least 1 ms. @defaultValue `'2s'` */
  reconnectDelay?: Duration | undefined;
  /**
   * Requests that are served at any time. An error that it throws is published on `sluice:lifecycle:error` and means
   * no.
   * @defaultValue paths that end in `/livez`, `/readyz` or `/healthz`
   */
  exempt?: Hook<[req: RoutedRequest]> | undefined;
  /**
   * The close code for WebSockets: 1012 means service restart, 1001 going away.
   * @defaultValue `1012`
   */
  webSocketCode?: number | undefined;
}

/** `LifecycleOptions` with every default filled in. */
export interface ResolvedLifecycleOptions {
  readonly drainTimeout: number;
  readonly preDrain: number;
  readonly spread: number;
  readonly signals: readonly NodeJS.Signals[];
  readonly forceAfter: number;
  readonly exit: boolean;
  /** `undefined`: unchanged. */
  readonly keepAlive: number | undefined;
  readonly retryAfter: number;
  readonly reconnectDelay: number;
  readonly exempt: (req: HttpRequest) => unknown;
  readonly webSocketCode: number;
}

const names: OptionNames<LifecycleOptions> = {
  drainTimeout: true,
  preDrain: true,
  spread: true,
  signals: true,
  forceAfter: true,
  exit: true,
  keepAlive: true,
  retryAfter: true,
  reconnectDelay: true,
  exempt: true,
  webSocketCode: true,
};

const listen = "Listen: `life.on('state', ({ state }) => …)`, or wait for `life.drain()`.";
const probes = "Mount `life.ready` and `life.live`: `app.get('/readyz', life.ready)`.";
const attach = 'Call `life.attach(server)`.';

const advice: OptionAdvice = {
  single: 'drainTimeout',
  instead: {
    timeout: 'drainTimeout',
    gracefulTerminationTimeout: 'drainTimeout',
    forceTimeout: 'drainTimeout',
    shutdownTimeout: 'drainTimeout',
    grace: 'drainTimeout',
    delay: 'preDrain',
    signal: 'signals',
    keepAliveTimeout: 'keepAlive',
    server: attach,
    servers: attach,
    onSignal: listen,
    onShutdown: listen,
    beforeShutdown: listen,
    onSendFailureDuringShutdown: listen,
    onDrain: listen,
    healthChecks: probes,
    readiness: probes,
    liveness: probes,
    logger: 'Nothing is printed. Subscribe to the diagnostics channels, or set DEBUG=sluice:lifecycle.',
  },
};

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveLifecycleOptions(given: LifecycleOptions | undefined): ResolvedLifecycleOptions {
  const options = readOptions('lifecycle', given, names, advice);
  const drainTimeout =
    options.drainTimeout === Infinity
      ? Infinity
      : readDuration('lifecycle.drainTimeout', options.drainTimeout ?? '25s', { max: longestDelay });
  const max = Math.min(drainTimeout, longestDelay);
  const readPart = (name: string, value: Duration | undefined, byDefault: number): number =>
    value === undefined ? byDefault : readDuration(`lifecycle.${name}`, value, { max });
  const preDrain = readPart('preDrain', options.preDrain, Math.min(5000, drainTimeout / 5));
  const spread = readPart('spread', options.spread, Math.min(10_000, (drainTimeout * 2) / 5));
  refuseWhen(
    options.preDrain !== undefined && options.spread !== undefined && preDrain + spread > drainTimeout,
    'lifecycle.spread',
    'does not fit: `preDrain` and `spread` together are longer than `drainTimeout`, of which they are parts.',
  );
  return {
    drainTimeout,
    preDrain,
    spread,
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
    exempt:
      (readFunction('lifecycle.exempt', options.exempt) as ResolvedLifecycleOptions['exempt'] | undefined) ?? isProbe,
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

// RFC 6455 7.4: the others are reserved, or stand for a close without a code.
function readCloseCode(option: string, value: unknown): number {
  const code = readInteger(option, value, { min: 1000, max: 4999 });
  const isAllowed = code >= 3000 || (code <= 1014 && (code < 1004 || code > 1006));
  if (!isAllowed) throw new InvalidOptionError(option, 'a close code that may be sent', value);
  return code;
}
