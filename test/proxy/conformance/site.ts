import { connectRaw, type RawClient } from '../../support/raw.ts';
import { type RawConnection, type RawUpstream, startRawUpstream } from '../../support/raw-upstream.ts';
import { until } from '../../support/until.ts';
import { readAnswers, type RawMessage, statusOf } from './messages.ts';
import type { Front, SubjectProcess } from './subject-process.ts';
import type { Verdict } from './verdict.ts';

/** A scenario, and what to make of what a proxy does in it. */
export interface Check {
  /** Its row in the table. */
  readonly name: string;
  /** What happens in it, and what is right. */
  readonly scenario: string;
  /** What the server in front speaks. @defaultValue `'http1'` */
  readonly front?: Front;
  /** A feature that a proxy may not have. @defaultValue none */
  readonly needs?: 'upgrade';
  run(site: Site): Promise<Verdict>;
}

/** What an upstream does with each request: sends these bytes, or more than that. */
export type Answer = string | ((connection: RawConnection) => void);

/** A proxy, an upstream and clients, for one check. */
export class Site {
  /** How long something may take before it counts as not happening, in ms. */
  readonly patience: number;
  readonly #subject: SubjectProcess;
  readonly #front: Front;
  readonly #undo: (() => unknown)[] = [];

  constructor(subject: SubjectProcess, front: Front, patience: number) {
    this.#subject = subject;
    this.#front = front;
    this.patience = patience;
  }

  /** Calls `undo` when the check is over. */
  owns(undo: () => unknown): void {
    this.#undo.push(undo);
  }

  async close(): Promise<void> {
    for (const undo of this.#undo.reverse()) await undo();
  }

  async upstream(answer: Answer): Promise<RawUpstream> {
    const upstream = await startRawUpstream((connection) => {
      if (typeof answer === 'string') connection.send(answer);
      else answer(connection);
    });
    this.owns(() => upstream.close());
    return upstream;
  }

  /** Opens a proxy in front of an origin. Returns its port. */
  async proxyTo(origin: string): Promise<number> {
    const { port, close } = await this.#subject.open(origin, this.#front);
    this.owns(close);
    return port;
  }

  async dial(port: number): Promise<RawClient> {
    const client = await connectRaw(port);
    this.owns(() => client.destroy());
    return client;
  }

  /** An upstream, a proxy in front of it, and a client of the proxy. */
  async open(answer: Answer): Promise<{ upstream: RawUpstream; port: number; client: RawClient }> {
    const upstream = await this.upstream(answer);
    const port = await this.proxyTo(upstream.origin);
    return { upstream, port, client: await this.dial(port) };
  }

  /** Whether something happens. */
  async sees(condition: () => boolean, patience: number = this.patience): Promise<boolean> {
    return until(condition, undefined, patience).then(
      () => true,
      () => false,
    );
  }

  /** The nth connection of the upstream, once the headers of a request are there. Throws if none comes. */
  async connectionOf(upstream: RawUpstream, count = 1): Promise<RawConnection> {
    await until(
      () => upstream.connections[count - 1]?.received.includes('\r\n\r\n') === true,
      () => 'nothing reaches the upstream',
      this.patience,
    );
    return upstream.connections[count - 1]!;
  }

  /** The final answers that a client got, once there are so many, or none come any more. Throws `FramingError`. */
  async answersOf(client: RawClient, methods: readonly string[] = ['GET']): Promise<RawMessage[]> {
    let isClosed = false;
    void client.closed.then(() => (isClosed = true));
    const finals = (): RawMessage[] => readAnswers(client.received, methods).filter((each) => statusOf(each) >= 200);
    await this.sees(() => isClosed || finals().filter((each) => each.isComplete).length >= methods.length);
    return finals();
  }
}
