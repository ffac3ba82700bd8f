import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  type ConnectionEnd,
  createRegistry,
  encodeHeartbeat,
  type HealthState,
  type HeartbeatErrorMessage,
  HeartbeatParser,
  heartbeat,
  watchSocket,
  type WatchSocketOptions,
} from '../../src/index.ts';
import { makeCertificate } from '../support/certificate.ts';
import { listen } from '../support/carriers.ts';
import { holdConnection } from '../support/held-connection.ts';
import { until } from '../support/until.ts';

/** Both ends of a connection. */
interface Pair {
  readonly near: Duplex;
  readonly far: Duplex;
}

function listening(server: net.Server): Promise<number> {
  onTestFinished(() => void server.close());
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as net.AddressInfo).port)),
  );
}

function closing({ near, far }: Pair): Pair {
  for (const end of [near, far]) {
    end.on('error', () => undefined);
    onTestFinished(() => void end.destroy());
  }
  return { near, far };
}

async function netPair(): Promise<Pair> {
  const server = net.createServer();
  const far = net.connect(await listening(server), '127.0.0.1');
  const [near] = (await once(server, 'connection')) as [net.Socket];
  return closing({ near, far });
}

async function tlsPair(certificate: { key: string; cert: string }): Promise<Pair> {
  const server = tls.createServer(certificate);
  const far = tls.connect({ port: await listening(server), host: '127.0.0.1', rejectUnauthorized: false });
  const [near] = (await once(server, 'secureConnection')) as [tls.TLSSocket];
  return closing({ near, far });
}

async function upgradedPair(): Promise<Pair> {
  const server = http.createServer();
  const port = await listening(server);
  const req = http.request({ port, host: '127.0.0.1', headers: { Connection: 'Upgrade', Upgrade: 'beats' } }).end();
  const [, near] = (await once(server, 'upgrade')) as [http.IncomingMessage, Duplex];
  near.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: beats\r\n\r\n');
  const [, far] = (await once(req, 'upgrade')) as [http.IncomingMessage, Duplex];
  return closing({ near, far });
}

/** Two ends without a socket between. */
async function memoryPair(): Promise<Pair> {
  const make = (other: () => Duplex): Duplex =>
    new Duplex({
      read: () => undefined,
      write(chunk, _encoding, callback) {
        setImmediate(() => {
          other().push(chunk);
          callback();
        });
      },
      final(callback) {
        other().push(null);
        callback();
      },
    });
  const near: Duplex = make(() => far);
  const far: Duplex = make(() => near);
  return closing({ near, far });
}

const certificate = makeCertificate();
const kinds: readonly (readonly [name: string, make: () => Promise<Pair>])[] = [
  ['a socket of node:net', netPair],
  ...(certificate ? [['a socket of node:tls', () => tlsPair(certificate)] as const] : []),
  ['an upgraded connection', upgradedPair],
  ['a pair of duplexes', memoryPair],
];

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What comes at an end. */
function readAll(end: Duplex): { readonly heartbeats: number; readonly text: string } {
  const parser = new HeartbeatParser();
  let text = '';
  end.on('data', (chunk: Buffer) => {
    for (const piece of parser.push(chunk).data) text += Buffer.from(piece).toString('latin1');
  });
  return {
    get heartbeats() {
      return parser.heartbeats;
    },
    get text() {
      return text;
    },
  };
}

interface Watch {
  readonly registry: ReturnType<typeof createRegistry>;
  readonly states: HealthState[];
  readonly ends: ConnectionEnd[];
  readonly undo: () => void;
}

function watch(end: Duplex, options: WatchSocketOptions = {}): Watch {
  const registry = createRegistry();
  const [states, ends]: [HealthState[], ConnectionEnd[]] = [[], []];
  registry.on('state', ({ state }) => states.push(state));
  registry.on('end', (ended) => ends.push(ended));
  const undo = watchSocket(end, { every: 60, jitter: 0, ...options, registry });
  return { registry, states, ends, undo };
}

function listenersOf(end: Duplex): Record<string, number> {
  return Object.fromEntries(end.eventNames().map((name) => [String(name), end.listenerCount(name)]));
}

describe.each(kinds)('watchSocket on %s', (_name, make) => {
  it('sends heartbeats while nothing else is written, and none between what is', async () => {
    const { near, far } = await make();
    const got = readAll(far);
    near.resume();
    // A look that comes late, because this process stood still, finds a silence that there was not.
    watch(near, { every: 400, readDeadline: Infinity });
    let [last, longest, written] = [performance.now(), 0, 0];
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
      near.write('message.');
      written += 1;
    }, 20);
    onTestFinished(() => clearInterval(timer));
    await pause(900);
    clearInterval(timer);
    if (longest < 300) expect(got.heartbeats).toBe(0);
    await until(() => got.heartbeats > 0);
    expect(got.text).toBe('message.'.repeat(written));
  });

  it('sends them only where its protocol has a boundary', async () => {
    const { near, far } = await make();
    const got = readAll(far);
    near.resume();
    let isAtBoundary = false;
    const { registry } = watch(near, { every: 30, readDeadline: Infinity, atBoundary: () => isAtBoundary });
    near.write('half a mess');
    await pause(250);
    expect(got.heartbeats).toBe(0);
    near.write('age.');
    isAtBoundary = true;
    await until(() => got.heartbeats > 0);
    expect(got.text).toBe('half a message.');
    expect(registry.stats().heartbeats).toBeGreaterThan(0);
  });

  it('keeps both ends alive that do the same', async () => {
    const { near, far } = await make();
    const [atNear, atFar] = [readAll(near), readAll(far)];
    const watches = [watch(near, { every: 80 }), watch(far, { every: 80 })];
    await until(() => Math.min(atNear.heartbeats, atFar.heartbeats) >= 8);
    for (const { registry } of watches) {
      // Nobody promises that both had their turns in time. Eight intervals have gone by.
      await until(
        () => {
          const [info] = registry.connections();
          return info?.state === 'healthy' && info.silence < info.age / 2;
        },
        () => JSON.stringify(registry.connections()),
      );
    }
    expect([...watches[0]!.ends, ...watches[1]!.ends]).toEqual([]);
  });

  it('finds that the other end says nothing, and hears when it does again', async () => {
    const { near, far } = await make();
    near.resume();
    far.resume();
    const { states, registry } = watch(near, { grace: '1m' });
    await until(() => states.includes('read-late'));
    expect(registry.stats().unresponsive_ratio).toBe(1);
    far.write(encodeHeartbeat());
    // It is silent again later: then it is late again.
    await until(() => states.includes('healthy'));
  });

  it('sends nothing where it may not', async () => {
    const { near, far } = await make();
    const got = readAll(far);
    near.resume();
    watch(near, { every: 20, send: false, readDeadline: Infinity });
    await pause(200);
    expect(got.heartbeats).toBe(0);
  });

  it('leaves everything as it was when it is undone', async () => {
    const { near, far } = await make();
    const got = readAll(far);
    near.resume();
    const [before, methods] = [
      listenersOf(near),
      ['push', 'write'].map((name) => Object.getOwnPropertyDescriptor(near, name)),
    ];
    const { undo, registry } = watch(near, { every: 20 });
    await until(() => got.heartbeats > 0);
    undo();
    undo();
    const { heartbeats } = got;
    expect(listenersOf(near)).toEqual(before);
    expect(['push', 'write'].map((name) => Object.getOwnPropertyDescriptor(near, name))).toEqual(methods);
    expect(registry.stats()).toMatchObject({ connections: 0, ended: {} });
    near.write('goes on');
    await until(() => got.text === 'goes on');
    await pause(100);
    expect(got.heartbeats).toBeLessThanOrEqual(heartbeats + 1);
    far.end();
    await once(near, 'end');
  });

  it('forgets a connection that is closed', async () => {
    const { near, far } = await make();
    near.resume();
    const { ends, registry } = watch(near);
    far.destroy();
    near.destroy();
    await until(() => ends.length === 1);
    expect(ends).toMatchObject([{ reason: 'client-closed', connection: { transport: 'socket' } }]);
    expect(registry.stats().connections).toBe(0);
    const late = watch(near);
    expect(late.registry.stats().connections).toBe(0);
  });

  it('ends one that is sent away, and cuts it where the other end does not', async () => {
    const { near, far } = await make();
    near.resume();
    const got = readAll(far);
    Object.assign(far, { allowHalfOpen: true });
    const { ends, registry } = watch(near);
    const ended = once(far, 'end');
    expect(registry.evict(registry.connections()[0]!.id, 'moved house')).toBe(true);
    await ended;
    await until(() => near.destroyed);
    await until(() => ends.length === 1);
    expect(ends).toMatchObject([{ reason: 'draining' }]);
    expect(got.text).toBe('');
  });
});

describe('watchSocket', () => {
  it('takes a boundary that throws for none, and says so', async () => {
    const { near, far } = await netPair();
    const got = readAll(far);
    near.resume();
    const errors: unknown[] = [];
    const listener = (message: unknown): void => void errors.push((message as HeartbeatErrorMessage).error);
    subscribe('sluice:heartbeat:error', listener);
    onTestFinished(() => void unsubscribe('sluice:heartbeat:error', listener));
    const { registry } = watch(near, {
      every: 20,
      atBoundary: () => {
        throw new Error('no idea');
      },
    });
    await until(() => errors.length >= 2);
    expect(errors[0]).toMatchObject({ message: 'no idea' });
    expect(got.heartbeats).toBe(0);
    expect(registry.stats().connections).toBe(1);
  });

  it('gives up what nobody takes, in a duplex of any kind', async () => {
    const { near } = closing({
      near: new Duplex({ read: () => undefined, write: () => undefined }),
      far: new Duplex(),
    });
    const { states, ends } = watch(near, { every: 50, readDeadline: Infinity, writeDeadline: 200, grace: 100 });
    near.write('to nobody');
    await until(() => ends.length === 1);
    expect(ends).toMatchObject([{ reason: 'slow-consumer' }]);
    expect(states).toEqual(['write-late', 'dead']);
    expect(near.destroyed).toBe(true);
  });

  it('bounds by `maxBuffered` what waits', async () => {
    const { near } = closing({
      near: new Duplex({ read: () => undefined, write: () => undefined }),
      far: new Duplex(),
    });
    const { ends } = watch(near, { every: 200, readDeadline: Infinity, maxBuffered: 1000 });
    near.write('x'.repeat(1001));
    await until(() => ends.length === 1);
    expect(ends).toMatchObject([{ reason: 'slow-consumer', connection: { bufferedBytes: 1001 } }]);
  });
});

describe('heartbeat', () => {
  it('goes into a stream on a connection that is no socket', async () => {
    const registry = createRegistry();
    const beats = heartbeat({ every: 30, jitter: 0, registry });
    const held = holdConnection(
      (req, res) =>
        beats(req, res, () => void res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')),
      16_384,
    );
    onTestFinished(() => held.destroy());
    held.readAll();
    await until(() => held.body.includes('data: 1\n\n:\n:\n'));
    expect(registry.connections()).toMatchObject([{ transport: 'http1', remoteAddress: undefined, state: 'healthy' }]);
    held.destroy();
    await until(() => registry.stats().connections === 0);
  });

  it('goes into a stream behind TCP keep-alive, where no acknowledgements are read', async () => {
    const beats = heartbeat({ every: 30, jitter: 0, ackProbe: false });
    const running = await listen(
      http.createServer((req, res) =>
        beats(req, res, () => void res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')),
      ),
    );
    onTestFinished(() => running.close());
    const [res] = (await once(http.get(running.origin), 'response')) as [http.IncomingMessage];
    let body = '';
    res.setEncoding('utf8').on('data', (text: string) => (body += text));
    await until(() => body.startsWith('data: 1\n\n:\n:\n'));
  });
});
