import { afterAll, expect, it } from 'vitest';
import { examplesOf, openRoom, start } from '../support/docs.ts';
import { get } from './visits.ts';

const room = openRoom();
afterAll(() => room.remove());

it('the quick start of deadlines leaves a stream open for longer than `default`', async () => {
  const example = examplesOf('docs/deadline.md')[0]!;
  const code = example.code.replace("'30s'", "'300ms'").replace('1000', '50');
  expect(code).not.toBe(example.code);
  const { origin } = await start({ ...example, code }, room);
  let events = 0;
  const response = await fetch(`${origin()}/clock`);
  for await (const bytes of response.body!) {
    events += String(Buffer.from(bytes)).split('event: tick\n').length - 1;
    if (events >= 10) break;
  }
  expect(events).toBeGreaterThanOrEqual(10);
});

it('the same stream is closed where no `idle` is set', async () => {
  const example = examplesOf('docs/deadline.md')[0]!;
  const code = example.code.replace("'30s', idle: '2m'", "'300ms'").replace('1000', '50');
  expect(code).not.toContain('idle:');
  const { origin } = await start({ ...example, code }, room);
  await expect(get(`${origin()}/clock`)).rejects.toThrow();
});
