import { SharedText } from '../../internal/seam/segment.ts';
import { type HeartbeatPort, heartbeatPortOf, type SharedHeartbeats } from '../../internal/writer/shared-heartbeats.ts';
import type { OutStream } from '../../internal/writer/stream.ts';
import type { Framing } from './framing.ts';
import { serveSlice } from './slice.ts';

/** A heartbeat on its way to several clients. */
interface Round {
  readonly heartbeat: Buffer;
  readonly startedAt: number;
  /** Those that did not have their turn. */
  readonly waiting: Set<HeartbeatPort>;
}

/**
 * The text that clients have in common, and these clients. Their heartbeats are part of it: one segment for all, on one
 * clock that the text resets. A heartbeat of its own would take a client out of step with the others, and be compressed
 * for it alone.
 */
export class ChannelText implements SharedHeartbeats {
  readonly #text = new SharedText();
  readonly #readers = new Set<OutStream>();
  /** For heartbeats that only a minority gets: a segment of the text would take the others out of step. */
  #aside: SharedText | undefined;
  /** By the clock of the heartbeats. */
  #appendedAt = -Infinity;
  #round: Round | undefined;

  /** Appends whole events. */
  append(text: string): Buffer {
    const [reader] = this.#readers;
    const port = reader && heartbeatPortOf(reader.seam);
    if (port) this.#appendedAt = port.options.registry.now();
    return this.#text.append(text);
  }

  /** A client gets all of the text from now on. */
  add(reader: OutStream): void {
    this.#readers.add(reader);
    reader.heartbeats = this;
  }

  remove(reader: OutStream): void {
    this.#readers.delete(reader);
    if (reader.heartbeats === this) reader.heartbeats = undefined;
  }

  send(due: HeartbeatPort, now: number): boolean {
    const round = this.#round ?? this.#begin(due, now);
    if (!round?.waiting.delete(due)) return false;
    const isSent = due.take(round.heartbeat, round.startedAt);
    if (this.#round !== round) this.#serve(round);
    return isSent;
  }

  /** `undefined`: the client alone is silent, because it does not get what the others do. */
  #begin({ format: { heartbeat }, options }: HeartbeatPort, now: number): Round | undefined {
    const { every, jitter } = options;
    // Those that have all of the text cannot be due yet.
    if (typeof heartbeat !== 'string' || now < this.#appendedAt + Math.floor(every * (1 - jitter))) return undefined;
    const waiting = new Set<HeartbeatPort>();
    for (const { seam } of this.#readers) {
      const port = heartbeatPortOf(seam);
      if (port?.format.heartbeat === heartbeat && port.options.every === every) waiting.add(port);
    }
    const isOfMost = 2 * waiting.size >= this.#readers.size;
    const text = isOfMost ? this.#text : (this.#aside ??= new SharedText());
    return { heartbeat: text.append(heartbeat), startedAt: now, waiting };
  }

  #serve(round: Round): void {
    const ports = round.waiting.values();
    const hasMore = serveSlice(() => {
      const { done, value: port } = ports.next();
      if (done === true) return false;
      round.waiting.delete(port);
      port.take(round.heartbeat, round.startedAt);
      return true;
    });
    this.#round = hasMore ? round : undefined;
    if (hasMore) setImmediate(() => this.#serve(round));
  }
}

/** The texts of a channel, one for each form that has clients. */
export class ChannelTexts {
  readonly #texts: Partial<Record<Framing, ChannelText>> = {};

  of(framing: Framing): ChannelText {
    return (this.#texts[framing] ??= new ChannelText());
  }
}
