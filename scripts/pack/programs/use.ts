// A service in TypeScript, without a framework. It is compiled with every version and resolution, and some runs.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { compress, createSwitch, gzip, InvalidEventError, sluice, type SluiceError } from 'sluice';
import { pipeBody, waitWritable } from 'sluice/body';
import { type Channel, type Channels, createChannel, createChannels } from 'sluice/channel';
import { type CompressOptions, negotiate } from 'sluice/compress';
import { backplaneChecks } from 'sluice/conformance';
import { contextOf, deadline, type RequestContext } from 'sluice/deadline';
import { createRegistry, heartbeat } from 'sluice/heartbeat';
import { type DrainReport, lifecycle } from 'sluice/lifecycle';
import { monitor, type MonitorSnapshot } from 'sluice/monitor';
import { type CanaryConfig, createCanary, proxy, type ProxyOptions } from 'sluice/proxy';
import { ndjson } from 'sluice/records';
import { redisBackplane, type RedisBackplaneOptions } from 'sluice/redis';
import { type EventStream, sse } from 'sluice/sse';

interface Prices {
  price: { symbol: string; value: number };
  closed: { reason: string };
}

const options: CompressOptions = { codecs: [gzip({ level: 6 })], threshold: '1kb', switch: createSwitch() };
const registry = createRegistry();
const life = lifecycle({ signals: false, preDrain: 0 });
const middlewares = [life, deadline({ default: '30s' }), heartbeat({ registry }), compress(options)];

const watch = monitor({ registry, alerts: { avg_heartbeat_rt: false } });
const snapshot: MonitorSnapshot = watch.snapshot();
const all = sluice({ lifecycle: false, monitor: watch });
all.compress.switch.disable();
all.close();
watch.close();
if (snapshot.streams.active !== 0) throw new Error('no stream is open');

const clients = new Set<EventStream<Prices>>();

const prices = sse<Prices>(async function* (stream) {
  clients.add(stream);
  stream.onClose((reason) => {
    if (reason !== 'ended') console.error(reason);
  });
  await stream.send({ event: 'price', data: { symbol: 'A', value: 1 } });
  yield { event: 'closed' as const, data: { reason: 'evening' } }; // TypeScript before 5.3 needs the `as const`
});

const channel: Channel<Prices> = createChannel<Prices>({ name: 'prices', history: { count: 10 } });
const subscribe = channel.subscribe({ filter: ({ data }) => 'symbol' in data, from: 'latest' });
void channel.publish({ event: 'price', data: { symbol: 'A', value: 1 } });
const rooms: Channels<Prices> = createChannels<Prices>({ ttl: '10m', limits: { perIdentity: 5 } });
rooms.on('join', (subscriber) => void subscriber.join('news'));
void rooms.publish(['news', 'user:7'], { event: 'price', data: { symbol: 'A', value: 1 } });
const user = rooms.subscribe((req) => `user:${String(req.headers['x-user'])}`, { authorize: () => ({ identity: 7 }) });

const redisOptions: RedisBackplaneOptions = { url: 'redis://127.0.0.1:9', ttl: '10m', wait: '5s' };
for (const { name } of backplaneChecks(() => redisBackplane(redisOptions))) if (name === '') throw new Error('no name');

const rows = ndjson<{ row: number }>(async function* (_stream, req) {
  const context: RequestContext = contextOf(req);
  context.throwIfAborted();
  yield { row: 1 };
});

async function download(req: IncomingMessage, res: ServerResponse): Promise<void> {
  await pipeBody(['a', new Uint8Array([98])], req, res);
  await waitWritable(res).catch(() => undefined);
}

const server = createServer((req, res) => {
  const routes: Record<string, typeof prices> = {
    '/prices': prices,
    '/rows': rows,
    '/channel': subscribe,
    '/user': user,
  };
  const route = routes[req.url ?? ''];
  const last = (): void => {
    if (route) route(req, res);
    else void download(req, res);
  };
  middlewares.reduceRight<() => void>((next, middleware) => () => middleware(req, res, next), last)();
});

async function passOn(origin: string, path: string): Promise<string> {
  const arms: CanaryConfig['arms'] = { stable: { target: origin, weight: 95 }, next: { target: origin, weight: 5 } };
  const proxyOptions: ProxyOptions = {
    route: createCanary({ arms }, { key: (req) => req.headers.cookie }),
    requestHeaders: { 'X-Gateway': 'yes' },
    modifyResponse: ({ headers }) => headers.delete('X-Powered-By'),
    onError: (error, _req, _res, next) => next(error.upstream === undefined ? error : 'router'),
  };
  const middleware = proxy(proxyOptions);
  const gateway = createServer(middleware);
  const undo = middleware.attach(gateway);
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  const answer = await fetch(`http://127.0.0.1:${(gateway.address() as AddressInfo).port}${path}`);
  const text = await answer.text();
  undo();
  await middleware.close();
  gateway.closeAllConnections();
  gateway.close();
  return text;
}

export async function run(): Promise<DrainReport> {
  life.attach(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const texts = [];
  for (const path of ['/prices', '/rows', '/download']) texts.push(await (await fetch(origin + path)).text());
  if (!texts[0]!.includes('event: closed') || texts[1] !== '{"row":1}\n' || texts[2] !== 'ab')
    throw new Error(texts.join());
  if ((await passOn(origin, '/rows')) !== '{"row":1}\n') throw new Error('the proxy did not pass it on');
  if (negotiate('gzip', options.codecs ?? []).coding !== 'gzip') throw new Error('gzip is not chosen');
  const error: SluiceError = new InvalidEventError('event', 'wrong');
  if (!(error instanceof Error) || clients.size !== 1) throw new Error('wrong');
  return life.drain();
}
