import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const clock = fileURLToPath(new URL('../../dist/internal/time/clock.js', import.meta.url));

it('a timer whose time has passed fires at once, and Node has nothing to warn of', () => {
  const code = `
    const { startTimer } = require(${JSON.stringify(clock)});
    process.on('warning', (warning) => console.log(warning.name));
    startTimer(-0.004, () => console.log('fired'));
    setTimeout(() => undefined, 50);
  `;
  expect(execFileSync(process.execPath, ['-e', code], { encoding: 'utf8' })).toBe('fired\n');
});
