import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, it } from 'vitest';
import { openRoom } from '../support/docs.ts';
import { diffsOf } from '../support/page-diffs.ts';
import { settles, until } from '../support/until.ts';

// Each program of docs/from-terminus.md runs before and after its diff, in a process of its own, with the real package.

const room = openRoom();
const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  room.remove();
});

room.write(
  'database.mjs',
  `
  const connection = setInterval(() => {}, 1000);
  export const database = {
    ping: async () => {},
    async close() {
      clearInterval(connection);
      console.log('database closed');
    },
  };`,
);
room.write(
  'app.mjs',
  `
  export function app(req, res) {
    if (req.url !== '/ticks') return res.end('hello');
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    let id = 0;
    const timer = setInterval(() => res.write(\`id: \${++id}\\ndata: tick\\n\\n\`), 100);
    res.on('close', () => clearInterval(timer));
  }`,
);
// Says where the program listens.
const sayPort = room.write(
  'say-port.mjs',
  `
  import { Server } from 'node:net';
  const { listen } = Server.prototype;
  Server.prototype.listen = function (...args) {
    this.once('listening', () => console.log('port', this.address().port));
    return listen.apply(this, args);
  };`,
);

interface Program {
  readonly port: number;
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  output(): string;
  terminate(): void;
}

let programs = 0;

async function run(code: string): Promise<Program> {
  const path = room.write(
    `${++programs}.mjs`,
    code
      .replaceAll('listen(3000)', "listen(0, '127.0.0.1')")
      .replaceAll(/'\.\/(app|database)\.js'/g, "'./$1.mjs'")
      // What takes seconds in production.
      .replaceAll('20_000', '1500')
      .replaceAll('5000', '3000')
      .replaceAll("'25s'", "'25s', preDrain: '3s', spread: 0"),
  );
  const child = spawn(process.execPath, ['--import', pathToFileURL(sayPort).href, path], { stdio: 'pipe' });
  children.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = once(child, 'close').then(([exitCode, signal]) => ({ code: exitCode, signal }) as never);
  await until(
    () => /^port \d+$/m.test(output),
    () => output,
  );
  return {
    port: Number(/^port (\d+)$/m.exec(output)![1]),
    ended,
    output: () => output.replaceAll(/^port \d+\n/gm, ''),
    terminate: () => void child.kill('SIGTERM'),
  };
}

interface Stream {
  text(): string;
  /** Resolves with whether the body was complete. */
  readonly closed: Promise<boolean>;
}

async function openTicks(port: number): Promise<Stream> {
  const [res] = (await once(http.get({ port, path: '/ticks', agent: false }), 'response')) as [http.IncomingMessage];
  let text = '';
  res.setEncoding('utf8').on('data', (part: string) => (text += part));
  res.on('error', () => undefined); // its 'close' follows
  const closed = new Promise<boolean>((resolve) => res.on('close', () => resolve(res.complete)));
  await until(() => text.includes('id: 2\n'));
  return { text: () => text, closed };
}

/** What a new client gets: a status and the field `Connection`, or the code of an error. */
async function newcomer(port: number, path: string): Promise<string> {
  const agent = new http.Agent({ keepAlive: true });
  const req = http.get({ port, path, agent });
  try {
    const [res] = (await once(req, 'response')) as [http.IncomingMessage];
    res.resume();
    return `${res.statusCode!} ${res.headers.connection!}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code!;
  } finally {
    agent.destroy();
  }
}

/** Sends SIGTERM, and asks as a new client until the answer is another one. */
async function terminateAndAsk({ port, terminate }: Program, path: string): Promise<string> {
  const before = await newcomer(port, path);
  terminate();
  for (;;) {
    const answer = await newcomer(port, path);
    if (answer !== before) return answer;
  }
}

function diffUnder(title: string): { before: string; after: string } {
  return diffsOf('docs/from-terminus.md').find((diff) => diff.title === title)!;
}

describe('docs/from-terminus.md', () => {
  it('has a diff for each package', ({ expect }) => {
    const diffs = diffsOf('docs/from-terminus.md');
    expect(diffs.map(({ title }) => title)).toEqual([
      'From @godaddy/terminus',
      'From http-terminator',
      'From stoppable',
    ]);
  });
});

const refused = /^ECONN(?:RESET|REFUSED)$/;

describe.concurrent('a drain with an event stream open', { timeout: 60_000 }, () => {
  it('terminus cuts the stream, and ends by the signal', async ({ expect }) => {
    const program = await run(diffUnder('From @godaddy/terminus').before);
    const stream = await openTicks(program.port);
    expect(await settles(terminateAndAsk(program, '/healthz'))).toMatch(/^503 /);
    expect(await settles(stream.closed)).toBe(false);
    expect(stream.text()).not.toContain('retry:');
    expect(await settles(program.ended)).toEqual({ code: null, signal: 'SIGTERM' });
    expect(program.output()).toBe('database closed\n');
  });

  it('`lifecycle` in place of terminus asks its client to reconnect, and the process exits with 0', async ({
    expect,
  }) => {
    const program = await run(diffUnder('From @godaddy/terminus').after);
    const stream = await openTicks(program.port);
    expect(await settles(terminateAndAsk(program, '/healthz'))).toMatch(/^503 /);
    // Not complete either: a fetch client would take a clean end as final.
    expect(await settles(stream.closed)).toBe(false);
    expect(stream.text()).toMatch(/\n\nretry: \d+\n$/);
    expect(await settles(program.ended)).toEqual({ code: 0, signal: null });
    expect(program.output()).toBe('database closed\n');
  });

  it('http-terminator refuses new clients at once, and cuts the stream', async ({ expect }) => {
    const program = await run(diffUnder('From http-terminator').before);
    const stream = await openTicks(program.port);
    expect(await settles(terminateAndAsk(program, '/'))).toMatch(refused);
    expect(await settles(stream.closed)).toBe(false);
    expect(stream.text()).not.toContain('retry:');
    expect(await settles(program.ended)).toEqual({ code: 0, signal: null });
    expect(program.output()).toBe('database closed\n');
  });

  it('`lifecycle` in place of http-terminator serves new clients, and reports what left', async ({ expect }) => {
    const program = await run(diffUnder('From http-terminator').after);
    const stream = await openTicks(program.port);
    expect(await settles(terminateAndAsk(program, '/'))).toBe('200 close');
    expect(await settles(stream.closed)).toBe(false);
    expect(stream.text()).toMatch(/\n\nretry: \d+\n$/);
    expect(await settles(program.ended)).toEqual({ code: 0, signal: null });
    const [report, closed] = program.output().split('\n');
    expect(JSON.parse(report!)).toMatchObject({ told: { streams: 1 }, cut: { requests: 0, streams: 0, sockets: 0 } });
    expect(closed).toBe('database closed');
  });

  it('stoppable refuses new clients at once, and cuts the stream', async ({ expect }) => {
    const program = await run(diffUnder('From stoppable').before);
    const stream = await openTicks(program.port);
    expect(await settles(terminateAndAsk(program, '/'))).toMatch(refused);
    expect(await settles(stream.closed)).toBe(false);
    expect(stream.text()).not.toContain('retry:');
    expect(await settles(program.ended)).toEqual({ code: 0, signal: null });
    expect(program.output()).toBe('{"gracefully":false}\ndatabase closed\n');
  });

  it('`lifecycle` in place of stoppable serves new clients, and cuts nothing', async ({ expect }) => {
    const program = await run(diffUnder('From stoppable').after);
    const stream = await openTicks(program.port);
    expect(await settles(terminateAndAsk(program, '/'))).toBe('200 close');
    expect(await settles(stream.closed)).toBe(false);
    expect(stream.text()).toMatch(/\n\nretry: \d+\n$/);
    expect(await settles(program.ended)).toEqual({ code: 0, signal: null });
    expect(program.output()).toBe('{"gracefully":true}\ndatabase closed\n');
  });
});
