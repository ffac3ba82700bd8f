import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** What the server speaks in which the proxy runs. */
export type Front = 'http1' | 'h2c';

/** A proxy to be checked. */
export interface Subject {
  readonly name: string;
  /** The program of its process: it serves what `subjects/serve.js` expects. */
  readonly program: string;
  readonly fronts: readonly Front[];
  readonly canUpgrade: boolean;
}

/** The process of a proxy. It opens a server for each upstream. */
export class SubjectProcess {
  readonly #child: ChildProcess;
  readonly #answers = new Map<number, (port: number) => void>();
  readonly #ready: Promise<unknown>;
  #nextId = 0;
  #stderr = '';
  #end: string | undefined;
  /** Resolves when the process ends, with how. */
  readonly over: Promise<string>;

  /** @param node - the program that runs it */
  constructor({ program }: Pick<Subject, 'program'>, node: string = process.execPath) {
    const child = fork(program, { execPath: node, execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    child.on('message', (message: { id?: number; port?: number }) => {
      if (message.id !== undefined) this.#answers.get(message.id)?.(message.port ?? 0);
    });
    // Sent too late: 'exit' tells that it is gone.
    child.on('error', () => undefined);
    this.#ready = once(child, 'message');
    this.over = new Promise((resolve) => {
      child.on('exit', (code, signal) => {
        this.#end = `exit ${signal ?? code ?? ''}`;
        resolve(this.#end);
      });
    });
  }

  /** What it has printed. */
  get stderr(): string {
    return this.#stderr;
  }

  /** How it has ended; `undefined`: it lives. */
  get end(): string | undefined {
    return this.#end;
  }

  /** Opens a server whose proxy passes all on to an origin. Rejects if the process ends. */
  async open(target: string, front: Front): Promise<{ port: number; close: () => void }> {
    const id = this.#nextId++;
    await Promise.race([this.#ready, this.#died()]);
    const opened = new Promise<number>((resolve) => this.#answers.set(id, resolve));
    this.#child.send({ id, target, front });
    const port = await Promise.race([opened, this.#died()]);
    this.#answers.delete(id);
    return { port, close: () => void (this.#child.connected && this.#child.send({ id, close: true })) };
  }

  /** Whether it lives: it has answered. A connection that breaks is seen before the end of its process is. */
  async isAlive(): Promise<boolean> {
    return this.open('http://127.0.0.1:9', 'http1').then(
      ({ close }) => {
        close();
        return true;
      },
      () => false,
    );
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.over;
  }

  async #died(): Promise<never> {
    throw new Error(`the process ends: ${await this.over}`);
  }
}
