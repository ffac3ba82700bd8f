import type { ServerResponse } from 'node:http';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import type { HealthState } from '../../src/index.ts';
import { type ChildProcessHandle, type Message, spawnNode } from '../support/netns.ts';
import { noise } from '../support/texts.ts';
import { until } from '../support/until.ts';
import { frame, getFrame } from './frames.ts';
import { flood, readByHand, serveIn } from './hand-readers.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}.js`, import.meta.url));

// As `stats().connections` of the fixture has it.
interface Connection {
  readonly transport: string;
  readonly label?: string;
  readonly state: HealthState;
  readonly bufferedBytes: number;
}

interface Site {
  readonly server: ChildProcessHandle;
  connect(...kinds: string[]): Promise<ChildProcessHandle>;
  ask<T>(question: string, key: string): Promise<T>;
  close(): Promise<void>;
}

// For a machine that is slow.
const longest = 60_000;

/** A server in a process, and its clients in others. */
async function openSite(options: Record<string, unknown>): Promise<Site> {
  const server = spawnNode(fixture('watched-server'), [JSON.stringify(options)]);
  const processes = [server];
  const { ports } = await server.until((message) => 'ports' in message);
  return {
    server,
    async connect(...kinds) {
      const client = spawnNode(fixture('watched-client'), [
        JSON.stringify({ host: '127.0.0.1', ports, kinds, every: 500 }),
      ]);
      processes.push(client);
      for (const kind of kinds)
        await client.until((message) => message['kind'] === kind && message['event'] === 'open');
      return client;
    },
    async ask<T>(question: string, key: string) {
      const before = server.messages.length;
      server.send({ ask: question });
      return (await server.until((message, index) => index >= before && key in message))[key] as T;
    },
    async close() {
      for (const process of processes) process.kill('SIGKILL');
      await Promise.all(processes.map(({ exit }) => exit));
    },
  };
}

function connectionsOf(site: Site): Promise<readonly Connection[]> {
  return site.ask('stats', 'connections');
}

describe('a client process that is stopped', { timeout: longest + 10_000 }, () => {
  let site: Site;
  let client: ChildProcessHandle;
  let memoryBefore: number;

  const labels = {
    flood: '/flood',
    'flood-gzip': '/flood-gzip',
    'flood-h2': '/flood-h2',
    'flood-h2-gzip': '/flood-h2-gzip',
    sse: '/quiet',
    'sse-gzip': '/quiet-gzip',
    websocket: '/ws',
  } as const;

  function endOf(transport: string, label?: string): Promise<Message> {
    return site.server.until(
      (message) => message['event'] === 'end' && message['transport'] === transport && message['label'] === label,
      longest,
    );
  }

  function statesOf(label: string): unknown[] {
    return site.server.messages
      .filter((message) => message['event'] === 'state' && message['label'] === label)
      .map(({ state }) => state);
  }

  beforeAll(async () => {
    // The kernel is asked every second or two: an answer takes that long to be seen.
    site = await openSite({ every: 500, readDeadline: 5000, writeDeadline: 1000, grace: 1000 });
    memoryBefore = await site.ask<number>('memory', 'memory');
    client = await site.connect(
      'sse',
      'sse-gzip',
      'http2',
      'websocket',
      'socket',
      'flood',
      'flood-gzip',
      'flood-h2',
      'flood-h2-gzip',
    );
    client.kill('SIGSTOP');
  });

  afterAll(() => site.close());

  it.each(['flood', 'flood-gzip'] as const)(
    'is given up as a slow consumer of a %s over HTTP/1.1, after its writes were late',
    async (kind) => {
      expect(await endOf('http1', labels[kind])).toMatchObject({ reason: 'slow-consumer' });
      // It may have been late before, on a machine that is.
      expect(statesOf(labels[kind]).join()).toMatch(/^(write-late,healthy,)*write-late,dead$/);
    },
  );

  it.each(['flood-h2', 'flood-h2-gzip'] as const)('is given up as a slow consumer of a %s', async (kind) => {
    expect(await endOf('http2-stream', labels[kind])).toMatchObject({ reason: 'slow-consumer' });
    expect(statesOf(labels[kind])).toContain('write-late');
  });

  it('leaves its session of HTTP/2 without an answer to a PING', async () => {
    expect(await endOf('http2')).toMatchObject({
      reason: expect.stringMatching(/^(heartbeat-timeout|slow-consumer)$/),
    });
    // A quiet stream is given up with its session, and for nothing else.
    expect(await endOf('http2-stream', '/quiet-h2')).toMatchObject({ reason: 'heartbeat-timeout' });
  });

  it('is given up by its WebSocket and its socket, which it does not answer', async () => {
    expect(await endOf('websocket', labels.websocket)).toMatchObject({ reason: 'heartbeat-timeout' });
    expect(await endOf('socket')).toMatchObject({ reason: 'heartbeat-timeout' });
  });

  it('keeps its quiet event streams over HTTP/1.1: its kernel acknowledges every heartbeat', async () => {
    const left = async (): Promise<unknown[]> => (await connectionsOf(site)).map(({ label, state }) => [label, state]);
    await expect.poll(left, { timeout: longest, interval: 200 }).toEqual([
      ['/quiet', 'healthy'],
      ['/quiet-gzip', 'healthy'],
    ]);
    const before = client.messages.length;
    client.kill('SIGCONT');
    for (const kind of ['sse', 'sse-gzip'])
      await client.until(
        (message, index) => index >= before && message['kind'] === kind && message['event'] === 'beat',
      );
  });

  it('costs no memory: what it does not take is not made', async () => {
    // Nine connections, and what Node keeps for the next ones.
    expect((await site.ask<number>('memory', 'memory')) - memoryBefore).toBeLessThan(16 * 1024 * 1024);
    expect(site.server.messages.filter((message) => 'fault' in message)).toEqual([]);
  });
});

describe.concurrent('a client process that is stopped, and goes on in time', { timeout: 90_000 }, () => {
  it.for(['count', 'count-h2'])(
    'has lost nothing: %s',
    { timeout: 150_000 },
    async (kind, { expect, onTestFinished }) => {
      const site = await openSite({ every: 500, writeDeadline: 500, grace: 15_000, readDeadline: 60_000 });
      onTestFinished(() => site.close());
      const client = await site.connect(kind);
      client.kill('SIGSTOP');
      const late = await site.server.until((message) => message['state'] === 'write-late', 60_000);
      // The outbox of an event stream, and what Node holds below it.
      for (const { bufferedBytes } of await connectionsOf(site)) expect(bufferedBytes).toBeLessThan(256 * 1024);
      client.kill('SIGCONT');
      expect(await client.until((message) => message['event'] === 'end', 60_000)).toMatchObject({
        events: 3000,
        inOrder: true,
        rest: '',
      });
      expect(
        await site.server.until((message) => message['event'] === 'end' && message['id'] === late['id'], 60_000),
      ).toMatchObject({ reason: 'ended' });
      expect(site.server.messages.filter(({ state }) => state === 'dead')).toEqual([]);
    },
  );

  it('keeps its WebSocket, and its session of HTTP/2', async ({ expect, onTestFinished }) => {
    const site = await openSite({ every: 300, minInterval: 300, grace: 15_000 });
    onTestFinished(() => site.close());
    const client = await site.connect('websocket', 'http2', 'socket');
    client.kill('SIGSTOP');
    for (const transport of ['websocket', 'http2', 'socket'])
      await site.server.until(
        (message) => message['transport'] === transport && message['state'] === 'read-late',
        60_000,
      );
    client.kill('SIGCONT');
    for (const transport of ['websocket', 'http2', 'socket'])
      await site.server.until(
        (message) => message['transport'] === transport && message['state'] === 'healthy',
        60_000,
      );
    await expect
      .poll(() => site.ask('stats', 'stats'), { timeout: 30_000 })
      .toMatchObject({ connections: 4, unresponsive_ratio: 0, ended: {} });
  });
});

/** HTTP/2 that opens its windows as wide as it can, and then never reads again. */
function floodSession({ onTestFinished }: TestContext, port: number, coding: string): void {
  const socket = net.connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined).pause();
  const settings = Buffer.alloc(6);
  settings.writeUInt16BE(4, 0);
  settings.writeUInt32BE(2 ** 31 - 1, 2);
  const credit = Buffer.alloc(4);
  credit.writeUInt32BE(2 ** 31 - 1 - 65_535);
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  socket.write(
    Buffer.concat([
      frame('SETTINGS', 0, 0, settings),
      frame('WINDOW_UPDATE', 0, 0, credit),
      getFrame(1, '/', { 'accept-encoding': coding }),
    ]),
  );
}

describe.concurrent('a raw socket that never reads', { timeout: 100_000 }, () => {
  it.for([
    ['http1', 'identity'],
    ['http1', 'gzip'],
    ['http2', 'identity'],
    ['http2', 'gzip'],
  ] as const)('is given up as a slow consumer over %s, with %s', async ([protocol, coding], context) => {
    const service = await serveIn(context, protocol, flood, { readDeadline: Infinity });
    if (protocol === 'http1') readByHand(context, service.running.port, coding);
    else floodSession(context, service.running.port, coding);
    let most = 0;
    await until(
      () => {
        most = Math.max(most, service.buffered());
        return service.ends.length > 0;
      },
      undefined,
      90_000,
    );
    context.expect(service.ends).toEqual(['slow-consumer']);
    // Over HTTP/2 the session may be given up first, and takes it along.
    context.expect(service.states.slice(0, 1)).toEqual(['write-late']);
    context.expect(most).toBeLessThan(256 * 1024);
    await until(() => service.registry.stats().connections === 0);
  });

  it('is given up at once by `maxBuffered`, where its handler does not wait for it', async (context) => {
    const service = await serveIn(
      context,
      'http1',
      (_req, res) => {
        (res as ServerResponse).writeHead(200, { 'content-type': 'text/event-stream' });
        const timer = setInterval(() => (res as ServerResponse).write(`data: ${noise(65_000)}\n\n`), 1);
        (res as ServerResponse).on('close', () => clearInterval(timer));
      },
      { writeDeadline: '1h', maxBuffered: '1mb' },
    );
    readByHand(context, service.running.port);
    let most = 0;
    await until(() => {
      most = Math.max(most, service.buffered());
      return service.ends.length > 0;
    });
    context.expect(service.ends).toEqual(['slow-consumer']);
    context.expect(most).toBeLessThan(1024 * 1024 + 2 * 65_536);
  });
});
