import { fileURLToPath } from 'node:url';
import { describe, expect, it, type TestContext } from 'vitest';
import { type ChildProcessHandle, type Link, type LinkEnd, type LinkOptions, needRoot, openLink } from '../support/netns.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}.js`, import.meta.url));

// By what the registry of the server knows it.
const transports: Readonly<Record<string, { transport: string; label?: string }>> = {
  sse: { transport: 'http1', label: '/quiet' },
  'sse-gzip': { transport: 'http1', label: '/quiet-gzip' },
  http2: { transport: 'http2' },
  websocket: { transport: 'websocket', label: '/ws' },
  socket: { transport: 'socket' },
};
const kinds = Object.keys(transports);

interface Site {
  readonly link: Link;
  readonly server: ChildProcessHandle;
  readonly client: ChildProcessHandle;
}

interface SiteOptions extends LinkOptions {
  readonly every: number;
  readonly family?: keyof LinkEnd & `address${string}`;
}

/** A server with one client of each kind, behind a link. */
async function makeSite({ onTestFinished }: TestContext, { every, family = 'address', ...options }: SiteOptions): Promise<Site> {
  const link = await openLink(options);
  onTestFinished(() => link.close());
  // Over HTTP/2 no faster than every 10 s, as by default: its event stream is what makes the difference.
  const server = link.server.spawnNode(fixture('watched-server'), [JSON.stringify({ every })]);
  const { ports } = await server.until((message) => 'ports' in message);
  const client = link.client.spawnNode(fixture('watched-client'), [JSON.stringify({ host: link.server[family], ports, kinds, every })]);
  for (const kind of kinds) await client.until((message) => message['kind'] === kind && message['event'] === 'open', 60_000);
  return { link, server, client };
}

interface Stats {
  readonly connections: number;
  readonly ended: Record<string, number>;
}

async function statsOf({ server }: Site): Promise<Stats> {
  const before = server.messages.length;
  server.send({ ask: 'stats' });
  const { stats } = await server.until((message, index) => index >= before && 'stats' in message);
  return stats as Stats;
}

/** Waits for the end of a connection, and tells why it was and how long after a moment. */
async function endOf({ server }: Site, kind: string, since: number, limit: number): Promise<{ reason: unknown; after: number }> {
  const { transport, label } = transports[kind] ?? {};
  const { reason } = await server.until((message) => message['event'] === 'end' && message['transport'] === transport && message['label'] === label, limit);
  return { reason, after: performance.now() - since };
}

if (needRoot('half-open connections')) {
  describe.concurrent('a client that is gone without a word', () => {
    // The promise: two heartbeats and 10 s.
    it.for([
      [1000, 'address'],
      [2000, 'address6'],
    ] as const)('is seen and ended in time, with a heartbeat every %i ms and over %s', { timeout: 90_000 }, async ([every, family], context) => {
      const site = await makeSite(context, { every, family });
      // Some heartbeats first, which were answered.
      for (const kind of ['sse', 'sse-gzip', 'websocket', 'socket']) await site.client.until((message) => message['kind'] === kind && message['event'] === 'beat', 30_000);
      await site.link.cut();
      const since = performance.now();
      const limit = 2 * every + 10_000;
      const ends = await Promise.all(kinds.map((kind) => endOf(site, kind, since, limit + 20_000)));
      expect(ends.map(({ reason }) => reason)).toEqual(kinds.map(() => 'heartbeat-timeout'));
      for (const { after } of ends) expect(after).toBeLessThan(limit);
      // Its client had no FIN and no reset; the stream over HTTP/2 ended with its session.
      expect(site.client.messages.filter(({ event }) => event === 'close' || event === 'error')).toEqual([]);
      await site.server.until((message) => message['reason'] === 'heartbeat-timeout' && message['transport'] === 'http2-stream');
      expect(await statsOf(site)).toMatchObject({ connections: 0, ended: { 'heartbeat-timeout': kinds.length + 1 } });
    });

    it('is kept when it is back before its time is over, and nothing is lost', { timeout: 60_000 }, async (context) => {
      const site = await makeSite(context, { every: 1000 });
      await site.link.cut();
      for (const transport of ['http1', 'websocket', 'socket']) await site.server.until((message) => message['transport'] === transport && message['state'] === 'read-late', 20_000);
      await site.link.mend();
      for (const transport of ['http1', 'websocket', 'socket']) await site.server.until((message) => message['transport'] === transport && message['state'] === 'healthy', 20_000);
      expect(await statsOf(site)).toMatchObject({ connections: kinds.length + 1, ended: {}, unresponsive_ratio: expect.any(Number) as number });
      expect(site.client.messages.filter(({ event }) => event === 'close' || event === 'error')).toEqual([]);
    });
  });

  describe.concurrent('a bad network', () => {
    it('costs nobody the connection, with 30 % of all packets lost and 300 ms of latency for a minute', { timeout: 150_000 }, async (context) => {
      const site = await makeSite(context, { every: 15_000, delay: 150 });
      await site.link.set({ loss: 0.3 });
      await new Promise((resolve) => setTimeout(resolve, 60_000));
      expect(await statsOf(site)).toMatchObject({ connections: kinds.length + 1, ended: {} });
      expect(site.server.messages.filter(({ event }) => event === 'end')).toEqual([]);
    });
  });
} else {
  it('needs root, to make networks of its own', async () => {
    await expect(openLink()).rejects.toThrow();
  });
}
