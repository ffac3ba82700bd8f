import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { createRegistry, heartbeat, sse, watchWebSockets } from '../../src/index.ts';
import type { ConnectionOpen, RoundTrip } from '../../src/internal/health/connection-info.ts';
import { carriers, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { until } from '../support/until.ts';

/** What is published on a channel while the test runs. */
function heard<M>(channel: string): M[] {
  const messages: M[] = [];
  const listener = (message: unknown): void => void messages.push(message as M);
  subscribe(channel, listener);
  onTestFinished(() => void unsubscribe(channel, listener));
  return messages;
}

it.each(carriers)('a stream opens and closes with one request and one response, on $name', async (carrier) => {
  const opened = heard<{ req: object; res: object }>('sluice:stream:open');
  const closed = heard<{ req: object; res: object; reason: string }>('sluice:stream:close');
  const watched = heard<ConnectionOpen>('sluice:heartbeat:open');
  const served = await serve(
    carrier,
    heartbeat() as Middleware,
    sse((stream) => void stream.send('first').then(() => stream.end())),
  );
  await (
    await served.visit({ path: '/news' })
  ).over;
  await until(() => closed.length === 1);
  expect(opened.map(({ req, res }) => req === closed[0]!.req && res === closed[0]!.res)).toEqual([true]);
  expect(closed[0]!.reason).toBe('ended');
  // Over HTTP/2 the session is monitored too.
  const streams = watched.filter(({ connection }) => connection.transport !== 'http2');
  expect(streams.map(({ connection }) => connection.label)).toEqual(['/news']);
});

it('a pong tells the round trip of its connection', async () => {
  const opened = heard<ConnectionOpen>('sluice:heartbeat:open');
  const trips = heard<RoundTrip>('sluice:heartbeat:round-trip');
  const registry = createRegistry();
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  onTestFinished(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  watchWebSockets(server, { every: 20, registry });
  await once(server, 'listening');
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as { port: number }).port}/chat`);
  onTestFinished(() => client.terminate());
  await until(() => trips.length > 0);
  expect(trips[0]!.connection.id).toBe(opened[0]!.connection.id);
  expect(trips[0]!.roundTrip).toBe(trips[0]!.connection.roundTrip);
});
