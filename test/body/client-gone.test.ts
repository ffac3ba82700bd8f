import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type BodySource, ClientClosedError, pipeBody } from '../../src/index.ts';
import { carriers } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { serve } from '../support/serve.ts';
import { parked, settles, turns, until } from '../support/until.ts';

const chunk = 'x'.repeat(40_000);

/** A source that says when it was let go, and counts what was taken from it. */
interface Watched {
  readonly source: BodySource;
  readonly released: Promise<unknown>;
  pulls(): number;
}

/** How many chunks there are: after those the source is silent for ever. */
type Make = (count: number) => Watched;

const makers: [string, Make][] = [
  [
    'a Readable',
    (count) => {
      let pulls = 0;
      const gone = deferred<unknown>();
      const source = new Readable({
        highWaterMark: 1,
        read() {
          if (pulls < count) {
            pulls++;
            this.push(chunk);
          }
        },
        destroy(error, callback) {
          gone.resolve(error);
          callback(error);
        },
      });
      return { source, released: gone.promise, pulls: () => pulls };
    },
  ],
  [
    'a ReadableStream',
    (count) => {
      let pulls = 0;
      const gone = deferred<unknown>();
      const source = new ReadableStream<string>(
        {
          pull(controller) {
            if (pulls >= count) return new Promise(() => undefined);
            pulls++;
            controller.enqueue(chunk);
            return undefined;
          },
          cancel: (reason) => gone.resolve(reason),
        },
        { highWaterMark: 0 },
      );
      return { source, released: gone.promise, pulls: () => pulls };
    },
  ],
  [
    'an async generator',
    (count) => {
      let pulls = 0;
      const gone = deferred<unknown>();
      const source = (async function* () {
        try {
          while (pulls < count) {
            pulls++;
            yield chunk;
          }
          // A generator in an await of its own cannot be stopped from outside.
          if (count === 0) await turns(50);
          for (;;) {
            await turns(1);
            yield '';
          }
        } finally {
          gone.resolve(undefined);
        }
      })();
      return { source, released: gone.promise, pulls: () => pulls };
    },
  ],
  [
    'an iterator',
    (count) => {
      let pulls = 0;
      const gone = deferred<unknown>();
      const source = {
        [Symbol.asyncIterator]: () => ({
          next: () =>
            pulls < count
              ? Promise.resolve({ done: false, value: (pulls++, chunk) })
              : new Promise<never>(() => undefined),
          return: () => {
            gone.resolve(undefined);
            return Promise.resolve({ done: true, value: undefined });
          },
        }),
      } as AsyncIterable<string>;
      return { source, released: gone.promise, pulls: () => pulls };
    },
  ],
  [
    'a Response',
    (count) => {
      let pulls = 0;
      const gone = deferred<unknown>();
      const source = new Response(
        new ReadableStream<Uint8Array>(
          {
            pull(controller) {
              if (pulls >= count) return new Promise(() => undefined);
              pulls++;
              controller.enqueue(Buffer.from(chunk));
              return undefined;
            },
            cancel: (reason) => gone.resolve(reason),
          },
          { highWaterMark: 0 },
        ),
      );
      return { source, released: gone.promise, pulls: () => pulls };
    },
  ],
];

describe.each(carriers)('a client that leaves on $name', (carrier) => {
  async function begin(
    make: Make,
    count: number,
    held: Promise<void> | undefined,
  ): Promise<{
    watched: Watched;
    outcome: Promise<unknown>;
    arrived: Promise<void>;
    reading: ReturnType<Awaited<ReturnType<typeof serve>>['visit']>;
  }> {
    const watched = make(count);
    const outcome = deferred<unknown>();
    const arrived = deferred();
    const running = await serve(carrier, async (req, res) => {
      arrived.resolve();
      await held;
      await pipeBody(watched.source, req, res).then(() => outcome.resolve('resolved'), outcome.resolve);
    });
    const reading = running.visit();
    reading.catch(() => undefined);
    return { watched, outcome: outcome.promise, arrived: arrived.promise, reading };
  }

  it.each(makers)('in the middle of a silence ends %s, and pipeBody resolves', async (_name, make) => {
    const { watched, outcome, reading } = await begin(make, 1, undefined);
    const client = await settles(reading);
    await until(() => client.text.length === chunk.length);
    client.destroy();
    expect(await settles(outcome)).toBe('resolved');
    const reason = await settles(watched.released);
    if (watched.source instanceof ReadableStream) expect(reason).toBeInstanceOf(ClientClosedError);
    if (watched.source instanceof Readable) expect(watched.source.destroyed).toBe(true);
  });

  it.each(makers)(
    'under back-pressure ends %s, of which no more was pulled than is on its way',
    async (_name, make) => {
      const { watched, outcome, reading } = await begin(make, Infinity, undefined);
      const client = await settles(reading);
      client.pause();
      const before = await parked(() => watched.pulls());
      // What the kernel's buffers and the client's took, and no more: far from what a source without end could give.
      expect(watched.pulls() * chunk.length).toBeLessThan(20_000_000);
      client.destroy();
      expect(await settles(outcome)).toBe('resolved');
      await settles(watched.released);
      expect(watched.pulls()).toBeLessThanOrEqual(before + 2);
    },
  );

  it.each(makers)('before the first chunk ends %s', async (name, make) => {
    const watched = make(0);
    const outcome = deferred<unknown>();
    const arrived = deferred();
    const running = await serve(carrier, (req, res) => {
      arrived.resolve();
      return pipeBody(watched.source, req, res).then(() => outcome.resolve('resolved'), outcome.resolve);
    });
    if (name === 'a Response') {
      (await running.visit()).destroy();
    } else {
      const leaving = running.visit();
      leaving.catch(() => undefined);
      await settles(arrived.promise);
      await turns();
      await running.close();
    }
    expect(await settles(outcome.promise)).toBe('resolved');
    await settles(watched.released);
  });

  it.each(makers)('before pipeBody is called ends %s without reading it', async (name, make) => {
    const left = deferred();
    const watched = make(Infinity);
    const outcome = deferred<unknown>();
    const running = await serve(carrier, (req, res) => {
      res.on('close', () =>
        setImmediate(
          () => void pipeBody(watched.source, req, res).then(() => outcome.resolve('resolved'), outcome.resolve),
        ),
      );
      left.resolve();
    });
    running.visit().catch(() => undefined);
    await settles(left.promise);
    await running.close();
    expect(await settles(outcome.promise)).toBe('resolved');
    expect(watched.pulls()).toBeLessThanOrEqual(1);
    // A generator that was never started has nothing to clean up.
    if (name !== 'an async generator') await settles(watched.released);
  });

  it('can be told from a complete body by writableEnded', async () => {
    const ended: boolean[] = [];
    let arrived = 0;
    const running = await serve(carrier, async (req, res) => {
      arrived++;
      await pipeBody(req.url === '/whole' ? ['whole'] : new Readable({ read: () => undefined }), req, res, {
        headers: { 'X-Any': 'y' },
      });
      ended.push(res.writableEnded);
    });
    const whole = await running.visit({ path: '/whole' });
    await settles(whole.over);
    await until(() => ended.length === 1);
    const silent = running.visit({ path: '/silent' });
    silent.catch(() => undefined);
    await until(() => arrived === 2);
    await turns(20);
    await running.close();
    await until(() => ended.length === 2);
    expect(ended).toEqual([true, false]);
  });
});
