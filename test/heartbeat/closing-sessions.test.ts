import http2 from 'node:http2';
import type { Socket } from 'node:net';
import { describe, it, type TestContext } from 'vitest';
import {
  type ConnectionEnd,
  type ConnectionRegistry,
  createRegistry,
  heartbeat,
  watchHttp2,
  type WatchHttp2Options,
} from '../../src/index.ts';
import { listen } from '../support/carriers.ts';
import { makeCertificate } from '../support/certificate.ts';
import { until } from '../support/until.ts';
import { connectFrames, frame, type FrameClient, getFrame, noWindow } from './frames.ts';

const certificate = makeCertificate();

interface Site {
  readonly port: number;
  readonly registry: ConnectionRegistry;
  readonly ends: ConnectionEnd[];
  readonly sessions: http2.ServerHttp2Session[];
  /** Of connections that are not closed. */
  readonly sockets: Set<Socket>;
}

const quickBeats = { every: 100, readDeadline: 300, writeDeadline: 300, grace: 100, jitter: 0 };
const quick: WatchHttp2Options = { ...quickBeats, minInterval: 0 };

interface SiteOptions extends WatchHttp2Options {
  readonly secure?: boolean;
  readonly beats?: boolean;
}

/** A server whose sessions are watched. Of `/ended` it has sent all, of `/open` it goes on. */
async function serveHttp2({ onTestFinished }: TestContext, given: SiteOptions = {}): Promise<Site> {
  const { secure = false, beats = false, ...options } = given;
  const registry = createRegistry();
  const ends: ConnectionEnd[] = [];
  registry.on('end', (end) => ends.push(end));
  const beat = heartbeat({ ...quickBeats, registry });
  const answer = (req: http2.Http2ServerRequest, res: http2.Http2ServerResponse): void => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.write('data: hello\n\n'.repeat(100));
    if (req.url === '/ended') res.end();
  };
  const listener = (req: http2.Http2ServerRequest, res: http2.Http2ServerResponse): void => {
    if (beats) beat(req, res, () => answer(req, res));
    else answer(req, res);
  };
  const server = secure ? http2.createSecureServer({ ...certificate }, listener) : http2.createServer(listener);
  watchHttp2(server, { ...quick, ...options, registry });
  const sessions: http2.ServerHttp2Session[] = [];
  server.on('session', (session) => sessions.push(session));
  const sockets = new Set<Socket>();
  server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const running = await listen(server as http2.Http2Server);
  onTestFinished(() => running.close());
  return { port: running.port, registry, ends, sessions, sockets };
}

const noError = Buffer.alloc(4);
const goaway = frame('GOAWAY', 0, 0, Buffer.alloc(8));

/** SETTINGS that the server sent, and that ask for an acknowledgement. */
function settingsOf({ frames }: FrameClient): number {
  return frames.filter(({ type, flags }) => type === 'SETTINGS' && flags === 0).length;
}

// At once: a peer is given up after six seconds at the least, which its network may take to send again what was lost.
describe.concurrent('a session of HTTP/2', () => {
  // Node 20 and 22 stop to read such a connection, and wait for writes that nobody takes.
  it.for([
    ['TCP, sessions watched', { secure: false, beats: false }],
    ['TLS, sessions watched', { secure: true, beats: false }],
    ['TCP, streams watched too', { secure: false, beats: true }],
    ['TLS, streams watched too', { secure: true, beats: true }],
  ] as const)(
    'is found, whose client resets a stream that waits, and leaves: over %s',
    async ([, options], context) => {
      const { secure } = options;
      context.skip(secure && !certificate, 'no certificate');
      const { expect, onTestFinished } = context;
      const site = await serveHttp2(context, options);
      const dialing = { secure, settings: noWindow, onTestFinished };
      const clients = Array.from({ length: 10 }, () => connectFrames(site.port, dialing));
      for (const client of clients) {
        client.send(getFrame(1, '/ended'));
        await client.waitFor(({ type }) => type === 'HEADERS');
        client.send(frame('RST_STREAM', 0, 1, noError), goaway);
      }
      await until(() => site.sessions.length === 10 && site.sessions.every(({ closed }) => closed));
      for (const client of clients) client.destroy();
      const describe = (): string => `${site.sockets.size} sockets, ${JSON.stringify(site.registry.stats())}`;
      await until(() => site.sockets.size === 0, describe);
      await until(() => site.registry.stats().connections === 0);
      // From Node 24 on the stream is closed by its reset, after its end.
      const reasons = site.ends.map(({ reason }) => reason);
      expect(['client-closed', 'ended', 'heartbeat-timeout', 'slow-consumer']).toEqual(expect.arrayContaining(reasons));
    },
  );

  const closings = [
    ['its client', (client: FrameClient) => client.send(goaway)],
    ['the server', (_client: FrameClient, { sessions }: Site) => sessions[0]!.close()],
  ] as const;

  interface Closing {
    readonly site: Site;
    readonly client: FrameClient;
    /** SETTINGS that it has had before the close. */
    readonly asked: number;
  }

  type Close = (typeof closings)[number][1];

  async function openClosing(context: TestContext, close: Close, options: WatchHttp2Options = {}): Promise<Closing> {
    const site = await serveHttp2(context, options);
    const client = connectFrames(site.port, context);
    client.send(getFrame(1, '/open'), frame('SETTINGS', 1, 0));
    await client.waitFor(({ type }) => type === 'DATA');
    const asked = settingsOf(client);
    close(client, site);
    await until(() => site.sessions[0]!.closed);
    return { site, client, asked };
  }

  it.for(closings)(
    'is asked by SETTINGS after a GOAWAY of %s, and stays while it answers',
    async ([, close], context) => {
      const { site, client, asked } = await openClosing(context, close, { readDeadline: '5m' });
      let pongs = 0;
      for (let answered = 0; answered < 3; answered += 1) {
        await until(() => {
          // It may have been asked by a PING before the close: nothing else is asked until that has its answer.
          for (; pongs < client.pings.length; pongs += 1) client.answer(client.pings[pongs]!);
          return settingsOf(client) > asked + answered;
        });
        context.expect(settingsOf(client)).toBe(asked + answered + 1);
        client.send(frame('SETTINGS', 1, 0));
        await until(() => site.registry.connections()[0]!.roundTrip !== undefined);
      }
      context.expect(site.registry.connections()).toMatchObject([{ transport: 'http2', state: 'healthy' }]);
      context.expect(site.ends).toEqual([]);
    },
  );

  it.for(closings)('is given up after a GOAWAY of %s when it does not answer', async ([, close], context) => {
    const { site, client } = await openClosing(context, close);
    await until(() => client.isClosed && site.ends.length === 1);
    const connection = { transport: 'http2', state: 'dead' };
    context.expect(site.ends).toMatchObject([{ reason: 'heartbeat-timeout', connection }]);
  });

  it('is given up when it has ended, and its client does not close the connection', async (context) => {
    const site = await serveHttp2(context);
    const { onTestFinished } = context;
    const client = connectFrames(site.port, { staysHalfOpen: true, onTestFinished });
    client.send(getFrame(1, '/ended'), frame('SETTINGS', 1, 0));
    await client.waitFor(({ type, flags }) => type === 'DATA' && (flags & 1) === 1);
    site.sessions[0]!.close();
    await until(() => site.sessions[0]!.destroyed);
    await until(() => site.sockets.size === 0 && site.registry.stats().connections === 0);
    context.expect(site.ends).toMatchObject([{ reason: 'heartbeat-timeout', connection: { transport: 'http2' } }]);
  });

  it('goes on without a stream that its client has reset and that is given up', async (context) => {
    const { expect } = context;
    const site = await serveHttp2(context, { beats: true, readDeadline: '5m' });
    const streams: http2.ServerHttp2Stream[] = [];
    const client = connectFrames(site.port, { ...context, settings: noWindow });
    await until(() => site.sessions.length === 1);
    site.sessions[0]!.on('stream', (stream: http2.ServerHttp2Stream) => streams.push(stream));
    client.send(getFrame(1, '/ended'));
    await client.waitFor(({ type }) => type === 'HEADERS');
    client.send(frame('RST_STREAM', 0, 1, noError));
    await until(
      () => streams[0]?.destroyed === true,
      () => JSON.stringify(site.registry.stats()),
    );
    await until(() => site.registry.stats().transports['http2-stream']?.healthy === 0);
    expect([site.sessions[0]!.destroyed, client.isClosed]).toEqual([false, false]);
  });
});
