import { expect, it, onTestFinished } from 'vitest';
import { createChannel, createChannels, resumable } from '../../../src/index.ts';
import { ended, serveAnswers } from './site.ts';

const coalesce = { ms: 5, key: () => 7 as unknown as string, merge: (earlier: unknown) => earlier };

it.each([
  ['createChannel', () => createChannel({ name: 'a', coalesce })],
  ['createChannels', () => createChannels({ coalesce }).get('a')],
])('a key of events that is none is told as that of %s', async (owner, make) => {
  const channel = make();
  onTestFinished(() => channel.close());
  await expect(channel.publish('x')).rejects.toMatchObject({ option: `${owner}.coalesce.key` });
});

it('a key of events that is none is told as that of resumable', async () => {
  const one = await serveAnswers({ run: () => ['x'], coalesce });
  await one.start();
  const [last] = await ended(one);
  expect(last).toMatchObject({ status: 'failed', error: { option: 'resumable.coalesce.key' } });
});

it.each([
  ['resumable.key', { key: 7 }],
  ['resumable.key.run', { key: 'a', run: 7 }],
  ['resumable.key.until', { key: 'a', until: 'soon' }],
  ['resumable.key.identity', { key: 'a', identity: {} }],
])('what `key` returns is told by the name %s', async (option, given) => {
  const one = await serveAnswers({ key: () => given as { key: string }, channels: { limits: { perIdentity: 1 } } });
  expect((await one.start()).status).toBe(500);
  expect(one.running.errors).toMatchObject([{ option }]);
});

it.each([
  ['resumable.coalesce.ms', { coalesce: { ...coalesce, ms: 0 } }],
  ['resumable.coalesce.merge', { coalesce: { ...coalesce, merge: undefined } }],
  ['resumable.onDisconnect.cancelAfter', { onDisconnect: { cancelAfter: 'soon' } }],
])('an option is told by the name %s', (option, given) => {
  const options = { key: () => 'a', run: () => [], ...given } as Parameters<typeof resumable>[1];
  expect(() => resumable(createChannels(), options)).toThrow(`\`${option}\``);
});
