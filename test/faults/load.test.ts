import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { http1Client } from '../support/body-clients.ts';
import { decodeStrictly } from '../support/decoders.ts';
import { settles } from '../support/until.ts';

// Seldom, so that on a machine that has others to serve the visits themselves are no load.
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300));

interface Step {
  readonly tier: number;
  readonly previous: number;
}

it(
  'a machine that is out of CPU sends what is new as it is, and compresses again when it has some',
  { timeout: 240_000 },
  async () => {
    const server = fork(fileURLToPath(new URL('../support/load-server.js', import.meta.url)), [], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    onTestFinished(async () => {
      if (server.exitCode !== null) return;
      server.kill('SIGKILL');
      await once(server, 'exit');
    });
    const [{ port }] = (await settles(once(server, 'message'))) as [{ port: number }];
    const steps: Step[] = [];
    server.on('message', (step: Step) => void steps.push(step));
    const client = http1Client({ port });
    const texts = new Set<string>();

    /** What new responses are like, until they are what is waited for. */
    const outcomes: string[] = [];
    const visitUntil = async (outcome: string): Promise<void> => {
      const end = Date.now() + 50_000;
      for (;;) {
        const reading = await client.get('/', 'gzip');
        expect(await settles(reading.over, 20_000)).toBe('end');
        texts.add(decodeStrictly(reading.coding, reading.bytes).toString());
        const [, told] = /desc="(.*)"/.exec(String(reading.headers['server-timing'])) ?? [];
        expect(told).toBe(reading.coding === 'identity' ? 'tier-off' : reading.coding);
        if (outcomes.at(-1) !== told) outcomes.push(told!);
        if (told === outcome) return;
        if (Date.now() > end) throw new Error(`no ${outcome}: ${JSON.stringify({ outcomes, steps })}`);
        await pause();
      }
    };

    /** Waits until the load is gone, for so many looks in a row. */
    const calm = async (looks: number): Promise<void> => {
      const end = Date.now() + 50_000;
      for (let calmLooks = 0; calmLooks < looks && Date.now() < end;) {
        await pause();
        calmLooks = (steps.at(-1)?.tier ?? 0) === 0 ? calmLooks + 1 : 0;
      }
    };

    // A process that has just started has had something to do, of which its governor may learn late.
    await calm(6);
    steps.length = 0;
    await visitUntil('gzip');
    server.send('burn');
    await visitUntil('tier-off');
    // Some dwells of a load that stays: the tier stays too.
    for (let time = 0; time < 7; time++) {
      await visitUntil('tier-off');
      await pause();
    }
    server.send('rest');
    await visitUntil('gzip');
    await calm(1);

    expect(outcomes).toEqual(['gzip', 'tier-off', 'gzip']);
    expect(texts.size).toBe(1);
    // Up, then down one by one, and never back: it does not flap.
    const tiers = [0, ...steps.map(({ tier }) => tier)];
    const top = tiers.indexOf(3);
    expect(tiers.slice(0, top + 1)).toEqual(tiers.slice(0, top + 1).toSorted());
    expect(tiers.slice(top)).toEqual([3, 2, 1, 0]);
    expect(steps.map(({ previous }) => previous)).toEqual(tiers.slice(0, -1));
  },
);
