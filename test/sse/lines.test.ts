import { describe, expect, it } from 'vitest';
import { createRegistry, heartbeat, openEventStream, sse, type EventStream, type SseOptions } from '../../src/index.ts';
import { bare, carriers, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

/** Sends whatever is no event, and one event between. */
async function sendAll(stream: EventStream): Promise<void> {
  await stream.comment('one');
  await stream.send({ comment: 'two\nlines', retry: 7 });
  await stream.send({ comment: 'of the event', id: '1', data: 'x' });
  await stream.send({ retry: 8 });
  await stream.send({ id: '2' });
  await stream.reconnect({ retry: 9 });
}

describe('what is no event', () => {
  const ways: [name: string, options: SseOptions, text: string][] = [
    [
      'as lines by default',
      {},
      ':ok\n:one\n:two\n:lines\nretry: 7\n:of the event\nid: 1\ndata: x\n\nretry: 8\nid: 2\n\nretry: 9\n',
    ],
    [
      'as lines, with a retry hint in the prelude',
      { retry: 5, comments: 'line' },
      ':ok\nretry: 5\n:one\n:two\n:lines\nretry: 7\n:of the event\nid: 1\ndata: x\n\nretry: 8\nid: 2\n\nretry: 9\n',
    ],
    [
      'in blocks',
      { retry: 5, comments: 'block' },
      ':ok\n\nretry: 5\n\n:one\n\n:two\n:lines\nretry: 7\n\n:of the event\nid: 1\ndata: x\n\nretry: 8\n\nid: 2\n\nretry: 9\n\n',
    ],
    [
      'without a prelude',
      { prelude: false },
      ':one\n:two\n:lines\nretry: 7\n:of the event\nid: 1\ndata: x\n\nretry: 8\nid: 2\n\nretry: 9\n',
    ],
    [
      'without a prelude, but with its retry hint',
      { prelude: false, retry: '1s' },
      'retry: 1000\n:one\n:two\n:lines\nretry: 7\n:of the event\nid: 1\ndata: x\n\nretry: 8\nid: 2\n\nretry: 9\n',
    ],
  ];
  describe.each(carriers)('on $name', (carrier) => {
    it.each(ways)('is sent %s', async (_name, options, text) => {
      const running = await serve(
        carrier,
        sse(sendAll, options),
        (req, res) => void sendAll(openEventStream(req, res, options)),
      );
      const reading = await running.visit({ method: 'POST' });
      await settles(reading.over);
      expect(reading.text).toBe(text);
    });

    it('goes out at once where there is no prelude: the head alone', async () => {
      const kept = deferred<EventStream>();
      const running = await serve(
        carrier,
        sse((stream) => kept.resolve(stream), { prelude: false }),
      );
      const reading = await running.visit();
      expect([reading.status, reading.text]).toEqual([200, '']);
      const stream = await settles(kept.promise);
      await stream.send('first');
      await until(() => reading.text === 'data: first\n\n');
    });
  });

  const beats: [comments: 'line' | 'block' | undefined, event: string | undefined, pattern: RegExp][] = [
    [undefined, undefined, /^:ok\n(:\n){2,}data: x\n\n(:\n){2,}retry: \d+\n$/],
    ['block', undefined, /^:ok\n(:\n\n){2,}data: x\n\n(:\n\n){2,}retry: \d+\n\n$/],
    [undefined, 'ping', /^:ok\n(event: ping\ndata:\n\n){2,}data: x\n\n(event: ping\ndata:\n\n){2,}retry: \d+\n$/],
  ];
  it.each(beats)('of heartbeats with the comments %j and the event %j', async (comments, event, pattern) => {
    const registry = createRegistry();
    const beat = heartbeat({
      every: 5,
      registry,
      ...(comments && { comments }),
      ...(event !== undefined && { event }),
    }) as Middleware;
    const kept = deferred<EventStream>();
    const running = await serve(
      bare,
      beat,
      sse((stream) => kept.resolve(stream)),
    );
    const reading = await running.visit();
    const stream = await settles(kept.promise);
    const beatsOf = (): number => registry.stats().heartbeats;
    await until(
      () => beatsOf() >= 2,
      () => JSON.stringify(reading.text),
    );
    await stream.send('x');
    const before = beatsOf();
    await until(
      () => beatsOf() >= before + 2,
      () => JSON.stringify(reading.text),
    );
    for (const { id } of registry.connections()) registry.evict(id);
    await settles(reading.over);
    expect(reading.text).toMatch(pattern);
  });
});

describe('stop()', () => {
  const block = 'id: sluice.stop\n\n';
  const line = 'id: sluice.stop\n';
  const clients: [method: string, accept: string | undefined, options: SseOptions, last: string][] = [
    ['GET', 'text/event-stream', {}, block],
    ['GET', 'text/html, text/event-stream;q=0.5', {}, block],
    ['GET', undefined, {}, block],
    ['GET', '*/*', {}, line],
    ['GET', 'application/json', {}, line],
    ['GET', 'text/event-stream;q=0, */*', {}, line],
    ['POST', 'text/event-stream', {}, line],
    ['POST', undefined, {}, line],
    ['PUT', 'text/event-stream', {}, line],
    ['POST', 'application/json', { comments: 'block' }, block],
  ];
  describe.each(carriers)('on $name', (carrier) => {
    it.each(clients)(
      'ends its id with a blank line where an EventSource may listen: %s that accepts %j, with %j',
      async (method, accept, options, last) => {
        const running = await serve(
          carrier,
          sse((stream) => stream.stop(), options),
        );
        const reading = await running.visit({ method, headers: accept === undefined ? {} : { accept } });
        expect(await settles(reading.over)).toBe('end');
        expect(reading.text).toBe(`${options.comments === 'block' ? ':ok\n\n' : ':ok\n'}${last}`);
      },
    );
  });
});
