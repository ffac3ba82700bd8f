import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { settles } from '../support/until.ts';

it('a worker of node:cluster ends by itself when all that drains in it is dead, and all is closed', async () => {
  const script = fileURLToPath(new URL('fixtures/cluster.js', import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await settles(once(child, 'close'));
  const [closed, ended] = output.trim().split('\n');
  expect(closed).toBe('closed');
  expect(JSON.parse(ended!)).toEqual({ code: 0, signal: null, meant: true, messages: ['first dead, connected: true'] });
});
