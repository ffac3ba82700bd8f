import { getEventListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import net from 'node:net';
import { Writable } from 'node:stream';
import { Agent, Client, type Dispatcher, fetch, interceptors, MockAgent, type RetryHandler } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { deadlineInterceptor, type DeadlineInterceptorOptions } from '../../src/deadline/interceptor.ts';
import { DeadlineExceededError, DrainingError } from '../../src/errors.ts';
import { background, Context } from '../../src/internal/context/context.ts';
import { contextHere, runIn } from '../../src/internal/context/request-context.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

interface Upstream {
  readonly origin: string;
  /** The requests that came. */
  readonly requests: IncomingMessage[];
  /** How many of them were cut before they were answered. */
  cut(): number;
}

type Route = (req: IncomingMessage, res: ServerResponse, earlier: number) => void;

const routes: Record<string, Route> = {
  '/silent': () => undefined,
  '/half': (_req, res) => void res.writeHead(200, { 'Content-Length': 10 }).write('half'),
  '/fields': (req, res) => void res.end(JSON.stringify(req.headers)),
  '/busy': (_req, res) => void res.writeHead(503).end('busy'),
  // Busy the first time.
  '/busy-once': (req, res, earlier) => void res.writeHead(earlier === 0 ? 503 : 200).end(JSON.stringify(req.headers)),
  '/moved': (_req, res) => void res.writeHead(302, { Location: '/fields' }).end(),
};

async function upstream(): Promise<Upstream> {
  const requests: IncomingMessage[] = [];
  let cut = 0;
  const { origin } = await serve(bare, ((req: IncomingMessage, res: ServerResponse) => {
    const earlier = requests.filter(({ url }) => url === req.url).length;
    requests.push(req);
    res.on('close', () => (cut += Number(!res.writableFinished)));
    routes[req.url!]!(req, res, earlier);
  }) as Middleware);
  return { origin, requests, cut: () => cut };
}

type Composed = Dispatcher.ComposedDispatcher;

/** An agent with the interceptor, and more outside of it. */
function agent(options?: DeadlineInterceptorOptions, ...outside: Dispatcher.DispatcherComposeInterceptor[]): Composed {
  return compose(new Agent(), deadlineInterceptor(options), ...outside);
}

function compose(dispatcher: Dispatcher, ...chain: Dispatcher.DispatcherComposeInterceptor[]): Composed {
  // A MockAgent cannot be destroyed.
  onTestFinished(() => (dispatcher instanceof MockAgent ? dispatcher.close() : dispatcher.destroy()));
  return dispatcher.compose(...chain);
}

/** A context that is over at the end of the test. */
function openContext(timeout = Infinity): Context {
  const context = new Context(undefined, timeout);
  onTestFinished(() => context.dispose());
  return context;
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

type Fields = Record<string, string>;

const ms = (fields: Fields): number => Number(fields['x-request-timeout-ms']);

/** The ways to make a call; each resolves with the text of the whole body. */
const clients: [name: string, call: (dispatcher: Composed, url: string) => Promise<string>][] = [
  [
    'request',
    async (dispatcher, url) => {
      const { body } = await dispatcher.request(optionsOf(url));
      return body.text();
    },
  ],
  ['fetch', async (dispatcher, url) => (await fetch(url, { dispatcher })).text()],
  [
    'stream',
    async (dispatcher, url) => {
      let text = '';
      const sink = new Writable({
        write(chunk: Buffer, _encoding, callback) {
          text += chunk.toString();
          callback();
        },
      });
      await dispatcher.stream(optionsOf(url), () => sink);
      return text;
    },
  ],
  [
    'pipeline',
    (dispatcher, url) =>
      new Promise((resolve, reject) => {
        let text = '';
        const duplex = dispatcher.pipeline(optionsOf(url), ({ body }) => body);
        duplex
          .on('data', (chunk: Buffer) => (text += chunk.toString()))
          .on('end', () => resolve(text))
          .on('error', reject)
          .end();
      }),
  ],
];

function optionsOf(url: string): Dispatcher.RequestOptions {
  const { origin, pathname } = new URL(url);
  return { origin, path: pathname, method: 'GET' };
}

/** `fetch` wraps what went wrong before there was a response. */
const isReason = (error: unknown, reason: unknown): boolean =>
  error === reason || (error instanceof TypeError && error.cause === reason);

describe.each(clients)('undici.%s', (_name, call) => {
  it('carries what is left of the deadline of the current context', async () => {
    const { origin } = await upstream();
    const fields = JSON.parse(await runIn(openContext(5000), () => call(agent(), `${origin}/fields`))) as Fields;
    expect(ms(fields)).toBeGreaterThan(3000);
    expect(ms(fields)).toBeLessThanOrEqual(4990);
    expect(fields['grpc-timeout']).toBe(`${ms(fields)}m`);
  });

  it('carries nothing outside of a context', async () => {
    const { origin } = await upstream();
    expect(JSON.parse(await call(agent(), `${origin}/fields`))).not.toHaveProperty('grpc-timeout');
  });

  it.each(['/silent', '/half'])('ends with its context, here and there (%s)', async (path) => {
    const { origin, requests, cut } = await upstream();
    const context = openContext();
    const reading = rejection(runIn(context, () => call(agent(), origin + path)));
    await until(() => requests.length === 1);
    // The head is there, and reading has begun.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const reason = new DrainingError();
    context.abort(reason);
    expect(await reading).toSatisfy((error) => isReason(error, reason));
    await until(() => cut() === 1);
  });

  it.each(['/silent', '/half'])('ends at the deadline (%s)', async (path) => {
    const { origin, cut } = await upstream();
    const error = await rejection(runIn(openContext(1000), () => call(agent(), origin + path)));
    expect(error instanceof TypeError ? error.cause : error).toBeInstanceOf(DeadlineExceededError);
    await until(() => cut() === 1);
  });

  it('makes no call in a context that is over', async () => {
    const { origin, requests } = await upstream();
    const aborted = openContext();
    const reason = new DrainingError();
    aborted.abort(reason);
    const dispatcher = agent();
    expect(await rejection(runIn(aborted, () => call(dispatcher, `${origin}/fields`)))).toSatisfy((error) =>
      isReason(error, reason),
    );
    const expired = await rejection(runIn(openContext(0), () => call(dispatcher, `${origin}/fields`)));
    expect(expired instanceof TypeError ? expired.cause : expired).toBeInstanceOf(DeadlineExceededError);
    // What is made afterwards is the first to arrive.
    await call(dispatcher, `${origin}/fields`);
    expect(requests).toHaveLength(1);
  });
});

describe('the context of a dispatch', () => {
  it('may be given with it', async () => {
    const { origin } = await upstream();
    const request = async (context: Context): Promise<Fields> => {
      const options = { ...optionsOf(`${origin}/fields`), context };
      return (await (await agent().request(options)).body.json()) as Fields;
    };
    const outer = openContext(1000);
    expect(ms(await runIn(outer, () => request(openContext(60_000))))).toBeGreaterThan(10_000);
    outer.abort();
    expect(await runIn(outer, () => request(background))).not.toHaveProperty('grpc-timeout');
  });

  it('is named when it is none', async () => {
    const { origin } = await upstream();
    const options = { ...optionsOf(`${origin}/fields`), context: {} };
    expect(await rejection(agent().request(options))).toMatchObject({
      code: 'ERR_SLUICE_OPTION_INVALID',
      option: 'dispatch.context',
    });
  });
});

describe('the fields of a dispatch', () => {
  const shapes: [name: string, headers: Dispatcher.DispatchOptions['headers']][] = [
    ['an object', { 'X-A': ['a', 'b'], 'Grpc-Timeout': '100m' }],
    ['a flat list', ['X-A', 'a', 'Grpc-Timeout', '100m', 'X-A', 'b']],
    [
      'a Headers',
      new Headers([
        ['X-A', 'a'],
        ['Grpc-Timeout', '100m'],
        ['X-A', 'b'],
      ]),
    ],
    [
      'a Map',
      new Map<string, string | string[]>([
        ['X-A', ['a', 'b']],
        ['Grpc-Timeout', '100m'],
      ]),
    ],
    [
      'a generator',
      (function* (): Generator<[string, string]> {
        yield ['X-A', 'a'];
        yield ['X-A', 'b'];
        yield ['Grpc-Timeout', '100m'];
      })(),
    ],
    [
      'a list of pairs',
      [
        ['X-A', 'a'],
        ['X-A', 'b'],
        ['Grpc-Timeout', '100m'],
      ] as Iterable<[string, string]>,
    ],
  ];
  it.each(shapes)('are kept of %s, which is not touched', async (_name, headers) => {
    const { origin } = await upstream();
    // A generator can be looked at only once.
    const look = (): string =>
      'next' in headers! ? '' : JSON.stringify([headers, Symbol.iterator in headers! && [...headers]]);
    const before = look();
    const { body } = await runIn(openContext(5000), () =>
      agent().request({ ...optionsOf(`${origin}/fields`), headers: headers! }),
    );
    expect(await body.json()).toMatchObject({ 'x-a': 'a, b', 'grpc-timeout': '100m', 'x-request-timeout-ms': '100' });
    expect(look()).toBe(before);
  });

  it.each([null, undefined, [], {}])('%j are none', async (headers) => {
    const { origin } = await upstream();
    const { body } = await runIn(openContext(5000), () =>
      agent().request({ ...optionsOf(`${origin}/fields`), headers: headers as never }),
    );
    expect(Object.keys((await body.json()) as Fields)).toEqual(
      expect.arrayContaining(['grpc-timeout', 'x-request-timeout-ms']),
    );
  });

  it.each(['X-A: a', ['X-A'], 5, [['a']]])('%j is left for undici to refuse', async (headers) => {
    const { origin } = await upstream();
    expect(
      await rejection(
        runIn(openContext(5000), () =>
          agent().request({ ...optionsOf(`${origin}/fields`), headers: headers as never }),
        ),
      ),
    ).toMatchObject({ code: 'UND_ERR_INVALID_ARG' });
  });

  it('are those that were chosen', async () => {
    const { origin } = await upstream();
    const dispatcher = agent({ fields: ['x-envoy-expected-rq-timeout-ms'], margin: 0 });
    const { body } = await runIn(openContext(5000), () => dispatcher.request(optionsOf(`${origin}/fields`)));
    const fields = (await body.json()) as Fields;
    expect(Number(fields['x-envoy-expected-rq-timeout-ms'])).toBeGreaterThan(3000);
    expect(fields).not.toHaveProperty('grpc-timeout');
  });
});

describe('a call that waits', () => {
  it('for a connection that is not made ends with its context', async () => {
    const { origin, requests } = await upstream();
    // Does not come back in time.
    const client = new Client(origin, { connect: () => undefined } as never);
    const context = openContext();
    const reading = rejection(
      runIn(context, () => compose(client, deadlineInterceptor()).request(optionsOf(`${origin}/fields`))),
    );
    await turns();
    const reason = new DrainingError();
    context.abort(reason);
    expect(await reading).toBe(reason);
    expect(requests).toEqual([]);
  });

  it('for its turn on a connection ends with its context, and is never sent', async () => {
    const { origin, requests } = await upstream();
    const client = compose(new Client(origin, { pipelining: 1 }), deadlineInterceptor());
    const [first, second] = [openContext(), openContext()];
    const readings = [first, second].map((context) =>
      rejection(runIn(context, () => client.request(optionsOf(`${origin}/silent`)))),
    );
    await until(() => requests.length === 1);
    const reason = new DrainingError();
    second.abort(reason);
    expect(await readings[1]).toBe(reason);
    first.abort(reason);
    expect(await readings[0]).toBe(reason);
    // The next one finds the way free.
    const { body } = await client.request(optionsOf(`${origin}/fields`));
    await body.text();
    expect(requests.map(({ url }) => url)).toEqual(['/silent', '/fields']);
  });

  it('is not told twice, nor anything after its end', async () => {
    const { origin, requests } = await upstream();
    const told: string[] = [];
    const recording: Dispatcher.DispatchHandler = {
      onRequestStart: () => void told.push('start'),
      onResponseStart: () => void told.push('head'),
      onResponseData: () => void told.push('data'),
      onResponseEnd: () => void told.push('end'),
      onResponseError: () => void told.push('error'),
    };
    const context = openContext();
    // Forgets that it was aborted.
    const deaf: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
      dispatch(options, {
        onRequestStart: (controller, info) =>
          handler.onRequestStart?.(
            Object.assign(Object.create(controller) as typeof controller, { abort: () => undefined }),
            info,
          ),
        onResponseStart: (...args) => handler.onResponseStart?.(...args),
        onResponseData: (...args) => handler.onResponseData?.(...args),
        onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
        onResponseError: (...args) => handler.onResponseError?.(...args),
      });
    const dispatcher = compose(new Agent(), deaf, deadlineInterceptor());
    runIn(context, () => dispatcher.dispatch(optionsOf(`${origin}/half`), recording));
    await until(() => told.includes('data'));
    context.abort(new DrainingError());
    expect(told).toEqual(['start', 'head', 'data', 'error']);
    requests[0]!.socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(told).toEqual(['start', 'head', 'data', 'error']);
  });
});

describe('interceptors around it', () => {
  const retryOptions: RetryHandler.RetryOptions = { minTimeout: 20, maxRetries: 3 };

  it('retry tells each attempt what is left then', async () => {
    const { origin, requests } = await upstream();
    const { body } = await runIn(openContext(5000), () =>
      agent({}, interceptors.retry({ ...retryOptions, minTimeout: 100 })).request(optionsOf(`${origin}/busy-once`)),
    );
    await body.text();
    const [first, second] = requests.map(({ headers }) => ms(headers as Fields)) as [number, number];
    expect(second).toBeLessThanOrEqual(first - 90);
  });

  it('retry is over when the deadline is', async () => {
    const { origin, requests } = await upstream();
    const error = await rejection(
      runIn(openContext(150), () =>
        agent({}, interceptors.retry({ ...retryOptions, minTimeout: 100, maxRetries: 50 })).request(
          optionsOf(`${origin}/busy`),
        ),
      ),
    );
    expect(error).toBeInstanceOf(DeadlineExceededError);
    expect(requests.length).toBeLessThan(4);
  });

  it('retry goes on for the request that it began for, whoever opened the socket', async () => {
    const { origin, requests } = await upstream();
    const dispatcher = compose(new Client(origin), deadlineInterceptor(), interceptors.retry(retryOptions));
    const opener = openContext(60_000);
    await runIn(opener, async () => (await dispatcher.request(optionsOf(`${origin}/fields`))).body.text());
    opener.abort(new Error('of somebody else'));
    const { body } = await runIn(openContext(5000), () => dispatcher.request(optionsOf(`${origin}/busy-once`)));
    expect(ms((await body.json()) as Fields)).toBeLessThanOrEqual(4990);
    expect(new Set(requests.map(({ socket }) => socket.remotePort)).size).toBe(1);
  });

  it('retry for no request at all does not become one for whoever opened the socket', async () => {
    const { origin } = await upstream();
    const dispatcher = compose(new Client(origin), deadlineInterceptor(), interceptors.retry(retryOptions));
    const opener = openContext(60_000);
    await runIn(opener, async () => (await dispatcher.request(optionsOf(`${origin}/fields`))).body.text());
    opener.abort(new Error('of somebody else'));
    const { body } = await dispatcher.request(optionsOf(`${origin}/busy-once`));
    expect(await body.json()).not.toHaveProperty('grpc-timeout');
  });

  it('a retry inside of it ends with the context, also while it waits', async () => {
    const { origin, requests } = await upstream();
    const context = openContext();
    const waiting: (() => void)[] = [];
    const retry: RetryHandler.RetryOptions['retry'] = (_error, _context, callback) => {
      waiting.push(() => callback(null));
      return null;
    };
    const dispatcher = compose(
      new Agent(),
      interceptors.retry({ ...retryOptions, retry } as RetryHandler.RetryOptions),
      deadlineInterceptor(),
    );
    const reading = rejection(runIn(context, () => dispatcher.request(optionsOf(`${origin}/busy`))));
    await until(() => waiting.length === 1);
    const reason = new DrainingError();
    context.abort(reason);
    expect(await reading).toBe(reason);
    // The wait is over. A request that comes later has been answered when the other attempt would have been made.
    waiting[0]!();
    const { body } = await runIn(openContext(), () => dispatcher.request(optionsOf(`${origin}/fields`)));
    await body.text();
    expect(requests.map(({ url }) => url)).toEqual(['/busy', '/fields']);
  });

  it('a redirect outside of it carries what is left too', async () => {
    const { origin } = await upstream();
    const dispatcher = agent({}, interceptors.redirect({ maxRedirections: 2 }));
    const { body } = await runIn(openContext(5000), () => dispatcher.request(optionsOf(`${origin}/moved`)));
    expect(ms((await body.json()) as Fields)).toBeGreaterThan(3000);
  });

  it('a dispatcher that makes no calls at all works', async () => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    mock
      .get('http://mocked.invalid')
      .intercept({ path: '/', headers: { 'grpc-timeout': /^\d+m$/ } })
      .reply(200, 'mocked');
    const { body } = await runIn(openContext(5000), () =>
      compose(mock, deadlineInterceptor()).request({ origin: 'http://mocked.invalid', path: '/', method: 'GET' }),
    );
    expect(await body.text()).toBe('mocked');
  });
});

describe('what undici tells', () => {
  it('is told in the context of the call, whoever opened the socket', async () => {
    const { origin } = await upstream();
    const dispatcher = compose(new Client(origin), deadlineInterceptor());
    const contexts = [openContext(), openContext()];
    for (const context of contexts) {
      const seen = await runIn(
        context,
        () =>
          new Promise<unknown[]>((resolve, reject) => {
            const here: unknown[] = [];
            dispatcher.dispatch(optionsOf(`${origin}/fields`), {
              onRequestStart: () => void here.push(contextHere()),
              onResponseStart: () => void here.push(contextHere()),
              onResponseData: () => void here.push(contextHere()),
              onResponseEnd: () => resolve([...here, contextHere()]),
              onResponseError: (_controller, error) => reject(error),
            });
          }),
      );
      expect(seen).toEqual([context, context, context, context]);
    }
  });

  it("of an upgrade ends the call: the socket is its caller's", async () => {
    const server = net
      .createServer((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () =>
          socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n'),
        );
      })
      .listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const context = openContext();
    const dispatcher = agent();
    const { socket } = await runIn(context, () =>
      dispatcher.upgrade({
        origin: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
        path: '/',
        protocol: 'echo',
      } as never),
    );
    context.abort(new Error('enough'));
    await turns();
    expect(socket.destroyed).toBe(false);
    socket.destroy();
  });

  it('includes the signal of the call itself', async () => {
    const { origin, requests } = await upstream();
    const controller = new AbortController();
    const reading = rejection(
      runIn(openContext(60_000), () =>
        agent().request({ ...optionsOf(`${origin}/silent`), signal: controller.signal }),
      ),
    );
    await until(() => requests.length === 1);
    const reason = new Error('mine');
    controller.abort(reason);
    expect(await reading).toBe(reason);
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });

  it('of a dispatcher that is closed reaches the call', async () => {
    const { origin } = await upstream();
    const plain = new Agent();
    const dispatcher = compose(plain, deadlineInterceptor());
    await plain.close();
    expect(
      await rejection(runIn(openContext(5000), () => dispatcher.request(optionsOf(`${origin}/fields`)))),
    ).toMatchObject({ code: 'UND_ERR_DESTROYED' });
  });

  it('by throwing is thrown on', async () => {
    const throwing: Dispatcher.DispatcherComposeInterceptor = () => (_options, _handler) => {
      throw new Error('refused');
    };
    expect(() =>
      compose(new Agent(), throwing, deadlineInterceptor()).dispatch(optionsOf('http://nowhere.invalid/'), {}),
    ).toThrow('refused');
  });

  it('by throwing ends its part of the context', () => {
    const throwing: Dispatcher.DispatcherComposeInterceptor = () => (_options, _handler) => {
      throw new Error('refused');
    };
    const dispatcher = compose(new Agent(), throwing, deadlineInterceptor());
    const context = openContext();
    const errors: unknown[] = [];
    const call = (): boolean =>
      dispatcher.dispatch(optionsOf('http://nowhere.invalid/'), {
        onRequestStart: () => undefined,
        onResponseError: (_controller, error) => void errors.push(error),
      });
    expect(() => runIn(context, call)).toThrow('refused');
    context.abort(new DrainingError());
    expect(errors).toEqual([]);
  });
});

it.each<[string, () => unknown]>([
  ['deadlineInterceptor.margin', () => deadlineInterceptor({ margin: 'much' })],
  ['deadlineInterceptor.fields', () => deadlineInterceptor({ fields: ['timeout' as never] })],
  ['deadlineInterceptor', () => deadlineInterceptor(5 as never)],
])('%s is named when it is wrong', (option, call) => {
  expect(call).toThrow(expect.objectContaining({ code: 'ERR_SLUICE_OPTION_INVALID', option }) as Error);
});
