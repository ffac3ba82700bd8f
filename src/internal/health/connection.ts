import type { Socket } from 'node:net';
import type { CloseReason } from '../../errors.ts';
import { varied } from '../time/clock.ts';
import type { Timed, Timing, TimingWheel } from '../time/timing-wheel.ts';
import type { Probed } from './ack-probe.ts';
import type { ConnectionInfo, Monitored } from './connection-info.ts';
import { type HealthPolicy, judge } from './policy/judge.ts';
import {
  createLiveness,
  type Evidence,
  type HealthState,
  isAnswerOwed,
  isHeartbeatDue,
  isPending,
  type Liveness,
} from './policy/liveness.ts';
import { note } from './policy/note.ts';
import { type ConnectionTransport, isLateness } from './transport.ts';

/** What a connection needs of its registry. */
export interface ConnectionHost {
  readonly wheel: TimingWheel;
  /** Whole milliseconds. */
  now(): number;
  /** The connection is over. @param reason - `undefined`: it is only not watched any more */
  remove(connection: MonitoredConnection, reason: CloseReason | undefined): void;
  noteState(connection: MonitoredConnection, previous: HealthState): void;
  noteRoundTrip(connection: MonitoredConnection, previous: number | undefined): void;
  /** Asks the kernel about the connection's socket, soon and until `forgetProbe`. */
  probe(connection: MonitoredConnection): void;
  forgetProbe(connection: MonitoredConnection): void;
  fail(error: unknown): void;
}

/** What a connection is made of. */
export interface ConnectionInput {
  readonly transport: ConnectionTransport;
  readonly policy: HealthPolicy;
  /** Unique in the registry. */
  readonly number: number;
  /** The socket of this connection alone. */
  readonly socket: Socket | undefined;
}

/**
 * One connection that is watched. Evidence changes its liveness; the timer judges it, sends heartbeats, and ends it.
 *
 *     open ──verdict, maxAge, evict──▶ moving ──closed, or moveTimeout──▶ gone
 *       │                                                                  ▲
 *       ├──the same, where moveTimeout is Infinity──▶ leaving ──closed, or─┤
 *       │                                                       verdict    │
 *       └──closed──────────────────────────────────────────────────────────┘
 *
 * `moving` waits for its timeout only. `leaving` is judged until it is gone.
 */
export class MonitoredConnection implements Monitored, Timed {
  /** The wheel's. */
  timing: Timing | undefined;
  /** The registry's, while the kernel is asked. */
  probed: Probed | undefined;
  readonly number: number;
  readonly transport: ConnectionTransport;
  readonly policy: HealthPolicy;
  readonly liveness: Liveness;
  /** The socket that the kernel is asked about. */
  readonly socket: Socket | undefined;
  readonly #host: ConnectionHost;
  readonly #openedAt: number;
  readonly #endsAt: number | undefined;
  #phase: 'open' | 'leaving' | 'moving' | 'gone' = 'open';
  #reason: CloseReason | undefined;

  constructor(host: ConnectionHost, { transport, policy, number, socket }: ConnectionInput) {
    const now = host.now();
    this.#host = host;
    this.transport = transport;
    this.policy = policy;
    this.number = number;
    this.socket = policy.isProbing && socket && isTcp(socket) ? socket : undefined;
    this.#openedAt = now;
    const nature = {
      answers: transport.answers,
      quietBy: transport.quietBy,
      isFollowed: this.socket !== undefined,
      interval: drawInterval(policy),
      readDeadline: Math.round(varied(policy.readDeadline, policy.readJitter, Math.random)),
      received: transport.received(),
    };
    this.liveness = createLiveness(nature, now);
    if (policy.maxAge !== Infinity) this.#endsAt = Math.round(now + varied(policy.maxAge, policy.jitter, Math.random));
    if (socket && !this.socket) keepAlive(socket, transport, policy);
    this.#scheduleNext(Infinity);
  }

  get id(): string {
    return `${this.transport.transport}-${this.number}`;
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** Takes in one observation. */
  note(evidence: Evidence, now: number): void {
    if (this.#phase === 'gone') return;
    const { liveness, policy } = this;
    const { roundTrip, queue } = liveness;
    if (isFull(evidence, queue) && this.transport.queued() > policy.maxBuffered) {
      this.evict('slow-consumer');
      if (evidence.kind === 'full') return;
    }
    const isUrgent = note(liveness, evidence, now);
    if (liveness.roundTrip !== roundTrip) this.#host.noteRoundTrip(this, roundTrip);
    if (isComplete(evidence) && !liveness.question) this.#host.forgetProbe(this);
    if (isUrgent) this.#lookBy(now);
    else if (!queue && liveness.queue) this.#lookBy(now + policy.writeDeadline);
  }

  /** Stops watching. The connection goes on. */
  release(): void {
    this.#leaveRegistry(undefined);
  }

  /** The connection is closed. */
  noteClosed(reason: CloseReason): void {
    this.#leaveRegistry(this.#reason ?? reason);
  }

  onTime(now: number): void {
    try {
      this.#look(now);
    } catch (error) {
      this.#host.fail(error);
      // Or it would stay open, and not be watched.
      this.#cut();
    }
  }

  /** Sends the client away, and cuts the connection if it does not go. */
  evict(reason: CloseReason, cause?: Error): void {
    const { transport } = this;
    // A response that has ended goes by itself, and only lateness can stop it.
    if (this.#phase !== 'open' || (transport.isEnding?.() && !isLateness(reason))) return;
    this.#phase = 'moving';
    this.#reason = reason;
    try {
      const timeout = transport.moveTimeout(reason);
      if (timeout === Infinity) this.#phase = 'leaving';
      else this.#host.wheel.schedule(this, this.#host.now() + timeout);
      transport.move(reason, cause);
    } catch (error) {
      this.#host.fail(error);
      this.#cut();
    }
  }

  info(now: number): ConnectionInfo {
    const { transport, liveness } = this;
    return {
      id: this.id,
      transport: transport.transport,
      state: liveness.state,
      remoteAddress: transport.remoteAddress,
      label: transport.label,
      age: now - this.#openedAt,
      silence: now - liveness.heardAt,
      roundTrip: liveness.roundTrip,
      bufferedBytes: transport.queued(),
      failures: Math.max(liveness.failures, liveness.queue?.failures ?? 0),
    };
  }

  #look(now: number): void {
    const { transport, liveness } = this;
    if (this.#phase === 'gone') return;
    if (this.#phase === 'moving') {
      this.#cut();
      return;
    }
    const queued = transport.queued();
    note(liveness, { kind: 'sampled', received: transport.received(), queued, taken: transport.taken() }, now);
    const reason = this.#phase === 'open' ? this.#reasonToMove(queued, now) : undefined;
    if (reason) this.evict(reason);
    else this.#judge(now);
  }

  #reasonToMove(queued: number, now: number): CloseReason | undefined {
    const { transport, policy } = this;
    if (queued > policy.maxBuffered) return 'slow-consumer';
    if (transport.isEnding?.()) return undefined;
    if (this.#endsAt !== undefined && now >= this.#endsAt) return 'draining';
    return queued === 0 && now >= idleAt(transport, policy) ? 'idle' : undefined;
  }

  #judge(now: number): void {
    const { liveness } = this;
    const { state } = liveness;
    if (this.transport.isHeld?.()) note(liveness, { kind: 'unread' }, now);
    if (isHeartbeatDue(liveness, now)) this.#ask(now);
    else if (isAnswerOwed(liveness, now)) note(liveness, { kind: 'asked', behind: undefined }, now);
    const judgement = judge(liveness, this.policy, now);
    note(liveness, judgement, now);
    if (liveness.state !== state) this.#host.noteState(this, state);
    // A listener may have ended it.
    if (!this.#isWatched()) return;
    if (judgement.verdict) {
      if (this.#phase === 'leaving') this.#cut(judgement.verdict);
      else this.evict(judgement.verdict);
      return;
    }
    if (this.socket && isPending(liveness)) this.#host.probe(this);
    this.#scheduleNext(judgement.lookAt);
  }

  #ask(now: number): void {
    const { transport, liveness } = this;
    note(liveness, { kind: 'due', interval: drawInterval(this.policy) }, now);
    // What the network still tries to send keeps the path open by itself. More of it makes the path slower: it queues
    // behind that, and late acknowledgements raise the RTO.
    if (liveness.wait) return;
    const behind = transport.given?.();
    if (transport.ask(now) && liveness.answers) note(liveness, { kind: 'asked', behind }, now);
  }

  #scheduleNext(lookAt: number): void {
    const { transport, policy, liveness } = this;
    const { lookedAt, quietAt, interval } = liveness;
    const endsAt = this.#phase === 'open' && !transport.isEnding?.() ? (this.#endsAt ?? Infinity) : Infinity;
    const next = Math.min(quietAt + interval, lookAt, endsAt, lookedAt + (transport.lookEvery ?? Infinity));
    const idle = idleAt(transport, policy);
    // One that is idle already, while the queue is full, is looked at when the others are.
    this.#host.wheel.schedule(this, idle > lookedAt ? Math.min(next, idle) : next);
  }

  #lookBy(at: number): void {
    if (this.#isWatched()) this.#host.wheel.schedule(this, Math.min(this.timing?.at ?? Infinity, at));
  }

  #isWatched(): boolean {
    return this.#phase === 'open' || this.#phase === 'leaving';
  }

  #cut(reason: CloseReason = this.#reason ?? 'error'): void {
    try {
      this.transport.cut(reason);
    } catch (error) {
      this.#host.fail(error);
    }
    this.noteClosed(reason);
  }

  #leaveRegistry(reason: CloseReason | undefined): void {
    if (this.#phase === 'gone') return;
    this.#phase = 'gone';
    this.#host.wheel.cancel(this);
    this.#host.forgetProbe(this);
    this.#host.remove(this, reason);
  }
}

/** Whether the queue was found full: by a write, or by an account of the kernel that is news. */
function isFull({ kind }: Evidence, queue: Liveness['queue']): boolean {
  return kind === 'full' || (kind === 'window-closed' && !queue);
}

/** Whether nothing waits for its acknowledgement any more. */
function isComplete(evidence: Evidence): boolean {
  return evidence.kind === 'acknowledged' && evidence.isAll;
}

/** When the producer of a stream has been idle for too long; `Infinity`: never. */
function idleAt(transport: ConnectionTransport, { idleProducer }: HealthPolicy): number {
  return idleProducer === Infinity ? Infinity : (transport.producedAt?.() ?? Infinity) + idleProducer;
}

function drawInterval({ every, jitter }: HealthPolicy): number {
  return Math.round(varied(every, jitter, Math.random));
}

/**
 * All that there is where the kernel does not tell: it finds dead peers, but only while nothing waits for them. The
 * socket of an HTTP/2 session throws when it is touched, and the session has its PING.
 */
function keepAlive(socket: Partial<Socket>, { transport }: ConnectionTransport, { every }: HealthPolicy): void {
  if (every !== Infinity && transport !== 'http2') socket.setKeepAlive?.(true, every);
}

/**
 * Whether the kernel has an account of a socket. Node keeps the peer's address, 90 bytes, from the first question for
 * it on: for most sockets the kind of their handle says enough.
 */
function isTcp(socket: Socket): boolean {
  const { _handle: handle } = socket as { _handle?: object | null };
  return handle?.constructor.name === 'TCP' || socket.remotePort !== undefined;
}
