// @ts-check
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { join } from 'node:path';
import process from 'node:process';
import { clearInterval, clearTimeout, setInterval, setTimeout } from 'node:timers';

const restartAfter = 3_000;
const probeInterval = 500;

/** @typedef {'starting' | 'up' | 'silent' | 'down'} State - silent: the process is there, and does not answer */

/** The instances: processes that are started again when they die, and asked all the time whether they are well. */
export class Fleet {
  /** @type {Map<string, Instance>} */
  #instances;
  #probes;

  /**
   * @param {readonly string[]} names
   * @param {Record<string, string>} environment
   * @param {() => void} onChange
   */
  constructor(names, environment, onChange) {
    this.#instances = new Map(names.map((name) => [name, new Instance(name, environment, onChange)]));
    this.#probes = setInterval(() => {
      for (const instance of this.#instances.values()) instance.probe();
    }, probeInterval);
  }

  /** Resolves when all are up. */
  async start() {
    await Promise.all(Array.from(this.#instances.values(), (instance) => instance.start()));
  }

  /** Those that new connections may go to. */
  get ready() {
    return Array.from(this.#instances.values()).filter(({ state }) => state === 'up');
  }

  describe() {
    return Array.from(this.#instances.values(), ({ name, pid, state }) => ({ name, pid, state }));
  }

  /** @param {string} name */
  find(name) {
    return this.#instances.get(name);
  }

  async close() {
    clearInterval(this.#probes);
    await Promise.all(Array.from(this.#instances.values(), (instance) => instance.close()));
  }
}

export class Instance {
  port = 0;
  /** @type {State} */
  state = 'down';
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #process;
  /** @type {NodeJS.Timeout | undefined} */
  #restart;
  #isClosed = false;
  #environment;
  #onChange;

  /**
   * @param {string} name
   * @param {Record<string, string>} environment
   * @param {() => void} onChange
   */
  constructor(name, environment, onChange) {
    this.name = name;
    this.#environment = environment;
    this.#onChange = onChange;
  }

  get pid() {
    return this.#process?.pid;
  }

  /** Resolves when it listens. */
  async start() {
    const child = fork(join(import.meta.dirname, 'instance.js'), [this.name], {
      env: { ...process.env, ...this.#environment },
    });
    this.#process = child;
    this.#moveTo('starting');
    child.once('exit', () => this.#ended(child));
    const listening = once(child, 'message');
    await Promise.race([listening, once(child, 'exit')]);
    if (this.#process !== child) throw new Error(`The instance ${this.name} ended before it listened`);
    const [message] = await listening;
    this.port = message.port;
    this.#moveTo('up');
  }

  /** Ends it at once, as a crash does. */
  kill() {
    this.#process?.kill('SIGKILL');
  }

  /** Its connections stay open, and nothing comes any more. */
  pause() {
    this.#process?.kill('SIGSTOP');
  }

  resume() {
    this.#process?.kill('SIGCONT');
  }

  /** Asks whether it is well. */
  probe() {
    if (this.state !== 'up' && this.state !== 'silent') return;
    const child = this.#process;
    const answered = (/** @type {State} */ state) => {
      if (this.#process === child && (this.state === 'up' || this.state === 'silent')) this.#moveTo(state);
    };
    const options = { host: '127.0.0.1', port: this.port, path: '/livez', agent: false, timeout: probeInterval };
    const request = get(options, (response) => {
      response.resume();
      answered('up');
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', () => answered('silent'));
  }

  async close() {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    const child = this.#process;
    if (!child) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  /** @param {import('node:child_process').ChildProcess} child */
  #ended(child) {
    if (this.#process !== child) return;
    this.#process = undefined;
    this.#moveTo('down');
    if (!this.#isClosed) this.#restart = setTimeout(() => void this.start().catch(() => undefined), restartAfter);
  }

  /** @param {State} state */
  #moveTo(state) {
    if (this.state === state) return;
    this.state = state;
    this.#onChange();
  }
}
