import { expect, it, onTestFinished } from 'vitest';
import { createChannel, createChannels, monitor } from '../../src/index.ts';
import { numberInstruments } from '../../src/monitor/instruments.ts';
import { express5, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { until } from '../support/until.ts';

it('counts what channels did by their names, and never by keys of a family', async () => {
  const watch = monitor();
  const ticks = createChannel({ name: 'ticks', history: { count: 2 } });
  const rooms = createChannels({ name: 'rooms' });
  onTestFinished(() => {
    for (const each of [watch, ticks, rooms]) each.close();
  });
  const ids: string[] = [];
  for (const data of ['a', 'b', 'c', 'd']) ids.push(await ticks.publish(data));
  const server = await serve(express5, ticks.subscribe({ from: 1 }) as Middleware);
  const rest = await serve(express5, rooms.subscribe(() => ['x', 'y']) as Middleware);
  await server.visit({ headers: { 'last-event-id': ids[0]! } });
  await server.visit({ headers: { 'last-event-id': 'nonsense' } });
  await server.visit({ headers: { 'last-event-id': ids[1]! } });
  await rest.visit();
  await until(() => ticks.subscribers().length === 3 && rooms.subscribers().length === 1);
  await ticks.publish('e');
  await rooms.publish(['x', 'y', 'z'], 'f');
  const delivered = (name: string): number => watch.snapshot().channels[name]?.delivered ?? 0;
  await until(() => delivered('ticks') === 3 && delivered('rooms') === 2);
  expect(watch.snapshot().channels).toEqual({
    ticks: { published: 5, delivered: 3, replayed: 4, resets: { gap: 1, 'unknown-id': 1 } },
    rooms: { published: 3, delivered: 2, replayed: 0, resets: {} },
  });
  const exported = numberInstruments
    .filter(({ name }) => name.startsWith('channel_'))
    .map(({ name, read }) => [
      name,
      read(watch.snapshot()).map(({ labels, value }) => [...Object.values(labels), value]),
    ]);
  expect(Object.fromEntries(exported)).toEqual({
    channel_published: [
      ['ticks', 5],
      ['rooms', 3],
    ],
    channel_delivered: [
      ['ticks', 3],
      ['rooms', 2],
    ],
    channel_replayed: [
      ['ticks', 4],
      ['rooms', 0],
    ],
    channel_resets: [
      ['ticks', 'gap', 1],
      ['ticks', 'unknown-id', 1],
    ],
  });
});
