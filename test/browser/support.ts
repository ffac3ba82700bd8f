import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest';
import { EventParser, type ParsedEvent } from '../support/event-parser.ts';

/** For conditions that come true soon, on any machine that is not stuck. */
export const patient = { timeout: 45_000, interval: 100 };

/** For the start of a browser or of a process. */
export const startTimeout = 120_000;

const chromiumPath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
const missing = existsSync(chromiumPath) ? undefined : `there is no browser at ${chromiumPath}; set CHROMIUM_PATH`;

/** Whether tests have to be left out for lack of a browser, which is said. Never, where everything is required. */
export function lacksBrowser(tests: string): boolean {
  const lacks = missing !== undefined && process.env['SLUICE_REQUIRE_ALL'] !== '1';
  if (lacks) console.warn(`Skipped, ${tests}: ${missing}`);
  return lacks;
}

/** Starts Chromium with a fresh profile; `close()` it. */
export async function launchBrowser(): Promise<Browser> {
  if (missing !== undefined) throw new Error(`Browser tests are required, but ${missing}`);
  return chromium.launch({
    executablePath: chromiumPath,
    timeout: startTimeout,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** Opens a page for one test. An error that the page's script does not catch fails the test. */
export async function openPage(browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage();
  page.setDefaultTimeout(patient.timeout);
  const errors: Error[] = [];
  page.on('pageerror', (error) => errors.push(error));
  onTestFinished(async () => {
    await page.close();
    expect(errors).toEqual([]);
  });
  await page.goto(url);
  return page;
}

/** A server of this process. */
export interface Listening {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves one test. */
export async function listen(listener: RequestListener, port = 0): Promise<Listening> {
  const server = createServer(listener).listen(port);
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  onTestFinished(close);
  return { url: `http://localhost:${(server.address() as AddressInfo).port}`, close };
}

/** A file of one test. */
export interface TemporaryFile {
  readonly path: string;
  append(text: string): Promise<void>;
}

export async function temporaryFile(text = ''): Promise<TemporaryFile> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'followed.log');
  await writeFile(path, text);
  return { path, append: (more) => appendFile(path, more) };
}

/** How a process ended, and what it said. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** An example that runs as a process of its own. */
export interface Program {
  readonly child: ChildProcess;
  readonly exit: Promise<Exit>;
  stop(signal: NodeJS.Signals): Promise<Exit>;
}

interface ExampleOptions {
  args?: string[];
  port?: number;
}

/** Runs an example for one test. */
export function runExample(path: string, options?: ExampleOptions): Program {
  const program = spawnExample(path, options);
  onTestFinished(async () => {
    await program.stop('SIGKILL');
  });
  return program;
}

function spawnExample(path: string, { args = [], port = 0 }: ExampleOptions = {}): Program {
  const script = fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, GOVERNOR: 'off', PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  // Also when the test process is stopped before it can clean up.
  process.once('exit', kill);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const exit = once(child, 'close').then(([code, signal]): Exit => {
    process.off('exit', kill);
    return { code, signal, stderr };
  });
  const stop = (signal: NodeJS.Signals): Promise<Exit> => {
    child.kill(signal);
    return exit;
  };
  return { child, exit, stop };
}

/**
 * A port for a server that is to come back at the same one. It is below those that the kernel gives out by itself: one
 * of these is taken by the next best connection while the server is away.
 */
export async function lastingPort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(20_000 * Math.random());
    const server = createTcpServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, () => resolve(true));
    });
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** A gateway that listens. */
export interface Gateway extends Program {
  readonly url: string;
  readonly port: number;
}

export async function startGateway({
  port = 0,
  file,
}: { port?: number; file?: string | undefined } = {}): Promise<Gateway> {
  return whenListening(runExample('gateway/server.js', { args: file === undefined ? [] : [file], port }));
}

/** A gateway for all tests of a file or a `describe`, none of which changes anything about it. */
export function useGateway(): Pick<Gateway, 'url' | 'port'> {
  let program: Program | undefined;
  let gateway: Gateway | undefined;
  beforeAll(async () => {
    program = spawnExample('gateway/server.js');
    gateway = await whenListening(program);
  }, startTimeout);
  afterAll(() => program?.stop('SIGKILL'));
  return {
    get url() {
      return gateway!.url;
    },
    get port() {
      return gateway!.port;
    },
  };
}

async function whenListening(program: Program): Promise<Gateway> {
  const line = once(createInterface(program.child.stdout!), 'line').then(([text]) => text as string);
  const url = await Promise.race([
    line,
    program.exit.then(({ stderr }) => Promise.reject(new Error(`The gateway ended: ${stderr}`))),
  ]);
  return { ...program, url, port: Number(new URL(url).port) };
}

/** The events of a response as they come. Leaving the loop closes the connection. */
export async function* eventsOf(url: string, lastEventId = ''): AsyncGenerator<ParsedEvent, void> {
  const parser = new EventParser();
  let given = 0;
  for await (const chunk of await bodyOf(url, {
    accept: 'text/event-stream',
    ...(lastEventId && { 'last-event-id': lastEventId }),
  })) {
    parser.push(chunk);
    for (const event of parser.events.slice(given)) yield event;
    given = parser.events.length;
  }
}

/** The records of a response as they come. Leaving the loop closes the connection. */
export async function* recordsOf(url: string): AsyncGenerator<unknown, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of await bodyOf(url, { accept: 'application/x-ndjson' })) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
}

async function bodyOf(url: string, headers: Record<string, string>): Promise<AsyncIterable<Uint8Array>> {
  const response = await fetch(url, { headers });
  if (response.status !== 200 || !response.body)
    throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return response.body;
}

/** The next items of a source, which stays open. */
export async function take<T>(source: AsyncGenerator<T, void>, count: number): Promise<T[]> {
  const items: T[] = [];
  while (items.length < count) {
    const { done, value } = await source.next();
    if (done === true) throw new Error(`The source ended after ${items.length} of ${count} items`);
    items.push(value);
  }
  return items;
}
