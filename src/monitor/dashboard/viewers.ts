import { openEventStream, type EventStream } from '../../sse/index.ts';
import type { HttpRequest, HttpResponse } from '../../internal/http/message.ts';
import { monitorErrors } from '../events.ts';
import { History, type Point, pointOf } from './history.ts';
import { type CompactSnapshot, compactSnapshot } from './policy/compact.ts';
import { sendRefusal } from './respond.ts';
import type { DashboardSource } from './source.ts';

/** What a page gets. The data are JSON. */
interface ViewerEvents {
  readonly settings: string;
  readonly history: string;
  readonly snapshot: string;
}

/** What does not change while the monitor lives. */
interface Settings {
  /** Milliseconds. */
  readonly interval: number;
  readonly alerts: readonly object[];
  /** What can be changed. */
  readonly actions: Readonly<Record<'switch' | 'evict' | 'canary' | 'drain', boolean>>;
  readonly profiles: readonly string[];
}

/** The pages that are open. They share one snapshot, and its text. */
export class Viewers {
  readonly #source: DashboardSource;
  readonly #history = new History();
  readonly #streams = new Set<EventStream<ViewerEvents>>();
  #isClosed = false;

  constructor(source: DashboardSource) {
    this.#source = source;
    // Nothing is served without it, so nothing is kept.
    if (source.options.authorize === undefined) return;
    const forget = source.sampler.onTick(() => this.#tick());
    source.own(() => {
      this.#isClosed = true;
      forget();
      for (const stream of this.#streams) stream.end().catch(report);
    });
  }

  open(req: HttpRequest, res: HttpResponse): void {
    if (this.#isClosed) {
      sendRefusal(res, { status: 503, code: 'closed', message: 'The monitor is closed.' });
      return;
    }
    const stream = openEventStream<ViewerEvents>(req, res, {
      headers: { 'Cache-Control': 'no-store' },
      // A page that lags gets the newest snapshot.
      overflow: 'latest',
      retry: '1s',
      // In a drain it is told to come back to the next process, and holds nothing up.
      drain: 'resumable',
      onError: report,
    });
    if (stream.state !== 'open') return;
    this.#streams.add(stream);
    stream.onClose(() => this.#streams.delete(stream));
    this.#send(stream, 'settings', JSON.stringify(settingsOf(this.#source)));
    this.#send(stream, 'history', JSON.stringify(this.#history.points));
    this.#send(stream, 'snapshot', this.#text());
  }

  /** Sends all pages what an action has changed, before the interval is over. */
  refresh(): void {
    if (this.#streams.size === 0) return;
    const text = this.#text();
    for (const stream of this.#streams) this.#send(stream, 'snapshot', text);
  }

  #tick(): void {
    const point = pointOf(this.#source);
    this.#history.add(point);
    if (this.#streams.size === 0) return;
    const text = this.#text(point);
    for (const stream of this.#streams) this.#send(stream, 'snapshot', text);
  }

  /** @param point - for the charts; none in between intervals */
  #text(point?: Point): string {
    const snapshot: CompactSnapshot = compactSnapshot(this.#source.snapshot());
    return JSON.stringify(point ? { ...snapshot, point } : snapshot);
  }

  #send(stream: EventStream<ViewerEvents>, event: keyof ViewerEvents, data: string): void {
    // The stream may be closing at this moment, which is no error.
    stream.send({ event, data }).catch(() => undefined);
  }
}

function settingsOf({ options }: DashboardSource): Settings {
  return {
    interval: options.interval,
    alerts: options.alerts,
    actions: {
      switch: options.compress !== undefined,
      evict: options.registries.length > 0,
      canary: Object.keys(options.canaries).length > 0,
      drain: options.lifecycle !== undefined,
    },
    profiles: Object.keys(options.profiles),
  };
}

function report(error: unknown): void {
  monitorErrors.report({ error, req: undefined });
}
