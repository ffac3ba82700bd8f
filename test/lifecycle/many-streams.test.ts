import { describe, expect, it } from 'vitest';
import { sse } from '../../src/index.ts';
import { bare } from '../support/carriers.ts';
import { connectRaw, getRequest } from '../support/raw.ts';
import { settles, until } from '../support/until.ts';
import { makeLife, serveAttached } from './support.ts';

const count = 500;
const spread = 6000;

describe('500 event streams', () => {
  it('leave one by one over the window, each told another delay', { timeout: 60_000 }, async () => {
    const life = makeLife({ spread, drainTimeout: '50s' });
    const served = await serveAttached(
      bare,
      life,
      sse(async (stream) => {
        await stream.send({ id: '1', data: 'one' });
        await new Promise((resolve) => stream.onClose(resolve));
      }),
    );
    const clients = await Promise.all(Array.from({ length: count }, () => served.dial()));
    for (const client of clients) client.send(getRequest('/', { Accept: 'text/event-stream' }));
    await Promise.all(clients.map((client) => client.waitFor('data: one\n\n')));

    const told: number[] = [];
    for (const { socket } of clients)
      socket.on('data', (text: string) => text.includes('retry: ') && told.push(performance.now()));
    const began = performance.now();
    const report = await settles(life.drain(), 50_000);

    expect(report).toMatchObject({
      told: { streams: count },
      finished: { streams: 0 },
      cut: { streams: 0, sockets: 0 },
      reason: 'complete',
    });
    await until(() => told.length === count);
    const tenths = Array.from(
      { length: 10 },
      (_, tenth) => told.filter((time) => Math.min(9, Math.floor(((time - began) / spread) * 10)) === tenth).length,
    );
    expect(tenths.reduce((sum, each) => sum + each)).toBe(count);
    // 50 is the fair share; three times that is a machine that was away for a while, and far from all in one tick.
    for (const tenth of tenths) expect(tenth).toBeLessThan(150);
    const delays = new Set(clients.map(({ received }) => /retry: (\d+)\n/.exec(received)![1]));
    expect(delays.size).toBeGreaterThan(count / 4);
    expect(await connectRaw(served.port).catch((error: unknown) => (error as NodeJS.ErrnoException).code)).toBe(
      'ECONNREFUSED',
    );
  });
});
