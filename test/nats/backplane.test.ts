import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Backplane, type Channel, createChannel } from '../../src/channel/index.ts';
import { serveChannel } from '../channel/site.ts';
import { codesOf, expectNothingLost, type Instance, publishThrough, textsOf } from '../redis/storm.ts';
import { lacksNats, type NatsServer, startNats } from '../support/nats-server.ts';
import { until } from '../support/until.ts';
import { connectTo, loadAdapter, type NatsBackplaneOptions } from './adapter.ts';

// The backplane that docs/nats.md shows, as it stands there.

const { code, natsBackplane, backplaneChecks, remove } = await loadAdapter();
afterAll(remove);

const limits = { count: 100_000, bytes: 1e8 };

/** Opens the log of a channel, and reads what it has. */
async function logOf(backplane: Backplane, name: string): Promise<string[]> {
  const log = backplane.open(name, limits, { entries: () => undefined, lost: () => undefined });
  const page = await log.read(await log.start('earliest'), limits.count);
  log.close();
  if (page.lost !== undefined) throw new Error(page.lost);
  return page.entries.flatMap(({ data }) => data ?? []);
}

it('is as long as docs/channel.md says', () => {
  expect(code.split('\n').length / 100).toBeCloseTo(4, 0);
});

describe.each(lacksNats('the backplane of docs/nats.md') ? [] : ['docs/nats.md'])('the backplane of %s', () => {
  let nats: NatsServer;
  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(() => nats.stop());

  for (const { name, run } of backplaneChecks(async (space) =>
    natsBackplane(await connectTo(nats.url), { name: space }),
  ))
    it(name, run);

  /** The backplane of one process, until the test is over. */
  async function connected(options: NatsBackplaneOptions): Promise<{ nc: NatsConnection; backplane: Backplane }> {
    const nc = await connectTo(nats.url);
    const backplane = await natsBackplane(nc, { timeout: 300, ...options });
    onTestFinished(() => backplane.close());
    return { nc, backplane };
  }

  function channelOn(backplane: Backplane, name: string): Channel {
    const channel = createChannel({ name, backplane, history: { count: 100_000, bytes: '100mb' } });
    onTestFinished(() => channel.close());
    return channel;
  }

  async function startInstance(name: string): Promise<Instance> {
    const { backplane } = await connected({ name });
    const channel = channelOn(backplane, 'numbers');
    const site = await serveChannel(channel, { from: 'earliest' });
    const visitors = await Promise.all(Array.from({ length: 10 }, () => site.join()));
    await until(() => channel.subscribers().length === visitors.length);
    return { channel, visitors };
  }

  it('loses nothing when NATS is killed and started again, and tells the publishers', async () => {
    const instances = [await startInstance('killed'), await startInstance('killed')];
    const published = await publishThrough(instances, async ({ failed }) => {
      await nats.kill();
      await until(() => failed.length > 20);
      await nats.start();
    });
    expect(codesOf(published.failed)).toEqual(['ERR_SLUICE_BACKPLANE_UNAVAILABLE']);
    const { backplane } = await connected({ name: 'killed' });
    await expectNothingLost(await logOf(backplane, 'numbers'), instances, published);
  });

  it('tells every client of a reset when the stream was deleted, and goes on with a new one', async () => {
    const { nc, backplane } = await connected({ name: 'deleted' });
    const channel = channelOn(backplane, 'numbers');
    const site = await serveChannel(channel, { from: 'earliest' });
    const visitor = await site.join();
    const old = await channel.publish('old');
    await visitor.count(1);
    await (await jetstreamManager(nc)).streams.delete('deleted');
    // The first that finds it gone is told.
    await expect(channel.publish('refused')).rejects.toMatchObject({ code: 'ERR_SLUICE_BACKPLANE_UNAVAILABLE' });
    await channel.publish('new');
    await visitor.count(3);
    expect(textsOf(visitor)).toEqual(['old', 'sluice.reset', 'new']);
    const late = await site.join({ 'last-event-id': old });
    await late.count(2);
    expect(textsOf(late)).toEqual(['sluice.reset', 'new']);
  });

  it('tells of events that are too old; a quiet channel with clients is kept', async () => {
    const { backplane } = await connected({ name: 'old', ttl: 2000 });
    const forgotten = backplane.open('forgotten', limits, { entries: () => undefined, lost: () => undefined });
    const got: (string | undefined)[] = [];
    const quiet = backplane.open('quiet', limits, {
      entries: (list) => void got.push(...list.map(({ data }) => data)),
      lost: () => void got.push('lost'),
    });
    await quiet.listen();
    const start = await forgotten.start('now');
    const place = await quiet.append({ data: 'a' }, {});
    await forgotten.append({ data: 'gone' }, {});
    const old = { timeout: 60_000, interval: 100 };
    await expect.poll(() => forgotten.read(start, 9), old).toEqual({ lost: 'gap' });
    // A client that has an event which is gone has missed nothing.
    await expect.poll(async () => quiet.read(await quiet.start('earliest'), 9), old).toMatchObject({ entries: [] });
    await quiet.append({ data: 'b' }, {});
    expect(await quiet.read(place, 9)).toMatchObject({ entries: [{ data: 'b' }] });
    await until(() => got.length >= 2);
    expect(got).toEqual(['a', 'b']);
    quiet.close();
    forgotten.close();
  });
});
