import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

interface Look {
  readonly connections: number;
  readonly waiting: number;
}

interface Weight {
  readonly perStream: number;
  readonly timers: number;
  readonly open: Look;
  readonly closed: Look;
}

const count = 2000;

it(
  'a watched stream takes less than 1 kB, no timer of its own, and one place in the wheel',
  { timeout: 90_000 },
  async () => {
    const fixture = fileURLToPath(new URL('fixtures/weight.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', fixture, String(count)]);
    const { without, with: watched } = JSON.parse(stdout) as { without: Weight; with: Weight };
    expect(watched.open).toEqual({ connections: count, waiting: count });
    expect(watched.closed).toEqual({ connections: 0, waiting: 0 });
    expect(watched.perStream - without.perStream).toBeLessThan(1024);
    // Those of the wheel, a few for however many streams.
    expect(watched.timers - without.timers).toBeLessThan(count / 20);
  },
);
