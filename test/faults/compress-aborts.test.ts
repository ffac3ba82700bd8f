import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { expect, it, onTestFinished } from 'vitest';
import { codings } from '../support/decoders.ts';
import { getRequest } from '../support/raw.ts';
import { settles } from '../support/until.ts';

const count = 1500;
const concurrency = 150;

/** What the server tells of itself. */
interface Report {
  readonly rss: number;
  readonly activeEncoders: number;
  readonly encoderBytes: number;
  readonly resources: Record<string, number>;
  readonly listeners: unknown;
  readonly alive: Record<string, number>;
  readonly faults: string[];
}

/** When a client leaves: by what it has received, or without reading, after some ms. */
type Moment =
  | { readonly leaves: 'at once' }
  | { readonly leaves: 'at the head' }
  | { readonly leaves: 'in the middle'; readonly bytes: number }
  | { readonly leaves: 'without reading'; readonly after: number }
  | { readonly leaves: 'at the end' };

interface Visit {
  readonly path: string;
  readonly coding: string;
  readonly moment: Moment;
  readonly reset: boolean;
}

const coding = fc.constantFrom(...codings);
const reset = fc.boolean();
const finite = fc.constantFrom('/events', '/long', '/whole', '/late/events', '/late/long', '/late/whole');

const visit: fc.Arbitrary<Visit> = fc.oneof(
  {
    weight: 95,
    arbitrary: fc.record({
      path: finite,
      coding,
      reset,
      moment: fc.oneof(
        fc.constant<Moment>({ leaves: 'at once' }),
        fc.constant<Moment>({ leaves: 'at the head' }),
        fc.integer({ min: 300, max: 3000 }).map<Moment>((bytes) => ({ leaves: 'in the middle', bytes })),
        fc.integer({ min: 0, max: 10 }).map<Moment>((after) => ({ leaves: 'without reading', after })),
        fc.constant<Moment>({ leaves: 'at the end' }),
      ),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      path: fc.constantFrom('/events/full', '/long/full', '/late/events/full', '/late/long/full'),
      coding,
      reset,
      moment: fc.integer({ min: 5, max: 40 }).map<Moment>((after) => ({ leaves: 'without reading', after })),
    }),
  },
);

/** Visits, and leaves; resolves when the socket is closed. */
function perform(address: net.NetConnectOpts, { path, coding, moment, reset }: Visit): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect(address);
    const leave = (): void => void (reset && 'port' in address ? socket.resetAndDestroy() : socket.destroy());
    // What it reads before it leaves is not looked at, but for its length and its end.
    let received = 0;
    let tail = '';
    socket.on('connect', () => {
      // The end of a body with a length is that of its connection.
      socket.write(
        getRequest(path, { 'Accept-Encoding': coding, ...(path.endsWith('whole') && { Connection: 'close' }) }),
        () => {
          if (moment.leaves === 'at once') setImmediate(leave);
        },
      );
      if (moment.leaves === 'without reading') setTimeout(leave, moment.after);
      else socket.on('data', onData);
    });
    const onData = (chunk: Buffer): void => {
      received += chunk.length;
      tail = (tail + chunk.toString('latin1')).slice(-5);
      if (
        moment.leaves === 'at the head' ||
        (moment.leaves === 'in the middle' && received >= moment.bytes) ||
        tail.endsWith('0\r\n\r\n')
      )
        leave();
    };
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
  });
}

async function ask(server: ChildProcess): Promise<Report> {
  const answer = once(server, 'message') as Promise<[Report]>;
  server.send('report');
  const [report] = await settles(answer, 60_000);
  return report;
}

it('three thousand clients that leave at any moment leave nothing behind', { timeout: 240_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-aborts-'));
  const pipe = join(folder, 'pipe');
  const server = fork(fileURLToPath(new URL('../support/abort-server.js', import.meta.url)), [pipe], {
    execArgv: ['--expose-gc', '--no-warnings'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // Memory that was given back stays in the arena of its thread, and each round uses others.
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
  });
  onTestFinished(async () => {
    if (server.exitCode === null) {
      server.kill();
      await once(server, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  });
  const [{ port }] = (await settles(once(server, 'message'))) as [{ port: number }];

  const round = async (visits: readonly Visit[]): Promise<void> => {
    let next = 0;
    await Promise.all(
      Array.from({ length: concurrency }, async () => {
        for (let visit = visits[next++]; visit; visit = visits[next++]) {
          await perform(visit.path.endsWith('full') ? { path: pipe } : { port, host: '127.0.0.1' }, visit);
        }
      }),
    );
  };
  const settled = async (resources?: Report['resources']): Promise<Report> => {
    const isBusy = (report: Report): boolean =>
      report.activeEncoders > 0 ||
      (resources !== undefined &&
        Object.entries(report.resources).some(([name, number]) => number > (resources[name] ?? 0)));
    // What the thread pool has in hand is still counted, and so is a connection whose end the server has not come to
    // yet.
    const end = Date.now() + 20_000;
    let report = await ask(server);
    while (isBusy(report) && Date.now() < end) report = await ask(server);
    return report;
  };

  const visits = fc.sample(visit, { numRuns: count });
  // What is made once, at its first use, is no leak.
  await round(visits.slice(0, 300));
  const before = await settled();
  await round(visits);
  let first = await settled(before.resources);
  await round(visits);
  let second = await settled(before.resources);
  // A leak grows in every round; what a collector leaves lying does not.
  for (let rounds = 0; rounds < 3 && second.rss > first.rss * 1.05; rounds++) {
    await round(visits);
    [first, second] = [second, await settled(before.resources)];
  }

  for (const report of [first, second]) {
    expect(report).toMatchObject({ activeEncoders: 0, encoderBytes: 0, faults: [], listeners: before.listeners });
    for (const [name, number] of Object.entries(report.resources))
      expect([name, number <= (before.resources[name] ?? 0)]).toEqual([name, true]);
    // Some may be held by the last to leave.
    for (const [name, number] of Object.entries(report.alive)) expect([name, number < 50]).toEqual([name, true]);
  }
  expect(second.rss).toBeLessThan(first.rss * 1.05);
});
