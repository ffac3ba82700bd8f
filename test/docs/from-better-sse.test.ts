import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSession } from 'better-sse';
import { EventSource } from 'eventsource';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { sse } from '../../src/index.ts';
import { bare } from '../support/carriers.ts';
import { openRoom, start } from '../support/docs.ts';
import { diffsOf } from '../support/page-diffs.ts';
import { serve } from '../support/serve.ts';
import { until } from '../support/until.ts';
import { get } from './visits.ts';

// The programs of docs/from-better-sse.md run before and after their diffs, with the real package.

const room = openRoom();
afterAll(() => room.remove());

interface Seen {
  readonly type: string;
  readonly data: unknown;
  readonly lastEventId: string;
}

/** Collects the events of a stream, as a page does. */
async function watch(url: string, types: readonly string[]): Promise<Seen[]> {
  const seen: Seen[] = [];
  const source = new EventSource(url);
  onTestFinished(() => source.close());
  for (const type of types) {
    source.addEventListener(type, ({ data, lastEventId }) =>
      seen.push({ type, data: JSON.parse(data as string) as unknown, lastEventId }),
    );
  }
  await until(
    () => source.readyState === EventSource.OPEN,
    () => 'the stream does not open',
  );
  return seen;
}

async function post(url: string, item: object): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(item),
  });
  expect(response.status).toBe(204);
}

/** Runs a program, and returns what two clients see of two items, and what the program sends to one that comes back. */
async function observe(code: string): Promise<{ clients: Seen[][]; headers: unknown[] }> {
  const program = await start({ key: 'from-better-sse', language: 'js', code }, room);
  const url = `${program.origin()}/news`;
  const clients = [await watch(url, ['welcome', 'news']), await watch(url, ['welcome', 'news'])];
  await post(url, { id: '1', text: 'one' });
  await post(url, { id: '2', text: 'two\nlines' });
  await until(
    () => clients.every((seen) => seen.some(({ lastEventId }) => lastEventId === '2')),
    () => JSON.stringify(clients),
  );
  const { status, headers } = await get(url, ['retry:'], { headers: { 'Last-Event-ID': '2' } });
  return { clients, headers: [status, headers.get('content-type')?.split(';')[0], headers.get('x-accel-buffering')] };
}

describe('docs/from-better-sse.md', () => {
  it.each(diffsOf('docs/from-better-sse.md').map((diff) => [diff.title, diff] as const))(
    'a client sees the same events before and after: %s',
    async (title, { before, after }) => {
      const expected = await observe(before);
      expect(await observe(after)).toEqual(expected);
      expect(expected.clients[0]!.at(-1)).toEqual({
        type: 'news',
        data: { id: '2', text: 'two\nlines' },
        lastEventId: '2',
      });
      expect(expected.clients[0]![0]!.type).toBe(title === 'A session' ? 'welcome' : 'news');
    },
  );

  it('says what differs: strings, ids, names, and line breaks in names', async () => {
    const theirs = await serve(bare, async (req, res) => {
      const session = await createSession(req as IncomingMessage, res as ServerResponse, { keepAlive: null });
      session.push('hello');
      expect(() => session.push(undefined)).toThrow(TypeError);
      session.push(1, 'a\ndata: forged');
      res.end();
    });
    const ours = await serve(
      bare,
      sse(async (stream) => {
        await stream.send('hello');
        await stream.send(JSON.stringify('hello'));
        await expect(stream.send({ data: undefined })).rejects.toThrow('data');
        await expect(stream.send({ event: 'a\ndata: forged', data: 1 })).rejects.toThrow('event');
      }),
    );
    const theirText = await (await fetch(theirs.origin)).text();
    expect(theirText).toMatch(/^retry:2000\n\nevent:message\nid:[\da-f-]{36}\ndata:"hello"\n\n/);
    expect(theirText).toContain('event:a\ndata: forged\n');
    expect(await (await fetch(ours.origin)).text()).toBe(':ok\ndata: hello\n\ndata: "hello"\n\n');
  });
});
