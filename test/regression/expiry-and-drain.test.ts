import http from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { deadline, lifecycle } from '../../src/index.ts';
import { readTimeout } from '../../src/deadline/policy/source.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { until } from '../support/until.ts';

function makeLife(options: Parameters<typeof lifecycle>[0]): ReturnType<typeof lifecycle> {
  const life = lifecycle({ signals: false, ...options });
  onTestFinished(() => life.close());
  return life;
}

it('a drain lets all answers of a connection out, and the last of them says that it closes', async () => {
  const life = makeLife({ preDrain: 600, spread: 0, drainTimeout: 15_000 });
  let arrived = 0;
  const begun = deferred();
  const running = await serve(bare, life as Middleware, async (req, res) => {
    arrived++;
    await begun.promise;
    (res as http.ServerResponse).end(`answer ${req.url}`);
  });
  const client = await running.dial();
  client.send(getRequest('/1') + getRequest('/2') + getRequest('/3'));
  await until(() => arrived === 3);
  const drained = life.drain();
  await delay(30);
  begun.resolve();
  const report = await drained;
  await until(() => client.received.includes('answer /3'));
  expect(client.received.match(/answer \/\d/g)).toEqual(['answer /1', 'answer /2', 'answer /3']);
  expect(client.received.match(/connection: close/gi)).toHaveLength(1);
  expect(report).toMatchObject({ finished: { requests: 3 }, cut: { requests: 0 } });
});

it('a server that begins to listen when the drain is over is closed', async () => {
  const life = makeLife({ preDrain: 0, spread: 0, drainTimeout: 1000 });
  const server = http.createServer((_req, res) => res.end());
  life.attach(server);
  await life.drain();
  server.listen(0);
  await until(() => !server.listening && server.address() === null);
});

it('a lifecycle that is closed while it drains still refuses', async () => {
  const life = makeLife({ preDrain: 0, spread: 0, drainTimeout: 10_000 });
  const release = life.hold();
  const running = await serve(bare, life as Middleware, (_req, res) => void (res as http.ServerResponse).end('served'));
  const drained = life.drain();
  await delay(30);
  life.close();
  const client = await running.dial();
  client.send(getRequest('/'));
  await until(() => client.received.includes('503'));
  release();
  await drained;
});

it('an onExpired whose promise rejects is no unhandled rejection', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  onTestFinished(() => void process.off('unhandledRejection', note));
  const onExpired = (async () => {
    await delay(1);
    throw new Error('late');
  }) as unknown as () => void;
  const running = await serve(bare, deadline({ default: 20, onExpired }) as Middleware, () => undefined);
  const client = await running.dial();
  client.send(getRequest('/'));
  await until(() => client.received.includes('504'));
  await delay(20);
  expect(unhandled).toEqual([]);
});

it.each(['2026-02-30T00:00:00Z', '2026-04-31T10:00:00+02:00', '2025-02-29T00:00:00Z'])(
  '%s is no point in time',
  (field) => {
    expect(
      readTimeout({ 'x-request-deadline': field }, ['x-request-deadline'], Date.parse('2024-01-01T00:00:00Z')),
    ).toBe(Infinity);
  },
);
