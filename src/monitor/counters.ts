import { Histogram, responseBounds, streamBounds } from './policy/histogram.ts';
import { LabelCounts, LabelTable } from './policy/labels.ts';

/** A value that a histogram got, for those who keep histograms of their own. */
export interface Recorded {
  readonly instrument: 'time_to_head' | 'time_to_first_byte' | 'stream_duration' | 'heartbeat_round_trip';
  /** Seconds. */
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** Gets each value of a histogram. */
export type Recorder = (recorded: Recorded) => void;

// Codings and reasons come from code, not from clients; an application may add some.
const mostNames = 50;

/** The responses of one route. */
export class RouteCounters {
  readonly label: string;
  active = 0;
  readonly ended: LabelCounts = new LabelCounts(mostNames);
  readonly timeToHead: Histogram = new Histogram(responseBounds);
  readonly timeToFirstByte: Histogram = new Histogram(responseBounds);

  constructor(label: string) {
    this.label = label;
  }
}

/** Bytes of bodies in one coding. */
export class CodingCounters {
  out = 0;
  /** Bytes that compression took away. */
  saved = 0;
  /** Streams that are open. */
  streams = 0;
}

/** What a monitor counts about responses. Each change costs the same, however many responses there are. */
export class ResponseCounters {
  readonly codings: LabelTable<CodingCounters> = new LabelTable(mostNames, () => new CodingCounters());
  readonly streamsEnded: LabelCounts = new LabelCounts(mostNames);
  readonly routes: LabelTable<RouteCounters>;
  readonly duration: Histogram = new Histogram(streamBounds);
  readonly roundTrip: Histogram = new Histogram(responseBounds);
  streamsOpened = 0;
  streamsActive = 0;
  readonly #recorders = new Set<Recorder>();

  constructor(maxRoutes: number) {
    this.routes = new LabelTable(maxRoutes, (label) => new RouteCounters(label));
  }

  /** Calls back with each value of a histogram. Returns the undo. */
  addRecorder(recorder: Recorder): () => void {
    this.#recorders.add(recorder);
    return () => void this.#recorders.delete(recorder);
  }

  recordHead(route: RouteCounters, seconds: number): void {
    route.timeToHead.record(seconds);
    this.#tell('time_to_head', seconds, route.label);
  }

  recordFirstByte(route: RouteCounters, seconds: number): void {
    route.timeToFirstByte.record(seconds);
    this.#tell('time_to_first_byte', seconds, route.label);
  }

  recordRoundTrip(seconds: number): void {
    this.roundTrip.record(seconds);
    this.#tell('heartbeat_round_trip', seconds);
  }

  streamOpened(): void {
    this.streamsOpened += 1;
    this.streamsActive += 1;
  }

  /** The head was refused: what opened is no stream. */
  streamWithdrawn(): void {
    this.streamsOpened -= 1;
    this.streamsActive -= 1;
  }

  streamClosed(seconds: number): void {
    this.streamsActive -= 1;
    this.duration.record(seconds);
    this.#tell('stream_duration', seconds);
  }

  #tell(instrument: Recorded['instrument'], value: number, route?: string): void {
    if (this.#recorders.size === 0) return;
    const labels = route === undefined ? {} : { route };
    for (const recorder of this.#recorders) recorder({ instrument, value, labels });
  }
}
