import { fileURLToPath } from 'node:url';
import { describe, expect, it, type TestContext } from 'vitest';
import {
  type ChildProcessHandle,
  type Link,
  type LinkEnd,
  type LinkOptions,
  needRoot,
  openLink,
} from '../support/netns.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}.js`, import.meta.url));

// By what the registry of the server knows it.
const transports: Readonly<Record<string, { transport: string; label?: string }>> = {
  sse: { transport: 'http1', label: '/quiet' },
  'sse-gzip': { transport: 'http1', label: '/quiet-gzip' },
  'sse-none': { transport: 'http1', label: '/quiet-none' },
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
  readonly grace?: number;
  readonly family?: keyof LinkEnd & `address${string}`;
}

/** A server with one client of each kind, behind a link. */
async function makeSite(
  { onTestFinished }: TestContext,
  { every, grace, family = 'address', ...options }: SiteOptions,
): Promise<Site> {
  const link = await openLink(options);
  onTestFinished(() => link.close());
  // Over HTTP/2 no faster than every 10 s, as by default: its event stream is what makes the difference.
  const server = link.server.spawnNode(fixture('watched-server'), [JSON.stringify({ every, grace })]);
  const { ports } = await server.until((message) => 'ports' in message);
  const client = link.client.spawnNode(fixture('watched-client'), [
    JSON.stringify({ host: link.server[family], ports, kinds, every }),
  ]);
  for (const kind of kinds)
    await client.until((message) => message['kind'] === kind && message['event'] === 'open', 60_000);
  return { link, server, client };
}

interface Look {
  readonly stats: { readonly connections: number; readonly ended: Record<string, number> };
  readonly connections: readonly { readonly roundTrip?: number }[];
}

async function lookAt({ server }: Site): Promise<Look> {
  const before = server.messages.length;
  server.send({ ask: 'stats' });
  return (await server.until((message, index) => index >= before && 'stats' in message)) as unknown as Look;
}

async function statsOf(site: Site): Promise<Look['stats']> {
  return (await lookAt(site)).stats;
}

/**
 * The same with some heartbeats, which were answered at once: where one took a third of the time that makes a way a
 * long one, because the machine was away, its peer would be given the time of a long way, and another site is made.
 */
async function makeNearSite(context: TestContext, options: SiteOptions): Promise<Site> {
  for (let tries = 1; ; tries += 1) {
    const site = await makeSite(context, options);
    const hasBeat = (kind: string): boolean =>
      site.client.messages.some((message) => message['kind'] === kind && message['event'] === 'beat');
    let [isDone, slowest] = [false, 0];
    while (!isDone) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      isDone = ['sse', 'sse-gzip', 'sse-none', 'websocket', 'socket'].every(hasBeat);
      slowest = Math.max(slowest, ...(await lookAt(site)).connections.map(({ roundTrip }) => roundTrip ?? 0));
    }
    if (slowest < 120 || tries === 20) return site;
    await site.link.close();
  }
}

/** Waits for the end of a connection, and tells why it was. */
async function endOf({ server }: Site, kind: string, limit: number): Promise<unknown> {
  const { transport, label } = transports[kind] ?? {};
  const { reason } = await server.until(
    (message) => message['event'] === 'end' && message['transport'] === transport && message['label'] === label,
    limit,
  );
  return reason;
}

if (needRoot('half-open connections')) {
  describe.concurrent('a client that is gone without a word', () => {
    // The promise is two heartbeats and 10 s. A busy machine may add 20 s; TCP itself would take 15 minutes.
    it.for([
      [1000, 'address'],
      [2000, 'address6'],
    ] as const)(
      'is seen and ended in time, with a heartbeat every %i ms and over %s',
      { timeout: 300_000 },
      async ([every, family], context) => {
        const site = await makeNearSite(context, { every, family });
        await site.link.cut();
        const limit = 2 * every + 10_000;
        const reasons = await Promise.all(kinds.map((kind) => endOf(site, kind, limit + 20_000)));
        expect(reasons).toEqual(kinds.map(() => 'heartbeat-timeout'));
        // Its client had no FIN and no reset; the stream over HTTP/2 ended with its session.
        expect(site.client.messages.filter(({ event }) => event === 'close' || event === 'error')).toEqual([]);
        await site.server.until(
          (message) => message['reason'] === 'heartbeat-timeout' && message['transport'] === 'http2-stream',
        );
        expect(await statsOf(site)).toMatchObject({ connections: 0, ended: { 'heartbeat-timeout': kinds.length + 1 } });
      },
    );

    it(
      'is kept when it is back before its time is over, and nothing is lost',
      { timeout: 120_000 },
      async (context) => {
        // What the network sends again, it sends at longer and longer intervals.
        const site = await makeSite(context, { every: 1000, grace: 30_000 });
        await site.link.cut();
        for (const transport of ['http1', 'websocket', 'socket'])
          await site.server.until(
            (message) => message['transport'] === transport && message['state'] === 'read-late',
            20_000,
          );
        await site.link.mend();
        for (const transport of ['http1', 'websocket', 'socket'])
          await site.server.until(
            (message) => message['transport'] === transport && message['state'] === 'healthy',
            40_000,
          );
        expect(await statsOf(site)).toMatchObject({
          connections: kinds.length + 1,
          ended: {},
          unresponsive_ratio: expect.any(Number) as number,
        });
        expect(site.client.messages.filter(({ event }) => event === 'close' || event === 'error')).toEqual([]);
      },
    );
  });

  describe.concurrent('a bad network', () => {
    it(
      'costs no client the connection, with 30 % of all packets lost and 300 ms of latency for a minute',
      { timeout: 150_000 },
      async (context) => {
        const site = await makeSite(context, { every: 15_000, delay: 150 });
        await site.link.set({ loss: 0.3 });
        await new Promise((resolve) => setTimeout(resolve, 60_000));
        expect(await statsOf(site)).toMatchObject({ connections: kinds.length + 1, ended: {} });
        expect(site.server.messages.filter(({ event }) => event === 'end')).toEqual([]);
      },
    );
  });
} else {
  it('needs root, to make networks of its own', async () => {
    await expect(openLink()).rejects.toThrow();
  });
}
