import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  type ChildProcessHandle,
  type Link,
  type LinkEnd,
  type LinkOptions,
  needRoot,
  openLink,
} from '../support/netns.ts';
import { settles } from '../support/until.ts';

const timeout = 120_000;
const tcp = fileURLToPath(new URL('fixtures/tcp.js', import.meta.url));

/** A link for one test. */
async function makeLink(options?: LinkOptions): Promise<Link> {
  const link = await openLink(options);
  onTestFinished(() => link.close());
  return link;
}

interface Echo {
  readonly server: ChildProcessHandle;
  readonly client: ChildProcessHandle;
}

/** A connection through the link, to a server that sends back what it gets. */
async function connectEcho(link: Link, family: keyof LinkEnd & `address${string}` = 'address'): Promise<Echo> {
  const server = link.server.spawnNode(tcp, ['server']);
  const { port } = await server.until((message) => 'port' in message);
  const client = link.client.spawnNode(tcp, ['client', String(port), link.server[family]]);
  await client.until(({ event }) => event === 'connect');
  return { server, client };
}

/** Waits until a process got those bytes, and no others. */
async function gets(process: ChildProcessHandle, text: string): Promise<void> {
  const { hash } = await process.until(({ length }) => Number(length) >= text.length, 5 * timeout);
  expect(hash).toBe(createHash('sha256').update(text).digest('hex'));
}

const namespaces = (): string => execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });

if (needRoot('half-open connections')) {
  describe('the link of the tests', { timeout }, () => {
    it.each(['address', 'address6'] as const)('carries TCP, to the %s of an end', async (family) => {
      const link = await makeLink();
      const { server, client } = await connectEcho(link, family);
      client.send({ text: 'there and back' });
      await gets(client, 'there and back');
      await gets(server, 'there and back');
      const { toClient, toServer } = await link.stats();
      expect([toClient.dropped, toServer.dropped]).toEqual([0, 0]);
      expect(Math.min(toClient.passed, toServer.passed)).toBeGreaterThan(2);
    });

    it('is silent to both sides while it is cut, and goes on when it is mended', async () => {
      const link = await makeLink();
      const { server, client } = await connectEcho(link);
      client.send({ text: 'before.' });
      await gets(client, 'before.');
      await gets(server, 'before.');
      await link.cut();
      const before = await link.stats();
      const said = [server.messages.length, client.messages.length];
      client.send({ text: 'meanwhile.' });
      await pause(2000);
      expect([server.messages.length, client.messages.length]).toEqual(said);
      const after = await link.stats();
      expect(after.toServer.dropped).toBeGreaterThan(before.toServer.dropped);
      expect([after.toClient.passed, after.toServer.passed]).toEqual([before.toClient.passed, before.toServer.passed]);
      await link.mend();
      await gets(client, 'before.meanwhile.');
      client.send({ text: 'afterwards.' });
      await gets(client, 'before.meanwhile.afterwards.');
      expect([...server.messages, ...client.messages].filter(({ event }) => event !== undefined)).toEqual([
        { event: 'connect' },
      ]);
    });

    // At such a loss TCP may be silent for a minute, when it has bad luck with one packet.
    it('loses what it is told to, and TCP gets everything through nevertheless', { timeout: 5 * timeout }, async () => {
      const link = await makeLink();
      const { server, client } = await connectEcho(link);
      await link.set({ loss: 0.3, delay: 150 });
      const text = 'a line of twenty byt'.repeat(5000);
      client.send({ text });
      await gets(server, text);
      const { toClient, toServer } = await link.stats();
      expect(Math.min(toClient.dropped, toServer.dropped)).toBeGreaterThan(10);
    });

    it('loses in one direction what passes in the other', async () => {
      const link = await makeLink();
      const { server, client } = await connectEcho(link);
      await link.set({ loss: { toClient: 1 } });
      client.send({ text: 'one way' });
      await gets(server, 'one way');
      await pause(500);
      await expect.poll(async () => (await link.stats()).toClient.dropped, { timeout: 20_000 }).toBeGreaterThan(0);
      expect(client.messages).toEqual([{ event: 'connect' }]);
      expect((await link.stats()).toServer.dropped).toBe(0);
      await link.set({ loss: 0 });
      await gets(client, 'one way');
    });

    it('refuses what is no condition', async () => {
      const link = await makeLink();
      await expect(link.set({ loss: 1.5 })).rejects.toThrow('loss-ab cannot be 1.5');
      await expect(link.set({ delay: -1 })).rejects.toThrow('delay cannot be -1');
    });

    it('is gone when it is closed, with its namespaces and with what runs in them', async () => {
      const [link, other] = await Promise.all([makeLink(), makeLink()]);
      const { server, client } = await connectEcho(link);
      for (const { netns } of [link.server, link.client, other.server, other.client])
        expect(namespaces()).toContain(netns);
      await link.close();
      for (const { netns } of [link.server, link.client]) expect(namespaces()).not.toContain(netns);
      for (const { netns } of [other.server, other.client]) expect(namespaces()).toContain(netns);
      for (const child of [server, client])
        expect(await settles(child.exit)).toMatchObject({ signal: 'SIGKILL', stderr: '' });
    });
  });
} else {
  describe('the link of the tests', () => {
    it('says what it lacks where it cannot be made', async () => {
      await expect(openLink()).rejects.toThrow(/^No link can be made: .{10}/);
    });
  });
}
