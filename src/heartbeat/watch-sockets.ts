import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type CloseReason, InvalidOptionError } from '../errors.ts';
import { captureScope } from '../internal/context/async-scope.ts';
import { type OptionNames, readBoolean, readFunction, readOptions } from '../internal/option.ts';
import { writtenBytes } from '../internal/health/ack-probe.ts';
import { encodeHeartbeat } from '../internal/format/frame.ts';
import {
  healthAdvice,
  healthNames,
  type HealthOptions,
  type ResolvedHealthOptions,
  resolveHealthOptions,
} from '../internal/health/options.ts';
import type { MonitoredConnection } from '../internal/health/connection.ts';
import { written } from '../internal/health/policy/note.ts';
import {
  type ConnectionTransport,
  isLateness,
  isUnread,
  QueueGauge,
  shortMove,
  type Transport,
} from '../internal/health/transport.ts';

/** Options of `watchSocket`. */
export interface WatchSocketOptions extends HealthOptions {
  /** Whether the peer knows the frame of `encodeHeartbeat`, so that it can be sent. @defaultValue `true` */
  send?: boolean | undefined;
  /**
   * Whether the peer sends something by itself at least every `every`, heartbeats for instance. If not, only what its
   * kernel acknowledges is a sign of life.
   * @defaultValue `true`
   */
  answers?: boolean | undefined;
  /**
   * Whether a heartbeat may be written now: `false` while a message is half written. If it throws, none is written, and
   * the error is published on `sluice:heartbeat:error`. @defaultValue always
   */
  atBoundary?: (() => boolean) | undefined;
}

interface ResolvedWatchSocketOptions extends ResolvedHealthOptions {
  readonly send: boolean;
  readonly answers: boolean;
  readonly atBoundary: () => boolean;
}

/**
 * Watches a connection with a protocol of your own: an upgraded one, one of `node:net` or `node:tls`, any duplex. Sends
 * the frame of `encodeHeartbeat` while nothing else is written. Any byte that comes is a sign of life. It reads nothing
 * itself: your code reads the socket, and takes the heartbeats of the peer out by a `HeartbeatParser`. Returns the
 * undo, which closes nothing. Throws `InvalidOptionError`.
 */
export function watchSocket(duplex: Duplex, given?: WatchSocketOptions): () => void {
  const options = resolveWatchSocketOptions(given);
  if (!(duplex instanceof Duplex))
    throw new InvalidOptionError('watchSocket.duplex', 'a socket or another Duplex', duplex);
  const transport = new SocketTransport(duplex, options);
  return () => transport.release();
}

const names: OptionNames<WatchSocketOptions> = { ...healthNames, send: true, answers: true, atBoundary: true };

function resolveWatchSocketOptions(given: WatchSocketOptions | undefined): ResolvedWatchSocketOptions {
  const options = readOptions('watchSocket', given, names, { instead: healthAdvice });
  return {
    ...resolveHealthOptions('watchSocket', options),
    send: readBoolean('watchSocket.send', options.send ?? true),
    answers: readBoolean('watchSocket.answers', options.answers ?? true),
    atBoundary: readFunction('watchSocket.atBoundary', options.atBoundary) ?? (() => true),
  };
}

/** A socket, or another duplex, as the transport of a monitored connection. */
class SocketTransport implements ConnectionTransport {
  readonly transport: Transport = 'socket';
  readonly answers: boolean;
  readonly quietBy = 'writes' as const;
  readonly label: undefined;
  readonly remoteAddress: string | undefined;
  readonly lookEvery: number;
  readonly #duplex: Duplex;
  readonly #options: ResolvedWatchSocketOptions;
  readonly #gauge = new QueueGauge();
  readonly #connection: MonitoredConnection;
  readonly #uncount: readonly (() => void)[];
  /** The async context of the code that called `watchSocket`. The timer has none, and an evicting request its own. */
  readonly #scope = captureScope();
  #counted = 0;
  #written = 0;

  constructor(duplex: Duplex, options: ResolvedWatchSocketOptions) {
    this.#duplex = duplex;
    this.#options = options;
    this.answers = options.answers;
    const socket = duplex instanceof Socket ? duplex : undefined;
    this.remoteAddress = socket?.remoteAddress;
    // No event reports writes.
    this.lookEvery = Math.min(options.every / 4, options.maxBuffered === Infinity ? Infinity : 1000);
    this.#connection = options.registry.add(this, options, socket);
    this.#uncount = socket
      ? []
      : [
          countCalls(duplex, 'push', (length) => (this.#counted += length)),
          countCalls(duplex, 'write', () => this.#connection.note(written, options.registry.now())),
        ];
    duplex.on('close', this.#duplexOnClose);
    if (duplex.destroyed) this.#duplexOnClose();
  }

  received(): number {
    return this.#duplex instanceof Socket ? this.#duplex.bytesRead : this.#counted;
  }

  queued(): number {
    return this.#duplex.writableLength;
  }

  taken(): number {
    const taken = this.#duplex instanceof Socket ? writtenBytes(this.#duplex) : this.#gauge.look(this.queued());
    if (taken > this.#written) this.#connection.note(written, this.#options.registry.now());
    this.#written = taken;
    return taken;
  }

  given(): number {
    return this.taken() + this.queued();
  }

  isHeld(): boolean {
    return isUnread(this.#duplex);
  }

  ask(now: number): boolean {
    const duplex = this.#duplex;
    if (duplex.destroyed || duplex.writableEnded || !duplex.writable) return false;
    if (this.#options.send && duplex.writableLength === 0 && this.#isAtBoundary()) {
      this.#scope.runInAsyncScope(() => duplex.write(encodeHeartbeat()));
      this.#options.registry.counters.heartbeats += 1;
      this.#connection.note(written, now);
    }
    // Asked or not, the peer should have sent something by now.
    return true;
  }

  move(reason: CloseReason): void {
    if (isLateness(reason)) this.cut();
    else this.#scope.runInAsyncScope(() => this.#duplex.end());
  }

  moveTimeout(): number {
    return shortMove;
  }

  cut(): void {
    this.#scope.runInAsyncScope(() => this.#duplex.destroy());
  }

  release(): void {
    this.#stop();
    this.#connection.release();
  }

  readonly #duplexOnClose = (): void => {
    this.#stop();
    this.#connection.noteClosed('client-closed');
  };

  #stop(): void {
    this.#duplex.off('close', this.#duplexOnClose);
    for (const uncount of this.#uncount) uncount();
  }

  #isAtBoundary(): boolean {
    try {
      return this.#scope.runInAsyncScope(this.#options.atBoundary);
    } catch (error) {
      this.#options.registry.fail(error);
      return false;
    }
  }
}

/** Counts the bytes of a method's calls: what comes in, without reading it, or what goes out. Returns the undo. */
function countCalls(duplex: Duplex, verb: 'push' | 'write', count: (length: number) => void): () => void {
  type Method = (this: Duplex, chunk: unknown, ...rest: unknown[]) => boolean;
  const method = Reflect.get(duplex, verb) as Method;
  const had = Object.hasOwn(duplex, verb);
  const counting: Method = function (chunk, ...rest) {
    if (chunk !== null && chunk !== undefined) count((chunk as { length?: number }).length ?? 1);
    return method.call(this, chunk, ...rest);
  };
  Reflect.set(duplex, verb, counting);
  return () => {
    if (Reflect.get(duplex, verb) !== counting) return;
    if (had) Reflect.set(duplex, verb, method);
    else Reflect.deleteProperty(duplex, verb);
  };
}
