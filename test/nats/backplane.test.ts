import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Backplane, type Channel, type ChannelLog, createChannel } from '../../src/channel/index.ts';
import { ended, Script, serveAnswers, told } from '../channel/resumable/site.ts';
import { serveChannel } from '../channel/site.ts';
import { codesOf, expectNothingLost, type Instance, publishThrough, textsOf } from '../redis/storm.ts';
import { lacksNats, type NatsServer, startNats } from '../support/nats-server.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';
import { connectTo, loadAdapter, type NatsBackplaneOptions } from './adapter.ts';

// The backplane that docs/nats.md shows, as it stands there.

const { code, sluice, natsBackplane, backplaneChecks, remove } = await loadAdapter();
afterAll(remove);

const limits = { count: 100_000, bytes: 1e8 };

// Every 30 s the backplane looks for what no message told of. What it is told of comes before.
const untold = 20_000;

/** Opens a log. `got`: the data that its receiver got, and `lost`. */
function openLog(backplane: Backplane, name: string): { log: ChannelLog; got: (string | undefined)[] } {
  const got: (string | undefined)[] = [];
  const log = backplane.open(name, limits, {
    entries: (list) => void got.push(...list.map(({ data }) => data)),
    lost: () => void got.push('lost'),
  });
  onTestFinished(() => log.close());
  return { log, got };
}

/** What a log has. */
async function dataOf(backplane: Backplane, name: string): Promise<string[]> {
  const { log } = openLog(backplane, name);
  const page = await log.read(await log.start('earliest'), limits.count);
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
  async function connected(
    options: NatsBackplaneOptions,
    url = nats.url,
  ): Promise<{ nc: NatsConnection; backplane: Backplane }> {
    const nc = await connectTo(url);
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
    await expectNothingLost(await dataOf(backplane, 'numbers'), instances, published);
  });

  it('fails with one error while NATS is away, whatever it is asked', async () => {
    const { backplane } = await connected({ name: 'away' });
    const { log } = openLog(backplane, 'numbers');
    const id = await log.append({ data: 'a' }, {});
    await nats.kill();
    onTestFinished(() => nats.start());
    const asked = await Promise.allSettled([
      log.append({ data: 'b' }, {}),
      log.read(id, 9),
      log.start('now'),
      log.latest(),
      log.claim(1000),
      log.renew('1', 1000),
      log.release('1'),
      log.isClaimed(),
    ]);
    expect(asked.map((answer) => answer.status === 'rejected' && answer.reason.code)).toEqual(
      asked.map(() => 'ERR_SLUICE_BACKPLANE_UNAVAILABLE'),
    );
    const answers = await serveAnswers({ backplane });
    expect((await answers.start()).status).toBe(503);
  });

  it('lets clients wait that come while NATS is away', async () => {
    const { backplane } = await connected({ name: 'waiting' });
    const channel = sluice.createChannel({ name: 'numbers', backplane });
    onTestFinished(() => channel.close());
    const site = await serveChannel(channel);
    let live = 0;
    onTestFinished(sluice.subscribe('sluice:channel:subscribe', () => void (live += 1)));
    const first = await site.join();
    await until(() => live === 1);
    const id = await channel.publish('before');
    await first.count(1);
    const errors: unknown[] = [];
    onTestFinished(sluice.subscribe('sluice:channel:error', ({ error }) => errors.push(error)));
    await nats.kill();
    const late = await Promise.all([site.join({ 'last-event-id': id }), site.join()]);
    await until(() => errors.length >= late.length);
    await nats.start();
    await until(() => live === 1 + late.length);
    await channel.publish('after');
    await Promise.all(late.map((visitor) => visitor.count(1)));
    expect(late.map(textsOf)).toEqual([['after'], ['after']]);
    expect(codesOf(errors)).toEqual(['ERR_SLUICE_BACKPLANE_UNAVAILABLE']);
  });

  it('reads what it missed while its network was dark, although nothing follows', async () => {
    const proxy = await startTcpProxy(nats.port);
    onTestFinished(() => proxy.close());
    const { backplane: away } = await connected({ name: 'dark' }, `nats://127.0.0.1:${String(proxy.port)}`);
    const { backplane: there } = await connected({ name: 'dark' });
    const { log, got } = openLog(away, 'numbers');
    await log.listen();
    proxy.darken();
    await openLog(there, 'numbers').log.append({ data: 'missed' }, {});
    proxy.lighten();
    await until(
      () => got.length > 0,
      () => 'nothing was read',
      untold,
    );
    expect(got).toEqual(['missed']);
  });

  it('appends an event once although the answer of NATS was lost', async () => {
    const proxy = await startTcpProxy(nats.port);
    onTestFinished(() => proxy.close());
    const { backplane } = await connected({ name: 'unanswered' }, `nats://127.0.0.1:${String(proxy.port)}`);
    const { log } = openLog(backplane, 'numbers');
    const first = await log.append({ data: 'a' }, {});
    const lost = proxy.loseReply((data) => /\{"stream":"unanswered", *"seq":\d+\}/.test(String(data)));
    const second = await log.append({ data: 'b' }, {});
    await lost;
    expect(log.compare(first, second)).toBeLessThan(0);
    await log.append({ data: 'c' }, {});
    expect(await dataOf(backplane, 'numbers')).toEqual(['a', 'b', 'c']);
  });

  it('has answers that continue at any process', async () => {
    const script = new Script();
    const [one, two] = [await connected({ name: 'answers' }), await connected({ name: 'answers' })];
    const producer = await serveAnswers({ script, backplane: one.backplane });
    const other = await serveAnswers({ script, backplane: two.backplane });
    const first = await producer.start();
    script.yields('a', 'b');
    await first.count(2);
    first.destroy();
    script.yields('c');
    const resumed = await other.resume('a', { 'Last-Event-ID': first.lastEventId });
    script.returns({ tokens: 3 });
    await resumed.over;
    expect(told(resumed)).toEqual(['c', 'sluice.end {"status":"done"}']);
    expect(await ended(producer)).toMatchObject([{ status: 'done', value: { tokens: 3 } }]);
    expect([other.ends.length, script.begun]).toEqual([0, 1]);
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
    await until(
      () => visitor.events.length >= 3,
      () => visitor.text,
      untold,
    );
    expect(textsOf(visitor)).toEqual(['old', 'sluice.reset', 'new']);
    const late = await site.join({ 'last-event-id': old });
    await late.count(2);
    expect(textsOf(late)).toEqual(['sluice.reset', 'new']);
  });

  it('tells of events that are too old; a quiet channel with clients is kept', async () => {
    const { backplane } = await connected({ name: 'old', ttl: 2000 });
    const { log: forgotten } = openLog(backplane, 'forgotten');
    const { log: quiet, got } = openLog(backplane, 'quiet');
    await quiet.listen();
    const starts = [await forgotten.start('now'), await quiet.start('now')] as const;
    const place = await quiet.append({ data: 'a' }, {});
    await forgotten.append({ data: 'gone' }, {});
    const old = { timeout: 60_000, interval: 100 };
    await expect.poll(() => forgotten.read(starts[0], 9), old).toEqual({ lost: 'gap' });
    await expect.poll(async () => quiet.read(await quiet.start('earliest'), 9), old).toMatchObject({ entries: [] });
    await quiet.append({ data: 'b' }, {});
    expect(await quiet.read(starts[1], 9)).toEqual({ lost: 'gap' });
    // A client that has the event which is gone has missed nothing.
    expect(await quiet.read(place, 9)).toMatchObject({ entries: [{ data: 'b' }] });
    await until(() => got.length >= 2);
    expect(got).toEqual(['a', 'b']);
  });
});
