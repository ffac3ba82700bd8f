import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import express from 'express';
import { afterAll, describe, expect, it } from 'vitest';
import * as sluice from '../../src/index.ts';

const {
  brotli,
  compress,
  contextFetch,
  contextOf,
  createCanary,
  createGovernor,
  createRegistry,
  createSwitch,
  deadline,
  deadlineInterceptor,
  deflate,
  gzip,
  heartbeat,
  HeartbeatParser,
  jsonSeq,
  lifecycle,
  monitor,
  ndjson,
  openEventStream,
  openNdjson,
  pipeBody,
  propagate,
  proxy,
  sse,
  waitWritable,
  watchHttp2,
  watchSocket,
  watchWebSockets,
  webCodec,
  zstd,
} = sluice as unknown as Record<string, (...args: unknown[]) => unknown>;

const handler = (): void => undefined;
const origin = 'http://localhost:4000';
const req = new IncomingMessage(new Socket());
const res = new ServerResponse(req);
const context = contextOf!(req) as { child(options: unknown): unknown };

/** What is written, and parts of what is told: the option first, then pieces of the text. */
type Mistake = [written: string, make: () => unknown, option: string, ...told: string[]];

const unknownOptions: Mistake[] = [
  ['deadline({ timeout })', () => deadline!({ timeout: '5s' }), 'deadline.timeout', 'Did you mean `default`?'],
  ['deadline({ respond }), of connect-timeout', () => deadline!({ respond: false }), 'deadline.respond', '`onExpired`'],
  ['deadline({ Default })', () => deadline!({ Default: '5s' }), 'deadline.Default', 'Did you mean `default`?'],
  ['deadline({ foo })', () => deadline!({ foo: 1 }), 'deadline.foo', 'The options are: default, max, idle'],
  ['heartbeat({ interval })', () => heartbeat!({ interval: '5s' }), 'heartbeat.interval', 'Did you mean `every`?'],
  ['heartbeat({ pingInterval })', () => heartbeat!({ pingInterval: 5 }), 'heartbeat.pingInterval', '`every`'],
  ['heartbeat({ timeout })', () => heartbeat!({ timeout: 5 }), 'heartbeat.timeout', 'Did you mean `readDeadline`?'],
  ['heartbeat({ maxPerClient })', () => heartbeat!({ maxPerClient: 5 }), 'heartbeat.maxPerClient', '`createRegistry`'],
  ['lifecycle({ timeout })', () => lifecycle!({ timeout: 5 }), 'lifecycle.timeout', 'Did you mean `drainTimeout`?'],
  ['lifecycle({ signal })', () => lifecycle!({ signal: 'SIGINT' }), 'lifecycle.signal', 'Did you mean `signals`?'],
  [
    'lifecycle({ onSignal }), of terminus',
    () => lifecycle!({ onSignal: handler }),
    'lifecycle.onSignal',
    "life.on('state'",
  ],
  [
    'lifecycle({ healthChecks }), of terminus',
    () => lifecycle!({ healthChecks: {} }),
    'lifecycle.healthChecks',
    '/readyz',
  ],
  [
    'lifecycle({ gracefulTerminationTimeout }), of http-terminator',
    () => lifecycle!({ gracefulTerminationTimeout: 5 }),
    'lifecycle.gracefulTerminationTimeout',
    'Did you mean `drainTimeout`?',
  ],
  ['lifecycle({ server }), of http-terminator', () => lifecycle!({ server: {} }), 'lifecycle.server', 'attach(server)'],
  ['sse(h, { maxBuffer })', () => sse!(handler, { maxBuffer: 5 }), 'sse.maxBuffer', 'Did you mean `maxBuffered`?'],
  [
    'sse(h, { keepAlive }), of better-sse',
    () => sse!(handler, { keepAlive: 5000 }),
    'sse.keepAlive',
    'app.use(heartbeat(',
  ],
  ['sse(h, { statusCode }), of better-sse', () => sse!(handler, { statusCode: 201 }), 'sse.statusCode', 'with 200'],
  ['sse(h, { serializer }), of better-sse', () => sse!(handler, { serializer: String }), 'sse.serializer', 'strings'],
  ['sse(h, { onClose })', () => sse!(handler, { onClose: handler }), 'sse.onClose', '`stream.onClose(listener)`'],
  ['ndjson(h, { retry })', () => ndjson!(handler, { retry: 5 }), 'ndjson.retry', 'The options are: onError'],
  ['jsonSeq(h, { header })', () => jsonSeq!(handler, { header: {} }), 'jsonSeq.header', 'Did you mean `headers`?'],
  ['compress({ treshold })', () => compress!({ treshold: 0 }), 'compress.treshold', 'Did you mean `threshold`?'],
  ['compress({ encodings })', () => compress!({ encodings: ['gzip'] }), 'compress.encodings', 'Did you mean `codecs`?'],
  ['compress({ gzip: {…} })', () => compress!({ gzip: { level: 1 } }), 'compress.gzip', 'codecs: [brotli('],
  [
    'compress({ brotli: { quality } })',
    () => compress!({ brotli: { quality: 4 } }),
    'compress.brotli.quality',
    'brotli({',
  ],
  [
    'compress({ budget: { encoder } })',
    () => compress!({ budget: { encoder: 4 } }),
    'compress.budget.encoder',
    '`encoders`',
  ],
  ['compress({ streams: { type } })', () => compress!({ streams: { type: [] } }), 'compress.streams.type', '`types`'],
  [
    'compress({ governor: { intervall } })',
    () => compress!({ governor: { intervall: 5 } }),
    'governor.intervall',
    '`interval`',
  ],
  [
    'compress({ randomPadding: { min } })',
    () => compress!({ randomPadding: { min: 5 } }),
    'compress.randomPadding.min',
    'max',
  ],
  [
    'createSwitch({ filter })',
    () => createSwitch!({ filter: handler }),
    'switch.profile.filter',
    'The options are: name',
  ],
  ['gzip({ quality })', () => gzip!({ quality: 4 }), 'gzip.quality', 'Did you mean `level`?'],
  ['brotli({ level })', () => brotli!({ level: 4 }), 'brotli.level', 'Did you mean `quality`?'],
  ['zstd({ threshold })', () => zstd!({ threshold: 4 }), 'zstd.threshold', '`compress`'],
  ['webCodec(token, { formats })', () => webCodec!('gzip', { formats: 'x' }), 'webCodec.formats', '`format`'],
  [
    'createRegistry({ maxConnection })',
    () => createRegistry!({ maxConnection: 5 }),
    'registry.maxConnection',
    '`maxConnections`',
  ],
  ['proxy({ targt })', () => proxy!({ targt: origin }), 'proxy.targt', 'Did you mean `target`?'],
  [
    'proxy({ changeOrigin })',
    () => proxy!({ target: origin, changeOrigin: true }),
    'proxy.changeOrigin',
    'its own host',
  ],
  [
    'proxy({ pathRewrite })',
    () => proxy!({ target: origin, pathRewrite: {} }),
    'proxy.pathRewrite',
    '`rewrite: (path)',
  ],
  ['proxy({ ws })', () => proxy!({ target: origin, ws: true }), 'proxy.ws', 'attach(server)'],
  [
    'proxy({ timeouts: { headers } })',
    () => proxy!({ target: origin, timeouts: { headers: 5 } }),
    'proxy.timeouts.headers',
    'Did you mean `head`?',
  ],
  [
    'proxy({ tls: { rejectUnauthorised } })',
    () => proxy!({ target: origin, tls: { rejectUnauthorised: false } }),
    'proxy.tls.rejectUnauthorised',
    'Did you mean `rejectUnauthorized`?',
  ],
  [
    'proxy({ tls: { host: { certs } } })',
    () => proxy!({ target: origin, tls: { 'api.example': { certs: '' } } }),
    'proxy.tls.api.example.certs',
    'Did you mean `cert`?',
  ],
  [
    'createCanary({ rules: [{ header }] })',
    () => createCanary!({ arms: { a: { target: origin, weight: 1 } }, rules: [{ arm: 'a', header: {} }] }),
    'canary.rules.header',
    'Did you mean `headers`?',
  ],
  ['watchHttp2(server, { interval })', () => watchHttp2!({}, { interval: 5 }), 'watchHttp2.interval', '`every`'],
  [
    'watchWebSockets(wss, { pingTimeout })',
    () => watchWebSockets!({}, { pingTimeout: 5 }),
    'watchWebSockets.pingTimeout',
  ],
  ['watchSocket(socket, { padding })', () => watchSocket!({}, { padding: 5 }), 'watchSocket.padding', 'every, jitter'],
  [
    'new HeartbeatParser({ onBeat })',
    () => Reflect.construct(HeartbeatParser!, [{ onBeat: handler }]),
    'HeartbeatParser.onBeat',
  ],
  [
    'propagate(c, h, { timeout })',
    () => propagate!(context, {}, { timeout: 5 }),
    'propagate.timeout',
    'child({ timeout })',
  ],
  ['contextFetch(fetch, { field })', () => contextFetch!(fetch, { field: [] }), 'contextFetch.field', '`fields`'],
  ['context.child({ deadline })', () => context.child({ deadline: 5 }), 'child.deadline', 'Did you mean `timeout`?'],
  [
    'pipeBody(source, req, res, { statusCode })',
    () => pipeBody!([], req, res, { statusCode: 201 }),
    'pipeBody.statusCode',
    '`status`',
  ],
  ['waitWritable(res, { timeout })', () => waitWritable!(res, { timeout: 5 }), 'waitWritable.timeout', 'Date.now()'],
];

const withoutACall: Mistake[] = [
  ['app.use(compress)', () => compress!(req, res, handler), 'compress', 'Call it: `app.use(compress())`'],
  ['app.use(deadline)', () => deadline!(req, res, handler), 'deadline', 'Call it: `app.use(deadline())`'],
  ['app.use(heartbeat)', () => heartbeat!(req, res, handler), 'heartbeat', 'Call it: `app.use(heartbeat())`'],
  ['app.use(lifecycle)', () => lifecycle!(req, res, handler), 'lifecycle', 'Call it: `app.use(lifecycle())`'],
  ['app.use(proxy)', () => proxy!(req, res, handler), 'proxy', "Call it: `app.use(proxy({ target: 'http://…' }))`"],
  ["app.get('/', sse)", () => sse!(req, res, handler), 'sse', "Call it: `app.get('/events', sse(handler))`"],
  ["app.get('/', ndjson)", () => ndjson!(req, res, handler), 'ndjson', "Call it: `app.get('/rows', ndjson(handler))`"],
  ["app.get('/', jsonSeq)", () => jsonSeq!(req, res, handler), 'jsonSeq', 'Call it'],
  ['app.use(gzip)', () => gzip!(req, res, handler), 'gzip', 'Call it: `compress({ codecs: [gzip()] })`'],
  ['app.use(deflate)', () => deflate!(req, res, handler), 'deflate', 'Call it: `compress({ codecs: [deflate()] })`'],
  ['app.use(brotli)', () => brotli!(req, res, handler), 'brotli', 'Call it: `compress({ codecs: [brotli()] })`'],
  ['app.use(createSwitch)', () => createSwitch!(req, res, handler), 'switch.profile', 'Call it'],
  ['app.use(createGovernor)', () => createGovernor!(req, res, handler), 'governor', 'Call it'],
  ['app.use(createRegistry)', () => createRegistry!(req, res, handler), 'registry', 'Call it'],
];

const wrongValues: Mistake[] = [
  ["deadline('5s'), as connect-timeout", () => deadline!('5s'), 'deadline', 'deadline({ default: … })', '"5s"'],
  ["proxy('http://localhost:4000')", () => proxy!(origin), 'proxy', 'proxy({ target: … })'],
  ['proxy(new URL(…))', () => proxy!(new URL(origin)), 'proxy', 'proxy({ target: … })'],
  ['proxy({})', () => proxy!({}), 'proxy.target', 'a URL such as'],
  [
    "proxy({ target: 'localhost:4000' })",
    () => proxy!({ target: 'localhost:4000' }),
    'proxy.target',
    'http: or https:',
  ],
  ["proxy({ target: 'ws://…' })", () => proxy!({ target: 'ws://a' }), 'proxy.target', 'http: for ws:'],
  ["proxy({ target: 'unix:…' })", () => proxy!({ target: 'unix:/run/app.sock' }), 'proxy.target', 'sockets of Unix'],
  ['proxy({ target: [] })', () => proxy!({ target: [] }), 'proxy.target', 'at least one'],
  [
    "proxy({ onClientGone: 'drain' })",
    () => proxy!({ target: origin, onClientGone: 'drain' }),
    'proxy.onClientGone',
    '{ drain: {} }',
  ],
  [
    'setWeights of an arm that does not exist',
    () => {
      const canary = createCanary!({ arms: { a: { target: origin, weight: 1 } } });
      (canary as unknown as { setWeights(weights: object): void }).setWeights({ b: 1 });
    },
    'canary.weights.b',
    'The arms are: a',
  ],
  ['heartbeat(30)', () => heartbeat!(30), 'heartbeat', 'heartbeat({ every: … })'],
  ['lifecycle(server)', () => lifecycle!(new Socket()), 'lifecycle', 'lifecycle({ drainTimeout: … })', 'Socket'],
  ["deadline({ default: '5 potatoes' })", () => deadline!({ default: '5 potatoes' }), 'deadline.default', 'a duration'],
  ["deadline({ default: '1h 30m' })", () => deadline!({ default: '1h 30m' }), 'deadline.default', 'a duration'],
  ['deadline({ default: -1 })', () => deadline!({ default: -1 }), 'deadline.default', '>= 1'],
  ['deadline({ default: NaN })', () => deadline!({ default: NaN }), 'deadline.default', 'NaN'],
  ["deadline({ trust: 'yes' })", () => deadline!({ trust: 'yes' }), 'deadline.trust', 'a boolean'],
  ["deadline({ sources: 'prefer' })", () => deadline!({ sources: 'prefer' }), 'deadline.sources', 'an array of'],
  [
    "lifecycle({ signals: 'SIGTERM' })",
    () => lifecycle!({ signals: 'SIGTERM' }),
    'lifecycle.signals',
    'array of signals',
  ],
  ["lifecycle({ exit: 'true' })", () => lifecycle!({ exit: 'true' }), 'lifecycle.exit', 'a boolean'],
  ['sse()', () => sse!(), 'sse.handler', 'a function', 'undefined'],
  ["sse('/path', handler)", () => sse!('/path', handler), 'sse.handler', 'app.get(path, sse(handler))'],
  ['sse(options, handler)', () => sse!({ retry: 5 }, handler), 'sse.handler', 'a function'],
  ['sse(handler, handler)', () => sse!(handler, handler), 'sse', 'an object'],
  [
    "sse(h, { maxBuffered: '1 potato' })",
    () => sse!(handler, { maxBuffered: '1 potato' }),
    'sse.maxBuffered',
    'a size',
  ],
  [
    "sse(h, { overflow: 'block' })",
    () => sse!(handler, { overflow: 'block' }),
    'sse.overflow',
    '"close", "drop", "latest"',
  ],
  ["sse(h, { headers: ['A', 'b'] })", () => sse!(handler, { headers: ['A', 'b'] }), 'sse.headers', 'a Headers'],
  ["sse(h, { headers: { 'A B': 'c' } })", () => sse!(handler, { headers: { 'A B': 'c' } }), 'sse.headers.A B', 'HTTP'],
  ["compress({ codecs: ['gzip'] })", () => compress!({ codecs: ['gzip'] }), 'compress.codecs[0]', '`gzip()`'],
  ['compress({ codecs: [gzip] })', () => compress!({ codecs: [gzip] }), 'compress.codecs[0]', 'made by a call'],
  ["compress({ level: '6' })", () => compress!({ level: '6' }), 'compress.level', 'an integer'],
  ['compress({ switch: true })', () => compress!({ switch: true }), 'compress.switch', 'an object'],
  ['heartbeat({ registry: {} })', () => heartbeat!({ registry: {} }), 'heartbeat.registry', '`createRegistry`'],
  ['openEventStream(res, req)', () => openEventStream!(res, req), 'openEventStream.req', 'a request', 'ServerResponse'],
  ['openEventStream(req)', () => openEventStream!(req), 'openEventStream.res', 'a response'],
  ['openNdjson(req, options)', () => openNdjson!(req, { retry: 5 }), 'openNdjson.res', 'a response'],
  ['pipeBody(req, res, source)', () => pipeBody!(req, res, []), 'pipeBody.req', 'a request', 'ServerResponse'],
  ['contextOf(res)', () => contextOf!(res), 'contextOf.req', 'a request', 'ServerResponse'],
  ['propagate(headers, context)', () => propagate!({}, context), 'propagate.context', 'a context'],
  [
    "deadlineInterceptor({ fields: 'prefer' })",
    () => deadlineInterceptor!({ fields: 'prefer' }),
    'deadlineInterceptor.fields',
  ],
  ['watchHttp2(app)', () => watchHttp2!(handler), 'watchHttp2.target', 'a server or a session'],
  [
    'life.attach(app)',
    () => (lifecycle!({ signals: false }) as { attach(app: unknown): void }).attach(handler),
    'lifecycle.attach',
    'a server',
  ],
  [
    "life.on('drain', …)",
    () => (lifecycle!({ signals: false }) as { on(...args: unknown[]): void }).on('drain', handler),
    'lifecycle.on',
    '"state"',
  ],
];

const watch = monitor!({ authorize: () => true }) as unknown as Record<string, (...args: unknown[]) => unknown>;

afterAll(() => void watch['close']!());

const misplaced: Mistake[] = [
  ["app.use('/sluice', watch.dashboard())", () => watch['dashboard']!(), 'monitor.dashboard', 'without a call'],
  ["app.get('/metrics', watch.metrics())", () => watch['metrics']!(), 'monitor.metrics', 'without a call'],
  ['watch.registerMetrics()', () => watch['registerMetrics']!(), 'monitor.registerMetrics', 'of prom-client'],
  [
    'monitor({ registry: beats })',
    () => monitor!({ registry: heartbeat!() }),
    'monitor.registry',
    'heartbeat().registry',
  ],
  ['api.attach(app)', () => attachProxy(express()), 'proxy.attach', '`app.listen()`'],
  ['api.attach()', () => attachProxy(undefined), 'proxy.attach', '`app.listen()`'],
];

function attachProxy(server: unknown): void {
  (proxy!({ target: origin }) as { attach(server: unknown): void }).attach(server);
}

const contradictions: Mistake[] = [
  ['proxy({ target, route })', () => proxy!({ target: origin, route: handler }), 'proxy.target', 'exclude each other'],
  [
    "deadline({ default: '5m', max: '1m' })",
    () => deadline!({ default: '5m', max: '1m' }),
    'deadline.default',
    'longer than `max`',
  ],
  [
    "deadline({ idle: '5m', max: '1m' })",
    () => deadline!({ idle: '5m', max: '1m' }),
    'deadline.idle',
    'longer than `max`',
  ],
  [
    "heartbeat({ every: '1m', readDeadline: '30s' })",
    () => heartbeat!({ every: '1m', readDeadline: '30s' }),
    'heartbeat.readDeadline',
    'longer than `every`',
  ],
  [
    "watchSocket(s, { every: '1m', readDeadline: '1m' })",
    () => watchSocket!(new Socket(), { every: '1m', readDeadline: '1m' }),
    'watchSocket.readDeadline',
    'longer than `every`',
  ],
  [
    "lifecycle({ drainTimeout: '5s', preDrain: '10s' })",
    () => lifecycle!({ drainTimeout: '5s', preDrain: '10s' }),
    'lifecycle.preDrain',
    'from 0 to 5000',
  ],
  [
    "lifecycle({ drainTimeout: '10s', preDrain: '6s', spread: '6s' })",
    () => lifecycle!({ drainTimeout: '10s', preDrain: '6s', spread: '6s' }),
    'lifecycle.spread',
    'together',
  ],
  ['sse(h, { key })', () => sse!(handler, { key: String }), 'sse.key', "`overflow: 'latest'`"],
  ['ndjson(h, { gap })', () => ndjson!(handler, { gap: handler }), 'ndjson.gap', "`overflow: 'drop'`"],
  [
    "ndjson(h, { overflow: 'latest' }) without a key",
    () => ndjson!(handler, { overflow: 'latest' }),
    'ndjson.key',
    'a function',
  ],
  [
    "sse(h, { overflow: 'drop', maxBuffered: Infinity })",
    () => sse!(handler, { overflow: 'drop', maxBuffered: Infinity }),
    'sse.overflow',
    'infinite',
  ],
  [
    'compress({ codecs: [gzip()], level: 9 })',
    () => compress!({ codecs: [gzip!()], level: 9 }),
    'compress.level',
    '`gzip({ level })`',
  ],
  [
    'compress({ codecs: [gzip()], brotli: {} })',
    () => compress!({ codecs: [gzip!()], brotli: {} }),
    'compress.brotli',
    '`brotli({ quality })`',
  ],
  [
    'createSwitch({ codecs: [], memLevel: 9 })',
    () => createSwitch!({ codecs: [], memLevel: 9 }),
    'switch.profile.memLevel',
    '`gzip({ memLevel })`',
  ],
  [
    'compress({ governor: { thresholds: [0.9, 0.5, 0.1] } })',
    () => compress!({ governor: { thresholds: [0.9, 0.5, 0.1] } }),
    'governor.thresholds',
    'ascending',
  ],
  [
    'lifecycle({ webSocketCode: 1005 })',
    () => lifecycle!({ webSocketCode: 1005 }),
    'lifecycle.webSocketCode',
    'may be sent',
  ],
];

async function errorOf(make: () => unknown): Promise<unknown> {
  try {
    await make();
  } catch (error) {
    return error;
  }
  return 'silence';
}

describe.each([
  ['an option that does not exist', unknownOptions],
  ['a factory that is mounted without a call', withoutACall],
  ['a value of a wrong kind', wrongValues],
  ['what belongs to another place', misplaced],
  ['a contradiction', contradictions],
])('%s is told', (_kind, mistakes) => {
  it.each(mistakes)('%s', async (_written, make, option, ...told) => {
    const error = await errorOf(make);
    expect(error).toMatchObject({ code: 'ERR_SLUICE_OPTION_INVALID', option });
    for (const piece of told) expect((error as Error).message).toContain(piece);
  });
});

it('a password in a target is not printed', async () => {
  const error = (await errorOf(() => proxy!({ target: 'http://user:secret@localhost' }))) as Error;
  expect(error.message).toContain('without credentials');
  expect(error.message).not.toContain('secret');
});

describe('what is not a mistake is taken', () => {
  it.each<[string, () => unknown]>([
    ["durations of `ms`: '15 sec'", () => heartbeat!({ every: '15 sec' })],
    ['sizes in any case', () => sse!(handler, { maxBuffered: '64 KB' })],
    [
      'options of node:zlib that compression takes',
      () =>
        compress!({
          flush: 2,
          finishFlush: 4,
          info: true,
          dictionary: undefined,
          maxOutputLength: 5,
          level: 1,
          brotli: { flush: 1 },
        }),
    ],
    ['Headers', () => sse!(handler, { headers: new Headers({ 'X-A': '1' }) })],
    ['a Map', () => ndjson!(handler, { headers: new Map([['X-A', '1']]) })],
    ['pairs', () => sse!(handler, { headers: [['X-A', '1']] })],
    ['null, as compression does', () => compress!(null)],
    ['options without a prototype', () => deadline!(Object.assign(Object.create(null), { default: '5s' }))],
  ])('%s', async (_written, make) => {
    expect(await errorOf(make)).toBe('silence');
  });
});
