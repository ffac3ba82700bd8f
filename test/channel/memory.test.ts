import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

interface Left {
  /** Keys that were held when the last was used. */
  readonly most: number;
  /** Bytes. */
  readonly left: number;
  readonly keys: number;
}

const count = 100_000;

it('gives the memory of 100,000 channels back that were used once', { timeout: 120_000 }, async () => {
  const fixture = fileURLToPath(new URL('fixtures/rooms-used-once.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', fixture, String(count)]);
  const { most, left, keys } = JSON.parse(stdout) as Left;
  expect(most).toBeGreaterThan(0);
  expect(keys).toBe(0);
  // Less than 10 bytes a channel: none of them is left, in whatever form.
  expect(left).toBeLessThan(count * 10);
});
