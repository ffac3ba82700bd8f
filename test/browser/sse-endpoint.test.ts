import { expect, it } from 'vitest';
import { eventsOf, lastingPort, patient, runExample, take } from './support.ts';

it('the endpoint to copy resumes after the last id, without a gap or a double', { timeout: 120_000 }, async () => {
  const port = await lastingPort();
  runExample('sse-endpoint/server.js', { port });
  const url = `http://localhost:${port}/events`;
  await expect
    .poll(
      () =>
        take(eventsOf(url), 1).then(
          () => 'up',
          () => 'down',
        ),
      patient,
    )
    .toBe('up');
  const events = eventsOf(url);
  const [first, ...rest] = await take(events, 3);
  await events.return();

  const resumed = eventsOf(url, first!.lastEventId);

  expect((await take(resumed, 3)).slice(0, 2)).toEqual(rest);
  await resumed.return();
  expect(Object.keys(JSON.parse(first!.data))).toContain('rss');
});
