import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createTRPCClient, httpBatchLink, httpSubscriptionLink } from '@trpc/client';
import { EventSource } from 'eventsource';
import { io as connect } from 'socket.io-client';
import ts from 'typescript';
import { describe, expect, it, onTestFinished } from 'vitest';
import { settles, until } from '../support/until.ts';

// The examples for frameworks, as programs of their own: what their users would lose without a word is there.

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

interface Program {
  readonly url: string;
  stop(): Promise<Exit>;
}

/** Starts an example, and waits until it listens. */
async function run(path: string): Promise<Program> {
  const child = spawn(process.execPath, [path.endsWith('.ts') ? await compile(path) : join(root, path)], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const exit = once(child, 'close').then(([code, signal]): Exit => ({ code, signal, stderr }));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  const line = once(createInterface(child.stdout), 'line').then(([text]) => text as string);
  const url = await Promise.race([line, exit.then(() => Promise.reject(new Error(`The example ended: ${stderr}`)))]);
  return {
    url: url.replace('[::1]', 'localhost'),
    stop() {
      child.kill('SIGTERM');
      return settles(exit);
    },
  };
}

/** With decorators, as Nest's own compiler does. Returns the path of the program. */
async function compile(path: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const name of ['package.json', 'dist', 'node_modules']) await symlink(join(root, name), join(folder, name));
  const { outputText } = ts.transpileModule(await readFile(join(root, path), 'utf8'), {
    compilerOptions: {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2023,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
    },
  });
  const program = join(folder, 'main.mjs');
  await writeFile(program, outputText);
  return program;
}

/** A body as it is read. */
interface Reading {
  readonly coding: string | null;
  readonly text: string;
  /** `end`, or `cut` where the body broke off. */
  readonly over: Promise<'end' | 'cut'>;
  leave(): void;
  /** Waits for a text, which was not there before. */
  sees(text: string): Promise<void>;
}

async function read(url: string, headers: Record<string, string> = {}): Promise<Reading> {
  const client = new AbortController();
  onTestFinished(() => client.abort());
  const response = await settles(fetch(url, { headers, signal: client.signal }));
  expect([url, response.status]).toEqual([url, 200]);
  let text = '';
  const over = (async () => {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body!) text += decoder.decode(chunk, { stream: true });
      return 'end';
    } catch {
      return 'cut';
    }
  })();
  return {
    coding: response.headers.get('content-encoding'),
    get text() {
      return text;
    },
    over,
    leave: () => client.abort(),
    sees: (expected) =>
      until(
        () => text.includes(expected),
        () => `"${expected}" is not in ${text}`,
      ),
  };
}

/** Waits until a server takes no more connections: it drains. */
async function refuses(url: string): Promise<void> {
  const isRefused = async (): Promise<boolean> => {
    const socket = net.connect(Number(new URL(url).port), 'localhost');
    // Rejects where there is an error first.
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    return !isOpen;
  };
  await expect.poll(isRefused, patient).toBe(true);
}

const drained: Exit = { code: 0, signal: null, stderr: '' };
const events = { accept: 'text/event-stream' };
const patient = { timeout: 20_000, interval: 20 };

function postJson(url: string, body: unknown): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

/**
 * Each event is made when the one before was read: one that anything held back would never come. A client that leaves
 * ends the source of its events.
 */
async function expectNews(open: () => Promise<Reading>, publish: (text: string) => Promise<number>): Promise<Reading> {
  const reading = await open();
  await reading.sees('hello');
  for (const text of ['first news', 'second news']) {
    expect(reading.text).not.toContain(text);
    await publish(text);
    await reading.sees(text);
  }
  const other = await open();
  await other.sees('hello');
  expect(await publish('for two')).toBe(2);
  other.leave();
  await expect.poll(() => publish('for one'), patient).toBe(1);
  return reading;
}

describe('the example for', { timeout: 90_000 }, () => {
  it.each([
    ['a stream of sluice', '/news', 'gzip'],
    // It says no-transform.
    ["Nest's own @Sse", '/news/nest', null],
  ])('NestJS sends %s event by event through compress, and drains', async (_what, path, coding) => {
    const { url, stop } = await run('examples/frameworks/nestjs/main.ts');
    const reading = await expectNews(
      () => read(url + path, events),
      async (text) => ((await (await postJson(`${url}/news`, { text })).json()) as { listeners: number }).listeners,
    );
    expect(reading.coding).toBe(coding);

    expect(await stop()).toEqual(drained);

    // A clean end would be final to a client that uses fetch.
    expect(await settles(reading.over)).toBe('cut');
    expect(reading.text).toMatch(/\nretry: ?\d+\n/);
  });

  it('tRPC sends a subscription event by event through compress, and drains', async () => {
    const { url, stop } = await run('examples/frameworks/trpc/server.js');
    const publish = async (text: string): Promise<number> => {
      const response = await postJson(`${url}/trpc/publish`, text);
      return ((await response.json()) as { result: { data: { listeners: number } } }).result.data.listeners;
    };
    const reading = await expectNews(() => read(`${url}/trpc/news`, events), publish);
    // It says no-transform.
    expect(reading.coding).toBe(null);
    // The client of tRPC, beside.
    const seen: unknown[] = [];
    const client = createTRPCClient({ links: [httpSubscriptionLink({ url: `${url}/trpc`, EventSource })] });
    const { news } = client as unknown as {
      news: { subscribe(input: undefined, on: { onData(data: unknown): void }): { unsubscribe(): void } };
    };
    const subscription = news.subscribe(undefined, { onData: (data) => seen.push(data) });
    await until(() => seen.length === 1);
    expect(await publish('for the client')).toBe(2);
    await until(() => seen.length === 2);
    expect(seen[1]).toEqual({ id: expect.any(String), data: 'for the client' });
    subscription.unsubscribe();
    await expect.poll(() => publish('for one'), patient).toBe(1);
    const batch = createTRPCClient({ links: [httpBatchLink({ url: `${url}/trpc` })] });
    const { publish: mutation } = batch as unknown as { publish: { mutate(text: string): Promise<unknown> } };
    expect(await mutation.mutate('by the client')).toEqual({ listeners: 1 });

    expect(await stop()).toEqual(drained);

    expect(await settles(reading.over)).toBe('cut');
    expect(reading.text).toMatch(/\nretry: ?\d+\n/);
  });

  it('GraphQL Yoga sends a subscription event by event, and drains', async () => {
    const { url, stop } = await run('examples/frameworks/graphql-yoga/server.js');
    const ask = async (query: string, variables: object = {}): Promise<Record<string, number>> => {
      const response = await postJson(`${url}/graphql`, { query, variables });
      return ((await response.json()) as { data: Record<string, number> }).data;
    };
    const publish = async (text: string): Promise<number> =>
      (await ask('mutation ($text: String!) { publish(text: $text) }', { text }))['publish']!;
    const subscription = `${url}/graphql?query=${encodeURIComponent('subscription { news }')}`;
    const reading = await expectNews(() => read(subscription, events), publish);
    // Yoga says that its event streams are to be left as they are.
    expect(reading.coding).toBe('none');
    expect(await ask('{ listeners }')).toEqual({ listeners: 1 });

    expect(await stop()).toEqual(drained);

    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toContain('event: complete');
  });

  it('React sends the shell of a page before its suspended part through compress, and drains', async () => {
    const { url, stop } = await run('examples/frameworks/react-ssr/server.js');
    const waiting = async (): Promise<unknown> => (await fetch(`${url}/waiting`)).json();
    const page = await read(url);
    await page.sees('The price comes with the next trade.');
    expect(page.coding).toMatch(/^(gzip|br|zstd)$/);
    expect(page.text).not.toContain('The price is');
    await fetch(`${url}/trades`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '12' });
    await page.sees('The price is 12');
    expect(await settles(page.over)).toBe('end');
    expect(page.text).toContain('</html>');

    // A client that leaves ends what its render waits for.
    const left = await read(url);
    await left.sees('The price comes');
    expect(await waiting()).toBe(1);
    left.leave();
    await expect.poll(waiting, patient).toBe(0);

    // What is under way is finished first: a request that is half there, and the page that waits for it.
    const last = await read(url);
    await last.sees('The price comes');
    const trade = request(`${url}/trades`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain', expect: '100-continue' },
    });
    trade.flushHeaders();
    // The server has the request.
    await once(trade, 'continue');
    const exit = stop();
    await refuses(url);
    trade.end('13');
    await last.sees('The price is 13');
    expect(await settles(last.over)).toBe('end');
    expect(await exit).toEqual(drained);
  });

  it('Socket.IO has its clients beside event streams, and closes them so that they come back', async () => {
    const { url, stop } = await run('examples/frameworks/socket-io/server.js');
    const reading = await read(`${url}/chat`, events);
    await reading.sees('hello');
    expect(reading.coding).toBe('gzip');
    const socket = connect(url, { transports: ['websocket'], forceNew: true, reconnection: false });
    onTestFinished(() => void socket.disconnect());
    const seen: unknown[] = [];
    socket.on('chat', (text: unknown) => seen.push(text));
    await until(() => socket.connected);
    socket.emit('chat', 'for all');
    await until(() => seen.length === 1);
    await reading.sees('for all');
    const stats = await (await fetch(`${url}/connections`)).json();
    expect(stats).toMatchObject({ transports: { http1: { healthy: 1 }, websocket: { healthy: 1 } } });
    const gone = new Promise((resolve) => socket.once('disconnect', resolve));

    expect(await stop()).toEqual(drained);

    // After "io server disconnect" a client would stay away.
    expect(['transport close', 'transport error']).toContain(await settles(gone));
    expect(await settles(reading.over)).toBe('cut');
  });
});
