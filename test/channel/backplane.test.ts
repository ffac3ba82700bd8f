import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { expect, it, onTestFinished } from 'vitest';
import { type Backplane, createMemoryBackplane, type LogReceiver } from '../../src/index.ts';
import { settles, until } from '../support/until.ts';
import { channelOf, dataOf, serveChannel } from './site.ts';

/** A memory backplane whose receiver a test has in its hand. */
function openBackplane(): { backplane: Backplane; receiver: () => LogReceiver } {
  const memory = createMemoryBackplane();
  const receivers: LogReceiver[] = [];
  return {
    backplane: {
      open(channel, limits, receiver) {
        receivers.push(receiver);
        return memory.open(channel, limits, receiver);
      },
      close: () => memory.close(),
    },
    receiver: () => receivers[0] as LogReceiver,
  };
}

it('clients are told of entries that the backplane has lost, also those with a filter', async () => {
  const { backplane, receiver } = openBackplane();
  const channel = channelOf({ backplane });
  const site = await serveChannel(channel);
  const filtered = await serveChannel(channel, { filter: () => false });
  const [client, other] = [await site.join(), await filtered.join()];
  await until(() => channel.subscribers().length === 2);
  const id = await channel.publish('a');
  receiver().lost(id);
  await channel.publish('b');
  expect(dataOf(await client.count(3))).toEqual(['a', '{"reason":"gap"}', 'b']);
  expect((await other.count(1)).map(({ type }) => type)).toEqual(['sluice.reset']);
});

it('a publication that fails is a rejection; one that nothing waits for is told of on the channel of errors', async () => {
  const { backplane } = openBackplane();
  const down = new Error('the backplane is down');
  const channel = channelOf({
    backplane: {
      open: (name, limits, receiver) => ({
        ...backplane.open(name, limits, receiver),
        append: () => Promise.reject(down),
      }),
      close: () => backplane.close(),
    },
  });
  const told: unknown[] = [];
  const onError = (message: unknown): void => void told.push((message as { error: unknown }).error);
  subscribe('sluice:channel:error', onError);
  onTestFinished(() => void unsubscribe('sluice:channel:error', onError));
  await expect(channel.publish('a')).rejects.toBe(down);
  await expect(channel.end('a')).rejects.toBe(down);
  void channel.publish('b');
  await until(() => told.length > 0);
  expect(told).toEqual([down]);
});

it('a client is refused by an error while the backplane cannot be reached, and the next one tries again', async () => {
  const { backplane } = openBackplane();
  let isDown = true;
  const channel = channelOf({
    backplane: {
      open: (name, limits, receiver) => {
        const log = backplane.open(name, limits, receiver);
        return {
          ...log,
          listen: () => (isDown ? Promise.reject(new Error('no connection')) : Promise.resolve(log.listen())),
        };
      },
      close: () => backplane.close(),
    },
  });
  const errors: unknown[] = [];
  const site = await serveChannel(channel, { onError: (error) => errors.push(error) });
  const first = await site.join();
  expect(await settles(first.over)).toBe('aborted');
  expect(errors).toEqual([new Error('no connection')]);
  isDown = false;
  const second = await site.join();
  await until(() => second.text === ':ok\n' && channel.subscribers().length === 1);
  await channel.publish('a');
  expect(dataOf(await second.count(1))).toEqual(['a']);
});

it('messages tell of what a channel does', async () => {
  const names = ['publish', 'segment', 'subscribe', 'reset', 'end'].map((name) => `sluice:channel:${name}`);
  const told: unknown[] = [];
  for (const name of names) {
    const note = (message: unknown): void => {
      const rest = { ...(message as { req?: unknown }) };
      delete rest.req;
      told.push([name.split(':')[2], rest]);
    };
    subscribe(name, note);
    onTestFinished(() => void unsubscribe(name, note));
  }
  const channel = channelOf({ name: 'told' });
  const id = await channel.publish({ event: 'a', data: 1 });
  const site = await serveChannel(channel, { from: 1 });
  const client = await site.join({ 'last-event-id': 'x' });
  await client.count(2);
  const end = await channel.end();
  await settles(client.over);
  expect(told).toHaveLength(6);
  for (const message of [
    ['publish', { channel: 'told', id, event: 'a' }],
    ['reset', { channel: 'told', reason: 'unknown-id' }],
    ['subscribe', { channel: 'told', cursor: 'x', replayed: 1 }],
    ['publish', { channel: 'told', id: end, event: undefined }],
    ['segment', { channel: 'told', events: 1, subscribers: 1, bytes: 0 }],
    ['end', { channel: 'told', id: end }],
  ])
    expect(told).toContainEqual(message);
});
