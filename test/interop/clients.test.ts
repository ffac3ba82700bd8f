import { spawn, spawnSync } from 'node:child_process';
import { EventSource } from 'eventsource';
import { fetch as undiciFetch } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ndjson, sse } from '../../src/index.ts';
import { bare, carriers, h2c, http1Carriers } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { EventParser, type ParsedEvent } from '../support/event-parser.ts';
import { serve, type Served } from '../support/serve.ts';
import { until } from '../support/until.ts';

const curl = spawnSync('curl', ['--version'], { encoding: 'utf8' });
const hasCurl = curl.status === 0;
const curlHasHttp2 = hasCurl && /\bHTTP2\b/.test(curl.stdout);
if (!hasCurl) {
  if (process.env['SLUICE_REQUIRE_ALL'] === '1')
    throw new Error('curl is required (SLUICE_REQUIRE_ALL=1) and is not here');
  console.warn('skipped: the tests with curl, since there is no curl here');
}

/** Some client that has read some events. */
interface Client {
  readonly events: readonly ParsedEvent[];
  close(): void;
}

function readEvents(body: AsyncIterable<Uint8Array>): readonly ParsedEvent[] {
  const parser = new EventParser();
  void (async () => {
    for await (const bytes of body) parser.push(bytes);
  })().catch(() => undefined);
  return parser.events;
}

const clients: Record<string, (url: string) => Promise<Client>> = {
  async eventsource(url) {
    const events: ParsedEvent[] = [];
    const source = new EventSource(url);
    const listener = ({ type, data, lastEventId }: { type: string; data: unknown; lastEventId: string }): void =>
      void events.push({ type, data: String(data), lastEventId });
    for (const type of ['message', 'tick']) source.addEventListener(type, listener);
    await until(() => source.readyState === source.OPEN);
    return { events, close: () => source.close() };
  },
  async undici(url) {
    const controller = new AbortController();
    const { body } = await undiciFetch(url, { signal: controller.signal });
    return { events: readEvents(body as unknown as AsyncIterable<Uint8Array>), close: () => controller.abort() };
  },
  async 'the global fetch'(url) {
    const controller = new AbortController();
    const { body } = await fetch(url, { signal: controller.signal });
    return { events: readEvents(body as unknown as AsyncIterable<Uint8Array>), close: () => controller.abort() };
  },
};

async function useCurl(url: string, ...flags: string[]): Promise<Client> {
  const child = spawn('curl', ['-sN', ...flags, url], { stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => void child.kill());
  return { events: readEvents(child.stdout as AsyncIterable<Uint8Array>), close: () => void child.kill() };
}

const expected: ParsedEvent[] = [
  { type: 'message', data: 'one', lastEventId: '1' },
  { type: 'tick', data: '{"n":2}', lastEventId: '2' },
  { type: 'message', data: 'lines\nof\ntext 🌊', lastEventId: '3' },
];

/** Events that are each made when the one before was read. */
async function stepwise(
  carrier: (typeof carriers)[number],
  connect: (running: Served) => Promise<Client>,
): Promise<void> {
  const gates = [deferred(), deferred(), deferred()] as const;
  const closed = deferred<string>();
  const running = await serve(
    carrier,
    sse(async function* (stream) {
      stream.onClose(closed.resolve);
      yield { id: '1', data: 'one' };
      await gates[0].promise;
      yield { event: 'tick', id: '2', data: { n: 2 } };
      await gates[1].promise;
      yield { id: '3', data: 'lines\rof\r\ntext 🌊' };
      await gates[2].promise;
    }),
  );
  const client = await connect(running);
  for (const [index, gate] of gates.entries()) {
    await until(() => client.events.length === index + 1);
    expect(client.events).toEqual(expected.slice(0, index + 1));
    if (index < 2) gate.resolve();
  }
  client.close();
  expect(await closed.promise).toBe('client-closed');
}

describe.each(http1Carriers)('on $name', (carrier) => {
  it.each(Object.keys(clients))('%s gets each event as it is sent', async (name) => {
    await stepwise(carrier, (running) => clients[name]!(`${running.origin}/`));
  });

  it.runIf(hasCurl)('curl gets each event as it is sent', async () => {
    await stepwise(carrier, (running) => useCurl(running.origin));
  });
});

it.runIf(curlHasHttp2)('curl gets each event as it is sent over HTTP/2', async () => {
  await stepwise(h2c, (running) => useCurl(running.origin, '--http2-prior-knowledge'));
});

it.runIf(hasCurl)('curl knows a body that failed from one that ended', async () => {
  const running = await serve(
    bare,
    ndjson(async function* (_stream, req) {
      yield 1;
      if (req.url === '/fails') throw new Error('late');
    }),
  );
  const exits: Record<string, number | null> = {};
  for (const path of ['/ends', '/fails']) {
    const child = spawn('curl', ['-sN', running.origin + path], { stdio: ['ignore', 'ignore', 'ignore'] });
    exits[path] = await new Promise((resolve) => child.on('close', resolve));
  }
  // 18: transfer closed with outstanding read data remaining.
  expect(exits).toEqual({ '/ends': 0, '/fails': 18 });
});

describe('eventsource', () => {
  it('reconnects when the server says so, with the last id', async () => {
    const seen: string[] = [];
    let received = 0;
    const running = await serve(
      bare,
      sse(async (stream) => {
        seen.push(stream.lastEventId);
        await stream.send({ id: String(seen.length), data: 'x', retry: 1 });
        // What is not read before the close is lost to fetch.
        await until(() => received === seen.length);
        await stream.reconnect({ retry: 1 });
      }),
    );
    const source = new EventSource(running.origin);
    onTestFinished(() => source.close());
    source.addEventListener('message', () => received++);
    await until(() => seen.length >= 4);
    source.close();
    expect(seen.slice(0, 4)).toEqual(['', '1', '2', '3']);
  });

  it('stays away when its id is that of a stopped client', async () => {
    const ids: unknown[] = [];
    const running = await serve(
      bare,
      (req, _res, next) => {
        ids.push(req.headers['last-event-id']);
        next();
      },
      sse(async (stream) => {
        // With data: this client, unlike browsers, does not learn the id of an event that has none.
        await stream.send({ id: 'sluice.stop', data: 'bye', retry: 1 });
      }),
    );
    const source = new EventSource(running.origin);
    onTestFinished(() => source.close());
    await until(() => source.readyState === source.CLOSED);
    expect(ids).toEqual([undefined, 'sluice.stop']);
  });
});
