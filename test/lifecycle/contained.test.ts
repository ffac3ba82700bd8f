import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { bare, carriers, http1Carriers, type Middleware } from '../support/carriers.ts';
import { getRequest } from '../support/raw.ts';
import { settles, until } from '../support/until.ts';
import { makeLife, routes, serveAttached } from './support.ts';

/** Errors of a lifecycle that no caller was told of, from now on. */
function watchErrors(): unknown[] {
  const errors: unknown[] = [];
  const onMessage = (message: unknown): void => void errors.push((message as { error: unknown }).error);
  subscribe('sluice:lifecycle:error', onMessage);
  onTestFinished(() => void unsubscribe('sluice:lifecycle:error', onMessage));
  return errors;
}

class Mine extends Error {}

const fail = (): never => {
  throw new Mine();
};

/** A response for each request, which is not answered. */
function collect(): { handler: Middleware; responses: Map<string, ServerResponse> } {
  const responses = new Map<string, ServerResponse>();
  return { handler: (req, res) => void responses.set(req.url!, res as ServerResponse), responses };
}

describe('a drain with a response that cannot be told', () => {
  it.each(http1Carriers)('tells the others on $name, aborts its signal and ends', async (carrier) => {
    const errors = watchErrors();
    const life = makeLife();
    const { handler, responses } = collect();
    const served = await serveAttached(carrier, life, handler);
    const paths = ['/1', '/patched', '/2'];
    const clients = await Promise.all(
      paths.map(async (path) => {
        const client = await served.dial();
        client.send(getRequest(path));
        return client;
      }),
    );
    await until(() => responses.size === 3);
    const patched = responses.get('/patched')!;
    const { setHeader } = patched;
    patched.setHeader = fail;
    const over = life.drain();
    expect([life.state, life.signal.aborted]).toEqual(['draining', true]);
    patched.setHeader = setHeader;
    for (const res of responses.values()) res.end('late');
    const answers = await Promise.all(clients.map((client) => client.waitFor('late')));
    expect(answers.map((answer) => /^connection: (.*)\r$/im.exec(answer)?.[1])).toEqual([
      'close',
      'keep-alive',
      'close',
    ]);
    expect(await settles(over)).toMatchObject({ reason: 'complete', finished: { requests: 3 } });
    expect(errors).toEqual([expect.any(Mine)]);
  });

  it.each(carriers)('cuts the others on $name', async (carrier) => {
    const errors = watchErrors();
    const life = makeLife({ drainTimeout: 40 });
    const { handler, responses } = collect();
    const served = await serveAttached(carrier, life, handler);
    const visits = ['/1', '/patched', '/2'].map((path) => served.visit({ path }));
    await until(() => responses.size === 3);
    for (const res of responses.values()) res.write('begun');
    const readings = await settles(Promise.all(visits));
    // A request that cannot be read.
    Object.defineProperty(responses.get('/patched')!, 'req', { get: fail });
    expect(await settles(life.drain())).toMatchObject({ reason: 'timeout' });
    expect(await settles(Promise.all(readings.map(({ over }) => over)))).toEqual(['aborted', 'aborted', 'aborted']);
    expect(errors.length).toBeGreaterThan(0);
    expect(errors.every((error) => error instanceof Mine)).toBe(true);
  });
});

class Client extends EventEmitter {
  terminated = 0;
  readonly #terminate: () => void;

  constructor(terminate: () => void = () => undefined) {
    super();
    this.#terminate = terminate;
  }

  close(): void {
    // It does not answer.
  }

  terminate(): void {
    this.terminated += 1;
    this.#terminate();
  }
}

describe('a drain with WebSockets that throw', () => {
  it('cuts the others, and goes on where their server throws too', async () => {
    const errors = watchErrors();
    const life = makeLife({ drainTimeout: 40 });
    const clients = [new Client(), new Client(fail), new Client()];
    const server = Object.assign(new EventEmitter(), { clients: new Set(clients), close: fail });
    onTestFinished(life.attach(server));
    const served = await serveAttached(bare, life, routes({ '/': (_req, res) => res.end() }));
    expect((await served.visit()).status).toBe(200);
    await settles(life.drain());
    expect(clients.map(({ terminated }) => terminated)).toEqual([1, 1, 1]);
    expect(errors).toEqual([expect.any(Mine), expect.any(Mine)]);
  });
});
