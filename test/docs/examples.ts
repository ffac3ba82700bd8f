import { once } from 'node:events';
import diagnostics from 'node:diagnostics_channel';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import type { LanguageModel } from 'ai';
import type { RequestHandler } from 'express';
import { text } from 'node:stream/consumers';
import { createInflateRaw } from 'node:zlib';
import { expect } from 'vitest';
import { WebSocket } from 'ws';
import type { Channels } from '../../src/index.ts';
import { makeCertificate } from '../support/certificate.ts';
import type { Running } from '../support/docs.ts';
import { chatText, clientOf, complete, hello, modelOf } from './models.ts';
import { settles, until } from '../support/until.ts';
import { closeSources, each, get, gets, mounts, type Visit } from './visits.ts';

// One row for each example of the documentation. An example that is new, moved or gone needs a change here.

export interface Row {
  /** What to do with the example once it runs. */
  readonly visit?: Visit;
  /** An example that runs beside it: the server of a page, or what it observes. It is the one that is visited. */
  readonly beside?: string;
  /** An example that it imports, and from which file. */
  readonly imports?: { readonly file: string; readonly example: string };
  /** An example whose server it calls. */
  readonly calls?: string;
  /** A wait of the example that the test makes shorter, or longer. */
  readonly shorter?: readonly [from: string, to: string];
  /** Runs in a process of its own until SIGTERM, and has to drain and to exit with 0. */
  readonly drains?: true;
  /** Why it is not run. */
  readonly notRun?: string;
}

// Where there is none, the example over TLS is only loaded, and the reason is printed.
const tls = makeCertificate();

// For the example of the dashboard.
const opsPassword = (process.env['OPS_PASSWORD'] = 'secret');

type Follow = (show: (value: unknown) => void, signal: AbortSignal) => Promise<void>;

const drains: Row = { drains: true };
const runs: Row = {};
const visited = (...visits: Visit[]): Row => ({ visit: each(...visits) });

export const rows: Record<string, Row> = {
  'README.md: Quick start': visited(gets('/clock', 'event: tick\n')),
  'README.md: Quick start (2)': {
    beside: 'README.md: Quick start',
    visit: async ({ printed }) => {
      expect((await printed())[0]).toMatch(/^\d{4}-/);
      closeSources();
    },
  },
  'README.md: A service for production': visited(
    gets('/readyz', '"active"'),
    gets('/livez', '"active"'),
    async ({ origin }) => expect((await fetch(`${origin()}/metrics`)).status).toBe(403),
    gets('/count', 'id: 2\ndata: {"n":2}\n'),
  ),
  'README.md: Tokens of a language model': visited(completes('You said: hello')),
  'README.md: A chat room': visited(async ({ origin }) => {
    const url = `${origin()}/rooms/a`;
    const init = { method: 'POST', body: '{"text":"hi"}', headers: { 'content-type': 'application/json' } };
    await get(url, ['event: message\ndata: {"text":"hi"}\n'], {}, () => void fetch(url, init));
    await get(url, ['event: message\ndata: {"text":"hi"}\n']);
  }),
  'README.md: JSON lines and bodies': visited(gets('/rows', '{"row":1000}\n'), gets('/download', 'localhost')),

  'docs/body.md: Bodies: sluice/body': visited(gets('/file', 'localhost'), gets('/lines', '\n1000\n')),
  'docs/body.md: Pass on a fetched response': {
    visit: async ({ origin, calls }) => {
      const { headers } = await get(origin(), ['{"price":12}']);
      expect([headers.get('x-served-by'), calls]).toEqual(['gateway', ['GET /']]);
    },
  },
  'docs/body.md: waitWritable': visited(gets('/', '\n99999\n')),

  'docs/client.md: Client: sluice/client': {
    beside: 'README.md: Quick start',
    visit: async ({ exports }) => {
      const [times, controller] = [[] as unknown[], new AbortController()];
      const show = (time: unknown): void => void (times.push(time) > 1 && controller.abort());
      await settles((exports['showTicks'] as Follow)(show, controller.signal));
      expect(times).toEqual([expect.stringMatching(/^\d{4}-/), expect.stringMatching(/^\d{4}-/)]);
    },
  },
  'docs/client.md: Authorization': {
    beside: 'README.md: Quick start',
    visit: async ({ exports }) => {
      const controller = new AbortController();
      const orders = (exports['orders'] as (signal: AbortSignal) => AsyncIterable<unknown>)(controller.signal);
      // The clock has no orders.
      const read = orders[Symbol.asyncIterator]().next();
      await expect(settles(read)).rejects.toMatchObject({ code: 'ERR_SLUICE_CLIENT_REFUSED', status: 404 });
    },
  },
  'docs/client.md: Language models': {
    beside: 'README.md: Tokens of a language model',
    visit: async ({ exports, origin }) => {
      let answer = '';
      const write = (text: string): void => void (answer += text);
      const ask = exports['ask'] as (url: string, messages: unknown[], write: unknown) => Promise<void>;
      await settles(ask(`${origin()}/v1/chat/completions`, [hello], write));
      expect(answer).toBe('You said: hello');
    },
  },
  'docs/client.md: React': runs,
  'docs/client.md: TypeScript': runs,
  'docs/client.md: Resume later': runs,
  'docs/client.md: Packaging': visited(
    gets('/', 'importmap'),
    // The files of the package are not below the `node_modules` of this repository.
    async () => expect(await readFile('package.json', 'utf8')).toContain('"./dist/client/index.mjs"'),
    gets('/modules/eventsource-parser/index.js', 'createParser'),
  ),

  'docs/compress.md: Quick start': visited(gets('/prices', '"price":248.75'), gets('/words', 'data: two\n')),
  'docs/compress.md: Quick start (2)': visited(isEncoded('/', 'to be repeated')),
  'docs/compress.md: Codecs': visited(isEncoded('/')),
  'docs/compress.md: Which coding': {
    visit: async ({ printed }) =>
      expect(await printed()).toEqual([
        "{ coding: 'gzip', reason: 'negotiated' }",
        "{ coding: 'identity', reason: 'identity-preferred' }",
      ]),
  },
  'docs/compress.md: Who asks': visited(isEncoded('/')),
  'docs/compress.md: Why is this not compressed?': {
    beside: 'docs/compress.md: Quick start',
    visit: gets('/prices', '"price":248.75'),
  },
  'docs/compress.md: Flushing': visited(gets('/page', 'One moment', 'Here it is.')),
  'docs/compress.md: Event streams and memory': visited(isEncoded('/clock', 'data: ')),
  'docs/compress.md: The switch': {
    visit: async (running) => {
      expect(await running.printed()).toEqual(['1 false normal', '2 true normal', '3 true thrifty']);
      await isEncoded('/')(running);
    },
  },
  'docs/compress.md: The governor': visited(isEncoded('/')),
  'docs/compress.md: The cache': visited(isEncoded('/catalog', 'article 499')),
  'docs/compress.md: Your own codec': {
    visit: async ({ exports, origin }) => {
      const dictionary = exports['dictionary'] as Buffer;
      expect(await inflated(`${origin()}/price`, dictionary)).toMatch(/^\{"id":7,/);
      expect(await inflated(`${origin()}/prices`, dictionary)).toContain('"price":103');
    },
  },

  'docs/deadline.md: Quick start': visited(
    gets('/report', '{"figures":{"price":12},"left":'),
    gets('/clock', 'event: tick\n'),
  ),
  'docs/deadline.md: Quick start (2)': visited(gets('/', 'in time')),
  'docs/deadline.md: The context': visited(mounts('primes', '[2,3,5,', ',19997]')),
  'docs/deadline.md: Children': {
    ...visited(mounts('price', '{"price":12}')),
    // A busy machine may be slower than the example allows.
    shorter: ["timeout: '200ms'", "timeout: '20s'"],
  },
  'docs/deadline.md: The current context': visited(mounts('upload', '{"bytes":0,"left":')),
  'docs/deadline.md: Passing it on': {
    visit: async ({ exports, upstream, calls }) => {
      const threeWays = exports['threeWays'] as (url: string) => Promise<unknown[]>;
      const answer = '{"price":12}';
      expect(await threeWays(`${upstream}/figures`)).toEqual([answer, answer, answer, { accept: 'application/json' }]);
      expect(calls.toSorted()).toEqual(['GET /figures', 'GET /figures', 'POST /figures']);
    },
  },
  'docs/deadline.md: Idle': visited(gets('/ticks', 'id: 0\n')),
  'docs/deadline.md: The answer': {
    shorter: ["'5s'", "'50ms'"],
    visit: async ({ origin }) => {
      const { status, headers } = await get(origin(), ['"title":"Too slow"', '"code":"ERR_SLUICE_']);
      expect([status, headers.get('retry-after')]).toEqual([503, '10']);
    },
  },
  'docs/deadline.md: Late calls': visited(gets('/late-calls', '{"count":0}')),
  'docs/deadline.md: Work that goes on': {
    visit: async (running) => {
      await mounts('remove', '{"removed":true}')(running);
      await until(() => running.calls.includes('POST /audit'));
    },
  },
  'docs/deadline.md: Security': visited(gets('/', 'hello')),

  'docs/deploying.md: Heartbeats': {
    visit: async ({ origin }) => {
      const response = await fetch(`${origin()}/slow`);
      expect(response.headers.get('content-type')).toContain('text/event-stream');
      await response.body!.cancel();
    },
  },
  "docs/deploying.md: Node's own timeouts": visited(gets('/', 'data: hello\n')),
  'docs/deploying.md: Six connections to an origin': {
    beside: 'docs/deploying.md: Six connections to an origin (2)',
    visit: async ({ exports, origin }) => {
      const shareEvents = exports['shareEvents'] as (
        url: string,
        types: string[],
        onEvent: (event: unknown) => void,
      ) => () => void;
      const seen: unknown[][] = [[], []];
      const [leave, leaveToo] = seen.map((tab) =>
        shareEvents(`${origin()}/events`, ['hello'], (event) => tab.push(event)),
      );
      await until(() => seen.every((tab) => tab.length > 0));
      expect(seen.map(([first]) => first)).toEqual(Array(2).fill({ type: 'hello', data: '{"after":""}', id: '1' }));
      // The other tab goes on, from the id that it saw last.
      leave!();
      await until(() => JSON.stringify(seen[1]).includes(String.raw`{\"after\":\"1\"}`));
      leaveToo!();
      closeSources();
    },
  },
  'docs/deploying.md: Six connections to an origin (2)': visited(gets('/events?after=7', 'data: {"after":"7"}')),
  'docs/deploying.md: Deploys': visited(gets('/', 'data: resumable')),

  'docs/diagnostics.md: Diagnostics': {
    visit: async ({ printed }) => {
      diagnostics.channel('sluice:stream:close').publish({ req: { method: 'GET', url: '/' }, reason: 'ended' });
      expect(await printed()).toEqual(['GET / closed: ended']);
    },
  },

  'docs/errors.md: Errors': visited(mounts('chat', 'event: token\ndata: hello\n')),
  'docs/errors.md: Warnings': {
    visit: async ({ printed }) => {
      for (const part of ['stream', 'compress', 'lifecycle', 'heartbeat'])
        diagnostics.channel(`sluice:${part}:error`).publish({ error: part });
      expect(await printed()).toEqual(['stream', 'compress', 'lifecycle', 'heartbeat']);
    },
  },

  'docs/frameworks.md: NestJS': visited(gets('/readyz', '"active"')),
  'docs/frameworks.md: React': visited(isEncoded('/', '<b>twelve</b>')),
  'docs/frameworks.md: tRPC': visited(gets('/trpc/ticks', 'tick 1', 'tick 3')),
  'docs/frameworks.md: GraphQL Yoga': {
    visit: async ({ origin }) => {
      const query = encodeURIComponent('subscription { ticks }');
      const init = { headers: { Accept: 'text/event-stream' } };
      await get(`${origin()}/graphql?query=${query}`, ['"ticks":1', '"ticks":3', 'complete'], init);
    },
  },

  'docs/from-compression.md: From compression': visited(isEncoded('/')),
  'docs/from-compression.md: What to check': visited(isEncoded('/')),
  'docs/from-compression.md: Types': {
    visit: async ({ exports, mount, origin }) => {
      await mount(exports['middleware']);
      expect((await get(origin())).status).toBe(404);
    },
  },

  'docs/heartbeat.md: Quick start': visited(
    gets('/news', 'data: nothing more'),
    gets('/connections', '"connections":'),
  ),
  'docs/heartbeat.md: Quick start (2)': visited(gets('/', 'data: written by hand')),
  'docs/heartbeat.md: Injection': visited(gets('/ticks', 'hi')),
  'docs/heartbeat.md: Encoded event streams': {
    visit: ({ exports }) => expect(exports['default']).toEqual({ compress: false }),
  },
  'docs/heartbeat.md: The registry': {
    visit: async (running) => {
      await gets('/news', 'data: hello\n')(running);
      const client = new WebSocket(running.origin());
      await once(client, 'open');
      client.terminate();
    },
  },
  'docs/heartbeat.md: Limits': { visit: async ({ origin }) => expect((await get(origin())).status).toBe(404) },
  'docs/heartbeat.md: WebSockets': {
    visit: async ({ origin }) => {
      const client = new WebSocket(origin());
      await once(client, 'open');
      client.send('back');
      expect(String((await once(client, 'message'))[0])).toBe('back');
      client.terminate();
    },
  },
  'docs/heartbeat.md: HTTP/2': { visit: ({ origin }) => getsOverHttp2(origin(), 'data: hello\n') },
  'docs/heartbeat.md: Sockets': {
    visit: async ({ origin }) => {
      const client = net.connect(Number(new URL(origin()).port), '127.0.0.1', () => client.write('back'));
      expect(String((await once(client, 'data'))[0])).toBe('back');
      client.destroy();
    },
  },
  'docs/heartbeat.md: Age and silent producers': visited(gets('/news', 'data: hello\n')),
  'docs/heartbeat.md: The frame': runs,
  'docs/heartbeat.md: Observing': runs,

  'docs/proxy.md: Quick start': {
    visit: async (running) => {
      await gets('/api/users?page=2', '"price":12')(running);
      expect(running.calls).toEqual(['GET /users?page=2']);
    },
  },
  'docs/proxy.md: With the other middlewares': visited(gets('/', '"price":12')),
  'docs/proxy.md: WebSockets': visited(gets('/', '"price":12')),
  'docs/proxy.md: WebSockets (2)': {
    visit: async ({ origin, calls }) => {
      const { status } = await get(`${origin()}/chat/room`, ['"price":12'], { headers: { Cookie: 'a=1' } });
      expect([status, calls]).toEqual([200, ['GET /room']]);
      const client = new WebSocket(`${origin()}/chat/room`);
      const [error] = (await once(client, 'error')) as [Error];
      expect(error.message).toContain('401');
    },
  },
  'docs/proxy.md: Send a share of the clients to a new version': {
    visit: async (running) => {
      await gets('/', '"price":12')(running);
      expect(await running.printed()).toEqual(['2 {}']);
    },
  },
  'docs/proxy.md: Count the tokens of a language model': visited(gets('/v1/models', '"price":12')),
  'docs/proxy.md: Upstreams': visited(gets('/', '"price":12'), gets('/pool', '"state":"up"')),
  'docs/proxy.md: TLS': runs,
  'docs/proxy.md: Behind another proxy': visited(gets('/rest', '"price":12'), gets('/', '"price":12')),
  'docs/proxy.md: Change requests and answers': {
    visit: async ({ origin }) => {
      const { headers } = await get(origin(), ['"price":12']);
      expect(headers.get('x-frame-options')).toBe('DENY');
    },
  },
  'docs/proxy.md: Failures': visited(gets('/', '"price":12')),

  'docs/from-http-proxy-middleware.md: Only some paths': {
    visit: async (running) => {
      await each(gets('/api/a', '"price":12'), gets('/ajax/b', '"price":12'), gets('/page', 'mine'))(running);
      expect(running.calls).toEqual(['GET /api/a', 'GET /ajax/b']);
      expect((await get(`${running.origin()}/api/a.html`)).status).toBe(404);
    },
  },
  'docs/from-http-proxy-middleware.md: A table of targets': {
    visit: async (running) => {
      await each(gets('/rest/a', '"price":12'), gets('/b', '"price":12'))(running);
      expect(running.calls).toEqual(['GET /v2/rest/a', 'GET /b']);
    },
  },
  // With another upstream: test/docs/from-http-proxy-middleware.test.ts
  'docs/from-http-proxy-middleware.md: Redirects and cookies': visited(gets('/shop', '"price":12')),
  'docs/from-http-proxy-middleware.md: responseInterceptor': visited(gets('/', '{"price":12,"via":"gateway"}')),

  'docs/monitor.md: Quick start': visited(gets('/news', 'data: hello\n')),
  'docs/monitor.md: The numbers': visited(gets('/health', '"open":0')),
  'docs/monitor.md: Prometheus': runs,
  'docs/monitor.md: OpenTelemetry': runs,
  'docs/monitor.md: Alerts': runs,
  'docs/monitor.md: Dashboard': {
    visit: async ({ origin }) => {
      expect((await get(`${origin()}/sluice`)).status).toBe(401);
      const as = (user: string) => ({ headers: { authorization: `Basic ${Buffer.from(user).toString('base64')}` } });
      await get(`${origin()}/sluice`, ['sluice dashboard'], as(`ops:${opsPassword}`));
      expect((await get(`${origin()}/sluice`, [], as('ops:undefined'))).status).toBe(401);
    },
  },
  'docs/monitor.md: Who changed what': runs,
  'docs/monitor.md: Without Express, and in a bundle': {
    visit: async ({ origin }) => {
      expect((await get(`${origin()}/other`)).status).toBe(404);
      expect((await get(`${origin()}/sluice/`)).status).toBe(403);
      await get(`${origin()}/sluice`, ['sluice dashboard'], { headers: { 'x-user': 'operator' } });
    },
  },

  'docs/lifecycle.md: Quick start': drains,
  'docs/lifecycle.md: Servers': drains,
  'docs/lifecycle.md: Streams': drains,
  'docs/lifecycle.md: Streams (2)': drains,
  'docs/lifecycle.md: WebSockets': drains,
  'docs/lifecycle.md: WebSockets (2)': drains,
  "docs/lifecycle.md: The request's context": drains,
  'docs/lifecycle.md: Work outside of requests': drains,
  'docs/lifecycle.md: Signals and the end of the process': drains,
  'docs/lifecycle.md: The report': drains,

  'docs/llm.md: Language models': visited(completes('You said: hello')),
  'docs/llm.md: Language models (2)': {
    calls: 'docs/llm.md: Language models',
    visit: async ({ printed }) => expect(await printed()).toEqual(['You said: hello']),
  },
  'docs/llm.md: Abort the model': { calls: 'docs/llm.md: Language models', visit: completes('You said: hello') },
  'docs/llm.md: Proxy a model': {
    calls: 'docs/llm.md: Language models',
    visit: async ({ origin, printed }) => {
      await complete(origin(), { stream_options: { include_usage: true } });
      expect((await printed())[0]).toContain('completion_tokens: 3');
    },
  },
  'docs/llm.md: Errors with a status': { calls: 'docs/llm.md: Language models', visit: completes('You said: hello') },
  'docs/llm.md: Errors in the middle of an answer': {
    visit: async ({ origin, printed }) => {
      await expect(complete(origin())).rejects.toMatchObject({ message: 'The model failed', type: 'server_error' });
      expect((await printed())[0]).toContain('out of memory');
    },
  },
  'docs/llm.md: Answers without stream: true': {
    visit: async ({ origin }) => {
      const { choices } = await clientOf(origin()).chat.completions.create({ model: 'mine', messages: [hello] });
      expect(choices[0]?.message.content).toBe('The answer.');
      await expect(complete(origin())).resolves.toMatchObject({ content: 'The answer.' });
    },
  },
  'docs/llm.md: The AI SDK': {
    visit: async ({ exports, mount, origin }) => {
      const { default: express } = await import('express');
      const chat = exports['chat'] as (model: LanguageModel) => RequestHandler;
      await mount(express.Router().use(express.json(), chat(modelOf(['The ', 'answer.']))));
      expect(await chatText(origin())).toBe('The answer.');
    },
  },
  'docs/llm.md: The AI SDK (2)': {
    visit: async ({ origin }) => expect(await chatText(`${origin()}/api/chat`)).toBe('The answer.'),
  },
  'docs/llm.md: Resumable answers in ten lines': {
    visit: async ({ origin }) => {
      const url = `${origin()}/answers/1`;
      expect((await fetch(url, { method: 'DELETE' })).status).toBe(404);
      const { text } = await get(url, ['event: sluice.end\ndata: {"status":"done"}'], { method: 'POST' });
      const [id] = /(?<=^id: ).*/m.exec(text)!;
      const rest = await get(url, ['event: sluice.end\n'], { headers: { 'last-event-id': id } });
      expect([text, rest.text].map((each) => each.includes('data: The answer.\n'))).toEqual([true, false]);
      expect((await fetch(url, { method: 'DELETE' })).status).toBe(204);
    },
  },
  'docs/llm.md: Resumable answers in ten lines (2)': {
    visit: async ({ exports, mount, origin }) => {
      const rooms = exports['rooms'] as Channels;
      await mount(rooms.subscribe(() => 'a'));
      const headers = { 'last-event-id': (await rooms.publish('a', 'one'))[0]! };
      await get(origin(), ['data: two\n'], { headers }, () => void rooms.publish('a', 'two'));
    },
  },
  'docs/llm.md: For the AI SDK': {
    visit: async ({ origin, printed }) => {
      expect(await chatText(`${origin()}/api/chat`)).toBe('The answer.');
      expect(await printed()).toContain('chat done { totalTokens: 2 }');
      expect((await fetch(`${origin()}/api/chat/chat/stream`)).status).toBe(204);
      expect((await fetch(`${origin()}/api/chat/chat`, { method: 'DELETE' })).status).toBe(204);
    },
  },
  'docs/llm.md: Read it in a browser': {
    visit: async ({ exports }) => {
      const readEvents = exports['readEvents'] as (response: Response) => AsyncIterable<string>;
      const response = new Response(':ok\ndata: {"a":1}\n\n:\nid: 1\ndata: [DONE]\n\n');
      expect(await all(readEvents(response))).toEqual(['{"a":1}', '[DONE]']);
    },
  },

  'docs/channel.md: Channels: sluice/channel': visited(gets('/ticks', 'event: tick\ndata: {"at":"')),
  'docs/channel.md: Publish': {
    visit: async ({ exports, mount, origin }) => {
      const { subscribe } = exports['prices'] as { subscribe(): unknown };
      await mount(subscribe.call(exports['prices']));
      const setPrice = exports['setPrice'] as (symbol: string, price: number) => Promise<string>;
      let id: Promise<string> | undefined;
      const { text } = await get(origin(), ['data: {"symbol":"A","price":1}\n'], {}, () => (id = setPrice('A', 1)));
      expect(text).toContain(`id: ${String(await id)}\n`);
    },
  },
  'docs/channel.md: Reset': { notRun: 'it reloads its page' },
  'docs/channel.md: Who may subscribe': {
    visit: async ({ exports, mount, origin }) => {
      await mount(exports['subscribe']);
      expect((await get(origin())).status).toBe(403);
      const orders = exports['orders'] as { publish(event: object): Promise<string> };
      await get(origin(), ['{"user":"ann","n":2}'], { headers: { 'x-user': 'ann' } }, () => {
        void orders.publish({ data: { user: 'bob', n: 1 } });
        void orders.publish({ data: { user: 'ann', n: 2 } });
      });
    },
  },
  'docs/channel.md: Small events': {
    visit: async ({ exports }) => {
      const answer = exports['answer'] as { publish(event: object): Promise<string> };
      const ids = ['a', 'b', 'c'].map((text) => answer.publish({ event: 'delta', data: { part: 'p1', text } }));
      expect(new Set(await Promise.all(ids)).size).toBe(1);
    },
  },

  'docs/channel.md: Families': {
    visit: async ({ exports, mount, origin }) => {
      await mount(exports['app']);
      expect((await get(`${origin()}/me`)).status).toBe(403);
      const rooms = exports['rooms'] as { publish(keys: string, event: string): Promise<string[]> };
      const publish = () => void rooms.publish('user:ann', 'for ann');
      await get(`${origin()}/me`, ['data: for ann'], { headers: { 'x-user': 'ann' } }, publish);
    },
  },
  'docs/channel.md: Keys': {
    visit: async ({ exports, mount, origin }) => {
      await mount(exports['subscribe']);
      expect((await get(`${origin()}/?room=room:3`, [], { headers: { 'x-user': 'ann' } })).status).toBe(403);
      const chat = exports['chat'] as { publish(keys: string, event: string): Promise<string[]> };
      const publish = () => void chat.publish('room:2', 'hello');
      await get(`${origin()}/?room=room:2`, ['data: hello'], { headers: { 'x-user': 'ann' } }, publish);
    },
  },
  'docs/channel.md: Keys (2)': {
    visit: async ({ exports, mount, origin }) => {
      const rooms = exports['rooms'] as Channels;
      await mount(rooms.subscribe(() => 'lobby', { authorize: () => ({ identity: 'ann' }) }));
      const move = () => {
        expect(rooms.subscribers()[0]?.keys).toEqual(['lobby', 'room:1']);
        (exports['moveAll'] as (...names: string[]) => void)('ann', 'room:1', 'room:2');
        void rooms.publish('room:2', 'hello');
      };
      await get(origin(), ['data: hello'], {}, move);
    },
  },

  'docs/channel.md: Answers': {
    visit: async ({ exports, mount, origin }) => {
      await mount(exports['app']);
      const url = `${origin()}/reports/1`;
      const ann = { headers: { 'x-user': 'ann' } };
      expect((await fetch(url, { method: 'POST' })).status).toBe(403);
      const answer = await (await fetch(url, { method: 'POST', ...ann })).text();
      expect(answer).toMatch(/data: \{"page":3\}\n\nid: \S+\nevent: sluice\.end\ndata: \{"status":"done"\}/);
      expect(await (await fetch(url, ann)).text()).toBe(answer);
      expect(await (await fetch(`${url}/usage`, ann)).json()).toEqual({ status: 'done', pages: 3 });
    },
  },
  'docs/channel.md: Backplanes': { notRun: 'test/channel/conformance.test.ts is this for vitest' },
  'docs/redis.md: A switch for all instances': visited(async ({ origin }) => {
    await get(`${origin()}/profile/cheap`, ['{"enabled":true,"profile":"cheap"}'], { method: 'PUT' });
    const { headers } = await get(`${origin()}/numbers`, [], { headers: { 'accept-encoding': 'br, gzip' } });
    expect(headers.get('content-encoding')).toBe('gzip');
  }),
  'docs/redis.md: Redis: sluice/redis': visited(publishesTicks),
  'docs/nats.md: A backplane on NATS JetStream': {
    imports: { file: 'backplane.mjs', example: 'docs/nats.md: The backplane' },
    visit: publishesTicks,
  },
  'docs/nats.md: The backplane': runs,

  'docs/from-better-sse.md: A channel': {
    visit: async ({ origin }) => {
      const body = JSON.stringify({ id: '7', text: 'hello' });
      const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
      await get(`${origin()}/news`, [`event: news\ndata: ${body}`], {}, () => void fetch(`${origin()}/news`, init));
    },
  },

  'docs/records.md: JSON records: sluice/records': visited(
    gets('/rows', '{"row":3}\n'),
    gets('/samples', '\u001E0.25\n'),
  ),
  'docs/records.md: TypeScript': visited(
    mounts('rows', '{"id":1,"name":"one"}\n'),
    mounts('generated', '{"id":1,"name":"one"}\n'),
  ),
  'docs/records.md: Slow clients': {
    visit: async ({ exports, mount, origin }) => {
      await mount(exports['positions']);
      const publish = exports['publish'] as (position: object) => void;
      const position = { vehicle: 'a', lat: 1, lon: 2 };
      await get(origin(), [`${JSON.stringify(position)}\n`], {}, () => publish(position));
    },
  },
  'docs/records.md: Read the records': {
    visit: async ({ exports }) => {
      const readNdjson = exports['readNdjson'] as (response: Response) => AsyncIterable<unknown>;
      expect(await all(readNdjson(new Response('{"n":1}\n{"n":2}\n')))).toEqual([{ n: 1 }, { n: 2 }]);
      await expect(all(readNdjson(new Response('{"n":1}\n{"n"')))).rejects.toThrow('not complete');
    },
  },

  'docs/sse.md: Server-sent events: sluice/sse': visited(gets('/count', 'id: 1\n', 'id: 10\n')),
  'docs/sse.md: Handlers': {
    visit: async (running) => {
      await mounts('ticks', 'event: tick\n')(running);
      await mounts('words', 'data: one\n', 'data: three\n')(running);
      await running.mount(running.exports['news']);
      const publish = running.exports['publish'] as (item: string) => void;
      await get(running.origin(), ['event: news\ndata: item\n'], {}, () => publish('item'));
    },
  },
  'docs/sse.md: Wait before you open': {
    visit: async ({ origin }) => {
      expect((await get(`${origin()}/private`)).status).toBe(403);
      await get(`${origin()}/private`, ['data: welcome\n'], { headers: { Authorization: 'x' } });
    },
  },
  'docs/sse.md: Typed events': visited(mounts('feed', 'event: tock\n'), mounts('generated', '"price":13')),
  'docs/sse.md: Which requests get a stream': {
    visit: async ({ origin }) => {
      await get(`${origin()}/price`, ['{"price":10}'], { headers: { Accept: 'application/json' } });
      await get(`${origin()}/price`, ['data: {"price":10}\n'], { headers: { Accept: 'text/event-stream' } });
    },
  },
  'docs/sse.md: Back-pressure': visited(mounts('all', 'data: one\n', 'data: two\n', 'data: three\n')),
  'docs/sse.md: Slow clients': visited(opens('notices'), opens('prices')),
  'docs/sse.md: Resuming': {
    visit: async ({ origin }) => {
      await get(`${origin()}/log`, ['event: reset\n'], { headers: { 'Last-Event-ID': 'before-5' } });
      await get(`${origin()}/log`, ['event: entry\n', 'data: {"at":']);
    },
  },
  'docs/sse.md: Diagnostics': {
    visit: async ({ printed }) => {
      const req = { method: 'GET', url: '/' };
      diagnostics.channel('sluice:stream:error').publish({ req, error: 'an error' });
      diagnostics.channel('sluice:stream:close').publish({ req, reason: 'ended' });
      expect(await printed()).toEqual(['GET / an error', '/ closed: ended']);
    },
  },
  'docs/sse.md: HTTP/2': {
    visit: async ({ exports }) => {
      const start = exports['start'] as (tls: object, port: number) => http2.Http2SecureServer;
      if (!tls) return;
      const server = start(tls, 0);
      await once(server, 'listening');
      await getsOverHttp2(`https://localhost:${(server.address() as net.AddressInfo).port}`, 'data: hello\n');
    },
  },
  'docs/sse.md: Compression': visited(isEncoded('/zipped', 'data: compressed')),
  'docs/sse.md: Behind compression': visited(isEncoded('/zipped', 'data: compressed')),

  'docs/troubleshooting.md: The handler returns and the stream ends': {
    visit: async ({ exports, mount, origin }) => {
      const publish = exports['publish'] as (data: string) => void;
      await mount(exports['kept']);
      await get(origin(), ['data: to the kept\n'], {}, () => publish('to the kept'));
      await mount(exports['waited']);
      await get(origin(), ['data: to the waited\n'], {}, () => publish('to the waited'));
    },
  },
  'docs/troubleshooting.md: Nothing is compressed': {
    visit: async ({ printed }) => {
      const req = { method: 'GET', url: '/' };
      diagnostics.channel('sluice:compress:decision').publish({ req, coding: 'identity', reason: 'below-threshold' });
      expect(await printed()).toEqual(['GET / identity below-threshold']);
    },
  },
};

/** The `openai` SDK reads an answer. */
function completes(text: string): Visit {
  return async ({ origin }) => {
    const { content, finish } = await complete(origin());
    expect([content, finish]).toEqual([text, 'stop']);
  };
}

/** The answer is encoded, and has some text. */
function isEncoded(path: string, text = 'hello hello'): Visit {
  return async ({ origin }) => {
    const { headers } = await get(origin() + path, [text]);
    expect(headers.get('content-encoding')).toBeTruthy();
  };
}

/** A client gets what is published over HTTP. */
async function publishesTicks({ origin }: Running): Promise<void> {
  const body = JSON.stringify({ price: 12 });
  const post = (): Promise<Response> =>
    fetch(`${origin()}/ticks`, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
  // Its place is the only fact that a client can send to get what is published before it is live.
  const { id } = (await (await post()).json()) as { id: string };
  const headers = { 'last-event-id': id };
  await get(`${origin()}/ticks`, ['event: tick\ndata: {"price":12}\n'], { headers }, () => void post());
}

/** The text of an answer in the coding of the example. */
async function inflated(url: string, dictionary: Buffer): Promise<string> {
  const req = http.get(url, { agent: false, headers: { 'Accept-Encoding': 'acme-deflate-1' } });
  const [res] = (await once(req, 'response')) as [http.IncomingMessage];
  expect(res.headers['content-encoding']).toBe('acme-deflate-1');
  return text(res.pipe(createInflateRaw({ dictionary })));
}

/** What the module exports by a name opens an event stream. */
function opens(name: string): Visit {
  return async ({ exports, mount, origin }) => {
    await mount(exports[name]);
    const response = await fetch(origin());
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    await response.body!.cancel();
  };
}

async function getsOverHttp2(origin: string, text: string): Promise<void> {
  const session = http2.connect(origin, { rejectUnauthorized: false });
  const stream = session.request({ ':path': '/' });
  let read = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => (read += chunk));
  await until(
    () => read.includes(text),
    () => read,
  );
  session.destroy();
}

async function all(items: AsyncIterable<unknown>): Promise<unknown[]> {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}
