import { describe, expect, it } from 'vitest';
import { type ClientStateChange, type EventConnection, openConnection } from '../../src/client/connection.ts';
import { type ClientOptions, resolveClientOptions } from '../../src/client/options.ts';
import type { PageListener } from '../../src/client/page.ts';
import { FakeClock } from '../support/fake-clock.ts';

// The machine alone: a clock, a page and a server that do what they are told.

/** A request that the client has sent. */
interface Asked {
  readonly init: RequestInit;
  readonly lastEventId: string | null;
  readonly isAborted: boolean;
  /** Answers with an event stream that stays open. */
  open(): Promise<void>;
  answer(response: Response): Promise<void>;
  refuse(error?: Error): Promise<void>;
  send(text: string): Promise<void>;
  end(): Promise<void>;
  cut(): Promise<void>;
}

interface Bench {
  readonly clock: FakeClock;
  readonly connection: EventConnection;
  readonly asked: Asked[];
  readonly changes: ClientStateChange[];
  readonly last: Asked;
  readonly page: PageListener | undefined;
  /** What a loop has got so far, and how it ended. */
  readonly got: string[];
  readonly ending: unknown;
}

// Several promises of the client and of the stream follow each other.
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function makeAsked(init: RequestInit): { asked: Asked; response: Promise<Response> } {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: (each) => void (controller = each) });
  const { promise, resolve, reject } = withResolvers<Response>();
  const signal = init.signal!;
  signal.addEventListener('abort', () => {
    reject(signal.reason);
    controller.error(signal.reason);
  });
  const then = async (act: () => void): Promise<void> => {
    act();
    await settle();
  };
  const asked: Asked = {
    init,
    lastEventId: new Headers(init.headers).get('last-event-id'),
    get isAborted() {
      return signal.aborted;
    },
    open: () => then(() => resolve(new Response(body, { headers: { 'content-type': 'text/event-stream' } }))),
    answer: (response) => then(() => resolve(response)),
    refuse: (error = new TypeError('fetch failed')) => then(() => reject(error)),
    send: (text) => then(() => controller.enqueue(new TextEncoder().encode(text))),
    end: () => then(() => controller.close()),
    cut: () => then(() => controller.error(new TypeError('terminated'))),
  };
  return { asked, response: promise };
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let [resolve, reject]: [(value: T) => void, (error: unknown) => void] = [() => {}, () => {}];
  const promise = new Promise<T>((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
}

async function start(options: ClientOptions = {}, { reads = true } = {}): Promise<Bench> {
  const clock = new FakeClock(1_000_000);
  const asked: Asked[] = [];
  let page: PageListener | undefined;
  const resolved = resolveClientOptions({
    heartbeat: 1000,
    fetch: (_url, init) => {
      const next = makeAsked(init);
      asked.push(next.asked);
      return next.response;
    },
    ...options,
  });
  const connection = openConnection<Record<string, unknown>>('http://test/', resolved, {
    now: () => clock.now(),
    startTimer: (delay, callback) => clock.startTimer(delay, callback),
    random: () => 0.5,
    watchPage(listener) {
      page = listener;
      return () => (page = undefined);
    },
  });
  const changes: ClientStateChange[] = [];
  connection.onStateChange((change) => changes.push(change));
  const got: string[] = [];
  let ending: unknown = 'reading';
  if (reads) {
    void (async () => {
      for await (const { type, data, id } of connection) got.push(`${type} ${data} ${id}`);
    })().then(
      () => (ending = 'done'),
      (error: unknown) => (ending = error),
    );
  }
  await settle();
  return {
    clock,
    connection,
    asked,
    changes,
    got,
    get last() {
      return asked.at(-1)!;
    },
    get page() {
      return page;
    },
    get ending() {
      return ending;
    },
  };
}

/** Lets time pass, and what follows happen. */
async function pass(bench: Bench, ms: number): Promise<void> {
  bench.clock.advance(ms);
  await settle();
}

/** Lets the wait for the next try pass. */
async function waitOut(bench: Bench): Promise<void> {
  await pass(bench, bench.changes.findLast(({ state }) => state === 'waiting')!.delay!);
}

const silent = { code: 'ERR_SLUICE_CLIENT_SILENT' };
const disconnected = { code: 'ERR_SLUICE_CLIENT_DISCONNECTED' };
const unreachable = { code: 'ERR_SLUICE_CLIENT_UNREACHABLE' };
const refused = (status: number): object => ({ code: 'ERR_SLUICE_CLIENT_REFUSED', status });

describe('a connection', () => {
  it('sends what it is told, and resumes from the last id', async () => {
    const bench = await start({ headers: { 'X-Me': '1' }, credentials: 'include', lastEventId: 'é' });
    const { init } = bench.last;
    const headers = new Headers(init.headers);
    expect([init.method, init.credentials, (init as { cache?: string }).cache]).toEqual(['GET', 'include', 'no-store']);
    expect([headers.get('accept'), headers.get('x-me')]).toEqual(['text/event-stream', '1']);
    expect(Buffer.from(bench.last.lastEventId!, 'latin1').toString()).toBe('é');
    expect([bench.connection.state, bench.connection.lastEventId]).toEqual(['connecting', 'é']);
    await bench.last.open();
    await bench.last.send('event: tick\nid: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: cut');
    expect(bench.got).toEqual(['tick a 1', 'message b 1']);
    await bench.last.cut();
    expect(bench.changes).toMatchObject([{ state: 'open' }, { state: 'waiting', error: disconnected, delay: 500 }]);
    await pass(bench, 500);
    expect(bench.last.lastEventId).toBe('1');
  });

  it('parses data on demand', async () => {
    const { connection, last } = await start({}, { reads: false });
    await last.open();
    await last.send('data: {"n":1}\n\ndata: [DONE]\n\n');
    const events = connection[Symbol.asyncIterator]();
    const [first, second] = [await events.next(), await events.next()];
    expect(first.value?.json()).toEqual({ n: 1 });
    expect(() => second.value?.json() as unknown).toThrow(SyntaxError);
    expect({ ...first.value }).toEqual({ type: 'message', data: '{"n":1}', id: '' });
  });

  it('calls for headers and a body before each request', async () => {
    let calls = 0;
    const bench = await start({
      method: 'post',
      reconnect: 'always',
      headers: async () => ({ authorization: `Bearer ${++calls}` }),
      body: () => `body ${calls}`,
    });
    await bench.last.refuse();
    await waitOut(bench);
    expect(
      bench.asked.map(({ init }) => [init.method, new Headers(init.headers).get('authorization'), init.body]),
    ).toEqual([
      ['POST', 'Bearer 1', 'body 1'],
      ['POST', 'Bearer 2', 'body 2'],
    ]);
  });

  it('does not send what was given up while its headers were made', async () => {
    const token = withResolvers<Record<string, string>>();
    const bench = await start({ method: 'POST', headers: () => token.promise });
    await pass(bench, 2500);
    token.resolve({});
    await settle();
    expect([bench.asked.length, bench.ending]).toEqual([0, expect.objectContaining(silent)]);
  });

  it('waits longer after each try that brings nothing, and starts anew after an event', async () => {
    const bench = await start();
    for (let tries = 0; tries < 7; tries++) {
      await bench.last.refuse();
      await waitOut(bench);
    }
    const delays = (): unknown[] => bench.changes.filter(({ state }) => state === 'waiting').map(({ delay }) => delay);
    expect(delays()).toEqual([1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
    // Accepted and dropped is no success.
    await bench.last.open();
    await bench.last.end();
    await pass(bench, 15_000);
    await bench.last.open();
    await bench.last.send('data: 1\n\n');
    await bench.last.end();
    expect(delays().slice(-2)).toEqual([15_000, 500]);
  });

  it('takes a long life without events for a success', async () => {
    const bench = await start({ retry: { max: 2000 } });
    await bench.last.refuse();
    await pass(bench, 1000);
    await bench.last.open();
    for (let beats = 0; beats < 3; beats++) {
      await pass(bench, 1000);
      await bench.last.send(':\n');
    }
    await bench.last.cut();
    expect(bench.changes.at(-1)).toMatchObject({ state: 'waiting', delay: 500 });
  });

  it('obeys retry: to the letter at first, adds jitter later, and takes 0 for no hint', async () => {
    const bench = await start();
    await bench.last.open();
    await bench.last.send('retry: 70\ndata: 1\n\n');
    await bench.last.end();
    expect(bench.changes.at(-1)).toMatchObject({ delay: 70 });
    await pass(bench, 70);
    await bench.last.refuse();
    expect(bench.changes.at(-1)).toMatchObject({ delay: 1070, error: unreachable });
    await pass(bench, 1070);
    await bench.last.open();
    await bench.last.send('retry: 0\ndata: 1\n\n');
    await bench.last.end();
    expect(bench.changes.at(-1)).toMatchObject({ delay: 500 });
  });

  it('obeys Retry-After', async () => {
    const bench = await start();
    await bench.last.answer(new Response('', { status: 503, headers: { 'retry-after': '7' } }));
    expect(bench.changes).toMatchObject([{ state: 'waiting', error: refused(503), delay: 8000 }]);
    await pass(bench, 7999);
    expect(bench.asked).toHaveLength(1);
    await pass(bench, 1);
    expect(bench.asked).toHaveLength(2);
  });

  it('gives up after so many tries in a row', async () => {
    const bench = await start({ retry: { attempts: 2 } });
    await bench.last.refuse();
    await pass(bench, 1000);
    await bench.last.refuse();
    expect(bench.connection.state).toBe('closed');
    expect(bench.ending).toMatchObject(unreachable);
    expect(bench.changes.at(-1)).toMatchObject({ state: 'closed', error: unreachable });
    expect([bench.clock.timers, bench.page]).toEqual([0, undefined]);
  });

  it('throws what another try cannot mend, after the events that came', async () => {
    const bench = await start({ maxBufferSize: 20 }, { reads: false });
    await bench.last.open();
    await bench.last.send(`data: 1\n\ndata: ${'x'.repeat(50)}`);
    expect(bench.connection.state).toBe('closed');
    const events = bench.connection[Symbol.asyncIterator]();
    expect((await events.next()).value).toMatchObject({ data: '1' });
    await expect(events.next()).rejects.toMatchObject({ code: 'ERR_SLUICE_CLIENT_EVENT_TOO_LARGE' });
    expect(await events.next()).toEqual({ done: true, value: undefined });
    expect(bench.last.isAborted).toBe(true);
  });

  it('takes a wrong content type for a mistake at first, and for a bad moment later', async () => {
    const page = (): Response => new Response('<h1>', { headers: { 'content-type': 'text/html' } });
    const first = await start();
    await first.last.answer(page());
    expect(first.ending).toMatchObject({ code: 'ERR_SLUICE_CLIENT_CONTENT_TYPE', status: 200 });
    const later = await start();
    await later.last.open();
    await later.last.cut();
    await waitOut(later);
    await later.last.answer(page());
    expect(later.connection.state).toBe('waiting');
    await waitOut(later);
    expect(later.asked).toHaveLength(3);
  });

  it.each([
    ['204', (asked: Asked) => asked.answer(new Response(null, { status: 204 }))],
    ['the id of stop()', (asked: Asked) => asked.open().then(() => asked.send('id: sluice.stop\n\n'))],
    [
      'the id of stop() without a blank line',
      (asked: Asked) =>
        asked
          .open()
          .then(() => asked.send('id: sluice.stop\n'))
          .then(() => asked.end()),
    ],
  ])('stops at %s', async (_name, act) => {
    const bench = await start();
    await act(bench.last);
    expect([bench.ending, bench.connection.state]).toEqual(['done', 'closed']);
    await pass(bench, 1e6);
    expect([bench.asked.length, bench.clock.timers]).toEqual([1, 0]);
  });
});

describe('the watchdog', () => {
  it('finds a server that never answers after 2.5 heartbeats', async () => {
    const bench = await start();
    await pass(bench, 2499);
    expect(bench.connection.state).toBe('connecting');
    await pass(bench, 1);
    expect(bench.changes).toMatchObject([{ state: 'waiting', error: silent }]);
    expect(bench.last.isAborted).toBe(true);
  });

  it('finds a silent stream 2.5 heartbeats after its last byte; comments are life', async () => {
    const bench = await start();
    await bench.last.open();
    for (let beats = 0; beats < 10; beats++) {
      await pass(bench, 2000);
      await bench.last.send(':\n');
    }
    await pass(bench, 2499);
    expect(bench.connection.state).toBe('open');
    await pass(bench, 1);
    expect(bench.changes).toMatchObject([{ state: 'open' }, { state: 'waiting', error: silent }]);
  });

  it('says nothing of a server without heartbeats', async () => {
    const bench = await start({ heartbeat: Infinity });
    await bench.last.open();
    expect(bench.clock.timers).toBe(0);
    await pass(bench, 1e9);
    bench.page!.onWake();
    expect([bench.connection.state, bench.asked.length]).toEqual(['open', 1]);
  });

  it('does not take the time for which the loop is behind for silence', async () => {
    const bench = await start({}, { reads: false });
    await bench.last.open();
    await bench.last.send('data: 1\n\n');
    await pass(bench, 60_000);
    expect(bench.connection.state).toBe('open');
    const events = bench.connection[Symbol.asyncIterator]();
    await events.next();
    await settle();
    await pass(bench, 2499);
    expect(bench.connection.state).toBe('open');
    await pass(bench, 1);
    expect(bench.connection.state).toBe('waiting');
  });

  it('gives a heartbeat to what stood still with its clock', async () => {
    const bench = await start();
    await bench.last.open();
    bench.clock.pause(60_000);
    expect(bench.connection.state).toBe('open');
    await bench.last.send('data: waited\n\n');
    expect(bench.got).toEqual(['message waited ']);
    bench.clock.pause(60_000);
    await pass(bench, 1000);
    expect(bench.connection.state).toBe('waiting');
  });
});

describe('the page', () => {
  it('counts no silence of a POST while it stands still, however often', async () => {
    const bench = await start({ method: 'POST' });
    await bench.last.open();
    for (let times = 0; times < 3; times += 1) {
      await pass(bench, 2000);
      bench.clock.pause(60_000);
      bench.page!.onWake();
      await settle();
      expect([bench.connection.state, bench.last.isAborted]).toEqual(['open', false]);
    }
    await pass(bench, 2499);
    expect(bench.connection.state).toBe('open');
    await pass(bench, 1);
    expect(bench.ending).toMatchObject(silent);
    expect(bench.asked).toHaveLength(1);
    expect(bench.page).toBeUndefined();
  });

  it('reconnects at once when it wakes after more than a heartbeat of silence', async () => {
    const bench = await start();
    await bench.last.open();
    await bench.last.send('id: 1\ndata: 1\n\n');
    await pass(bench, 1000);
    bench.page!.onWake();
    expect(bench.connection.state).toBe('open');
    await pass(bench, 1);
    bench.page!.onWake();
    bench.page!.onWake();
    await pass(bench, 0);
    expect(bench.asked.map(({ lastEventId }) => lastEventId)).toEqual([null, '1']);
    expect(bench.asked[0]!.isAborted).toBe(true);
    expect(bench.changes).toMatchObject([
      { state: 'open' },
      { state: 'waiting', error: silent, delay: 0 },
      { state: 'connecting' },
    ]);
  });

  it('ends a wait, starts the backoff anew, and keeps what the server asked for', async () => {
    const bench = await start();
    for (const delay of [1000, 2000, 4000]) {
      await bench.last.refuse();
      await pass(bench, delay);
    }
    await bench.last.refuse();
    bench.page!.onWake();
    await pass(bench, 0);
    expect(bench.asked).toHaveLength(5);
    await bench.last.answer(new Response('', { status: 429, headers: { 'retry-after': '5' } }));
    expect(bench.changes.at(-1)).toMatchObject({ delay: 6000 });
    await pass(bench, 3000);
    bench.page!.onWake();
    await pass(bench, 1999);
    expect(bench.asked).toHaveLength(5);
    await pass(bench, 1);
    expect(bench.asked).toHaveLength(6);
  });

  it('closes the response when it is left, and comes back with it', async () => {
    const bench = await start();
    await bench.last.open();
    await bench.last.send('id: 1\ndata: 1\n\n');
    bench.page!.onHide();
    expect([bench.last.isAborted, bench.connection.state, bench.clock.timers]).toEqual([true, 'waiting', 0]);
    expect(bench.changes.at(-1)).toEqual({ state: 'waiting' });
    bench.page!.onWake();
    await pass(bench, 0);
    expect(bench.asked.map(({ lastEventId }) => lastEventId)).toEqual([null, '1']);
  });

  it('does not send a POST, nor close its response', async () => {
    const bench = await start({ method: 'POST', reconnect: 'always' });
    await bench.last.refuse();
    bench.page!.onWake();
    await pass(bench, 0);
    expect([bench.connection.state, bench.asked.length]).toEqual(['waiting', 1]);
    await waitOut(bench);
    await bench.last.open();
    bench.page!.onHide();
    bench.page!.onWake();
    await pass(bench, 2499);
    expect(bench.asked.map(({ isAborted }) => isAborted)).toEqual([true, false]);
    expect(bench.connection.state).toBe('open');
  });
});

describe('a POST', () => {
  it('is sent once, and ends with its body', async () => {
    const bench = await start({ method: 'POST', body: '{}' });
    await bench.last.open();
    await bench.last.send('data: 1\n\n');
    await bench.last.end();
    await pass(bench, 1e6);
    expect([bench.got, bench.ending, bench.asked.length]).toEqual([['message 1 '], 'done', 1]);
  });

  it.each([
    ['is refused', (asked: Asked) => asked.answer(new Response('', { status: 503 })), refused(503)],
    ['is not answered', (asked: Asked) => asked.refuse(), unreachable],
    ['breaks off', (asked: Asked) => asked.open().then(() => asked.cut()), disconnected],
    [
      'ends in the middle',
      (asked: Asked) =>
        asked
          .open()
          .then(() => asked.send('data: 1\n'))
          .then(() => asked.end()),
      disconnected,
    ],
  ])('throws when it %s, and is not sent again', async (_name, act, error) => {
    const bench = await start({ method: 'POST' });
    await act(bench.last);
    expect(bench.ending).toMatchObject(error);
    await pass(bench, 1e6);
    expect(bench.asked).toHaveLength(1);
  });

  it('is sent again only where that was asked for: on-error leaves a complete body alone', async () => {
    const bench = await start({ method: 'POST', reconnect: 'on-error' });
    await bench.last.open();
    await bench.last.cut();
    await waitOut(bench);
    await bench.last.open();
    await bench.last.end();
    expect([bench.asked.length, bench.ending]).toEqual([2, 'done']);
  });
});

describe('closing', () => {
  it.each([
    ['close()', ({ connection }: Bench) => connection.close()],
    ['return()', ({ connection }: Bench) => void connection[Symbol.asyncIterator]().return!()],
  ])('%s ends the request and the loop, and takes everything back', async (_name, close) => {
    for (const isWaiting of [false, true]) {
      const bench = await start();
      await bench.last.open();
      if (isWaiting) await bench.last.cut();
      close(bench);
      await settle();
      expect([bench.connection.state, bench.last.isAborted, bench.ending]).toEqual(['closed', true, 'done']);
      expect([bench.clock.timers, bench.page]).toEqual([0, undefined]);
      close(bench);
      expect(bench.changes.filter(({ state }) => state === 'closed')).toEqual([{ state: 'closed', error: undefined }]);
    }
  });

  it('drops what waits, and tells the id that the loop got', async () => {
    const bench = await start({}, { reads: false });
    await bench.last.open();
    await bench.last.send('id: 1\ndata: 1\n\nid: 2\ndata: 2\n\nid: 3\n\n');
    const events = bench.connection[Symbol.asyncIterator]();
    await events.next();
    expect(bench.connection.lastEventId).toBe('1');
    await events.next();
    bench.connection.close();
    expect([bench.connection.lastEventId, await events.next()]).toEqual(['2', { done: true, value: undefined }]);
  });

  it('moves the id for an id alone, when its turn comes', async () => {
    const bench = await start();
    await bench.last.open();
    await bench.last.send('id: 1\ndata: 1\n\nid: 2\n\n');
    expect([bench.got, bench.connection.lastEventId]).toEqual([['message 1 1'], '2']);
  });

  it('a signal closes it, and is let go', async () => {
    const controller = new AbortController();
    const bench = await start({ signal: controller.signal });
    controller.abort(new Error('enough'));
    await settle();
    expect([bench.connection.state, bench.ending]).toEqual(['closed', 'done']);
    const late = await start({ signal: controller.signal });
    expect([late.connection.state, late.asked.length, late.ending]).toEqual(['closed', 0, 'done']);
  });

  it('a listener may close it at every change', async () => {
    for (const state of ['open', 'waiting', 'connecting'] as const) {
      const bench = await start();
      bench.connection.onStateChange((change) => {
        if (change.state === state) bench.connection.close();
      });
      await bench.last.open();
      if (state !== 'open') await bench.last.cut();
      await pass(bench, 60_000);
      expect([bench.connection.state, bench.ending, bench.clock.timers]).toEqual(['closed', 'done', 0]);
      expect(bench.asked.every(({ isAborted }) => isAborted)).toBe(true);
    }
  });

  it('lets two calls of next wait', async () => {
    const bench = await start({}, { reads: false });
    const events = bench.connection[Symbol.asyncIterator]();
    const both = [events.next(), events.next()];
    await bench.last.open();
    await bench.last.send('data: 1\n\n');
    await bench.last.send('data: 2\n\n');
    expect((await Promise.all(both)).map(({ value }) => value?.data)).toEqual(['1', '2']);
  });
});

describe('back-pressure', () => {
  it('reads nothing more while an event waits', async () => {
    const bench = await start({}, { reads: false });
    await bench.last.open();
    for (const n of [1, 2, 3]) await bench.last.send(`id: ${n}\ndata: ${n}\n\n`);
    const events = bench.connection[Symbol.asyncIterator]();
    expect((await events.next()).value).toMatchObject({ data: '1' });
    expect((await events.next()).value).toMatchObject({ data: '2' });
    await bench.last.cut();
    // What the client had not read when the connection broke is asked for again.
    await waitOut(bench);
    expect(bench.last.lastEventId).toBe('2');
  });
});
