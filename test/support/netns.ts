import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { settles } from './until.ts';

/** Of the packets, from 0 to 1: both ways, or each on its own. What is not named stays as it is. */
export type Loss = number | { readonly toClient?: number; readonly toServer?: number };

/** What a link does to the packets that it carries. */
export interface LinkCondition {
  readonly loss?: Loss;
  /** Milliseconds, one way. */
  readonly delay?: number;
}

export interface LinkOptions extends LinkCondition {
  /** Decides which packets are lost. */
  readonly seed?: number;
}

export interface PacketCounts {
  readonly passed: number;
  readonly dropped: number;
}

export interface LinkStats {
  readonly toClient: PacketCounts;
  readonly toServer: PacketCounts;
}

/** A line of JSON that a process wrote or reads. */
export type Message = Readonly<Record<string, unknown>>;

/** How a process ended. */
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/**
 * A process at one end of a link: it writes messages to stdout, reads them from stdin, and has to end with its stdin.
 */
export interface ChildProcessHandle {
  readonly pid: number;
  /** All that it said so far. */
  readonly messages: readonly Message[];
  /**
   * The first message, of those that are there and of those that come, which passes. Fails where the process ends
   * without it.
   */
  until(passes: (message: Message, index: number) => boolean, limit?: number): Promise<Message>;
  send(message: Message): void;
  kill(signal?: NodeJS.Signals): void;
  readonly exit: Promise<ChildExit>;
}

/** One end of a link: a network namespace of its own. */
export interface LinkEnd {
  readonly netns: string;
  /** Of IPv4. */
  readonly address: string;
  readonly address6: string;
  /** Runs a script there, with the Node that runs the tests. */
  spawnNode(script: string, args?: readonly string[], env?: Readonly<Record<string, string>>): ChildProcessHandle;
  /** Runs a program there, which writes nothing to stdout. It ends with the link. */
  spawn(program: string, args: readonly string[]): ChildProcessHandle;
}

/** Two network namespaces, and all that there is between them. */
export interface Link {
  readonly server: LinkEnd;
  readonly client: LinkEnd;
  /** Holds for the packets that are sent from now on. */
  set(condition: LinkCondition): Promise<void>;
  /** Makes a black hole of it: nothing passes any more, nor what is under way, and nobody is told. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  stats(): Promise<LinkStats>;
  /** Ends the processes at both ends, and removes the namespaces. */
  close(): Promise<void>;
}

interface Place {
  readonly netns: string;
  readonly address: string;
  readonly address6: string;
}

const lossyLink = fileURLToPath(new URL('lossy-link.py', import.meta.url));

let lack: string | undefined;

/** Why no link can be made here; empty where one can, because one was made. */
export function lackOfLink(): string {
  lack ??= tryLink();
  return lack;
}

function tryLink(): string {
  if (process.platform !== 'linux') return 'network namespaces are of Linux';
  if (process.getuid?.() !== 0) return 'it takes root';
  const { status, error, stderr } = spawnSync('python3', [lossyLink], { input: '', encoding: 'utf8' });
  return status === 0
    ? ''
    : `it takes python3, ip (iproute2), /dev/net/tun and CAP_SYS_ADMIN: ${error?.message ?? stderr.trim()}`;
}

/**
 * Whether a link can be made here; where not, it is said which tests are left out, or an error where everything is
 * required.
 */
export function needRoot(tests: string): boolean {
  if (lackOfLink() === '') return true;
  if (process.env['SLUICE_REQUIRE_ALL'] === '1')
    throw new Error(`Tests of ${tests} are required, but no link can be made: ${lackOfLink()}`);
  console.warn(`Left out, ${tests}: no link can be made: ${lackOfLink()}`);
  return false;
}

/** Runs a script on this machine as it is, with the Node that runs the tests. */
export function spawnNode(
  script: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): ChildProcessHandle {
  return handle(spawn(process.execPath, [script, ...args], { env: { ...process.env, ...env }, stdio: 'pipe' }));
}

/** Makes a link; `close()` it. It also ends with this process, however that ends. */
export async function openLink(options: LinkOptions = {}): Promise<Link> {
  if (lackOfLink() !== '') throw new Error(`No link can be made: ${lackOfLink()}`);
  const { seed = 1, ...condition } = options;
  // A session of its own: what a terminal sends to all its processes does not reach it halfway through its work.
  const shuttle = handle(spawn('python3', [lossyLink, String(seed)], { stdio: 'pipe', detached: true }));
  const { a, b } = (await shuttle.until(() => true)) as unknown as Record<'a' | 'b', Place>;
  const children: ChildProcessHandle[] = [];
  const run = (
    { netns }: Place,
    command: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): ChildProcessHandle => {
    // `ip netns exec` becomes the process that it starts.
    const child = spawn('ip', ['netns', 'exec', netns, ...command], { env: { ...process.env, ...env }, stdio: 'pipe' });
    const spawned = handle(child);
    children.push(spawned);
    return spawned;
  };
  const end = (place: Place): LinkEnd => ({
    ...place,
    spawnNode: (script, args = [], env) => run(place, [process.execPath, script, ...args], env),
    spawn: (program, args) => run(place, [program, ...args]),
  });
  let answers = 1;
  const command = async (line: string): Promise<Message> => {
    const at = answers++;
    shuttle.write(`${line}\n`);
    const answer = (await shuttle.until((_message, index) => index === at)) as Message & { readonly error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  };
  const link: Link = {
    server: end(a),
    client: end(b),
    set: async (change) => void (await command(`set ${formatCondition(change)}`)),
    cut: async () => void (await command('cut')),
    mend: async () => void (await command('mend')),
    async stats() {
      const { ab, ba } = (await command('stats')) as unknown as Record<'ab' | 'ba', PacketCounts>;
      return { toClient: ab, toServer: ba };
    },
    async close() {
      for (const child of children) child.kill('SIGKILL');
      shuttle.end();
      const { code, stderr } = await settles(shuttle.exit);
      await Promise.all(children.map(({ exit }) => exit));
      if (code !== 0) throw new Error(`The link ended with ${code}: ${stderr}`);
    },
  };
  await link.set(condition);
  return link;
}

function formatCondition({ loss = {}, delay }: LinkCondition): string {
  const { toClient, toServer } = typeof loss === 'number' ? { toClient: loss, toServer: loss } : loss;
  const values = Object.entries({ 'loss-ab': toClient, 'loss-ba': toServer, delay });
  return values.flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`])).join(' ');
}

interface Piped extends ChildProcessHandle {
  write(text: string): void;
  end(): void;
}

function handle(child: ChildProcess & { stdin: NodeJS.WritableStream; stdout: Readable; stderr: Readable }): Piped {
  const messages: Message[] = [];
  const waiting = new Set<() => void>();
  let ended: ChildExit | undefined;
  let stderr = '';
  const wake = (): void => {
    for (const look of waiting) look();
  };
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  createInterface(child.stdout).on('line', (line) => {
    messages.push(JSON.parse(line) as Message);
    wake();
  });
  // It may be gone while something is written to it, which `exit` tells.
  child.stdin.on('error', () => {});
  const exit = once(child, 'close').then(([code, signal]): ChildExit => {
    ended = { code: code as number | null, signal: signal as NodeJS.Signals | null, stderr };
    wake();
    return ended;
  });
  return {
    pid: child.pid!,
    messages,
    until(passes, limit = 30_000) {
      let look!: () => void;
      const found = new Promise<Message>((resolve, reject) => {
        look = () => {
          const message = messages.find(passes);
          if (message) resolve(message);
          else if (ended) reject(new Error(`The process ended with ${ended.code ?? ended.signal}: ${ended.stderr}`));
        };
      });
      waiting.add(look);
      look();
      return settles(found, limit).finally(() => waiting.delete(look));
    },
    send: (message) => void child.stdin.write(`${JSON.stringify(message)}\n`),
    write: (text) => void child.stdin.write(text),
    end: () => void child.stdin.end(),
    kill: (signal) => void child.kill(signal),
    exit,
  };
}
