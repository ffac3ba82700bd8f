// @ts-check
import { fork } from 'node:child_process';
import { clearTimeout, setTimeout } from 'node:timers';
import { fileURLToPath, URL } from 'node:url';

// Far above any honest answer: a phase that takes longer has lost something.
const answerTimeout = 90_000;
// A child that writes a CPU profile takes its time to leave.
const exitTimeout = 15_000;

/** A process of its own, so that what it uses is its own, with methods that the parent calls. */
export class Child {
  #name;
  #process;
  #nextId = 0;
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void, timer: NodeJS.Timeout }>} */
  #pending = new Map();

  /**
   * @param {string} name - for error messages
   * @param {string} file - beside this one
   * @param {{ args?: string[], execArgv?: string[] }} [options]
   */
  constructor(name, file, { args = [], execArgv = [] } = {}) {
    this.#name = name;
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
      execArgv,
      stdio: ['pipe', 'inherit', 'inherit', 'ipc'],
    });
    this.#process.on('message', (message) =>
      this.#settle(/** @type {{ id: number, error?: string, result?: unknown }} */ (message)),
    );
    this.#process.on('exit', (code, signal) =>
      this.#rejectAll(new Error(`${name} ended by itself: ${signal ?? code ?? ''}`)),
    );
  }

  /**
   * Calls a method in the child; rejects with its error.
   * @param {string} method
   * @param {...unknown} args
   * @returns {Promise<any>}
   */
  call(method, ...args) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#settle({ id, error: `${method}: no answer in ${answerTimeout / 1000} s` }),
        answerTimeout,
      );
      this.#pending.set(id, { resolve, reject, timer });
      this.#process.send({ id, method, args }, (error) => {
        if (error) this.#settle({ id, error: error.message });
      });
    });
  }

  /** Lets a child go on that waits in `hold`. */
  release() {
    this.#process.stdin?.write('.');
  }

  /** Ends the process and waits until it is gone. */
  async stop() {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    this.#rejectAll(new Error(`${this.#name} was stopped`));
    const gone = new Promise((resolve) => child.once('exit', resolve));
    const force = setTimeout(() => child.kill('SIGKILL'), exitTimeout);
    // The child leaves when its channel closes: also when this process dies before it comes here.
    if (child.connected) child.disconnect();
    child.stdin?.end();
    await gone;
    clearTimeout(force);
  }

  /** @param {{ id: number, error?: string, result?: unknown }} message */
  #settle({ id, error, result }) {
    const call = this.#pending.get(id);
    if (!call) return;
    this.#pending.delete(id);
    clearTimeout(call.timer);
    if (error === undefined) call.resolve(result);
    else call.reject(new Error(`${this.#name}: ${error}`));
  }

  /** @param {Error} error */
  #rejectAll(error) {
    for (const id of [...this.#pending.keys()]) this.#settle({ id, error: error.message });
  }
}
