// What is written in every kind of project: streams, their options and their errors.
import {
  type EventStream,
  jsonSeq,
  ndjson,
  openEventStream,
  pipeBody,
  type RecordStream,
  type RoutedRequest,
  type RoutedResponse,
  sse,
  StreamClosedError,
} from 'sluice';
import { same } from './same.js';

interface Events {
  tick: { symbol: string; price: number };
  message: string;
}

// A handler may return anything.
const clients = new Set<EventStream>();
const typed = new Set<EventStream<Events>>();
const readers = new Set<RecordStream>();
const bySymbol = new Map<string, EventStream>();
sse((s) => clients.add(s));
sse((s) => bySymbol.set(s.id, s));
sse((s) => clients.size < 10 && clients.add(s));
sse((s) => setInterval(() => s.send('x'), 1000));
sse((s) => void clients.add(s));
sse((s) => {
  clients.add(s);
});
sse(async (s) => clients.add(s));
sse(() => null);
sse<Events>((s) => typed.add(s));
ndjson((s) => readers.add(s));
jsonSeq((s) => readers.add(s));

// Generators, with a map of events and without.
sse(async function* (stream) {
  for await (const line of ['x']) yield { data: line, id: stream.id };
});
sse<Events>(async function* () {
  yield { event: 'tick', data: { symbol: 'a', price: 1 } };
  yield 'text';
});
sse<Events>(function* () {
  yield { event: 'tick', data: { symbol: 'a', price: 1 } };
});
// @ts-expect-error the data of another event
sse<Events>(async function* () {
  yield { event: 'tick', data: 'text' };
});
// @ts-expect-error the data of another event, by a generator that does not wait
sse<Events>(function* () {
  yield { event: 'tick', data: 'text' };
});
// @ts-expect-error a name that is not in the map
sse<Events>(async function* () {
  yield { event: 'tock', data: 'text' };
});
// @ts-expect-error a number is no event
sse(async function* () {
  yield 5;
});
sse<Events>(async (stream) => {
  // @ts-expect-error the data of another event
  await stream.send({ event: 'tick', data: 'text' });
});

// Keys.
sse(() => undefined, { overflow: 'latest', key: (e) => e.data?.symbol });
sse(() => undefined, { overflow: 'latest', key: ({ event, id }) => event ?? id });
sse<Events>(() => undefined, { overflow: 'latest', key: (e) => (e.event === 'tick' ? e.data.symbol : undefined) });
// @ts-expect-error a tick has none
sse<Events>(() => undefined, { overflow: 'latest', key: (e) => (e.event === 'tick' ? e.data.volume : undefined) });
ndjson(() => undefined, { overflow: 'latest', key: (row) => row.symbol });
ndjson<{ symbol: string }>(() => undefined, { overflow: 'latest', key: (row) => row.symbol });
// @ts-expect-error a row has none
ndjson<{ symbol: string }>(() => undefined, { overflow: 'latest', key: (row) => row.volume });

// Options that may be there or not, and one that does not exist.
declare const config: { retry?: string; maxBuffered?: number; prelude?: boolean };
sse(() => undefined, { retry: config.retry, maxBuffered: config.maxBuffered, prelude: config.prelude });
sse(async (stream) => stream.send({ event: undefined, id: config.retry, data: 1 }));
// @ts-expect-error there is no such option
sse(() => undefined, { maxBuffer: '1mb' });
// @ts-expect-error not one of the words
sse(() => undefined, { overflow: 'wait' });
sse(() => undefined, { onError: (error, req) => void [error.message, error.code, req.headers, req.url] });

// After a failed send.
sse(async (stream) => {
  try {
    await stream.send('x');
  } catch (error) {
    if (error instanceof StreamClosedError) {
      const code: string = error.cause.code;
      same<typeof error.reason>()(error.reason);
      void code;
    }
  }
  stream.send('x').catch((error) => error.cause.code);
});

// Outside of a handler.
declare const req: RoutedRequest;
declare const res: RoutedResponse;
same<EventStream<Events>>()(openEventStream<Events>(req, res));
void fetch('http://127.0.0.1/').then((response) => pipeBody(response, req, res));

// A class that keeps its streams.
class Feed {
  readonly clients = new Set<EventStream>();
  readonly handle = sse((stream) => this.open(stream));
  open(stream: EventStream): void {
    this.clients.add(stream);
    stream.onClose(() => this.clients.delete(stream));
  }
  async rows(stream: RecordStream): Promise<void> {
    await stream.send({ clients: this.clients.size });
  }
}
const feed = new Feed();
sse(feed.open.bind(feed));
ndjson(feed.rows.bind(feed));
