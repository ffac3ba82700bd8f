import type { Socket } from 'node:net';
import type { CloseReason } from '../../errors.ts';
import { varied } from '../time/clock.ts';
import type { Timed, Timing, TimingWheel } from '../time/timing-wheel.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { unhurried } from './channel.ts';
import type { ConnectionInfo } from './connection-info.ts';
import { decideHealth, type HealthState } from './policy/liveness.ts';
import type { HealthPolicy } from './policy/health-policy.ts';
import { leastRto } from './policy/patience.ts';
import { ReadChannel } from './read-channel.ts';
import { isLateness, type Wire } from './transport.ts';
import { WriteChannel } from './write-channel.ts';

/** What a connection asks of its registry. */
export interface ConnectionHost {
  readonly wheel: TimingWheel;
  /** Whole milliseconds. */
  now(): number;
  /** The connection is over. @param reason - `undefined`: it is not watched any more */
  remove(peer: Peer, reason: CloseReason | undefined): void;
  noteState(peer: Peer, previous: HealthState): void;
  noteRoundTrip(before: number | undefined, after: number | undefined): void;
  noteHeartbeat(): void;
  probe(acknowledgements: Acknowledgements): void;
  forgetProbe(acknowledgements: Acknowledgements): void;
  fail(error: unknown): void;
}

/**
 * One connection and what is known of its health: evidence goes in, to the channel that it is of, and when the clock
 * comes by, it is looked at.
 *
 *     open ──verdict, maxAge, evict──▶ moving ──closed, or moveTimeout──▶ gone
 *       └──────────────closed by whomever──────────────────────────────────▲
 *
 * One that may take as long as it likes to go is looked at until it has.
 */
export class Peer implements Timed {
  timing: Timing | undefined;
  /** Of its registry. */
  readonly number: number;
  readonly wire: Wire;
  readonly openedAt: number;
  readonly policy: HealthPolicy;
  readonly #registry: ConnectionHost;
  readonly #read: ReadChannel;
  /** While something waits. */
  #write: WriteChannel | undefined;
  #taken = 0;
  #delivered = 0;
  /** Of which the kernel tells what is acknowledged. */
  #socket: Socket | undefined;
  /** While something is not. */
  #acknowledgements: Acknowledgements | undefined;
  #phase: 'open' | 'leaving' | 'moving' | 'gone' = 'open';
  #reason: CloseReason | undefined;
  #state: HealthState = 'healthy';
  #lookedAt: number;
  /** Since when a heartbeat is not superfluous. */
  #quietAt: number;
  #interval: number;
  readonly #endsAt: number | undefined;
  #received: number | undefined;

  constructor(registry: ConnectionHost, wire: Wire, policy: HealthPolicy, number: number) {
    const now = registry.now();
    this.#registry = registry;
    this.wire = wire;
    this.policy = policy;
    this.number = number;
    this.openedAt = this.#quietAt = this.#lookedAt = now;
    this.#interval = this.#drawInterval();
    const readDeadline = Math.round(varied(policy.readDeadline, policy.readJitter, Math.random));
    this.#read = new ReadChannel(now, readDeadline, policy.grace);
    if (policy.maxAge !== Infinity) this.#endsAt = Math.round(now + varied(policy.maxAge, policy.jitter, Math.random));
    this.#received = wire.received();
  }

  get id(): string {
    return `${this.wire.transport}-${this.number}`;
  }

  get state(): HealthState {
    return this.#state;
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** Of the last answer, in ms; `undefined` before the first. */
  get roundTrip(): number | undefined {
    return this.#read.roundTrip;
  }

  /** Whether acknowledgements of the peer's kernel are looked up. */
  get isProbed(): boolean {
    return this.#socket !== undefined;
  }

  /**
   * Sets its first time.
   * @param socket - that carries it, and nothing else
   */
  start(socket: Socket | undefined): void {
    if (socket) this.#followSocket(socket);
    this.#scheduleNext(Infinity);
  }

  // Evidence.

  /** Bytes were written. */
  noteWrite(now: number): void {
    if (this.wire.quietBy === 'writes') this.#quietAt = now;
    this.#read.noteSent(now, this.isProbed);
  }

  /** A write found the queue full. */
  noteCongestion(now: number): void {
    if (this.wire.queued() > this.policy.maxBuffered) {
      this.evict('slow-consumer');
      return;
    }
    if (!this.#write?.isStalled && this.#phase !== 'moving' && this.#phase !== 'gone')
      this.#registry.wheel.schedule(this, Math.min(this.timing?.at ?? Infinity, now + this.policy.writeDeadline));
    this.#openWrite().noteFull(now);
  }

  /** A sign of life. @param roundTrip - where it is the answer to a question: how long that took, in ms */
  noteLife(now: number, roundTrip?: number): void {
    this.#read.noteHeard(now);
    if (this.wire.quietBy === 'reads') this.#quietAt = now;
    if (roundTrip !== undefined) this.#addRoundTrip(roundTrip);
    if (this.#read.failures > 0) this.#soon(now);
  }

  /** The kernel of the peer has acknowledged bytes. @param isAll - all that there were */
  noteAcknowledged(now: number, isAll: boolean): void {
    this.#read.noteAcknowledged(now, isAll);
    this.#write?.noteAcknowledged(now);
    if (isAll && !this.#read.isAsked) this.#forgetAcknowledgements();
    if (!this.wire.answers) this.noteLife(this.#read.ackedAt);
  }

  /**
   * @param delivered - bytes that the kernel of the peer has acknowledged so far, @param isCompared - with those of
   * before
   */
  noteDelivered(delivered: number, now: number, isCompared: boolean): void {
    this.#write?.noteDelivered(delivered, now, isCompared);
    if (delivered > this.#delivered) this.#read.noteDelivered(delivered, now);
    this.#delivered = Math.max(this.#delivered, delivered);
  }

  /** Bytes that the kernel of the peer has acknowledged, as far as that is known. */
  get delivered(): number {
    return this.#delivered;
  }

  /** The kernel of the peer lives; whoever should read there does not. */
  noteWindowClosed(now: number): void {
    this.#read.noteWindowClosed(now);
    if (!this.#write?.isStalled) this.noteCongestion(now);
    this.#openWrite().noteWindowClosed(now);
    if (!this.wire.answers) this.noteLife(now);
  }

  /** The kernel of the peer has acknowledged nothing new. */
  noteUnacknowledged(now: number): void {
    this.#read.noteUnacknowledged(now);
    this.#soon(now);
  }

  /** What the kernel says of the way. @param isLosing - it sends something for the second time at least */
  notePath(rto: number | undefined, isLosing: boolean): void {
    this.#read.notePath(rto, isLosing);
    // RFC 6298 2: what is over the least is no less than the round trip.
    if (rto !== undefined && !this.wire.answers && !isLosing) this.#addRoundTrip(rto - leastRto);
  }

  /** It is not watched any more, and goes on. */
  release(): void {
    this.#leaveRegistry(undefined);
  }

  /** The connection is closed. */
  noteClosed(reason: CloseReason): void {
    this.#leaveRegistry(this.#reason ?? reason);
  }

  // What happens at its time.

  onTime(now: number): void {
    try {
      this.#look(now);
    } catch (error) {
      this.#registry.fail(error);
      // Or it would go on, and nobody would watch it.
      this.#cut();
    }
  }

  /** Sends it away, and sees to it that it goes. */
  evict(reason: CloseReason, cause?: Error): void {
    // What has ended is on its way, and only lateness can stop it.
    if (this.#phase !== 'open' || (this.wire.isEnding?.() && !isLateness(reason))) return;
    this.#phase = 'moving';
    this.#reason = reason;
    try {
      this.#limitMove(this.wire.moveTimeout(reason));
      this.wire.move(reason, cause);
    } catch (error) {
      this.#registry.fail(error);
      this.#cut();
    }
  }

  info(now: number): ConnectionInfo {
    const { wire } = this;
    return {
      id: this.id,
      transport: wire.transport,
      state: this.#state,
      remoteAddress: wire.remoteAddress,
      label: wire.label,
      age: now - this.openedAt,
      silence: now - this.#read.heardAt,
      roundTrip: this.roundTrip,
      bufferedBytes: wire.queued(),
      failures: Math.max(this.#read.failures, this.#write?.failures ?? 0),
    };
  }

  /** Cuts it after a time, or watches it on. */
  #limitMove(timeout: number): void {
    if (timeout === Infinity) this.#phase = 'leaving';
    else this.#registry.wheel.schedule(this, this.#registry.now() + timeout);
  }

  #look(now: number): void {
    if (this.#phase === 'gone') return;
    if (this.#phase === 'moving') {
      this.#cut();
      return;
    }
    const queued = this.wire.queued();
    this.#sample(queued, now);
    const reason = this.#phase === 'open' ? this.#reasonToGo(queued, now) : undefined;
    if (reason) this.evict(reason);
    else this.#judge(now);
  }

  #reasonToGo(queued: number, now: number): CloseReason | undefined {
    if (queued > this.policy.maxBuffered) return 'slow-consumer';
    if (this.wire.isEnding?.()) return undefined;
    if (this.#endsAt !== undefined && now >= this.#endsAt) return 'draining';
    return queued === 0 && this.#isProducerIdle(now) ? 'idle' : undefined;
  }

  #leaveRegistry(reason: CloseReason | undefined): void {
    if (this.#phase === 'gone') return;
    this.#phase = 'gone';
    this.#forgetAcknowledgements();
    this.#registry.remove(this, reason);
  }

  #cut(reason: CloseReason = this.#reason ?? 'error'): void {
    try {
      this.wire.cut(reason);
    } catch (error) {
      this.#registry.fail(error);
    }
    this.noteClosed(reason);
  }

  #judge(now: number): void {
    if (this.wire.isHeld?.()) this.#read.noteUnread(now);
    if (now >= this.#quietAt + this.#interval) this.#ask(now);
    else if (this.#isOwedAnyway(now)) this.#read.noteAsked(now);
    const health = decideHealth(
      { read: this.#read.evidence(now), write: this.#write?.evidence(this.isProbed) ?? unhurried },
      this.policy,
      now,
    );
    this.#read.count(health.failed.read, health.state === 'read-late' || health.state === 'dead', now);
    this.#write?.count(health.failed.write, health.state === 'write-late' || health.state === 'dead', now);
    this.#moveTo(health.state);
    // Its own listeners may have ended it.
    if (this.#phase !== 'open' && this.#phase !== 'leaving') return;
    if (health.verdict) {
      this.#giveUp(health.verdict);
      return;
    }
    this.#lookedAt = now;
    this.#awaitAcknowledgement();
    this.#scheduleNext(health.lookAt);
  }

  #giveUp(verdict: CloseReason): void {
    if (this.#phase === 'leaving') this.#cut(verdict);
    else this.evict(verdict);
  }

  /** What is not told by events. */
  #sample(queued: number, now: number): void {
    const received = this.wire.received();
    if (received !== this.#received) {
      this.#received = received;
      // Some time since the last look: as early as it can have been, since what is asked from here on is to be answered
      // anew.
      if (this.wire.answers) this.noteLife(Math.max(this.#read.heardAt, this.#lookedAt));
      else this.#read.noteNoise(this.#lookedAt);
    }
    this.#sampleQueue(queued, this.wire.taken(), now);
  }

  #sampleQueue(queued: number, taken: number, now: number): void {
    if (queued > 0) this.#openWrite();
    // Elsewhere the kernel tells.
    if (!this.#socket && taken > this.#taken) this.#read.noteDelivered(taken, now);
    this.#write?.sample(queued, taken, now);
    if (!this.#write?.isStalled) this.#write = undefined;
    this.#taken = taken;
  }

  #openWrite(): WriteChannel {
    return (this.#write ??= new WriteChannel(this.policy, this.#taken));
  }

  #ask(now: number): void {
    this.#quietAt = now;
    this.#interval = this.#drawInterval();
    // What the network still tries to send keeps the way open by itself, and more of it makes it slower: behind it, and
    // by what late acknowledgements do to the RTO.
    if (this.#read.isKernelWaiting) return;
    const behind = this.wire.given?.();
    if (this.wire.ask(now) && this.wire.answers) this.#read.noteAsked(now, behind);
  }

  #moveTo(state: HealthState): void {
    if (state === this.#state) return;
    const previous = this.#state;
    this.#state = state;
    this.#registry.noteState(this, previous);
  }

  #awaitAcknowledgement(): void {
    if (this.#socket && (this.#read.isUnacknowledged || this.#read.isAsked || this.#write?.isStalled))
      this.#registry.probe((this.#acknowledgements ??= new Acknowledgements(this, this.#socket)));
  }

  #forgetAcknowledgements(): void {
    if (this.#acknowledgements) this.#registry.forgetProbe(this.#acknowledgements);
    this.#acknowledgements = undefined;
  }

  #followSocket(socket: Socket): void {
    const { isProbing, every } = this.policy;
    if (isProbing && socket.remotePort !== undefined) this.#socket = socket;
    // All that there is elsewhere: it finds the dead, but only while nothing waits for them. That of a session throws
    // when it is touched, and the session has its PING.
    else if (every !== Infinity && this.wire.transport !== 'http2')
      (socket as Partial<Socket>).setKeepAlive?.(true, every);
  }

  /**
   * One that answers by itself, and is written to all the time, is never asked, and was to send something all the same.
   */
  #isOwedAnyway(now: number): boolean {
    return (
      this.wire.answers &&
      this.wire.quietBy === 'writes' &&
      this.#quietAt === this.#read.sentAt &&
      now >= this.#read.heardAt + this.#interval
    );
  }

  #isProducerIdle(now: number): boolean {
    const { idleProducer } = this.policy;
    return idleProducer !== Infinity && now >= (this.wire.producedAt?.() ?? Infinity) + idleProducer;
  }

  #scheduleNext(lookAt: number): void {
    const idleAt = (this.wire.producedAt?.() ?? Infinity) + this.policy.idleProducer;
    const endsAt = this.#phase === 'open' && !this.wire.isEnding?.() ? (this.#endsAt ?? Infinity) : Infinity;
    const next = Math.min(
      this.#quietAt + this.#interval,
      lookAt,
      endsAt,
      this.#lookedAt + (this.wire.lookEvery ?? Infinity),
    );
    // One that has passed already, while the queue is full, is looked at when the others are.
    this.#registry.wheel.schedule(this, idleAt > this.#lookedAt ? Math.min(next, idleAt) : next);
  }

  #soon(now: number): void {
    if (this.#phase === 'open' || this.#phase === 'leaving') this.#registry.wheel.schedule(this, now);
  }

  #addRoundTrip(roundTrip: number): void {
    // The answer to a question of before.
    if (this.#phase === 'gone') return;
    const before = this.roundTrip;
    this.#read.noteRoundTrip(roundTrip, this.wire.answers);
    this.#registry.noteRoundTrip(before, this.roundTrip);
  }

  #drawInterval(): number {
    return Math.round(varied(this.policy.every, this.policy.jitter, Math.random));
  }
}
