import { describe, expect, it } from 'vitest';
import { type EventStream, openEventStream, ResponseStartedError, sse, type SseOptions } from '../../src/index.ts';
import { bare, carriers } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { serve } from '../support/serve.ts';
import { settles, turns } from '../support/until.ts';

describe.each(carriers)('openEventStream on $name', (carrier) => {
  it('sends the head at once and takes events', async () => {
    const running = await serve(carrier, async (req, res) => {
      await turns();
      const stream = openEventStream(req, res, { retry: 5 });
      expect(res.headersSent).toBe(true);
      await stream.send({ id: '1', data: stream.lastEventId });
      await stream.end();
    });
    const reading = await running.visit({ headers: { 'last-event-id': 'before' } });
    expect(await settles(reading.over)).toBe('end');
    expect(reading.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    expect(reading.text).toBe(':ok\nretry: 5\nid: 1\ndata: before\n\n');
  });

  const refusals: [string, method: string, headers: Record<string, string>, options: SseOptions, status: number][] = [
    ['not acceptable', 'GET', { accept: 'text/html' }, { negotiate: 'strict' }, 406],
    ['not acceptable, with nobody to leave it to', 'GET', { accept: 'text/html' }, { negotiate: 'next' }, 406],
    ['stopped', 'GET', { 'last-event-id': 'sluice.stop' }, {}, 204],
    ['HEAD', 'HEAD', {}, {}, 200],
  ];
  it.each(refusals)(
    'answers a request that is refused and returns a closed stream: %s',
    async (_name, method, headers, options, status) => {
      const opened = deferred<EventStream>();
      const running = await serve(carrier, (req, res) => opened.resolve(openEventStream(req, res, options)));
      const reading = await running.visit({ method, headers });
      expect(await settles(reading.over)).toBe('end');
      expect(reading.status).toBe(status);
      const stream = await settles(opened.promise);
      expect([stream.state, stream.signal.aborted]).toEqual(['closed', true]);
      await expect(stream.send('late')).rejects.toMatchObject({ reason: 'ended' });
      await settles(stream.end());
      stream.destroy();
      expect(running.errors).toEqual([]);
    },
  );

  it('throws on a response whose head is sent, and leaves that alone', async () => {
    const thrown: unknown[] = [];
    const running = await serve(carrier, (req, res) => {
      res.statusCode = 201;
      (res as import('node:http').ServerResponse).flushHeaders();
      try {
        openEventStream(req, res);
      } catch (error) {
        thrown.push(error);
      }
      // As a middleware it must not throw where nobody catches: with `next` it passes the error on, without it goes on.
      sse(() => undefined)(req, res, (error) => thrown.push(error));
      sse(() => undefined)(req, res);
      res.end('mine');
    });
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text]).toEqual([201, 'mine']);
    expect(thrown).toEqual([expect.any(ResponseStartedError), expect.any(ResponseStartedError)]);
    expect(thrown[0]).toHaveProperty('code', 'ERR_SLUICE_RESPONSE_STARTED');
  });
});

describe('openEventStream', () => {
  it('throws on a response that carries a stream already', async () => {
    const thrown: unknown[] = [];
    const running = await serve(bare, (req, res) => {
      const stream = openEventStream(req, res);
      try {
        openEventStream(req, res);
      } catch (error) {
        thrown.push(error);
      }
      void stream.send('mine');
      void stream.end();
    });
    const reading = await running.visit();
    await settles(reading.over);
    expect(reading.text).toBe(':ok\ndata: mine\n\n');
    expect(thrown).toEqual([expect.any(ResponseStartedError)]);
  });
});
