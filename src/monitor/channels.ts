import { subscribe } from '../diagnostics.ts';
import { observeErrors } from '../internal/events.ts';
import type { ResponseCounters } from './counters.ts';
import { LabelCounts } from './policy/labels.ts';
import { isOwn } from './own.ts';
import type { ProxySnapshot } from './snapshot.ts';

// Names in messages come from code. An application's own codecs, routes and reasons may add some.
const mostNames = 50;

/** Counts what the parts of the process publish on their diagnostics channels, until it is closed. */
export class ChannelCounters {
  readonly decisions: LabelCounts = new LabelCounts(mostNames);
  readonly expired: LabelCounts = new LabelCounts(mostNames);
  readonly errors: LabelCounts = new LabelCounts(mostNames);
  readonly #responses: LabelCounts = new LabelCounts(mostNames);
  readonly #failures: LabelCounts = new LabelCounts(mostNames);
  readonly #retries: LabelCounts = new LabelCounts(mostNames);
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

  close(): void {
    for (const undo of this.#undo) undo();
  }
}
