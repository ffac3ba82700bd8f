import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net, { type Socket } from 'node:net';
import { join } from 'node:path';
import type { Transform } from 'node:stream';
import { fileURLToPath } from 'node:url';
import zlib, { constants } from 'node:zlib';
import { Server as SocketIoServer } from 'socket.io';
import { io, type ManagerOptions } from 'socket.io-client';
import ts from 'typescript';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { makeCertificate } from '../support/certificate.ts';
import { until } from '../support/until.ts';

// What the library reads or sets of Node, ws and Engine.IO that is not documented, or documented too vaguely for what
// it is relied on for. A check fails when a version changes it: then read each file that the failure names.

type Hidden = Record<string, unknown>;

interface Row {
  /** The property, as it stands in `src`. */
  readonly property: string;
  /** Whose it is, and what it means. */
  readonly means: string;
  readonly check: () => Promise<void> | void;
}

const rows: readonly Row[] = [
  {
    property: '_handle',
    means: 'of a socket over TCP: the handle of libuv, of the class `TCP`; of one over TLS: a handle with a `_parent`',
    async check() {
      const { socket } = await connection();
      expect(handleOf(socket)).toBeTypeOf('object');
      expect(handleOf(socket).constructor.name).toBe('TCP');
      expect(handleOf(socket)['_parent']).toBeUndefined();
    },
  },
  {
    property: 'writeSync',
    means: 'of a handle of zlib: encodes into a buffer that is given; what ends a body lets the next one begin',
    check() {
      for (const { stream, end, decode } of encoders()) {
        for (const text of ['first', 'second, which is longer']) {
          const output = Buffer.alloc(256);
          if (end === constants.Z_FINISH) (handleOf(stream)['reset'] as () => void)();
          writeSync(stream, end, Buffer.from(text), output);
          expect(decode(output.subarray(0, output.length - writeStateOf(stream)[0]!)).toString()).toBe(text);
        }
      }
    },
  },
  {
    property: '_writeState',
    means:
      'of a stream of zlib: bytes of room that the last write left in its output, and bytes that it left of its input',
    check() {
      for (const { stream, end } of encoders()) {
        writeSync(stream, end, Buffer.from('text '.repeat(100)), Buffer.alloc(256));
        expect(writeStateOf(stream)[0]).toBeGreaterThan(100);
        expect(writeStateOf(stream)[1]).toBe(0);
      }
    },
  },
  {
    property: 'getsockname',
    means: 'of a handle: writes the local name into an object, and returns 0',
    async check() {
      const { socket } = await connection();
      const name: { address?: string; port?: number } = {};
      expect((handleOf(socket)['getsockname'] as (into: object) => number)(name)).toBe(0);
      expect(name).toMatchObject({ address: socket.localAddress, port: socket.localPort });
    },
  },
  {
    property: 'writeQueueSize',
    means: 'of a handle: bytes of a write that the kernel has not taken; `bytesWritten` of the handle counts them too',
    async check() {
      const { socket, client } = await connection();
      client.pause();
      const length = 16 * 1024 * 1024;
      socket.write(Buffer.alloc(length));
      const handle = handleOf(socket);
      await until(() => Number(handle['writeQueueSize']) > 0);
      expect(handle['bytesWritten']).toBe(length);
      client.resume();
      await until(() => handle['writeQueueSize'] === 0);
      await until(() => client.bytesRead === length);
    },
  },
  {
    property: '_parent',
    means: 'of a handle of TLS: the handle of TCP below, whose `bytesWritten` are those of the wire',
    async check() {
      const certificate = makeCertificate();
      if (!certificate) return;
      const server = https.createServer(certificate, (_req, res) => void res.write('x'));
      const sockets = await served(server, 'secureConnection');
      const req = https.get({ port: portOf(server), rejectUnauthorized: false, agent: false });
      const [res] = (await once(req, 'response')) as [IncomingMessage];
      res.resume();
      const [socket] = sockets as [Socket];
      const parent = handleOf(socket)['_parent'] as Hidden;
      expect(parent['_parent']).toBeUndefined();
      expect(parent['bytesWritten']).toBeGreaterThan(socket.bytesWritten);
      expect((socket as unknown as Hidden)['server']).toBe(server);
    },
  },
  {
    property: '_httpMessage',
    means: 'of a socket: the response whose turn it is; nothing when that is over',
    async check() {
      const { req, res, send, next } = await exchange();
      const socket = req.socket as unknown as Hidden;
      send(get);
      const pipelined = await next();
      expect(socket['_httpMessage']).toBe(res);
      res.end();
      await until(() => socket['_httpMessage'] === pipelined);
      pipelined.end();
      await until(() => !socket['_httpMessage']);
    },
  },
  {
    property: 'parser',
    means: 'of a socket of HTTP/1: what reads requests from it; none after an upgrade',
    async check() {
      const { server, socket } = await upgraded();
      expect((socket as unknown as Hidden)['parser']).toBeFalsy();
      expect(server.listening).toBe(true);
      const { req } = await exchange();
      expect((req.socket as unknown as Hidden)['parser']).toBeTruthy();
    },
  },
  {
    property: 'incoming',
    means: 'of a parser: the request that is being read, with `complete`',
    async check() {
      const { req, res, send } = await exchange('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1');
      const parser = (req.socket as unknown as Hidden)['parser'] as { incoming: IncomingMessage | null };
      expect([parser.incoming, req.complete]).toEqual([req, false]);
      res.end();
      await until(() => !(req.socket as unknown as Hidden)['_httpMessage']);
      expect(parser.incoming?.complete).toBe(false);
      send('2');
      await until(() => parser.incoming?.complete !== false);
      expect((req.socket as unknown as Hidden)['parser']).toBe(parser);
    },
  },
  {
    property: 'outputSize',
    means: 'of a response: bytes that wait in it for its turn on the connection; 0 once it has its turn',
    async check() {
      const { res, send, next } = await exchange();
      send(get);
      const pipelined = await next();
      expect([outputSizeOf(res), outputSizeOf(pipelined), pipelined.socket]).toEqual([0, 0, null]);
      pipelined.write('0123456789');
      expect(outputSizeOf(pipelined)).toBeGreaterThanOrEqual(10);
      res.end();
      await until(() => outputSizeOf(pipelined) === 0 && pipelined.socket !== null);
      res.end();
    },
  },
  {
    property: '_header',
    means: 'of a response: the text of its head, with the fields that were given to `writeHead` alone',
    async check() {
      const { res } = await exchange();
      expect((res as unknown as Hidden)['_header']).toBeNull();
      res.writeHead(200, { 'Content-Type': 'text/event-stream' });
      expect(res.getHeader('content-type')).toBeUndefined();
      expect((res as unknown as Hidden)['_header']).toMatch(
        /^HTTP\/1\.1 200 OK\r\nContent-Type: text\/event-stream\r\n/,
      );
    },
  },
  {
    property: '_removedContLen',
    means: 'of a response: whether the length was removed by hand; then Node sets none by itself',
    async check() {
      const { res, received } = await exchange();
      expect((res as unknown as Hidden)['_removedContLen']).toBe(false);
      res.removeHeader('Content-Length');
      expect((res as unknown as Hidden)['_removedContLen']).toBe(true);
      res.end('x');
      expect(await received(/\r\n\r\n/)).not.toMatch(/content-length/i);
    },
  },
  {
    property: 'getRawHeaderNames',
    means: 'of a response: the names of its fields as they were given',
    async check() {
      const { res } = await exchange();
      res.setHeader('X-Given', '1');
      expect((res as unknown as { getRawHeaderNames(): string[] }).getRawHeaderNames()).toEqual(['X-Given']);
    },
  },
  {
    property: 'useChunkedEncodingByDefault',
    means: 'of a response: false for HTTP/1.0, whose end is that of its connection',
    async check() {
      const byVersion = async (version: string): Promise<unknown> => {
        const { res } = await exchange(get.replace('1.1', version));
        return (res as unknown as Hidden)['useChunkedEncodingByDefault'];
      };
      expect([await byVersion('1.0'), await byVersion('1.1')]).toEqual([false, true]);
    },
  },
  {
    property: 'chunkedEncoding',
    means: 'of a response whose head is out: whether Node frames its body',
    async check() {
      const chunked = await exchange();
      chunked.res.write('x');
      const sized = await exchange();
      sized.res.setHeader('Content-Length', '2').write('x');
      expect([chunked.res.chunkedEncoding, sized.res.chunkedEncoding]).toEqual([true, false]);
    },
  },
  {
    property: 'finished',
    means: 'of a response: over HTTP/1 a property of its own, true from `end` on; over HTTP/2 a getter',
    async check() {
      const { res } = await exchange();
      const described = (): PropertyDescriptor | undefined => Object.getOwnPropertyDescriptor(res, 'finished');
      expect(described()).toEqual({ value: false, writable: true, enumerable: true, configurable: true });
      res.end();
      expect(described()?.value).toBe(true);
      const getter = Object.getOwnPropertyDescriptor(http2.Http2ServerResponse.prototype, 'finished');
      expect(getter?.get).toBeTypeOf('function');
    },
  },
  {
    property: 'strictContentLength',
    means: 'of a response: a body of another length than announced throws the error that the library throws too',
    async check() {
      const { res } = await exchange();
      res.strictContentLength = true;
      res.setHeader('Content-Length', '1');
      const message =
        "Response body's content-length of 2 byte(s) does not match the content-length of 1 byte(s) set in header";
      expect(() => res.end('xx')).toThrow(
        expect.objectContaining({ code: 'ERR_HTTP_CONTENT_LENGTH_MISMATCH', message }) as Error,
      );
      res.destroy();
    },
  },
  {
    property: 'httpAllowHalfOpen',
    means: 'of a server: whether a connection whose client has sent its FIN goes on until its response is over',
    async check() {
      const afterFin = async (allow: boolean): Promise<boolean> => {
        const { req, server, end } = await exchange();
        const { socket } = req;
        (server as unknown as Hidden)['httpAllowHalfOpen'] = allow;
        end();
        await once(socket, 'end');
        return socket.writableEnded;
      };
      expect([await afterFin(false), await afterFin(true)]).toEqual([true, false]);
    },
  },
  {
    property: 'closeIdleConnections',
    means: 'of a server: `close` calls it, and calls what stands in its place',
    async check() {
      const { server } = await exchange();
      let calls = 0;
      server.closeIdleConnections = () => void (calls += 1);
      server.close();
      expect(calls).toBe(1);
    },
  },
  {
    property: 'server',
    means: 'of a socket: the HTTP server that it came to',
    async check() {
      const { server, req } = await exchange();
      expect((req.socket as unknown as Hidden)['server']).toBe(server);
    },
  },
  {
    property: 'appendHeader',
    means:
      'to a response with fields, `writeHead` sends only the last of repeated fields before Node 22, and all since',
    async check() {
      const { res, received } = await exchange();
      res.setHeader('X-Before', '1');
      res.writeHead(200, ['X-Twice', 'a', 'X-Twice', 'b'] as unknown as http.OutgoingHttpHeaders).end();
      const lines = (await received(/\r\n\r\n/)).match(/^x-twice:.*$/gim)?.length;
      expect(lines).toBe(Number(process.versions.node.split('.')[0]) < 22 ? 1 : 2);
    },
  },
  {
    property: 'bufferSize',
    means: 'of an HTTP/2 stream: bytes that wait for its client',
    async check() {
      const { stream, request } = await http2Exchange();
      request.pause();
      stream.respond();
      stream.write(Buffer.alloc(1024 * 1024));
      await until(() => stream.bufferSize > 512 * 1024);
      request.resume();
      await until(() => stream.bufferSize === 0);
    },
  },
  {
    property: 'localWindowSize',
    means: 'of the state of an HTTP/2 stream: what its client may still send, which shrinks with what it sends',
    async check() {
      const { stream, request } = await http2Exchange({ ':method': 'POST' });
      stream.pause();
      const before = stream.state.localWindowSize ?? 0;
      request.write(Buffer.alloc(10_000));
      await until(() => (stream.state.localWindowSize ?? 0) <= before - 10_000);
    },
  },
  {
    property: 'session',
    means: 'of an HTTP/2 stream: its session; `session.socket.off` returns the socket itself, with its handle',
    async check() {
      const { stream, sockets } = await http2Exchange();
      const below = stream.session!.socket.off('close', () => undefined);
      expect(below).toBe(sockets[0]);
      expect(handleOf(stream.session!.socket)).toBe(handleOf(below));
    },
  },
  {
    property: 'rstCode',
    means: "of an HTTP/2 stream: 0 at the 'aborted' of a reset without an error",
    async check() {
      const { stream, request } = await http2Exchange();
      stream.respond();
      const aborted = once(stream, 'aborted');
      request.close(http2.constants.NGHTTP2_NO_ERROR);
      await aborted;
      expect(stream.rstCode).toBe(0);
    },
  },
  {
    property: '_socket',
    means: 'of a WebSocket of ws: its socket, until it is closed',
    async check() {
      const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
      onTestFinished(() => void sockets.close());
      await once(sockets, 'listening');
      const client = new WebSocket(`ws://127.0.0.1:${(sockets.address() as net.AddressInfo).port}`);
      const [[socket, req]] = (await Promise.all([once(sockets, 'connection'), once(client, 'open')])) as unknown as [
        [WebSocket, IncomingMessage],
      ];
      const hidden = socket as unknown as { _socket: Socket | null };
      expect(hidden._socket).toBe(req.socket);
      expect(sockets.clients).toEqual(new Set([socket]));
      expect([typeof socket.ping, typeof socket.terminate, socket.bufferedAmount]).toEqual(['function', 'function', 0]);
      const closed = once(socket, 'close');
      client.terminate();
      await closed;
      expect(hidden._socket?.destroyed ?? true).toBe(true);
    },
  },
  {
    property: 'clients',
    means: 'of an Engine.IO server: its sessions by id; `clientsCount` counts them',
    async check() {
      const { engine, session } = await engineSession();
      expect(Object.values(engine.clients)).toEqual([session]);
      expect(engine.clientsCount).toBe(1);
    },
  },
  {
    property: 'transport',
    means: "of a session of Engine.IO: its name, and the WebSocket of ws below it; 'upgrade' passes the next one",
    async check() {
      const { session } = await engineSession(['polling', 'websocket']);
      expect([session.transport.name, session.readyState]).toEqual(['polling', 'open']);
      const [transport] = (await once(session, 'upgrade')) as [typeof session.transport];
      expect([transport.name, transport.writable]).toEqual(['websocket', true]);
      expect([typeof transport.socket.ping, typeof transport.socket.terminate]).toEqual(['function', 'function']);
      expect(session.request.url).toContain('transport=polling');
      const closed = once(session, 'close');
      session.close(true);
      await closed;
      expect(session.readyState).toBe('closed');
    },
  },
];

/** Properties that begin with an underscore and are documented: those that a stream implements. */
const documented: ReadonlySet<string> = new Set(['_transform', '_flush', '_read', '_write', '_final', '_destroy']);

const root = fileURLToPath(new URL('../../src', import.meta.url));

/** The properties that the source reads, sets or declares by name, and the files that do. */
const users = new Map<string, Set<string>>();
for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
  if (!path.endsWith('.ts')) continue;
  const visit = (node: ts.Node): void => {
    const name = propertyOf(node);
    if (name !== undefined) users.set(name, (users.get(name) ?? new Set()).add(`src/${path}`));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, readFileSync(join(root, path), 'utf8'), ts.ScriptTarget.Latest, true));
}

function propertyOf(node: ts.Node): string | undefined {
  if (ts.isPropertyAccessExpression(node) || ts.isPropertySignature(node) || ts.isMethodSignature(node))
    return ts.isIdentifier(node.name) ? node.name.text : undefined;
  if (ts.isBindingElement(node)) {
    const name = node.propertyName ?? node.name;
    return ts.isObjectBindingPattern(node.parent) && ts.isIdentifier(name) ? name.text : undefined;
  }
  if (ts.isElementAccessExpression(node) && ts.isStringLiteral(node.argumentExpression))
    return node.argumentExpression.text;
  return undefined;
}

describe(`what the library relies on of Node ${process.versions.node}, ws and Engine.IO`, () => {
  it.for(rows.map((row) => [`${row.property}: ${row.means}`, row] as const))(
    '%s',
    async ([, { property, means, check }]) => {
      const files = [...(users.get(property) ?? [])];
      expect(files, `No file uses ${property} any more: remove its row`).not.toEqual([]);
      try {
        await check();
      } catch (error) {
        const text = `Node ${process.versions.node}, ws or Engine.IO has changed ${property}, ${means}. Read ${files.join(', ')}`;
        throw new Error(text, { cause: error });
      }
    },
  );

  it('has a row for each private property that the source uses', () => {
    const found = [...users.keys()].filter((name) => name.startsWith('_') && !documented.has(name));
    expect(found.filter((name) => !rows.some(({ property }) => property === name))).toEqual([]);
  });
});

const get = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

interface Exchange {
  readonly server: http.Server;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** Sends more bytes on the connection. */
  send(bytes: string): void;
  /** Sends a FIN. */
  end(): void;
  /** The response to the next request on it. */
  next(): Promise<ServerResponse>;
  /** What the client has read, once that matches. */
  received(pattern: RegExp): Promise<string>;
}

/** A request over a connection of its own, not answered yet. */
async function exchange(bytes = get): Promise<Exchange> {
  const seen: [IncomingMessage, ServerResponse][] = [];
  const server = http.createServer((req, res) => void seen.push([req, res]));
  await served(server);
  let text = '';
  const client = net.connect({ port: portOf(server), host: '127.0.0.1', allowHalfOpen: true });
  client.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  client.on('error', () => undefined).write(bytes);
  onTestFinished(() => void client.destroy());
  await until(() => seen.length > 0);
  const [req, res] = seen[0]!;
  return {
    server,
    req,
    res,
    send: (more) => void client.write(more),
    end: () => void client.end(),
    async next() {
      await until(() => seen.length > 1);
      return seen[1]![1];
    },
    async received(pattern) {
      await until(
        () => pattern.test(text),
        () => text,
      );
      return text;
    },
  };
}

/** A TCP connection: the server's end of it, and the client's. */
async function connection(): Promise<{ socket: Socket; client: Socket }> {
  const server = net.createServer();
  const sockets = await served(server);
  const client = net.connect(portOf(server), '127.0.0.1').on('data', () => undefined);
  client.on('error', () => undefined);
  await until(() => sockets.length > 0);
  return { socket: sockets[0]!.on('error', () => undefined), client };
}

/** A connection that is no longer one of HTTP. */
async function upgraded(): Promise<{ server: http.Server; socket: Socket }> {
  const server = http.createServer();
  await served(server);
  const upgrade = once(server, 'upgrade');
  const client = net.connect(portOf(server), '127.0.0.1', () =>
    client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
  );
  onTestFinished(() => void client.destroy());
  const [, socket] = (await upgrade) as [IncomingMessage, Socket];
  return { server, socket };
}

/** A stream of HTTP/2: the server's side of it, and the client's. */
async function http2Exchange(
  headers: http2.OutgoingHttpHeaders = {},
): Promise<{ stream: http2.ServerHttp2Stream; request: http2.ClientHttp2Stream; sockets: readonly Socket[] }> {
  const server = http2.createServer();
  const sockets = await served(server);
  const session = http2.connect(`http://127.0.0.1:${portOf(server)}`);
  onTestFinished(() => session.destroy());
  const streamed = once(server, 'stream');
  const request = session.request(headers).on('error', () => undefined);
  const [stream] = (await streamed) as [http2.ServerHttp2Stream];
  stream.on('error', () => undefined);
  return { stream, request, sockets };
}

type EngineServer = SocketIoServer['engine'] & {
  readonly clients: Record<string, EngineSession>;
  readonly clientsCount: number;
};

interface EngineSession extends NodeJS.EventEmitter {
  readonly readyState: string;
  readonly transport: { readonly name: string; readonly writable: boolean; readonly socket: WebSocket };
  readonly request: IncomingMessage;
  close(discard?: boolean): void;
}

async function engineSession(
  transports: string[] = ['websocket'],
): Promise<{ engine: EngineServer; session: EngineSession }> {
  const server = http.createServer();
  const engine = new SocketIoServer(server, { serveClient: false }).engine as EngineServer;
  await served(server);
  const connected = once(engine, 'connection');
  const options: Partial<ManagerOptions> = { transports, reconnection: false };
  const client = io(`http://127.0.0.1:${portOf(server)}`, options);
  onTestFinished(() => void client.close());
  const [session] = (await connected) as [EngineSession];
  return { engine, session };
}

/** Listens until the test is over. Returns the sockets that come. */
async function served(server: net.Server, event = 'connection'): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const all: Socket[] = [];
  server.on('connection', (socket: Socket) => all.push(socket));
  server.on(event, (socket: Socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of all) socket.destroy();
  });
  return sockets;
}

function portOf(server: net.Server): number {
  return (server.address() as net.AddressInfo).port;
}

interface NodeZstd {
  createZstdCompress(): Transform;
  zstdDecompressSync(coded: Uint8Array): Buffer;
}

/** From 22.15 on. */
const nodeZstd = 'createZstdCompress' in zlib ? (zlib as unknown as NodeZstd) : undefined;

/** An encoder of each kind that this Node has, until the test is over. */
function encoders(): { stream: object; end: number; decode: (coded: Uint8Array) => Buffer }[] {
  const streams = [
    { stream: zlib.createGzip(), end: constants.Z_FINISH, decode: zlib.gunzipSync },
    { stream: zlib.createDeflate(), end: constants.Z_FINISH, decode: zlib.inflateSync },
    ...(nodeZstd ? [{ stream: nodeZstd.createZstdCompress(), end: 2, decode: nodeZstd.zstdDecompressSync }] : []),
  ];
  onTestFinished(() => streams.forEach(({ stream }) => void stream.destroy()));
  return streams;
}

function writeSync(stream: object, end: number, input: Uint8Array, output: Uint8Array): void {
  const handle = handleOf(stream) as { writeSync(...args: unknown[]): void };
  handle.writeSync(end, input, 0, input.length, output, 0, output.length);
}

function writeStateOf(stream: object): Uint32Array {
  return (stream as { _writeState: Uint32Array })._writeState;
}

function handleOf(socket: object): Hidden {
  return (socket as { _handle: Hidden })._handle;
}

function outputSizeOf(res: ServerResponse): unknown {
  return (res as unknown as Hidden)['outputSize'];
}
