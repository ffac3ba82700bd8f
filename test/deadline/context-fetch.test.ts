import { getEventListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import v8 from 'node:v8';
import vm from 'node:vm';
import { gzipSync } from 'node:zlib';
import { fetch as undiciFetch, Request as UndiciRequest } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ContextFetch, contextFetch } from '../../src/deadline/context-fetch.ts';
import { DeadlineExceededError, DrainingError } from '../../src/errors.ts';
import { background, Context } from '../../src/internal/context/context.ts';
import { runIn } from '../../src/internal/context/request-context.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

v8.setFlagsFromString('--expose-gc');
const collectGarbage = vm.runInNewContext('gc') as () => void;

interface Upstream {
  readonly origin: string;
  /** The requests that came. */
  readonly requests: IncomingMessage[];
  /** How many of them were cut before they were answered. */
  cut(): number;
}

const routes: Record<string, (req: IncomingMessage, res: ServerResponse) => void> = {
  '/silent': () => undefined,
  '/half': (_req, res) => void res.writeHead(200, { 'Content-Length': 10 }).write('half'),
  '/chunks': (_req, res) => void res.write('half'),
  '/zipped': (_req, res) =>
    void res.writeHead(200, { 'Content-Encoding': 'gzip' }).write(gzipSync('a'.repeat(1e6)).subarray(0, 500)),
  '/empty': (_req, res) => void res.writeHead(204).end(),
  '/moved': (_req, res) => void res.writeHead(302, { Location: '/fields' }).end(),
  '/body': (req, res) => void req.pipe(res),
  '/fields': (req, res) => void res.end(JSON.stringify(req.headers)),
};

async function upstream(): Promise<Upstream> {
  const requests: IncomingMessage[] = [];
  let cut = 0;
  const { origin } = await serve(bare, ((req: IncomingMessage, res: ServerResponse) => {
    requests.push(req);
    res.on('close', () => (cut += Number(!res.writableFinished)));
    routes[req.url!]!(req, res);
  }) as Middleware);
  return { origin, requests, cut: () => cut };
}

/** A context that is over at the end of the test. */
function openContext(timeout = Infinity): Context {
  const context = new Context(undefined, timeout);
  onTestFinished(() => context.dispose());
  return context;
}

function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length;
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const nothing = Symbol('resolved');
  const outcome: unknown = await settles(
    promise.then(
      () => nothing,
      (error: unknown) => error,
    ),
  );
  if (outcome === nothing) throw new Error('it did not reject');
  return outcome;
}

async function fieldsOf(response: { json(): Promise<unknown> }): Promise<Record<string, string>> {
  return (await response.json()) as Record<string, string>;
}

const ms = (fields: Record<string, string>): number => Number(fields['x-request-timeout-ms']);

describe('a call in a context', () => {
  it('carries what is left of the deadline', async () => {
    const { origin } = await upstream();
    const fields = await fieldsOf(await contextFetch()(`${origin}/fields`, { context: openContext(5000) }));
    expect(ms(fields)).toBeGreaterThan(3000);
    expect(ms(fields)).toBeLessThanOrEqual(4990);
    expect(fields['grpc-timeout']).toBe(`${ms(fields)}m`);
  });

  it('is made in the current context', async () => {
    const { origin } = await upstream();
    const fields = await runIn(openContext(5000), async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return fieldsOf(await contextFetch()(`${origin}/fields`));
    });
    expect(ms(fields)).toBeGreaterThan(3000);
    expect(ms(fields)).toBeLessThanOrEqual(4975);
  });

  it('is made in none where there is none, and where it asks for that', async () => {
    const { origin } = await upstream();
    const outside = await fieldsOf(await contextFetch()(`${origin}/fields`));
    const context = openContext(5000);
    context.abort();
    const inside = await runIn(context, async () =>
      fieldsOf(await contextFetch()(`${origin}/fields`, { context: background })),
    );
    for (const fields of [outside, inside])
      expect(Object.keys(fields)).not.toEqual(expect.arrayContaining(['grpc-timeout']));
  });

  it('may take less time, and not more', async () => {
    const { origin } = await upstream();
    const call = contextFetch(undefined, { margin: 0 });
    const shorter = await fieldsOf(await call(`${origin}/fields`, { context: openContext(60_000), timeout: '2s' }));
    expect(ms(shorter)).toBeGreaterThan(1000);
    expect(ms(shorter)).toBeLessThanOrEqual(2000);
    const longer = await fieldsOf(await call(`${origin}/fields`, { context: openContext(2000), timeout: '1h' }));
    expect(ms(longer)).toBeLessThanOrEqual(2000);
    const alone = await fieldsOf(await call(`${origin}/fields`, { timeout: '2s' }));
    expect(ms(alone)).toBeLessThanOrEqual(2000);
  });

  it('writes the fields that were chosen', async () => {
    const { origin } = await upstream();
    const call = contextFetch(undefined, { fields: ['x-envoy-expected-rq-timeout-ms'], margin: 100 });
    const fields = await fieldsOf(await call(`${origin}/fields`, { context: openContext(5000) }));
    expect(Number(fields['x-envoy-expected-rq-timeout-ms'])).toBeLessThanOrEqual(4900);
    expect(fields).not.toHaveProperty('grpc-timeout');
  });

  it('finds the global fetch when it is made, not when it was wrapped', async () => {
    const call = contextFetch();
    const original = globalThis.fetch;
    onTestFinished(() => void (globalThis.fetch = original));
    globalThis.fetch = async () => new Response('of the test');
    expect(await (await call('http://nowhere.invalid')).text()).toBe('of the test');
  });
});

describe('fields of the call', () => {
  const shapes: [string, NonNullable<ConstructorParameters<typeof Headers>[0]>][] = [
    ['an object', { 'X-A': 'a', 'Grpc-Timeout': '100m' }],
    [
      'pairs',
      [
        ['X-A', 'a'],
        ['Grpc-Timeout', '100m'],
      ],
    ],
    ['a Headers', new Headers({ 'X-A': 'a', 'Grpc-Timeout': '100m' })],
  ];
  it.each(shapes)('in %s are kept, and the object is not touched', async (_name, headers) => {
    const { origin } = await upstream();
    const before = JSON.stringify([...new Headers(headers)]);
    const fields = await fieldsOf(await contextFetch()(`${origin}/fields`, { headers, context: openContext(5000) }));
    expect(fields).toMatchObject({ 'x-a': 'a', 'grpc-timeout': '100m', 'x-request-timeout-ms': '100' });
    expect(JSON.stringify([...new Headers(headers)])).toBe(before);
  });

  it('in a Request are kept with all else that it says, and it is not touched', async () => {
    const { origin, requests } = await upstream();
    const request = new Request(`${origin}/body`, {
      method: 'POST',
      body: 'text',
      headers: { 'X-A': 'a' },
      referrerPolicy: 'no-referrer',
    });
    const response = await contextFetch()(request, { context: openContext(5000) });
    expect(await response.text()).toBe('text');
    expect(requests[0]).toMatchObject({
      method: 'POST',
      headers: { 'x-a': 'a', 'content-type': 'text/plain;charset=UTF-8', 'grpc-timeout': expect.any(String) },
    });
    expect([...request.headers.keys()]).toEqual(['content-type', 'x-a']);
  });

  it('in init stand in place of those of a Request, as for fetch', async () => {
    const { origin } = await upstream();
    const request = new Request(`${origin}/fields`, { headers: { 'X-A': 'a' } });
    const fields = await fieldsOf(
      await contextFetch()(request, { headers: { 'X-B': 'b' }, context: openContext(5000) }),
    );
    expect(fields).toMatchObject({ 'x-b': 'b', 'grpc-timeout': expect.any(String) });
    expect(fields).not.toHaveProperty('x-a');
  });

  it('are as they would be without, when there is no deadline', async () => {
    const { origin } = await upstream();
    const headers = { 'grpc-timeout': 'soon' };
    const [plain, wrapped] = await Promise.all(
      [fetch, contextFetch()].map(async (call) => fieldsOf(await call(`${origin}/fields`, { headers }))),
    );
    expect(wrapped).toEqual(plain);
  });
});

describe('the response of a call', () => {
  it('is the one that fetch gave', async () => {
    const { origin } = await upstream();
    let given: Response | undefined;
    const call = contextFetch(async (input: string, init?: RequestInit) => (given = await fetch(input, init)));
    const response = await call(`${origin}/moved`, { context: openContext(5000) });
    expect(response).toBe(given);
    expect(response).toMatchObject({
      url: `${origin}/fields`,
      redirected: true,
      type: 'basic',
      status: 200,
      bodyUsed: false,
    });
    expect(response.body!.locked).toBe(false);
    expect(Object.getOwnPropertyNames(response)).toEqual([]);
    expect(ms(await fieldsOf(response))).toBeGreaterThan(0);
  });

  it('may come from the fetch of undici', async () => {
    const { origin } = await upstream();
    const call = contextFetch(undiciFetch);
    const context = openContext(5000);
    expect(ms(await fieldsOf(await call(new UndiciRequest(`${origin}/fields`), { context })))).toBeGreaterThan(0);
    const reading = rejection((await call(`${origin}/half`, { context })).text());
    const reason = new Error('enough');
    context.abort(reason);
    expect(await reading).toBe(reason);
  });

  it('may have a body that is no stream: then the context ends the call', async () => {
    const context = openContext(5000);
    let signal: AbortSignal | undefined;
    const call = contextFetch(async (_input: string, init?: { signal?: AbortSignal }) => {
      signal = init!.signal!;
      return { body: 'text' };
    });
    expect(await call('anything', { context })).toEqual({ body: 'text' });
    const reason = new Error('enough');
    context.abort(reason);
    expect(signal!.reason).toBe(reason);
  });
});

describe('a context that is over', () => {
  it('makes no call', async () => {
    let calls = 0;
    const call = contextFetch(async (_input?: string, _init?: RequestInit) => {
      calls += 1;
      return new Response();
    });
    const reason = new DrainingError();
    const aborted = openContext(5000);
    aborted.abort(reason);
    expect(await rejection(call('', { context: aborted }))).toBe(reason);
    expect(await rejection(runIn(aborted, () => call('')))).toBe(reason);
    expect(await rejection(call('', { context: openContext(0) }))).toBeInstanceOf(DeadlineExceededError);
    expect(await rejection(call('', { timeout: 0 }))).toBeInstanceOf(DeadlineExceededError);
    expect(await rejection(call('', { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(calls).toBe(0);
  });

  const waits: [path: string, name: string][] = [
    ['/silent', 'before an answer'],
    ['/half', 'in the middle of a body'],
    ['/chunks', 'in the middle of chunks'],
    ['/zipped', 'in the middle of a compressed body'],
  ];

  const causes: [
    name: string,
    start: (context: Context) => { init: RequestInit & { timeout?: number }; reason: unknown; abort(): void },
  ][] = [
    [
      'the abort of the context',
      (context) => {
        const reason = new DrainingError();
        return { init: {}, reason, abort: () => context.abort(reason) };
      },
    ],
    [
      'the deadline of the context',
      (context) => ({ init: {}, reason: expect.any(DeadlineExceededError), abort: () => context.reschedule(20) }),
    ],
    [
      'its own timeout',
      () => ({ init: { timeout: 1000 }, reason: expect.any(DeadlineExceededError), abort: () => undefined }),
    ],
    [
      'its signal',
      () => {
        const controller = new AbortController();
        const reason = new Error('mine');
        return { init: { signal: controller.signal }, reason, abort: () => controller.abort(reason) };
      },
    ],
    [
      'its signal, without a reason',
      () => {
        const controller = new AbortController();
        return {
          init: { signal: controller.signal },
          reason: expect.objectContaining({ name: 'AbortError' }),
          abort: () => controller.abort(),
        };
      },
    ],
  ];

  describe.each(waits)('%s (%s)', (path) => {
    it.each(causes)('%s ends a call, with that reason, here and there', async (_name, start) => {
      const { origin, requests, cut } = await upstream();
      const context = openContext(60_000);
      const { init, reason, abort } = start(context);
      const response = contextFetch()(`${origin}${path}`, { context, ...init });
      const reading = rejection(response.then((given) => given.text()));
      await until(() => requests.length === 1);
      // The head is there, and reading has begun.
      if (path !== '/silent') await response.then(async () => new Promise((resolve) => setTimeout(resolve, 5)));
      abort();
      expect(await reading).toEqual(reason);
      await until(() => cut() === 1);
    });
  });

  it('ends a body that is read bit by bit, and one that is not read yet', async () => {
    const { origin, cut } = await upstream();
    const context = openContext(60_000);
    const call = contextFetch();
    const [begun, untouched] = await Promise.all([
      call(`${origin}/half`, { context }),
      call(`${origin}/half`, { context }),
    ]);
    const reader = begun.body!.getReader();
    await reader.read();
    const reason = new Error('enough');
    context.abort(reason);
    expect(await rejection(reader.read())).toBe(reason);
    // Its `text()` would reject with an AbortError: so it is in Node, of a response that was aborted before.
    expect(await rejection(untouched.body!.getReader().read())).toBe(reason);
    await until(() => cut() === 2);
  });

  it('ends both halves of a clone', async () => {
    const { origin } = await upstream();
    const context = openContext(60_000);
    const response = await contextFetch()(`${origin}/half`, { context });
    const readings = [rejection(response.clone().text()), rejection(response.text())];
    const reason = new Error('enough');
    context.abort(reason);
    expect(await Promise.all(readings)).toEqual([reason, reason]);
  });

  it.each(['/silent', '/half'])(
    'ends a call of a Request whose signal aborts, though nothing holds the Request (%s)',
    async (path) => {
      const { origin, requests } = await upstream();
      const controller = new AbortController();
      const reason = new Error('mine');
      const response = contextFetch()(new Request(`${origin}${path}`, { signal: controller.signal }));
      const reading = rejection(response.then((given) => given.text()));
      await until(() => requests.length === 1);
      if (path !== '/silent') await response;
      for (let round = 0; round < 10; round++) {
        collectGarbage();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      controller.abort(reason);
      expect(await reading).toBe(reason);
    },
  );

  it('null as signal in init takes away the one of a Request', async () => {
    const { origin } = await upstream();
    const request = new Request(`${origin}/fields`, { signal: AbortSignal.abort() });
    expect((await contextFetch()(request, { signal: null })).status).toBe(200);
  });

  it('leaves the other calls of its parent alone', async () => {
    const { origin } = await upstream();
    const context = openContext(60_000);
    const call = contextFetch();
    const short = rejection(call(`${origin}/silent`, { context, timeout: 20 }));
    const long = call(`${origin}/half`, { context });
    expect(await short).toBeInstanceOf(DeadlineExceededError);
    const reader = (await long).body!.getReader();
    expect((await reader.read()).done).toBe(false);
    expect(context.signal.aborted).toBe(false);
  });

  it('is over when its response has ended: what goes on keeps the deadline', async () => {
    const { origin, requests } = await upstream();
    const context = openContext(1000);
    const reading = rejection(contextFetch()(`${origin}/silent`, { context }));
    await until(() => requests.length === 1);
    context.dispose();
    expect(await reading).toBeInstanceOf(DeadlineExceededError);
  });
});

describe('a call that is over', () => {
  /** A call, and the signals that it gives to `fetch`: one that a context still reaches aborts with it. */
  function watch(): { call: ContextFetch<typeof fetch>; signals: AbortSignal[] } {
    const signals: AbortSignal[] = [];
    const call = contextFetch(async (...[input, init]: Parameters<typeof fetch>) => {
      signals.push(init!.signal!);
      return fetch(input, init);
    });
    return { call, signals };
  }

  const ends: [name: string, path: string, read: (response: Response) => unknown][] = [
    ['was read', '/fields', (response) => response.text()],
    ['was read in two halves', '/fields', (response) => Promise.all([response.clone().json(), response.text()])],
    [
      'was read chunk by chunk',
      '/fields',
      async (response) => {
        for await (const chunk of response.body!) expect(chunk.length).toBeGreaterThan(0);
      },
    ],
    ['was cancelled', '/half', (response) => response.body!.cancel()],
    [
      'was left in the middle',
      '/half',
      async (response) => {
        for await (const chunk of response.body!) {
          expect(chunk.length).toBe(4);
          break;
        }
      },
    ],
    ['has no body', '/empty', () => undefined],
  ];
  it.each(ends)('lets go of context and signal when it %s', async (_name, path, read) => {
    const { origin } = await upstream();
    const { call, signals } = watch();
    const context = openContext(60_000);
    const controller = new AbortController();
    const response = await call(`${origin}${path}`, { context, signal: controller.signal });
    await read(response);
    await until(() => listenersOf(controller.signal) === 0);
    context.abort(new Error('later'));
    controller.abort();
    expect(signals[0]!.aborted).toBe(false);
  });

  it('holds one listener on a signal meanwhile, and none when it failed', async () => {
    const { origin, requests } = await upstream();
    const controller = new AbortController();
    const context = openContext(60_000);
    const readings = Array.from({ length: 5 }, () =>
      rejection(contextFetch()(`${origin}/silent`, { context, signal: controller.signal })),
    );
    await until(() => requests.length === 5);
    expect(listenersOf(controller.signal)).toBe(5);
    context.abort(new Error('enough'));
    expect(listenersOf(controller.signal)).toBe(0);
    await Promise.all(readings);
    await rejection(contextFetch()('http://127.0.0.1:1/', { signal: controller.signal }));
    await rejection(contextFetch()('not a url', { signal: controller.signal }));
    await rejection(
      contextFetch()(`${origin}/fields`, { signal: controller.signal, headers: { 'bad name': '' } as never }),
    );
    await rejection(contextFetch()(`${origin}/silent`, { signal: controller.signal, timeout: 10 }));
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it('rejects with what fetch failed with', async () => {
    const error = new TypeError('of the wrapped one');
    expect(
      await rejection(contextFetch(() => Promise.reject(error))(undefined, { context: openContext(60_000) } as never)),
    ).toBe(error);
    expect(
      await rejection(
        contextFetch(() => {
          throw error;
        })(undefined, {} as never),
      ),
    ).toBe(error);
  });
});

describe('an argument that is wrong', () => {
  it.each<[string, () => unknown]>([
    ['contextFetch.fetch', () => contextFetch('fetch' as never)],
    ['contextFetch.margin', () => contextFetch(fetch, { margin: 'much' })],
    ['contextFetch.fields', () => contextFetch(undefined, { fields: ['timeout' as never] })],
  ])('%s is named by the factory', (option, call) => {
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_SLUICE_OPTION_INVALID', option }) as Error);
  });

  it.each<[string, object]>([
    ['contextFetch.context', { context: {} }],
    ['contextFetch.timeout', { timeout: 'soon' }],
    ['contextFetch.timeout', { timeout: -1 }],
    ['contextFetch.signal', { signal: {} }],
  ])('%s is named by the call', async (option, init) => {
    expect(await rejection(contextFetch()('http://127.0.0.1:1/', init))).toMatchObject({
      code: 'ERR_SLUICE_OPTION_INVALID',
      option,
    });
  });
});
