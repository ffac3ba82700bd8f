import { type Compression, compress, type CompressOptions } from '../compress/index.ts';
import { deadline, type Deadline, type DeadlineOptions } from '../deadline/index.ts';
import { heartbeat, type Heartbeat, type HeartbeatOptions } from '../heartbeat/index.ts';
import { InvalidOptionError } from '../errors.ts';
import { type OptionNames, readOptions } from '../internal/option.ts';
import { type Lifecycle, lifecycle, type LifecycleOptions } from '../lifecycle/index.ts';
import { monitor, type Monitor, type MonitorOptions } from '../monitor/index.ts';

/** Options of `sluice`: for each part its options, a middleware that you have made, or `false`. */
export interface SluiceOptions {
  /** Numbers, metrics, alerts. It gets the other parts by itself. @defaultValue on, and nothing is served */
  monitor?: MonitorOptions | Monitor | false | undefined;
  /** Graceful shutdown. @defaultValue on */
  lifecycle?: LifecycleOptions | Lifecycle | false | undefined;
  /** Deadlines and AbortSignals. @defaultValue on: what clients ask for, and no limit of its own */
  deadline?: DeadlineOptions | Deadline | false | undefined;
  /** Heartbeats, and the health of connections. @defaultValue on */
  heartbeat?: HeartbeatOptions | Heartbeat | false | undefined;
  /** Compression. @defaultValue on, with a governor */
  compress?: CompressOptions | Compression | false | undefined;
}

/** The parts, each `undefined` where it is off. */
export interface Parts {
  readonly monitor: Monitor | undefined;
  readonly lifecycle: Lifecycle | undefined;
  readonly deadline: Deadline | undefined;
  readonly heartbeat: Heartbeat | undefined;
  readonly compress: Compression | undefined;
  /** Closes the parts that were made here. Those of the application are its own. */
  close(): void;
}

const names: OptionNames<SluiceOptions> = {
  monitor: true,
  lifecycle: true,
  deadline: true,
  heartbeat: true,
  compress: true,
};

const advice = {
  instead: {
    compression: 'compress',
    shutdown: 'lifecycle',
    timeout: 'deadline',
    metrics: 'monitor',
    ping: 'heartbeat',
  },
};

/** A member that each part has, and no other function. */
const members: Readonly<Record<keyof SluiceOptions, string>> = {
  monitor: 'snapshot',
  lifecycle: 'drain',
  deadline: 'lateCalls',
  heartbeat: 'registry',
  compress: 'switch',
};

/** Throws `InvalidOptionError` for a value that is no part and no options, such as the factory itself. */
function requirePart(name: keyof SluiceOptions, value: unknown): void {
  const isRight = typeof value === 'function' ? members[name] in value : typeof value === 'object';
  if (!isRight)
    throw new InvalidOptionError(`sluice.${name}`, `its options, what \`${name}()\` returns, or \`false\``, value);
}

/** Makes the parts. Throws `InvalidOptionError`. */
export function makeParts(given: SluiceOptions | undefined): Parts {
  const options = readOptions('sluice', given, names, advice);
  const closers: (() => void)[] = [];

  /** A part of the application as it is; else one that is made of its options. */
  function part<T extends object, O extends object>(
    name: keyof SluiceOptions,
    value: O | T | false | undefined,
    make: (options: O) => T,
  ): T | undefined {
    if (value === false) return undefined;
    if (value !== undefined) requirePart(name, value);
    if (typeof value === 'function') return value;
    const made = make((value ?? {}) as O) as T & { close?: () => void };
    if (made.close) closers.push(() => made.close?.());
    return made;
  }

  try {
    const beats = part<Heartbeat, HeartbeatOptions>('heartbeat', options.heartbeat, heartbeat);
    const compression = part<Compression, CompressOptions>('compress', options.compress, (each) =>
      compress({ governor: {}, ...each }),
    );
    const life = part<Lifecycle, LifecycleOptions>('lifecycle', options.lifecycle, lifecycle);
    return {
      heartbeat: beats,
      compress: compression,
      lifecycle: life,
      deadline: part<Deadline, DeadlineOptions>('deadline', options.deadline, deadline),
      monitor: part<Monitor, MonitorOptions>('monitor', options.monitor, (each) =>
        monitor({ registry: beats?.registry ?? [], compress: compression, lifecycle: life, ...each }),
      ),
      close: () => closers.forEach((close) => close()),
    };
  } catch (error) {
    // One that is made has signals, timers or subscriptions already.
    for (const close of closers) close();
    throw error;
  }
}
