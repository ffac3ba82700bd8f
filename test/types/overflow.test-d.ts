// Checked by the compiler alone: `npx tsc -p tsconfig.json`. An error that does not come is an error too.
import {
  type EventInput,
  ndjson,
  openEventStream,
  openNdjson,
  type RecordOptions,
  type Sendable,
  sse,
  type SseOptions,
} from '../../src/index.ts';
import type { HttpRequest, HttpResponse } from '../../src/index.ts';

interface Events {
  tick: { readonly symbol: string; readonly price: number };
  message: string;
}

interface Row {
  readonly id: string;
}

declare const req: HttpRequest;
declare const res: HttpResponse;

sse(() => undefined, { overflow: 'drop' });
sse(() => undefined, { overflow: 'latest' });
// @ts-expect-error not one of the words
sse(() => undefined, { overflow: 'wait' });

// The key gets what is sent on the stream.
sse<Events>(() => undefined, {
  overflow: 'latest',
  key: (event) => {
    if (typeof event === 'string' || event.event !== 'tick') return undefined;
    // @ts-expect-error a tick has none
    void event.data.volume;
    return event.data.symbol;
  },
});
openEventStream<Events>(req, res, {
  overflow: 'latest',
  key: (event) => (typeof event === 'object' ? event.event : undefined),
});
sse(() => undefined, { overflow: 'latest', key: (event) => (typeof event === 'string' ? event : event.id) });
ndjson<Row>(() => undefined, { overflow: 'latest', key: (row) => row.id });
openNdjson<Row>(req, res, { overflow: 'latest', key: ({ id }) => id });
// The type of the records is that of the handler, also where nobody names it.
ndjson(
  function* () {
    yield { id: '1', n: 1 };
  },
  { overflow: 'latest', key: (row) => row.id },
);
ndjson(
  function* () {
    yield { id: '1', n: 1 };
  },
  // @ts-expect-error a key is text
  { overflow: 'latest', key: (row) => row.n },
);
// @ts-expect-error a row has no such field
ndjson<Row>(() => undefined, { overflow: 'latest', key: (row) => row.name });

// A gap can be anything that can be framed: it need not be in the map, as the default is not.
sse<Events>(() => undefined, { overflow: 'drop', gap: (dropped) => ({ event: 'missed', data: { dropped } }) });
sse<Events>(() => undefined, { overflow: 'drop', gap: (dropped) => (dropped > 1 ? `${dropped} missing` : undefined) });
ndjson<Row>(() => undefined, { overflow: 'drop', gap: (dropped) => ({ dropped }) });
// @ts-expect-error a number is no event
sse(() => undefined, { overflow: 'drop', gap: (dropped) => dropped });

// Options that are kept apart fit streams of any type.
const common: SseOptions = { maxBuffered: '64kb', overflow: 'drop', gap: (): EventInput => ({ event: 'gap' }) };
sse<Events>(() => undefined, common);
const records: RecordOptions = { overflow: 'drop' };
ndjson<Row>(() => undefined, records);
const typed: SseOptions<Sendable<Events>> = { overflow: 'latest', key: () => 'k' };
sse<Events>(() => undefined, typed);

const dropped: number = openEventStream(req, res).dropped;
void dropped;
// @ts-expect-error nobody sets it
openNdjson(req, res).dropped = 5;
