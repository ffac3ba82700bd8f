// @ts-check
import { readSync } from 'node:fs';
import process from 'node:process';
import { setImmediate } from 'node:timers';

/**
 * The child's side of `Child`: answers the parent's calls, and leaves when the parent does.
 * @param {Record<string, (...args: any[]) => unknown>} methods
 */
export function answerCalls(methods) {
  process.on('message', (message) => {
    const { id, method, args } = /** @type {{ id: number, method: string, args: unknown[] }} */ (message);
    void run(methods[method], method, args).then((outcome) => process.send?.({ id, ...outcome }));
  });
  process.on('disconnect', () => process.exit());
}

const stdin = 0;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Stops everything in this process once the answer is sent, until the parent calls `release`. */
export function hold() {
  setImmediate(() => {
    while (!isReleased()) Atomics.wait(sleeper, 0, 0, 1);
  });
}

// The parent's end of the pipe makes this one non-blocking too. The end of it is a release: the parent is gone.
function isReleased() {
  try {
    readSync(stdin, new Uint8Array(1));
    return true;
  } catch (error) {
    if (/** @type {{ code?: unknown }} */ (error).code === 'EAGAIN') return false;
    throw error;
  }
}

/**
 * @param {((...args: any[]) => unknown) | undefined} call
 * @param {string} method
 * @param {unknown[]} args
 */
async function run(call, method, args) {
  try {
    if (!call) throw new Error(`there is no method ${method}`);
    return { result: await call(...args) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
