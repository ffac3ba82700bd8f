// Checked by the compiler alone: `npx tsc -p tsconfig.json`. An error that does not come is an error too.
import type { EventInput, EventOf, EventStream, Sendable } from '../../src/index.ts';
import { openEventStream, sse } from '../../src/index.ts';
import type { HttpRequest, HttpResponse } from '../../src/index.ts';

interface Tick {
  readonly price: number;
}

// An interface and a type alias are both maps.
interface Events {
  tick: Tick;
  message: string;
  done: null;
}

declare const req: HttpRequest;
declare const res: HttpResponse;

// Without a map everything goes.
sse(async function* (stream) {
  yield 'text';
  yield { data: { any: 'thing' } };
  yield { event: 'tick', id: '1', data: 5, retry: 1000, comment: 'c' };
  await stream.send({ event: 'other', data: [1, 2] });
  await stream.send('text');
});

// With one, names and data belong together.
sse<Events>(async function* (stream) {
  yield { event: 'tick', data: { price: 1 }, id: '1' };
  yield { event: 'done', data: null };
  yield { event: 'message', data: 'text' };
  yield { data: 'text' };
  yield 'text';
  yield { id: '7' };
  yield { retry: 5, comment: 'c' };
  await stream.send({ event: 'tick', data: { price: 2 } });
  // @ts-expect-error the data of another event
  await stream.send({ event: 'tick', data: 'text' });
  // @ts-expect-error a name that is not in the map
  await stream.send({ event: 'tock', data: { price: 1 } });
  // @ts-expect-error data that went missing
  await stream.send({ event: 'tick' });
  // @ts-expect-error data of a message that is no string
  await stream.send({ data: 5 });
  // @ts-expect-error data and no name, in a map whose messages are strings
  await stream.send({ data: { price: 1 } });
  // @ts-expect-error a number is no event
  await stream.send(5);
  // @ts-expect-error a retry is a number
  await stream.send({ event: 'done', data: null, retry: '5' });
  // @ts-expect-error an id is a string
  await stream.send({ event: 'done', data: null, id: 7 });
  await stream.pipe([{ event: 'done', data: null }]);
  // @ts-expect-error a source of the wrong events
  await stream.pipe([{ event: 'done', data: 7 }]);
});

// @ts-expect-error a generator of the wrong events
sse<Events>(async function* () {
  yield { event: 'tick', data: 'text' };
});

// @ts-expect-error a bare string, where messages are not strings
sse<{ tick: Tick }>(function* () {
  yield 'text';
});
sse<{ message: 'on' | 'off' }>(function* () {
  yield 'on' as const;
});
// @ts-expect-error a string that no message is
sse<{ message: 'on' | 'off' }>(function* () {
  yield 'maybe' as const;
});

// Every way to write a handler.
sse(() => undefined);
sse((stream) => void stream.send('kept'));
sse(async (stream) => {
  await stream.send('x');
});
sse(async (stream) => stream.pipe(['x']));
sse(function* () {
  yield 'x';
});
sse(() => new ReadableStream<string>());
sse(() => ({
  async *[Symbol.asyncIterator]() {
    yield 'x';
  },
}));
// @ts-expect-error a handler is a function
sse('x');
// What is no source is no item either, and keeps the stream open.
sse(() => 5);
sse((stream) => new Set([stream]));

// The handler's own type of request.
sse((_stream, request: HttpRequest & { user: string }) => void request.user.length);
sse((_stream, request) => void (request.body as unknown));
sse((_stream, request) => {
  // @ts-expect-error what nobody adds
  void request.tenant;
});

// Options.
sse(() => undefined, {
  retry: '2s',
  reconnectDelay: 100,
  maxBuffered: '64kb',
  negotiate: 'next',
  prelude: false,
  comments: 'block',
  closeTimeout: 5,
  directChunks: false,
  headers: { a: 'b', c: ['d'], e: 5 },
});
sse(() => undefined, { onError: (error, request) => void [error, request.url] });
// @ts-expect-error not one of the words
sse(() => undefined, { negotiate: 'never' });
// @ts-expect-error an unknown option
sse(() => undefined, { maxBufferd: 5 });
// @ts-expect-error a duration is no boolean
sse(() => undefined, { retry: true });

// The stream.
const stream: EventStream<Events> = openEventStream<Events>(req, res);
const state: 'open' | 'draining' | 'closed' = stream.state;
const undo: () => void = stream.onClose((reason) => {
  if (reason === 'client-closed') return;
  // @ts-expect-error not a reason
  if (reason === 'bored') return;
});
void [state, undo, stream.signal.aborted, stream.bufferedBytes, stream.id, stream.lastEventId];
// @ts-expect-error nobody sets the state
stream.state = 'open';
void stream.reconnect({ retry: 5 });
// @ts-expect-error a retry is a number
void stream.reconnect({ retry: '5s' });
stream.destroy(new Error('x'));
stream.flush();

// The types by themselves.
const input: EventInput = { event: 'x', data: 1 };
const tick: EventOf<Events> = { event: 'tick', data: { price: 1 } };
const sendable: Sendable<Events> = 'text';
// An undefined field is an absent one.
const absent: EventInput = { event: undefined, id: undefined };
void [input, tick, sendable, absent];
