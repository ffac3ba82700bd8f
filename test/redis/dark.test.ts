import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ChildProcessHandle, type Link, needRoot, openLink } from '../support/netns.ts';
import { settles } from '../support/until.ts';
import { expectWhole } from './storm.ts';

// Redis on the other side of a network that drops all packets: no reset, and what was sent before may arrive late.

const program = fileURLToPath(new URL('dark-instance.js', import.meta.url));

// 200 events a second for 200 clients, by two instances.
const clients = 100;

interface Stopped {
  readonly confirmed: readonly string[];
}

interface Over {
  /** What clients got, and how many of them the same. */
  readonly lists: readonly { readonly texts: readonly string[]; readonly clients: number }[];
  readonly log: readonly string[];
}

async function linkToRedis(): Promise<{ link: Link; url: string }> {
  const link = await openLink();
  onTestFinished(() => link.close());
  const settings = ['--bind', link.server.address, '--protected-mode', 'no', '--save', '', '--logfile', '/dev/null'];
  link.server.spawn('redis-server', ['--port', '6379', ...settings]);
  return { link, url: `redis://${link.server.address}:6379` };
}

function startInstance(link: Link, options: object): ChildProcessHandle {
  return link.client.spawnNode(program, [JSON.stringify({ name: 'one', clients: 0, timeout: 400, ...options })]);
}

async function untilDropped(link: Link, packets: number): Promise<void> {
  while ((await link.stats()).toServer.dropped < packets);
}

const isEvent =
  (event: string, least = 0, from = 0) =>
  (message: Readonly<Record<string, unknown>>, index: number): boolean =>
    index >= from && message['event'] === event && Number(message['count'] ?? least) >= least;

describe.each(needRoot('Redis in the dark') ? ['dropped packets'] : [])('%s', () => {
  it('cost no client an event: publishers wait, or are told', async () => {
    const { link, url } = await linkToRedis();
    const waits = startInstance(link, { url, name: 'waits', clients, wait: '60s' });
    const fails = startInstance(link, { url, name: 'fails', clients });
    const both = [waits, fails];
    for (const each of both) await each.until(isEvent('ready'));
    for (const each of both) each.send({ command: 'publish' });
    for (const each of both) await each.until(isEvent('confirmed', 50));

    const before = both.map(({ messages }) => messages.length);
    await link.cut();
    for (const [index, each] of both.entries())
      for (const use of ['commands', 'subscriptions'])
        await each.until((message, at) => isEvent('down', 0, before[index])(message, at) && message['use'] === use);
    // Two seconds of events.
    await fails.until(isEvent('failed', 200));
    await link.mend();

    for (const each of both) {
      const counts = each.messages.filter(isEvent('confirmed')).map(({ count }) => Number(count));
      await each.until(isEvent('confirmed', Math.max(...counts) + 100));
    }
    for (const each of both) each.send({ command: 'stop' });
    const stopped = await Promise.all(both.map((each) => each.until(isEvent('stopped')) as Promise<unknown>));
    waits.send({ command: 'end' });
    const over = (await Promise.all(both.map((each) => each.until(isEvent('over')) as Promise<unknown>))) as Over[];

    const { log } = over[0]!;
    expectWhole(
      log,
      (stopped as Stopped[]).flatMap(({ confirmed }) => confirmed),
    );
    for (const { lists } of over) {
      for (const { texts } of lists) expect(texts).toEqual(log);
      expect(lists).toHaveLength(1);
      expect(lists[0]!.clients).toBe(clients);
    }
    const codes = fails.messages.filter(isEvent('failed')).map(({ code }) => code);
    expect([...new Set(codes)]).toEqual(['ERR_SLUICE_BACKPLANE_UNAVAILABLE']);
    expect(waits.messages.filter(isEvent('failed'))).toEqual([]);
    expect((await link.stats()).toServer.dropped).toBeGreaterThan(0);
  });

  it('do not hold a process that closes its backplane', async () => {
    const { link, url } = await linkToRedis();
    await link.cut();
    const instance = startInstance(link, { url, clients: 1, timeout: 100_000, wait: '5m' });
    await instance.until(isEvent('ready'));
    instance.send({ command: 'publish' });
    // It is connecting, in vain.
    await settles(untilDropped(link, 2));
    instance.send({ command: 'close' });
    expect(await settles(instance.exit, 20_000)).toMatchObject({ code: 0 });
  });
});
