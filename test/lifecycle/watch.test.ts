import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { until } from '../support/until.ts';

const fixtures = fileURLToPath(new URL('fixtures', import.meta.url));

it('node --watch restarts a service that nothing asks without waiting for load balancers', async () => {
  // Beside the others, so that `sluice` is found from there.
  const folder = mkdtempSync(join(fixtures, 'watched-'));
  const file = join(folder, 'watched.js');
  copyFileSync(join(fixtures, 'watched.js'), file);
  const child = spawn(process.execPath, ['--watch', file], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  onTestFinished(async () => {
    const closed = once(child, 'close');
    // With its own child, which it may be about to start.
    process.kill(-child.pid!, 'SIGKILL');
    await closed;
    rmSync(folder, { recursive: true });
  });
  let output = '';
  const note = (text: string): void => void (output += text);
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', note);
  const count = (text: string): number => output.split(text).length - 1;
  await until(
    () => count('up') > 0,
    () => output,
  );
  // Again and again: a change before the watcher listens is not seen.
  let change = Date.now() / 1000;
  const timer = setInterval(() => utimesSync(file, change, (change += 10)), 300);
  onTestFinished(() => clearInterval(timer));
  await until(
    () => count('down after') > 0 && count('up') > 1,
    () => output,
  );
  // That of `preDrain` is 20 s.
  expect(Number(/down after (\d+)/.exec(output)![1])).toBeLessThan(20_000);
});
