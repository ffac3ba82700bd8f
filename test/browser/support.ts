import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest';
import { EventParser, type ParsedEvent } from '../support/event-parser.ts';

export { lastingPort } from '../support/lasting-port.ts';

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

/** Starts Chromium with a fresh profile; `close()` it. @param unset - arguments of Playwright that are left out */
export async function launchBrowser(unset: string[] = []): Promise<Browser> {
  if (missing !== undefined) throw new Error(`Browser tests are required, but ${missing}`);
  return chromium.launch({
    executablePath: chromiumPath,
    timeout: startTimeout,
    ignoreDefaultArgs: unset,
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

/** What the console of a page says is wrong, from its start. */
const consoleErrors = new WeakMap<Page, string[]>();

export function consoleErrorsOf(page: Page): readonly string[] {
  return consoleErrors.get(page)!;
}

/**
 * Opens a page for one test, which moves nothing by itself unless told otherwise. An error that the page's script does
 * not catch fails the test.
 */
export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Page> {
  const page = await browser.newPage({ reducedMotion: 'reduce', ...options });
  page.setDefaultTimeout(patient.timeout);
  const errors: Error[] = [];
  page.on('pageerror', (error) => errors.push(error));
  const messages: string[] = [];
  consoleErrors.set(page, messages);
  page.on('console', (message) => {
    if (message.type() === 'error') messages.push(message.text());
  });
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

/** A file, and how to add to it. */
export interface TemporaryFile {
  readonly path: string;
  append(text: string): Promise<void>;
}

export async function temporaryFile(text = ''): Promise<TemporaryFile> {
  const { remove, ...file } = await createFile(text);
  onTestFinished(remove);
  return file;
}

async function createFile(text: string): Promise<TemporaryFile & { remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
  const path = join(folder, 'followed.log');
  await writeFile(path, text);
  return { path, append: (more) => appendFile(path, more), remove: () => rm(folder, { recursive: true }) };
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
  env?: Record<string, string>;
}

/** Runs an example for one test. */
export function runExample(path: string, options?: ExampleOptions): Program {
  const program = spawnExample(path, options);
  onTestFinished(async () => {
    await program.stop('SIGKILL');
  });
  return program;
}

function spawnExample(path: string, { args = [], port = 0, env = {} }: ExampleOptions = {}): Program {
  const script = fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, GOVERNOR: 'off', INTERVAL: '200', PORT: String(port), ...env },
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

/** An example that listens. */
export interface RunningExample extends Program {
  readonly url: string;
  readonly port: number;
}

/** A gateway that listens. */
export type Gateway = RunningExample;

export async function startGateway({
  port = 0,
  file,
  env = {},
}: { port?: number; file?: string | undefined; env?: Record<string, string> } = {}): Promise<Gateway> {
  return whenListening(runExample('gateway/server.js', { args: file === undefined ? [] : [file], port, env }));
}

/** A gateway for several tests, which leave it as they found it. It follows a file. */
export interface SharedGateway {
  readonly url: string;
  readonly port: number;
  readonly child: ChildProcess;
  readonly file: TemporaryFile;
}

/** Starts a gateway for all tests of a file or a `describe`. */
export function useGateway({ follows = true } = {}): SharedGateway {
  let program: Program | undefined;
  let gateway: Gateway | undefined;
  let file: (TemporaryFile & { remove(): Promise<void> }) | undefined;
  beforeAll(async () => {
    file = await createFile('line\n');
    program = spawnExample('gateway/server.js', follows ? { args: [file.path] } : {});
    gateway = await whenListening(program);
  }, startTimeout);
  afterAll(async () => {
    await program?.stop('SIGKILL');
    await file?.remove();
  });
  return {
    get url() {
      return gateway!.url;
    },
    get port() {
      return gateway!.port;
    },
    get child() {
      return gateway!.child;
    },
    get file() {
      return file!;
    },
  };
}

/** For an example that prints its address. */
export async function whenListening(program: Program): Promise<RunningExample> {
  const line = once(createInterface(program.child.stdout!), 'line').then(([text]) => text as string);
  const url = await Promise.race([
    line,
    program.exit.then(({ stderr }) => Promise.reject(new Error(`The example ended: ${stderr}`))),
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
export async function* recordsOf(url: string, headers: Record<string, string> = {}): AsyncGenerator<unknown, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of await bodyOf(url, { accept: 'application/x-ndjson', ...headers })) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
}

/** Open until the test is over, at most. */
async function bodyOf(url: string, headers: Record<string, string>): Promise<AsyncIterable<Uint8Array>> {
  const over = new AbortController();
  onTestFinished(() => over.abort());
  const response = await fetch(url, { headers, signal: over.signal });
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

/** The id of a sample that is taken from now on. */
export async function newestId(url: string): Promise<string> {
  const now = Date.now();
  for await (const { type, data, lastEventId } of eventsOf(`${url}/metrics`)) {
    if (type === 'sample' && (JSON.parse(data) as { time: number }).time >= now) return lastEventId;
  }
  throw new Error('The stream ended');
}

/** What a gateway says of its connections. */
export interface Stats {
  readonly connections: number;
  readonly ended: Record<string, number>;
}

/** What a page is told the next time. The question is a connection itself. */
export async function nextStats(url: string): Promise<Stats> {
  for await (const { type, data } of eventsOf(`${url}/metrics?page=asking`)) {
    if (type === 'connections') return JSON.parse(data) as Stats;
  }
  throw new Error('The stream ended');
}

/** A client in a process of its own, that reads a stream until it is killed. */
export async function startClient(url: string): Promise<{ kill(): Promise<void> }> {
  const program = `const { body } = await fetch(${JSON.stringify(url)}); for await (const chunk of body) process.stdout.write(chunk);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  onTestFinished(kill);
  await once(child.stdout, 'data');
  child.stdout.resume();
  return { kill };
}
