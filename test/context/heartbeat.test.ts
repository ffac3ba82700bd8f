import { EventEmitter } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress, gzip } from '../../src/compress/index.ts';
import { contextOf, deadline } from '../../src/deadline/index.ts';
import {
  type ConnectionRegistry,
  createRegistry,
  heartbeat,
  type HeartbeatOptions,
  watchSocket,
  watchWebSockets,
} from '../../src/heartbeat/index.ts';
import { type HttpRequest, ndjson, sse } from '../../src/index.ts';
import { listen, type Middleware } from '../support/carriers.ts';
import type { FlushingResponse } from '../support/compress-responses.ts';
import { serve } from '../support/serve.ts';
import { noise } from '../support/texts.ts';
import { settles, until } from '../support/until.ts';
import { type Call, type Caller, callerOf, crowdSize } from './crowd.ts';
import { signed, watchedCodec } from './watched-codec.ts';
import {
  followUnowned,
  mounted,
  named,
  overHttp2,
  ownerOf,
  fewPlaces,
  type Place,
  type Row,
  Witness,
  withStore,
} from './witness.ts';

const ofConnection = 'Node emits it in the context of the connection';
const ofNobody = 'the registry is older than all requests';

const rows: Readonly<Record<string, Row>> = {
  'heartbeat filter': { sees: 'own' },
  'registry clientKey': { sees: 'own' },
  'registry end': { sees: 'none', because: ofNobody },
  'registry state': { sees: 'none', because: ofNobody },
  'registry end, for a request that listens': { sees: 'own' },
  'sluice:heartbeat:end': { sees: 'none', because: ofNobody },
  'sluice:heartbeat:state': { sees: 'none', because: ofNobody },
  'stream.onClose': { sees: 'own' },
  'listener of stream.signal': { sees: 'own' },
  'listener of context.signal': { sees: 'own' },
  'sluice:stream:close': { sees: 'own' },
  'codec blocks: encode': { sees: 'own' },
  'codec.createBlocks': { sees: 'own' },
  'codec blocks: close': { sees: 'own' },
  'req aborted': { sees: overHttp2, because: ofConnection },
  'res close': { sees: 'none', because: ofConnection },
};

interface Visit {
  readonly req: HttpRequest;
  readonly res: FlushingResponse;
  readonly next: Parameters<Middleware>[2];
  readonly owner: string;
  readonly watch: (callback: string) => () => void;
}

const unread = 'events by hand that are not read';

const kinds: Readonly<Record<string, (visit: Visit) => unknown>> = {
  sse: ({ req, res, next, owner, watch }) =>
    (
      sse((stream) => {
        stream.onClose(watch('stream.onClose'));
        stream.signal.addEventListener('abort', watch('listener of stream.signal'));
        void stream.send({ data: signed(owner, 'first') });
      }) as Middleware
    )(req, res, next),
  ndjson: ({ req, res, next, owner, watch }) =>
    (
      ndjson((stream) => {
        stream.onClose(watch('stream.onClose'));
        void stream.send(signed(owner, 'first'));
      }) as Middleware
    )(req, res, next),
  'events by hand': ({ res, owner }) =>
    void res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(`data: ${signed(owner, 'first')}\n\n`),
  'events by hand that end': ({ res, owner }) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(`data: ${signed(owner, 'first')}\n\n`);
    setTimeout(() => res.end(), 20);
  },
  [unread]: ({ res, owner }) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(`data: ${signed(owner, 'first')}\n\n`);
    for (let count = 0; count < 120; count++) res.write(`data: ${filler}\n\n`);
  },
};

const filler = noise(80_000);

/** What ends a stream that its handler does not end. */
const ends: Readonly<Record<string, HeartbeatOptions>> = {
  idleProducer: { idleProducer: 400 },
  maxAge: { maxAge: 400, jitter: 0 },
  evict: {},
};

const codings = ['identity', 'gzip', 'x-watched'];

// Over HTTP/2 a machine that is busy may not see a connection late before its streams are over.
const watchedPlaces = fewPlaces.filter(({ protocol }) => protocol === 'http1');

describe.each(watchedPlaces)('$carrier, stores set $mount the middlewares', (place) => {
  it('runs what heartbeats, their clocks and an eviction lead to in the context of the request', async () => {
    const witness = new Witness(rows);
    const closed = new Set<string>();
    const stacks = Object.entries(ends).map(([end, options]) => {
      const registry = createRegistry({
        maxConnections: 1000,
        clientKey(req) {
          witness.see('registry clientKey', ownerOf(req));
          return 'one';
        },
      });
      onTestFinished(() => registry.close());
      registry.on('end', witness.watch('registry end', end));
      registry.on('state', witness.watch('registry state', end));
      const beats = heartbeat({
        every: 50,
        ackProbe: false,
        writeDeadline: 100,
        failures: 1,
        grace: 0,
        ...options,
        registry,
        filter(req) {
          witness.see('heartbeat filter', ownerOf(req));
          return true;
        },
      });
      return { end, registry, beats };
    });
    for (const channel of ['sluice:heartbeat:end', 'sluice:heartbeat:state']) followUnowned(witness, channel);
    witness.follow('sluice:stream:close', () => true);
    const pathOf = (req: HttpRequest): string[] => decodeURIComponent(req.url!.slice(1)).split(', ');
    const beats: Middleware = (req, res, next) =>
      stacks.find(({ end }) => end === pathOf(req)[0])!.beats(req, res, next);
    const handler: Middleware = (req, response, next) => {
      const [end, kind = ''] = pathOf(req);
      const { registry } = stacks.find((each) => each.end === end)!;
      const res = response as FlushingResponse;
      const owner = ownerOf(req);
      if (kind === 'admin') {
        for (const { id } of registry.connections()) registry.evict(id, 'the administrator says so');
        res.end('done');
        return;
      }
      const watch = (callback: string): (() => void) => witness.watch(callback, owner);
      if (kind !== 'events by hand that end') {
        res.on('close', watch('res close'));
        req.on('aborted', watch('req aborted'));
      }
      res.on('close', () => closed.add(owner));
      contextOf(req).signal.addEventListener('abort', watch('listener of context.signal'));
      onTestFinished(registry.on('end', watch('registry end, for a request that listens')));
      kinds[kind]!({ req, res, next, owner, watch });
    };
    const compression = compress({ threshold: 0, codecs: [gzip(), watchedCodec(witness)] });
    const running = await serve(
      place.make,
      ...mounted(place.mount, deadline() as Middleware, beats, compression as Middleware),
      handler,
    );
    const caller = callerOf(running, place.protocol);
    // Over HTTP/2 a stream that is not read takes the window of its connection.
    const lazyCaller = callerOf(running, place.protocol);
    const calls: Promise<Call>[] = [];
    const owners: string[] = [];
    const callCrowd = (by: Caller, end: string, kind: string, coding: string): void => {
      for (let number = 1; number <= crowdSize; number++) {
        const owner = `${end}, ${kind}, ${coding}, request ${number}`;
        owners.push(owner);
        calls.push(by.call(owner, `/${encodeURIComponent(`${end}, ${kind}`)}`, { 'accept-encoding': coding }));
      }
    };
    callCrowd(lazyCaller, 'evict', unread, 'identity');
    for (const call of calls) void call.then(({ pause }) => pause());
    for (const { end } of stacks) {
      for (const kind of Object.keys(kinds))
        if (kind !== unread) for (const coding of codings) callCrowd(caller, end, kind, coding);
    }
    await settles(Promise.all(calls));
    await until(
      () => stacks.every(({ registry }) => registry.stats().heartbeats > 0) && witness.count('registry state') > 0,
    );
    await settles((await caller.call('an administrator', '/evict,%20admin')).over);
    await until(
      () => owners.every((owner) => closed.has(owner)),
      () => `not closed: ${owners.filter((owner) => !closed.has(owner)).join('; ')}`,
    );
    await until(
      () => witness.unseen(place).length === 0,
      () => `never seen: ${witness.unseen(place).join(', ')}`,
    );
    expect(running.errors).toEqual([]);
    expect(witness.faults(place)).toEqual([]);
  });
});

it('asks, and evicts, a socket in the context in which it was watched', async () => {
  const witness = new Witness({
    'watchSocket atBoundary': { sees: 'own' },
    'write of a heartbeat': { sees: 'own' },
    'socket finish': { sees: 'own' },
  });
  const registry = createRegistry();
  const server = http.createServer();
  server.on('upgrade', (req, socket) => {
    void withStore(req, undefined as never, () => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n');
      const atBoundary = (): boolean => {
        witness.see('watchSocket atBoundary', ownerOf(req));
        return true;
      };
      socket.on('finish', witness.watch('socket finish', ownerOf(req)));
      const { write } = socket;
      socket.write = (...args: unknown[]) => {
        witness.see('write of a heartbeat', ownerOf(req));
        return write.apply(socket, args as never);
      };
      onTestFinished(watchSocket(socket, { every: 20, registry, atBoundary, ackProbe: false }));
      onTestFinished(() => void socket.destroy());
    });
  });
  const running = await listen(server);
  onTestFinished(() => {
    registry.close();
    return running.close();
  });
  for (let number = 1; number <= crowdSize; number++) {
    const socket = net.connect(running.port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    const fields = Object.entries(named(`request ${number}`)).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: test\r\n${fields.join('')}\r\n`);
  }
  const place: Place = { carrier: 'node:http', protocol: 'http1', mount: 'before' };
  await until(() => witness.count('watchSocket atBoundary') >= 2 * crowdSize);
  evictFromRequest(registry);
  await until(
    () => witness.unseen(place).length === 0,
    () => `never seen: ${witness.unseen(place).join(', ')}`,
  );
  expect(witness.faults(place)).toEqual([]);
});

/** As the request of an administrator does. */
function evictFromRequest(registry: ConnectionRegistry): void {
  const req = { headers: named('an administrator') } as unknown as HttpRequest;
  void withStore(req, undefined as never, () => {
    for (const { id } of registry.connections()) registry.evict(id);
  });
}

it('evicts a WebSocket in the context of its registry', async () => {
  const witness = new Witness({
    'close of a WebSocket': { sees: 'none', because: 'the registry closes it, whatever code evicts it' },
  });
  const registry = createRegistry();
  onTestFinished(() => registry.close());
  const client = Object.assign(new EventEmitter(), {
    readyState: 1,
    bufferedAmount: 0,
    ping: () => undefined,
    terminate: () => undefined,
    close: witness.watch('close of a WebSocket', 'nobody'),
  });
  onTestFinished(watchWebSockets(client as never, { registry }));
  evictFromRequest(registry);
  expect(witness.count('close of a WebSocket')).toBe(1);
  expect(witness.faults({ carrier: 'ws', protocol: 'http1', mount: 'before' })).toEqual([]);
});
