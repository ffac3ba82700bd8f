import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type CloseReason, type EventStream, sse } from '../../src/index.ts';
import { bare, express5, h2c, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest, type RawClient } from '../support/raw.ts';
import { serve, type Served } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

interface Scene {
  readonly running: Served;
  readonly client: RawClient;
  readonly streams: EventStream[];
  readonly reasons: CloseReason[];
}

type Moment = (scene: Scene) => Promise<void>;

const opened: Moment = async ({ client, streams }) => {
  client.send(getRequest());
  await client.waitFor(':ok\n');
  await until(() => streams.length === 1);
};

/** Brings a connection to the point where it is cut; `reason` is what its stream must say then. */
const moments: [name: string, reason: CloseReason | undefined, reach: Moment][] = [
  ['before a byte is sent', undefined, async () => undefined],
  ['in the middle of the request line', undefined, async ({ client }) => client.send('GET /ev')],
  [
    "before the end of the request's head",
    undefined,
    async ({ client }) => client.send('GET / HTTP/1.1\r\nHost: x\r\nAcc'),
  ],
  [
    'right after the request',
    'client-closed',
    async ({ client, streams }) => {
      client.send(getRequest());
      await until(() => streams.length === 1);
    },
  ],
  [
    "in the middle of the request's body",
    'client-closed',
    async ({ client }) => {
      client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this');
      await client.waitFor(':ok');
    },
  ],
  ['right after the head', 'client-closed', opened],
  [
    'between two ticks',
    'client-closed',
    async (scene) => {
      await opened(scene);
      void scene.streams[0]!.send('one');
      await turns();
      void scene.streams[0]!.send('two');
    },
  ],
  [
    'in the middle of an event',
    'client-closed',
    async (scene) => {
      await opened(scene);
      void scene.streams[0]!.send('x'.repeat(12_000_000));
      await scene.client.waitFor((received) => received.length > 100_000);
    },
  ],
  [
    'while it does not read',
    'client-closed',
    async (scene) => {
      await opened(scene);
      scene.client.socket.pause();
      void scene.streams[0]!.send('x'.repeat(12_000_000));
      await turns(10);
    },
  ],
  [
    'while the stream ends',
    'ended',
    async (scene) => {
      await opened(scene);
      scene.client.socket.pause();
      void scene.streams[0]!.send('x'.repeat(12_000_000));
      void scene.streams[0]!.end();
      await turns(10);
    },
  ],
  [
    'while the stream stops',
    'ended',
    async (scene) => {
      await opened(scene);
      scene.client.socket.pause();
      void scene.streams[0]!.send('x'.repeat(12_000_000));
      void scene.streams[0]!.stop();
    },
  ],
  [
    'while the client is told to reconnect',
    'draining',
    async (scene) => {
      await opened(scene);
      scene.client.socket.pause();
      void scene.streams[0]!.send('x'.repeat(12_000_000));
      void scene.streams[0]!.reconnect();
      await turns(10);
    },
  ],
  [
    'in the tick in which it is told to reconnect',
    'draining',
    async (scene) => {
      await opened(scene);
      void scene.streams[0]!.reconnect();
    },
  ],
];

const cuts: [string, (client: RawClient) => void][] = [
  ['closed', (client) => client.destroy()],
  ['reset', (client) => client.socket.resetAndDestroy()],
  ['half-closed', (client) => client.socket.resume().end()],
];

function collect(streams: EventStream[], reasons: CloseReason[]): Middleware {
  return sse((stream) => {
    streams.push(stream);
    stream.onClose((reason) => reasons.push(reason));
  });
}

const matrix = [express5, bare].flatMap((carrier) =>
  cuts.flatMap(([cut, perform]) =>
    moments.map(([name, reason, reach]) => ({ on: carrier.name, cut, name, carrier, perform, reason, reach })),
  ),
);

describe('a connection', () => {
  it.each(matrix)(
    '$cut $name on $on closes its stream once and nothing else',
    async ({ carrier, perform, reason, reach }) => {
      const streams: EventStream[] = [];
      const reasons: CloseReason[] = [];
      const running = await serve(carrier, collect(streams, reasons));
      const client = await running.dial();
      await reach({ running, client, streams, reasons });
      perform(client);
      await settles(client.closed);
      await until(() => streams.every((stream) => stream.state === 'closed'));
      await turns();
      expect(reasons).toEqual(reason === undefined ? [] : [reason]);
      expect(streams.map((stream) => stream.bufferedBytes)).toEqual(reason === undefined ? [] : [0]);
      for (const stream of streams) await expect(stream.send('late')).rejects.toMatchObject({ reason });
      await until(() => connectionsOf(running) === 0);
      // The server is as well as before.
      const other = await running.visit();
      await until(() => other.text === ':ok\n');
      expect(running.errors).toEqual([]);
    },
  );
});

const counts = new WeakMap<object, number>();

/** Open connections; the count comes late by a turn. */
function connectionsOf({ server }: Served): number {
  (server as http.Server).getConnections((_error, count) => counts.set(server, count));
  return counts.get(server) ?? -1;
}

describe('garbage', () => {
  const garbage: [string, string][] = [
    ['bytes that are no HTTP', '\x00\xff\x16\x03\x01garbage\r\n\r\n'],
    ['a request line without end', `GET /${'a'.repeat(100_000)}`],
    ['a header field without end', `GET / HTTP/1.1\r\nX: ${'a'.repeat(100_000)}`],
    ['an unknown version', 'GET / HTTP/9.9\r\n\r\n'],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    [
      'a length beside chunks',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
  ];

  it.each(garbage)('instead of a request starts no stream: %s', async (_name, bytes) => {
    const streams: EventStream[] = [];
    const running = await serve(bare, collect(streams, []));
    const client = await running.dial();
    client.send(bytes);
    await settles(client.closed);
    expect(streams).toEqual([]);
    expect(client.received).toMatch(/^HTTP\/1\.1 4\d\d /);
  });

  it.each(garbage)('after a request closes its stream: %s', async (_name, bytes) => {
    const streams: EventStream[] = [];
    const reasons: CloseReason[] = [];
    const running = await serve(bare, collect(streams, reasons));
    const client = await running.dial();
    client.send(getRequest());
    await client.waitFor(':ok\n');
    client.send(bytes);
    await settles(client.closed);
    await until(() => reasons.length === 1);
    expect(reasons).toEqual(['client-closed']);
    // No answer to the garbage lands inside the stream.
    expect(client.received.split('\r\n\r\n').slice(1).join('')).toBe('4\r\n:ok\n\r\n');
  });

  it('in a body of chunks leaves the stream to its fate, and the server well', async () => {
    const streams: EventStream[] = [];
    const reasons: CloseReason[] = [];
    const running = await serve(bare, collect(streams, reasons));
    const client = await running.dial();
    client.send('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
    await client.waitFor(':ok\n');
    client.send('zz\r\n');
    await settles(client.closed);
    await until(() => reasons.length === 1);
    const other = await running.visit();
    expect(other.status).toBe(200);
  });
});

describe('a stream of an HTTP/2 connection', () => {
  const ways: [
    string,
    (req: http2.ClientHttp2Stream, session: http2.ClientHttp2Session, socket: net.Socket) => void,
  ][] = [
    ['is cancelled', (req) => req.close(http2.constants.NGHTTP2_CANCEL)],
    ['is reset without an error', (req) => req.close(http2.constants.NGHTTP2_NO_ERROR)],
    ['is reset with an internal error', (req) => req.close(http2.constants.NGHTTP2_INTERNAL_ERROR)],
    ['is refused', (req) => req.close(http2.constants.NGHTTP2_REFUSED_STREAM)],
    ['is destroyed', (req) => req.destroy()],
    ['loses its session', (_req, session) => session.destroy()],
    [
      'loses its session to an error',
      (_req, session) => session.destroy(undefined, http2.constants.NGHTTP2_PROTOCOL_ERROR),
    ],
    ['loses its socket', (_req, _session, socket) => socket.destroy()],
  ];
  const states: [string, (stream: EventStream) => void, CloseReason][] = [
    ['idle', () => undefined, 'client-closed'],
    ['full', (stream) => void stream.send('x'.repeat(10_000_000)), 'client-closed'],
    [
      'reconnecting',
      (stream) => {
        void stream.send('x'.repeat(10_000_000));
        void stream.reconnect();
      },
      'draining',
    ],
  ];
  const table = ways.flatMap(([way, leave]) =>
    states.map(([state, prepare, reason]) => ({ way, state, leave, prepare, reason })),
  );

  it.each(table)('that $way while $state closes once', async ({ leave, prepare, reason }) => {
    const streams: EventStream[] = [];
    const reasons: CloseReason[] = [];
    const running = await serve(h2c, collect(streams, reasons));
    const socket = net.connect(running.port, '127.0.0.1');
    const session = http2.connect(running.origin, { createConnection: () => socket });
    session.on('error', () => undefined);
    onTestFinished(() => session.destroy());
    const req = session.request({ ':path': '/' });
    req.on('error', () => undefined);
    const head = deferred();
    req.on('response', () => head.resolve());
    await settles(head.promise);
    prepare(streams[0]!);
    await turns();
    leave(req, session, socket);
    await until(() => reasons.length === 1);
    await turns();
    expect([reasons, streams[0]!.state]).toEqual([[reason], 'closed']);
    const other = await running.visit();
    expect(other.status).toBe(200);
  });

  it('leaves its siblings alone', async () => {
    const streams: EventStream[] = [];
    const reasons: CloseReason[] = [];
    const running = await serve(h2c, collect(streams, reasons));
    const session = http2.connect(running.origin);
    session.on('error', () => undefined);
    onTestFinished(() => session.destroy());
    const texts = ['', ''];
    const requests = [0, 1].map((index) =>
      session
        .request({ ':path': '/' })
        .on('error', () => undefined)
        .on('data', (chunk: Buffer) => (texts[index] = `${texts[index]}${chunk.toString()}`)),
    );
    await until(() => texts.every((text) => text === ':ok\n'));
    requests[0]!.close(http2.constants.NGHTTP2_CANCEL);
    await until(() => reasons.length === 1);
    const alive = streams.find((stream) => stream.state === 'open')!;
    await alive.send('still here');
    await until(() => texts[1]!.endsWith('data: still here\n\n'));
    alive.destroy();
    await until(() => reasons.length === 2);
    expect(session.destroyed).toBe(false);
  });
});
