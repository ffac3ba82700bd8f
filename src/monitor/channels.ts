import { subscribe } from '../diagnostics.ts';
import { observeErrors } from '../internal/events.ts';
import { type AudienceLoad, audienceLoads } from '../internal/writer/audiences.ts';
import type { ResponseCounters } from './counters.ts';
import { LabelCounts, LabelTable } from './policy/labels.ts';
import { isOwn } from './own.ts';
import type { ChannelSnapshot, ProxySnapshot } from './snapshot.ts';

// Names in messages come from code. An application's own codecs, routes and reasons may add some.
const mostNames = 50;

const noLoad: AudienceLoad = { streams: 0, lagging: 0, queuedBytes: 0 };

/** The events of one channel, or of one family. */
class EventCounters {
  published = 0;
  delivered = 0;
  deliveredBytes = 0;
  replayed = 0;
  readonly resets: LabelCounts = new LabelCounts(mostNames);
}

/** Counts what the parts of the process publish on their diagnostics channels, until it is closed. */
export class ChannelCounters {
  readonly decisions: LabelCounts = new LabelCounts(mostNames);
  readonly expired: LabelCounts = new LabelCounts(mostNames);
  readonly errors: LabelCounts = new LabelCounts(mostNames);
  readonly #responses: LabelCounts = new LabelCounts(mostNames);
  readonly #failures: LabelCounts = new LabelCounts(mostNames);
  readonly #retries: LabelCounts = new LabelCounts(mostNames);
  // By name alone: the keys of a family come from users.
  readonly #events: LabelTable<EventCounters> = new LabelTable(mostNames, () => new EventCounters());
  #ejections = 0;
  readonly #undo: readonly (() => void)[];

  constructor(counters: ResponseCounters) {
    this.#undo = [
      subscribe('sluice:stream:close', ({ req, reason }) => {
        if (!isOwn(req)) counters.streamsEnded.add(reason);
      }),
      subscribe('sluice:compress:bytes', ({ req, coding, bytesIn, bytesOut }) => {
        if (!isOwn(req)) counters.codings.get(coding).saved += bytesIn - bytesOut;
      }),
      subscribe('sluice:compress:decision', ({ reason }) => this.decisions.add(reason)),
      subscribe('sluice:heartbeat:round-trip', ({ roundTrip }) => counters.recordRoundTrip(roundTrip / 1_000)),
      subscribe('sluice:deadline:expired', ({ outcome }) => this.expired.add(outcome)),
      subscribe('sluice:proxy:response', ({ status }) => this.#responses.add(`${Math.floor(status / 100)}xx`)),
      subscribe('sluice:proxy:failure', ({ error }) => this.#failures.add(error.code)),
      subscribe('sluice:proxy:retry', ({ reason }) => this.#retries.add(reason)),
      subscribe('sluice:proxy:upstream', ({ state }) => {
        if (state === 'ejected') this.#ejections += 1;
      }),
      subscribe('sluice:channel:publish', ({ channel }) => {
        this.#events.get(channel).published += 1;
      }),
      subscribe('sluice:channel:segment', ({ channel, events, subscribers, bytes }) => {
        const counters = this.#events.get(channel);
        counters.delivered += events * subscribers;
        counters.deliveredBytes += bytes;
      }),
      subscribe('sluice:channel:subscribe', ({ channel, replayed }) => {
        this.#events.get(channel).replayed += replayed;
      }),
      subscribe('sluice:channel:reset', ({ channel, reason }) => this.#events.get(channel).resets.add(reason)),
      observeErrors((part) => this.errors.add(part)),
    ];
  }

  proxy(): Omit<ProxySnapshot, 'upstreams' | 'canaries'> {
    return {
      responses: this.#responses.toObject(),
      failures: this.#failures.toObject(),
      retries: this.#retries.toObject(),
      ejections: this.#ejections,
    };
  }

  channels(): Record<string, ChannelSnapshot> {
    const loads = this.#loads();
    return this.#events.toObject((counters) => {
      const { streams: subscribers, lagging, queuedBytes } = loads.get(counters) ?? noLoad;
      const { resets, ...counts } = counters;
      return { subscribers, lagging, queuedBytes, ...counts, resets: resets.toObject() };
    });
  }

  /** By counters: several names may share those of `__other__`. */
  #loads(): Map<EventCounters, AudienceLoad> {
    const loads = new Map<EventCounters, AudienceLoad>();
    for (const [name, load] of audienceLoads()) {
      const counters = this.#events.get(name);
      loads.set(counters, addLoads(loads.get(counters) ?? noLoad, load));
    }
    return loads;
  }

  close(): void {
    for (const undo of this.#undo) undo();
  }
}

function addLoads(one: AudienceLoad, other: AudienceLoad): AudienceLoad {
  return {
    streams: one.streams + other.streams,
    lagging: one.lagging + other.lagging,
    queuedBytes: one.queuedBytes + other.queuedBytes,
  };
}
