import { setTimeout as wait } from 'node:timers/promises';
import express from 'express';
import { onTestFinished } from 'vitest';
import {
  type AnswerEnd,
  type Backplane,
  type ChannelLog,
  type Channels,
  type ChannelsOptions,
  createChannels,
  resumable,
  type ResumableOptions,
} from '../../../src/index.ts';
import { express5, type Middleware } from '../../support/carriers.ts';
import { serve, type Served } from '../../support/serve.ts';
import { until } from '../../support/until.ts';
import { type Visitor, visitorOf } from '../site.ts';

/** A generator that a test drives: it yields what the test says. */
export class Script {
  /** How many generators were begun. */
  begun = 0;
  /** The signal of the last one. */
  signal: AbortSignal | undefined;
  /** Whether the last one is over. */
  isOver = false;
  readonly #steps: ((() => unknown) | { readonly value: unknown })[] = [];
  #wake: () => void = () => undefined;

  /** What `run` of `resumable` does. */
  readonly run = async function* (this: Script, { signal }: { signal: AbortSignal }): AsyncGenerator<unknown, unknown> {
    this.begun += 1;
    this.signal = signal;
    this.isOver = false;
    const onAbort = (): void => this.#wake();
    signal.addEventListener('abort', onAbort);
    try {
      for (;;) {
        const step = this.#steps.shift();
        if (typeof step === 'function') return step();
        if (step) yield step.value;
        else if (signal.aborted) return { partial: true };
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.isOver = true;
    }
  }.bind(this);

  yields(...values: unknown[]): void {
    for (const value of values) this.#steps.push({ value });
    this.#wake();
  }

  returns(value?: unknown): void {
    this.#steps.push(() => value);
    this.#wake();
  }

  throws(error: Error): void {
    this.#steps.push(() => {
      throw error;
    });
    this.#wake();
  }
}

/** An instance of a service with answers. */
export interface Instance {
  readonly running: Served;
  readonly rooms: Channels;
  /** What `onEnd` got. */
  readonly ends: AnswerEnd[];
  start(body?: object, headers?: Record<string, string>): Promise<Visitor>;
  resume(key?: string, headers?: Record<string, string>): Promise<Visitor>;
  /** Gives the status. */
  cancel(key?: string): Promise<number>;
}

export interface InstanceOptions extends Partial<ResumableOptions> {
  readonly script?: Script;
  readonly backplane?: Backplane | undefined;
  readonly channels?: ChannelsOptions;
  readonly before?: readonly Middleware[];
}

/** Starts an instance: `POST /chat`, `GET /chat/:id/stream`, `DELETE /chat/:id`. */
export async function serveAnswers(options: InstanceOptions = {}): Promise<Instance> {
  const { script = new Script(), backplane, channels, before = [], ...rest } = options;
  const rooms = createChannels({ ...channels, ...(backplane && { backplane }) });
  onTestFinished(() => rooms.close());
  const ends: AnswerEnd[] = [];
  const chat = resumable(rooms, {
    key: (req) => req.params.id ?? (req.body.run === undefined ? req.body.id : { key: req.body.id, run: req.body.run }),
    run: script.run,
    onEnd: (end) => void ends.push(end),
    lease: '30s',
    ...rest,
  });
  const app = express();
  for (const middleware of before) app.use(middleware as express.RequestHandler);
  app.post('/chat', express.json(), chat.start);
  app.get('/chat/:id/stream', chat.resume);
  app.delete('/chat/:id', chat.cancel);
  const running = await serve(express5, app as unknown as Middleware);
  return {
    running,
    rooms,
    ends,
    start: (body = { id: 'a' }, headers = {}) => post(running, body, headers),
    async resume(key = 'a', headers = {}) {
      return visitorOf(await running.visit({ path: `/chat/${key}/stream`, headers }));
    },
    async cancel(key = 'a') {
      const response = await fetch(`${running.origin}/chat/${key}`, { method: 'DELETE' });
      await response.text();
      return response.status;
    },
  };
}

/** A backplane whose logs a test can change, as one process sees them. */
export function changed(
  backplane: Backplane,
  change: (log: ChannelLog, channel: string) => Partial<ChannelLog>,
): Backplane {
  return {
    open(channel, limits, receiver) {
      const log = backplane.open(channel, limits, receiver);
      return { ...log, ...change(log, channel) };
    },
    close: () => backplane.close(),
  };
}

/** Posts, and reads the answer. */
async function post(running: Served, body: object, headers: Record<string, string>): Promise<Visitor> {
  const controller = new AbortController();
  onTestFinished(() => controller.abort());
  const response = await fetch(`${running.origin}/chat`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
    signal: controller.signal,
  });
  let text = '';
  const read = async (): Promise<'end' | 'aborted'> => {
    try {
      const decoder = new TextDecoder();
      for await (const bytes of response.body ?? []) text += decoder.decode(bytes as Uint8Array, { stream: true });
      return 'end';
    } catch {
      return 'aborted';
    }
  };
  const over = read();
  return visitorOf({
    status: response.status,
    headers: Object.fromEntries(response.headers),
    get text() {
      return text;
    },
    get length() {
      return text.length;
    },
    over,
    destroy: () => controller.abort(),
    pause: () => undefined,
    resume: () => undefined,
  });
}

/** The types and data of the events of a client, without the prelude. */
export function told({ events }: Visitor): string[] {
  return events.map(({ type, data }) => (type === 'message' ? data : `${type} ${data}`));
}

export async function ended(instance: Instance, count = 1): Promise<readonly AnswerEnd[]> {
  await until(
    () => instance.ends.length >= count,
    () => `${String(instance.ends.length)} ends of ${String(count)}`,
  );
  // One more would come soon.
  await wait(20);
  return instance.ends;
}
