import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { eventsOf, patient, runExample, take } from './support.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

it('the endpoint to copy resumes after the last id, without a gap or a double', { timeout: 60_000 }, async () => {
  const port = await freePort();
  runExample('sse-endpoint/server.js', { port });
  const url = `http://localhost:${port}/events`;
  await expect.poll(() => take(eventsOf(url), 1).then(() => 'up', () => 'down'), patient).toBe('up');
  const events = eventsOf(url);
  const [first, ...rest] = await take(events, 3);
  await events.return();

  const resumed = eventsOf(url, first!.lastEventId);

  expect((await take(resumed, 3)).slice(0, 2)).toEqual(rest);
  await resumed.return();
  expect(Object.keys(JSON.parse(first!.data))).toContain('rss');
});
