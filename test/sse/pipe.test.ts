import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ClientClosedError, type EventStream, sse, type SseOptions } from '../../src/index.ts';
import { bare } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

async function openOne(
  options?: SseOptions,
): Promise<{ stream: EventStream; reading: Awaited<ReturnType<Awaited<ReturnType<typeof serve>>['visit']>> }> {
  const kept = deferred<EventStream>();
  const running = await serve(
    bare,
    sse((stream) => kept.resolve(stream), options),
  );
  const reading = await running.visit();
  const stream = await settles(kept.promise);
  await until(() => reading.text !== '');
  return { stream, reading };
}

describe('pipe', () => {
  it('rejects with the error of its source and leaves the stream open', async () => {
    const { stream, reading } = await openOne();
    const failure = new Error('source');
    await expect(
      stream.pipe(
        (async function* () {
          yield 'a';
          throw failure;
        })(),
      ),
    ).rejects.toBe(failure);
    expect(stream.state).toBe('open');
    await stream.send('b');
    await until(() => reading.text.endsWith('data: a\n\ndata: b\n\n'));
  });

  it('publishes the error of its source once, though its caller handles it', async () => {
    const published: unknown[] = [];
    const listener = (message: unknown): void => void published.push(message);
    subscribe('sluice:stream:error', listener);
    onTestFinished(() => void unsubscribe('sluice:stream:error', listener));
    const onError = vi.fn();
    const { stream } = await openOne({ onError });
    const failure = new Error('source');
    const failing = (): AsyncIterable<string> => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure) }),
    });
    await expect(stream.pipe(failing())).rejects.toBe(failure);
    await turns();
    expect(published).toEqual([{ req: expect.objectContaining({ method: 'GET' }), error: failure }]);
    // What the caller asked for, or handles, is not an error of the stream.
    const stopped = new Error('stopped');
    await expect(stream.pipe(failing(), { signal: AbortSignal.abort(stopped) })).rejects.toBe(stopped);
    await turns();
    expect([published.length, onError.mock.calls.length]).toEqual([1, 0]);
  });

  it('rejects for an event that cannot be framed and cancels the source', async () => {
    const { stream } = await openOne();
    const source = Readable.from([{ data: 1 }, { id: 'a\nb' }, { data: 2 }]);
    await expect(stream.pipe(source)).rejects.toMatchObject({ code: 'ERR_SLUICE_EVENT_INVALID' });
    await until(() => source.destroyed);
    expect(stream.state).toBe('open');
  });

  const notSources: [string, unknown][] = [
    ['a string', 'abc'],
    ['null', null],
    ['undefined', undefined],
    ['a number', 5],
    ['an object', {}],
    ['a function', () => []],
  ];
  it.each(notSources)('rejects %s', async (_name, source) => {
    const { stream } = await openOne();
    await expect(stream.pipe(source as string[])).rejects.toMatchObject({ code: 'ERR_SLUICE_SOURCE_INVALID' });
    expect(stream.state).toBe('open');
  });

  it('rejects a locked ReadableStream', async () => {
    const { stream } = await openOne();
    const source = new ReadableStream<string>();
    source.getReader();
    await expect(stream.pipe(source)).rejects.toMatchObject({ code: 'ERR_SLUICE_SOURCE_INVALID' });
  });

  it('rejects with StreamClosedError when the client leaves, though the source is silent', async () => {
    const { stream, reading } = await openOne();
    const cancel = vi.fn();
    const piped = stream.pipe(new ReadableStream<string>({ cancel }));
    piped.catch(() => undefined);
    reading.destroy();
    await expect(settles(piped)).rejects.toMatchObject({ reason: 'client-closed' });
    expect(cancel).toHaveBeenCalledExactlyOnceWith(expect.any(ClientClosedError));
  });

  it('destroys a Readable when the client leaves', async () => {
    const { stream, reading } = await openOne();
    const source = new Readable({ objectMode: true, read: () => undefined });
    const piped = stream.pipe(source);
    piped.catch(() => undefined);
    reading.destroy();
    await expect(settles(piped)).rejects.toMatchObject({ reason: 'client-closed' });
    expect(source.destroyed).toBe(true);
  });

  it('stops at its signal, and the stream stays open', async () => {
    const { stream, reading } = await openOne();
    const controller = new AbortController();
    const cancel = vi.fn();
    const piped = stream.pipe(new ReadableStream<string>({ start: (source) => source.enqueue('a'), cancel }), {
      signal: controller.signal,
    });
    piped.catch(() => undefined);
    await until(() => reading.text.endsWith('data: a\n\n'));
    const why = new Error('enough');
    controller.abort(why);
    await expect(settles(piped)).rejects.toBe(why);
    expect(cancel).toHaveBeenCalledExactlyOnceWith(why);
    expect(stream.state).toBe('open');
    await stream.send('b');
    await until(() => reading.text.endsWith('data: b\n\n'));
  });

  it('stops at its signal while the client does not read', async () => {
    const { stream, reading } = await openOne();
    reading.pause();
    const controller = new AbortController();
    let pulled = 0;
    const cleaned = deferred();
    const piped = stream.pipe(
      (function* () {
        try {
          for (;;) {
            pulled++;
            yield 'x'.repeat(60_000);
          }
        } finally {
          cleaned.resolve();
        }
      })(),
      { signal: controller.signal },
    );
    piped.catch(() => undefined);
    let before = -1;
    await until(() => {
      const parked = pulled > 0 && pulled === before && stream.bufferedBytes > 0;
      before = pulled;
      return parked;
    });
    const why = new Error('enough');
    controller.abort(why);
    await expect(settles(piped)).rejects.toBe(why);
    await settles(cleaned.promise);
    expect(stream.state).toBe('open');
  });

  it('does not start with a signal that is aborted', async () => {
    const { stream } = await openOne();
    const next = vi.fn();
    await expect(
      stream.pipe({ [Symbol.asyncIterator]: () => ({ next }) }, { signal: AbortSignal.abort(new Error('no')) }),
    ).rejects.toThrow('no');
    expect(next).not.toHaveBeenCalled();
  });

  it('tells onError of a source that fails while it cleans up', async () => {
    const onError = vi.fn();
    const running = await serve(
      bare,
      sse(
        async function* () {
          try {
            for (;;) yield 'x'.repeat(60_000);
          } finally {
            // eslint-disable-next-line no-unsafe-finally
            throw new Error('cleanup');
          }
        },
        { onError },
      ),
    );
    const reading = await running.visit();
    reading.destroy();
    await until(() => onError.mock.calls.length > 0);
    expect(onError).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'cleanup' }), expect.anything());
  });

  it('that nobody awaits raises no unhandled rejection when the client leaves', async () => {
    const unhandled: unknown[] = [];
    const listener = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', listener);
    onTestFinished(() => void process.off('unhandledRejection', listener));
    const { stream, reading } = await openOne();
    void stream.pipe(new ReadableStream<string>());
    reading.destroy();
    await until(() => stream.state === 'closed');
    await turns(5);
    expect(unhandled).toEqual([]);
  });
});
