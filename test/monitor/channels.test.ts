import { connect } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { createChannel, createChannels, monitor } from '../../src/index.ts';
import { numberInstruments } from '../../src/monitor/instruments.ts';
import { express5, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { turns, until } from '../support/until.ts';

/** Bytes of an event on the wire. */
function textLength(id: string, data: string): number {
  return `id: ${id}\ndata: ${data}\n\n`.length;
}

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
  const tickId = await ticks.publish('e');
  await rooms.publish(['x', 'y', 'z'], 'f');
  const delivered = (name: string): number => watch.snapshot().channels[name]?.delivered ?? 0;
  await until(() => delivered('ticks') === 3 && delivered('rooms') === 2);
  expect(watch.snapshot().channels).toEqual({
    ticks: {
      ...{ subscribers: 3, lagging: 0, queuedBytes: 0 },
      ...{ published: 5, delivered: 3, deliveredBytes: 3 * textLength(tickId, 'e'), replayed: 4 },
      resets: { gap: 1, 'unknown-id': 1 },
    },
    rooms: {
      ...{ subscribers: 1, lagging: 0, queuedBytes: 0 },
      // With the place in both channels as its id.
      ...{ published: 3, delivered: 2, deliveredBytes: expect.any(Number) as number, replayed: 0 },
      resets: {},
    },
  });
  const exported = numberInstruments
    .filter(({ name }) => name.startsWith('channel_'))
    .map(({ name, read }) => [
      name,
      read(watch.snapshot()).map(({ labels, value }) => [...Object.values(labels), value]),
    ]);
  expect(Object.fromEntries(exported)).toEqual({
    channel_subscribers: [
      ['ticks', 3],
      ['rooms', 1],
    ],
    channel_lagging: [
      ['ticks', 0],
      ['rooms', 0],
    ],
    channel_queued_bytes: [
      ['ticks', 0],
      ['rooms', 0],
    ],
    channel_published: [
      ['ticks', 5],
      ['rooms', 3],
    ],
    channel_delivered: [
      ['ticks', 3],
      ['rooms', 2],
    ],
    channel_delivered_bytes: [
      ['ticks', 3 * textLength(tickId, 'e')],
      ['rooms', watch.snapshot().channels['rooms']?.deliveredBytes],
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

it('shows how many clients there are, and what waits for those that do not read', async () => {
  const watch = monitor();
  const ticks = createChannel({ name: 'ticks', overflow: 'drop' });
  onTestFinished(() => {
    for (const each of [watch, ticks]) each.close();
  });
  const server = await serve(express5, ticks.subscribe() as Middleware);
  const stopped = connect(server.port, '127.0.0.1');
  onTestFinished(() => void stopped.destroy());
  stopped.pause();
  stopped.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const reading = await server.visit();
  await until(() => ticks.subscribers().length === 2);
  const numbers = (): unknown => {
    const { subscribers, lagging, queuedBytes = 0 } = watch.snapshot().channels['ticks'] ?? {};
    return { subscribers, lagging, isQueued: queuedBytes > 0 };
  };
  await ticks.publish('first');
  await until(() => reading.text.includes('first'));
  expect(numbers()).toEqual({ subscribers: 2, lagging: 0, isQueued: false });
  for (let sent = 0; watch.snapshot().channels['ticks']?.lagging !== 1 && sent < 1000; sent++) {
    await ticks.publish('x'.repeat(100_000));
    await turns();
  }
  await ticks.publish('last');
  await until(() => reading.text.includes('last'));
  expect(numbers()).toEqual({ subscribers: 2, lagging: 1, isQueued: true });
  stopped.destroy();
  await until(() => ticks.subscribers().length === 1);
  expect(numbers()).toEqual({ subscribers: 1, lagging: 0, isQueued: false });
  ticks.close();
  await until(() => ticks.subscribers().length === 0);
  expect(numbers()).toEqual({ subscribers: 0, lagging: 0, isQueued: false });
});
