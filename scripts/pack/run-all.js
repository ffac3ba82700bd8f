// Runs jobs side by side, and prints one line for each; of one that fails, all that it has printed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * @typedef {object} Job
 * @property {string} name
 * @property {string} cwd
 * @property {readonly (readonly [command: string, ...args: string[]])[]} commands - one after the other
 * @property {Record<string, string>} [env]
 */

// Of Node. Those that a user has asked for do not count.
const warning = /\(node:\d+\).*Warning: (?!VM Modules is an experimental feature)/;

/** Resolves with whether all have passed. @param {readonly Job[]} jobs @param {number} concurrency */
export async function runAll(jobs, concurrency) {
  const waiting = [...jobs];
  let failed = 0;
  const work = async () => {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      const { passed, output } = await run(job);
      console.log(passed ? `ok      ${job.name}` : `FAILED  ${job.name}\n${output}`);
      if (!passed) failed++;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  console.log(`${jobs.length} checks of the package, ${failed} failed`);
  return failed === 0;
}

/** @param {Job} job */
async function run({ cwd, commands, env }) {
  let output = '';
  for (const [command, ...args] of commands) {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => (output += text));
    const [code] = await once(child, 'close');
    if (code !== 0 || warning.test(output)) return { passed: false, output };
  }
  return { passed: true, output };
}
