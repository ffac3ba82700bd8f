import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createChannel } from '../../../src/channel/index.ts';
import { compress, gzip } from '../../../src/compress/index.ts';
import { heartbeat } from '../../../src/heartbeat/index.ts';
import { Bottom } from '../../../src/internal/seam/bottom.ts';
import { bare, type Carrier, h2c, type Middleware } from '../../support/carriers.ts';
import { type CodedReading, openCoded } from '../../support/coded-clients.ts';
import { connectRaw, getRequest, parseChunked } from '../../support/raw.ts';
import { serve } from '../../support/serve.ts';
import { settles, turns, until } from '../../support/until.ts';

type Write = (...args: unknown[]) => boolean;

/** As another library would, and notes what it sees. */
function patchWrite(res: ServerResponse, seen: string[]): void {
  const write = res.write.bind(res) as Write;
  res.write = ((...args: unknown[]) => {
    seen.push(Buffer.from(args[0] as string).toString());
    return write(...args);
  }) as never;
}

/** A channel behind all layers. `before` is called with each response before any of them. */
async function stage(carrier: Carrier = bare, before: (res: ServerResponse) => void = () => undefined) {
  const pass = vi.spyOn(Bottom.prototype, 'pass');
  onTestFinished(() => pass.mockRestore());
  const channel = createChannel({ name: 'passing' });
  onTestFinished(() => channel.close());
  const responses: ServerResponse[] = [];
  const subscribe = channel.subscribe({ maxBuffered: Infinity }) as Middleware;
  const running = await serve(
    carrier,
    (_req, res, next) => {
      responses.push(res as ServerResponse);
      before(res as ServerResponse);
      next();
    },
    compress({ threshold: 0, codecs: [gzip({ syncThreshold: '16kb' })] }) as Middleware,
    heartbeat({ ackProbe: false }) as Middleware,
    (req, res, next) => (req.url === '/other' ? undefined : subscribe(req, res, next)),
  );
  const published: string[] = [];
  return {
    channel,
    running,
    responses,
    published,
    /** Segments that went straight to the socket. */
    passed: () => pass.mock.results.filter(({ value }) => value === true).length,
    /** The response of the newest client. */
    res: () => responses.at(-1)!,
    join: async (accept: string): Promise<CodedReading> => {
      const protocol = carrier === h2c ? 'HTTP/2' : 'HTTP/1.1';
      const reading = await openCoded(running, protocol, { accept });
      onTestFinished(() => reading.destroy());
      return reading;
    },
    publish: async (text: string): Promise<void> => {
      published.push(text);
      await channel.publish(text);
    },
    /** Ends the channel; the client must have everything by then, in order. */
    async finish(reading: CodedReading): Promise<void> {
      await channel.end();
      expect(await settles(reading.over)).toBe('end');
      expect(dataOf(reading.decode())).toEqual(published);
    },
  };
}

/** The data of events of one line. */
function dataOf(text: string): string[] {
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => data!);
}

const large = 'large '.repeat(12_000).trim();

describe.each(['identity', 'gzip'])('a segment for a client that accepts %s', (accept) => {
  it('passes all layers where nothing is in the way', async () => {
    const site = await stage();
    const reading = await site.join(accept);
    for (let count = 1; count <= 3; count++) {
      await site.publish(`event ${count}`);
      await turns();
    }
    expect(site.passed()).toBe(3);
    await site.finish(reading);
  });

  it('waits behind what a slow client has not read', async () => {
    const site = await stage();
    const reading = await site.join(accept);
    reading.pause();
    // Random digits, which gzip cannot make small.
    const digits = Array.from({ length: 30_000 }, (_, at) => ((at * 2_654_435_761) >>> 0).toString(36)).join('');
    const { socket } = site.res();
    // What stays in the queue of the socket for so long is more than the kernel takes.
    do {
      await site.publish(digits);
      // The thread pool needs a moment for each.
      await sleep(10);
    } while (socket?.writableLength === 0);
    const before = site.passed();
    for (let count = 1; count <= 3; count++) await site.publish(`event ${count}`);
    await turns();
    expect(site.passed()).toBe(before);
    reading.resume();
    await site.finish(reading);
  });

  it('stands behind a block of the thread pool', async () => {
    const site = await stage();
    const reading = await site.join(accept);
    await site.publish(large);
    await turns(1);
    for (let count = 1; count <= 3; count++) {
      await site.publish(`event ${count}`);
      await turns(1);
    }
    await site.finish(reading);
  });

  it('stands before an end that is under way, and not after it', async () => {
    const site = await stage();
    const reading = await site.join(accept);
    await site.publish(large);
    await turns(1);
    await site.publish('before the end');
    await turns(1);
    site.res().end();
    await site.channel.publish('after the end');
    expect(await settles(reading.over)).toBe('end');
    expect(dataOf(reading.decode())).toEqual(site.published);
  });

  it('is seen by a patch of `res.write` that came before the layers', async () => {
    const seen: string[] = [];
    const site = await stage(bare, (res) => patchWrite(res, seen));
    const reading = await site.join(accept);
    const before = seen.length;
    for (let count = 1; count <= 3; count++) {
      await site.publish(`event ${count}`);
      await turns();
    }
    expect([seen.length - before, site.passed()]).toEqual([3, 0]);
    await site.finish(reading);
  });

  it('is seen by a patch of `res.write` that came later', async () => {
    const seen: string[] = [];
    const site = await stage();
    const reading = await site.join(accept);
    await site.publish('event 1');
    await turns();
    patchWrite(site.res(), seen);
    for (const each of ['event 2', 'event 3']) {
      await site.publish(each);
      await turns();
    }
    expect([seen.map((text) => dataOf(text)), site.passed()]).toEqual([[['event 2'], ['event 3']], 1]);
    await site.finish(reading);
  });

  it('stands behind what the application has corked', async () => {
    const site = await stage();
    const reading = await site.join(accept);
    await turns();
    site.res().cork();
    site.res().write(':corked\n');
    await site.publish('event 1');
    await turns();
    expect(site.passed()).toBe(0);
    site.res().uncork();
    await site.publish('event 2');
    await site.finish(reading);
    expect(reading.decode()).toMatch(/:corked\n[^]*event 1[^]*event 2/);
  });

  it('arrives over HTTP/2', async () => {
    const site = await stage(h2c);
    const reading = await site.join(accept);
    for (const each of ['event 1', large, 'event 2']) {
      await site.publish(each);
      await turns();
    }
    expect(site.passed()).toBe(0);
    await site.finish(reading);
  });
});

it('a segment for a response that waits for its turn stands behind its head', async () => {
  const site = await stage();
  const client = await connectRaw(site.running.port);
  onTestFinished(() => client.destroy());
  client.send(getRequest('/other') + getRequest('/'));
  await until(() => site.channel.subscribers().length === 1);
  for (const each of ['event 1', 'event 2']) {
    await site.publish(each);
    await turns();
  }
  expect(site.passed()).toBe(0);
  site.responses[0]!.end('other');
  await client.waitFor('event 2');
  await site.publish('event 3');
  await site.channel.end();
  const second = await client.waitFor((text) => text.endsWith('0\r\n\r\n'));
  const message = parseChunked(second.slice(second.lastIndexOf('HTTP/1.1 200')));
  expect([message.complete, dataOf(message.chunks.join(''))]).toEqual([true, site.published]);
});
