import { spawn } from 'node:child_process';
import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { type AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { format } from 'node:util';
import ts from 'typescript';
import { onTestFinished, vi } from 'vitest';
import { listen, type Running as Served } from './carriers.ts';
import { until } from './until.ts';

// The pages of the documentation, and the code in them. An example runs as it stands, against the built package. Only
// its ports are replaced.

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The paths of all pages, from the root of the project. */
export const pages: readonly string[] = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

export interface Example {
  /** Page and heading; from the second example under a heading on also its number: `docs/sse.md: Handlers (2)`. */
  readonly key: string;
  readonly language: 'js' | 'ts';
  readonly code: string;
}

/** The text of a page. */
export function readPage(page: string): string {
  return readFileSync(join(root, page), 'utf8');
}

/** The blocks of JavaScript and TypeScript in a page, also those in a list. */
export function examplesOf(page: string): Example[] {
  const found: Example[] = [];
  const counts = new Map<string, number>();
  let title = '';
  for (const [, heading, indent, language, block] of readPage(page).matchAll(
    /^#{1,6} (.*)$|^( *)```(js|ts|mjs|cjs|javascript|typescript|jsx|tsx)\b.*\n([^]*?)^ *```$/gm,
  )) {
    if (heading !== undefined) {
      title = heading.replaceAll('`', '');
      continue;
    }
    const count = (counts.get(title) ?? 0) + 1;
    counts.set(title, count);
    found.push({
      key: `${page}: ${title}${count > 1 ? ` (${count})` : ''}`,
      language: language!.startsWith('t') ? 'ts' : 'js',
      code: block!.replaceAll(new RegExp(`^${indent!}`, 'gm'), ''),
    });
  }
  return found;
}

/** A folder outside of the project in which `sluice` is the built package, and its dependencies are there. */
export interface Room {
  /** Writes a file. Returns its path. */
  write(name: string, code: string): string;
  /** Imports a file as Node does, without the test runner's own loader. */
  load(path: string): Promise<Record<string, unknown>>;
  remove(): void;
}

export function openRoom(): Room {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-docs-'));
  // A package may import itself by its name.
  for (const name of ['package.json', 'dist', 'node_modules']) symlinkSync(join(root, name), join(folder, name));
  const write = (name: string, code: string): string => {
    writeFileSync(join(folder, name), code);
    return join(folder, name);
  };
  const loader = write('load.cjs', 'module.exports = (url) => import(url);');
  const load = createRequire(loader)(loader) as (url: string) => Promise<Record<string, unknown>>;
  return {
    write,
    load: (path) => load(pathToFileURL(path).href),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A name for a file with this example. */
function fileNameOf({ key, code }: Example, extension: 'js' | 'ts'): string {
  const isCommonJs = /^(module\.exports|const .* = require\()/m.test(code);
  return `${key.replaceAll(/\W+/g, '-')}.${isCommonJs ? 'cjs' : extension}`;
}

/** An example that runs in this process. */
export interface Running {
  /** What the module exports. */
  readonly exports: Record<string, unknown>;
  /** The requests that the example made itself, to the services that it calls: method and path. */
  readonly calls: readonly string[];
  /** Where these services listen. */
  readonly upstream: string;
  /** Where a server of the example listens: `http://127.0.0.1:…`; a handler that was mounted before the others. */
  origin(server?: number): string;
  /** Waits until the example has printed something. Returns all that it printed since the last call. */
  printed(): Promise<string[]>;
  /** Serves a handler that the module exports. */
  mount(handler: unknown): Promise<void>;
}

export interface StartOptions {
  /** Where the services that the example calls listen, in place of one that answers `{"price":12}` to all. */
  readonly upstream?: string;
  /** What a page in a browser has, and Node has not. */
  readonly globals?: Record<string, unknown>;
}

let started = 0;

/** Runs an example in this process, until the test is over. */
export async function start(example: Example, room: Room, options: StartOptions = {}): Promise<Running> {
  const { globals = {} } = options;
  const calls: string[] = [];
  const prices = await listen(
    http.createServer((req, res) => {
      calls.push(`${req.method!} ${req.url!}`);
      res.setHeader('Content-Type', 'application/json');
      res.end(JSON.stringify({ price: 12 }));
    }),
  );
  onTestFinished(() => prices.close());
  const upstream = options.upstream ?? prices.origin;
  for (const [name, value] of Object.entries(globals)) vi.stubGlobal(name, value);
  onTestFinished(() => void vi.unstubAllGlobals());
  const servers = watchServers();
  const lines = watchConsole();
  undoAtEnd();

  const code = example.code
    .replaceAll(/\blisten\((?:process\.env\.PORT \?\? )?300[01]\)/g, 'listen(0)')
    .replaceAll(/\bport: 3000\b/g, 'port: server.address().port')
    .replaceAll(/\blocalhost:(3000|3001|4000)\b/g, new URL(upstream).host);
  // A module is evaluated once, an example as often as it is used.
  const path = room.write(
    `${++started}-${fileNameOf(example, 'js')}`,
    example.language === 'ts' ? stripTypes(code) : code,
  );
  const exports = await room.load(path);

  let mounted: Served | undefined;
  return {
    exports,
    calls,
    upstream,
    origin: (server = 0) => mounted?.origin ?? `http://127.0.0.1:${(servers[server]!.address() as AddressInfo).port}`,
    async printed() {
      await until(
        () => lines.length > 0,
        () => 'nothing was printed',
      );
      return lines.splice(0);
    },
    async mount(handler) {
      const { default: express } = await import('express');
      const app = express().use(handler as ReturnType<typeof express>);
      mounted = await listen(http.createServer(app));
      onTestFinished(() => mounted!.close());
    },
  };
}

function stripTypes(code: string): string {
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true };
  return ts.transpileModule(code, { compilerOptions }).outputText;
}

// Two examples may run in one test: the spy of the second replaces that of the first.
const listenUnwatched = Server.prototype.listen;

/** The servers that begin to listen from now on; closed when the test is over. */
function watchServers(): Server[] {
  const servers: Server[] = [];
  const sockets = new Set<{ destroy(): void }>();
  const spy = vi.spyOn(Server.prototype, 'listen').mockImplementation(function (this: Server, ...args: unknown[]) {
    servers.push(this);
    this.on('connection', (socket) => void sockets.add(socket));
    return Reflect.apply(listenUnwatched, this, args) as Server;
  });
  onTestFinished(async () => {
    spy.mockRestore();
    const closed = servers.filter((server) => server.listening).map((server) => once(server, 'close'));
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
  });
  return servers;
}

/** What is printed from now on, and what Node warns of. Whatever is left when the test is over fails it. */
function watchConsole(): string[] {
  const lines: string[] = [];
  const spies = (['log', 'warn', 'error'] as const).map((method) =>
    vi.spyOn(console, method).mockImplementation((...args: unknown[]) => void lines.push(format(...args))),
  );
  const processOnWarning = (warning: Error): void => {
    // Some versions of Node call `require` of a module experimental.
    if (warning.name !== 'ExperimentalWarning') lines.push(String(warning));
  };
  process.on('warning', processOnWarning);
  onTestFinished(() => {
    process.off('warning', processOnWarning);
    for (const spy of spies) spy.mockRestore();
    if (lines.length > 0) throw new Error(`The example has printed: ${lines.join('\n')}`);
  });
  return lines;
}

/** Takes back what an example would leave in the process: listeners of signals, subscriptions and intervals. */
function undoAtEnd(): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const before = process.listeners(signal);
    onTestFinished(() => {
      for (const each of process.listeners(signal)) if (!before.includes(each)) process.off(signal, each);
    });
  }
  const intervals: NodeJS.Timeout[] = [];
  const { setInterval } = globalThis;
  vi.stubGlobal('setInterval', (...args: Parameters<typeof setInterval>) => {
    const interval = setInterval(...args);
    intervals.push(interval);
    return interval;
  });
  onTestFinished(() => intervals.forEach(clearInterval));
  const { subscribe } = diagnostics;
  diagnostics.subscribe = (name, listener) => {
    subscribe(name, listener);
    onTestFinished(() => void diagnostics.unsubscribe(name, listener));
  };
  syncBuiltinESMExports();
  onTestFinished(() => {
    diagnostics.subscribe = subscribe;
    syncBuiltinESMExports();
  });
}

// SIGTERM, once the program listens for it, and has had time to listen on its ports.
const terminate = `
  const timer = setInterval(() => {
    if (process.listenerCount('SIGTERM') === 0) return;
    clearInterval(timer);
    setTimeout(() => process.kill(process.pid, 'SIGTERM'), 1000).unref();
  }, 20).unref();`;

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
}

/** Runs code in a process of its own, on free ports, and sends it SIGTERM. `kill` ends a process that hangs. */
export function runUntilSignal(code: string): { ended: Promise<Ended>; kill(): void } {
  const child = spawn(
    process.execPath,
    [
      '--import',
      `data:text/javascript,${encodeURIComponent(terminate)}`,
      '--input-type=module',
      '--eval',
      `${code.replaceAll(/\b300[01]\b/g, '0')}\n`,
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = once(child, 'close').then(([exitCode, signal]) => ({ code: exitCode, signal, output }) as Ended);
  return { ended, kill: () => void child.kill('SIGKILL') };
}

/**
 * Compiles files with the options of the project; imports of `src` are of the built declarations, as users see them.
 * Returns the complaints.
 */
export function compile(paths: readonly string[]): string[] {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => readFileSync(path, 'utf8'));
  const { options } = ts.convertCompilerOptionsFromJson(
    { ...config.compilerOptions, rewriteRelativeImportExtensions: false },
    root,
  );
  const host = ts.createCompilerHost(options);
  const cache = ts.createModuleResolutionCache(root, (name) => name, options);
  host.resolveModuleNameLiterals = (literals, containingFile, redirected, _options, sourceFile) =>
    literals.map((literal) => {
      const name = literal.text.replace(/^(?:\.\.\/)+src\/(.*)\.ts$/, join(root, 'dist/$1.js'));
      const mode = ts.getModeForUsageLocation(sourceFile, literal, options);
      return ts.resolveModuleName(name, containingFile, options, host, cache, redirected, mode);
    });
  const program = ts.createProgram([...paths, join(root, 'test/support/express4.d.ts')], options, host);
  const complaints = paths.flatMap((path) => {
    const file = program.getSourceFile(path)!;
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
  });
  return complaints.map(({ file, start: at = 0, messageText }) => {
    const place = file ? `${file.fileName}:${file.getLineAndCharacterOfPosition(at).line + 1}` : '';
    return `${place} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
}

/** Writes the examples in TypeScript of all pages into a room. Returns their paths. */
export function writeTyped(room: Room): string[] {
  return pages
    .flatMap(examplesOf)
    .filter(({ language }) => language === 'ts')
    .map((example) => room.write(fileNameOf(example, 'ts'), example.code));
}
