import { spawn } from 'node:child_process';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ndjson, pipeBody, sse } from '../../src/index.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { until } from '../support/until.ts';

/** Reads as fast as it can, in a process of its own: the server's loop owes it nothing. */
const reader = `
  const socket = require('node:net').connect(Number(process.argv[1]), '127.0.0.1');
  socket.write('GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');
  socket.on('data', () => undefined).on('error', () => undefined);
`;

/** More than a burst may hold: past it a source has kept the loop from its turn. */
const patience = 100_000_000;

interface Greedy {
  readonly middleware: Middleware;
  /** The most bytes produced within one turn of the loop. */
  most(): number;
  total(): number;
}

function greedy(make: (source: () => Generator<string>) => Middleware, chunk: string): Greedy {
  let total = 0;
  let most = 0;
  let inTurn = 0;
  let stopped = false;
  const watch = (): void => {
    inTurn = 0;
    if (!stopped) setImmediate(watch);
  };
  function* source(): Generator<string> {
    setImmediate(watch);
    try {
      while (inTurn < patience) {
        inTurn += chunk.length;
        total += chunk.length;
        most = Math.max(most, inTurn);
        // Made at some expense, so that the reader is the faster of the two.
        yield Buffer.from(Buffer.from(chunk).toString()).toString();
      }
    } finally {
      stopped = true;
    }
  }
  return { middleware: make(source), most: () => most, total: () => total };
}

const kinds: [string, (source: () => Generator<string>) => Middleware][] = [
  ['sse', (source) => sse(() => source())],
  ['ndjson', (source) => ndjson(() => source())],
  ['pipeBody', (source) => (req, res) => pipeBody(source(), req, res)],
];

describe.each(kinds)('%s of a source that is always ready, to a client that always reads', (_name, make) => {
  it.each([20_000, 500_000])('gives everybody else their turn, in chunks of %i', { timeout: 90_000 }, async (size) => {
    const subject = greedy(make, 'x'.repeat(size));
    const running = await serve(bare, (req, res, next) =>
      req.url === '/other'
        ? void res.end('other')
        : void Promise.resolve(subject.middleware(req, res, next)).catch(() => undefined),
    );
    const child = spawn(process.execPath, ['-e', reader, String(running.port)], { stdio: 'ignore' });
    onTestFinished(() => void child.kill());
    await until(
      () => subject.total() > 2 * patience || subject.most() >= patience,
      () => `${subject.total()} bytes`,
      60_000,
    );
    const other = await running.visit({ path: '/other' });
    await other.over;
    expect(other.text).toBe('other');
    expect(subject.most()).toBeLessThan(patience);
  });
});
