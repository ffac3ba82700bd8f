import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import type { UpstreamStats } from '../../src/proxy/index.ts';

// SLUICE_SOAK_STREAMS: how many at once; SLUICE_SOAK_ROUNDS: how often. For 4,000 of them the limit of open files is to be 10,000.
const streams = Number(process.env['SLUICE_SOAK_STREAMS'] ?? 200);
const rounds = Number(process.env['SLUICE_SOAK_ROUNDS'] ?? 2);
const killed = Math.round(streams * 0.05);

interface Party {
  ask<T>(name: string, order?: object): Promise<T>;
}

function start(role: string, target = ''): Party {
  const path = fileURLToPath(new URL('soak/process.js', import.meta.url));
  const child: ChildProcess = fork(path, [role, target], { execArgv: ['--expose-gc'] });
  onTestFinished(() => void child.kill());
  const death = once(child, 'exit').then(() => Promise.reject(new Error(`the process of the ${role} has ended`)));
  // It is killed at the end.
  death.catch(() => undefined);
  return {
    async ask<T>(name: string, order: object = {}): Promise<T> {
      const answer = once(child, 'message');
      child.send({ name, ...order });
      return ((await Promise.race([answer, death])) as [T])[0];
    },
  };
}

interface Measured {
  readonly rss: number;
  readonly heapUsed: number;
  readonly connections: number;
  readonly sockets: number;
  readonly upstream: UpstreamStats | undefined;
}

interface Counts {
  readonly open: number;
  readonly complete: number;
  readonly cut: number;
  readonly wrong: number;
}

const tcpStates: Readonly<Record<string, string>> = {
  '01': 'ESTABLISHED',
  '02': 'SYN_SENT',
  '03': 'SYN_RECV',
  '04': 'FIN_WAIT1',
  '05': 'FIN_WAIT2',
  '06': 'TIME_WAIT',
  '08': 'CLOSE_WAIT',
  '09': 'LAST_ACK',
  '0B': 'CLOSING',
};

/** The ends of connections to the ports, by state; those that wait for late segments belong to no process. */
function socketsOf(ports: readonly number[]): Record<string, number> {
  const counts: Record<string, number> = {};
  if (!existsSync('/proc/net/tcp')) return counts;
  const wanted = ports.map((port) => port.toString(16).toUpperCase().padStart(4, '0'));
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)) {
    const [, local = '', remote = '', code = ''] = line.trim().split(/\s+/);
    const state = tcpStates[code];
    if (state === undefined || !wanted.some((port) => local.endsWith(`:${port}`) || remote.endsWith(`:${port}`)))
      continue;
    counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
}

function isSettled(states: Readonly<Record<string, number>>): boolean {
  return Object.keys(states).every((state) => state === 'TIME_WAIT');
}

it('leaves no socket and no memory behind when upstreams are killed', { timeout: 1_200_000 }, async () => {
  const upstream = start('upstream');
  const { port: upstreamPort } = await upstream.ask<{ port: number }>('listen');
  const proxy = start('proxy', `http://127.0.0.1:${upstreamPort}`);
  const { port } = await proxy.ask<{ port: number }>('listen');
  const clients = start('clients', String(port));
  const ports = [upstreamPort, port];
  const rows: unknown[] = [];
  const heaps: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    expect(await clients.ask<Counts>('open', { streams })).toMatchObject({ open: streams, cut: 0, wrong: 0 });
    const atPeak = await proxy.ask<Measured>('measure');
    expect(atPeak).toMatchObject({ connections: streams, upstream: { active: streams } });
    const peak = socketsOf(ports);
    expect(await upstream.ask('play', { events: 25, killed })).toEqual({ open: streams });
    const counts = await clients.ask<Counts>('finish');
    // No client takes a part for the whole.
    expect(counts).toEqual({ open: streams, complete: streams - killed, cut: killed, wrong: 0 });
    await expect
      .poll(async () => [isSettled(socketsOf(ports)), (await proxy.ask<Measured>('measure')).sockets], {
        timeout: 60_000,
        interval: 200,
      })
      .toEqual([true, 0]);
    const after = await proxy.ask<Measured>('measure');
    expect(after).toMatchObject({
      connections: 0,
      sockets: 0,
      upstream: { active: 0, requests: streams * round, failures: killed * round },
    });
    heaps.push(after.heapUsed);
    rows.push({
      round,
      ...counts,
      peak,
      after: socketsOf(ports),
      rssAtPeak: atPeak.rss,
      rss: after.rss,
      heapUsed: after.heapUsed,
    });
  }
  if (process.env['SLUICE_SOAK_STREAMS'] !== undefined) console.log(rows.map((row) => JSON.stringify(row)).join('\n'));
  // The first round compiles, and fills what is kept for reuse. An exchange that is kept has more than this.
  const [first = 0, last = 0] = [heaps[0], heaps.at(-1)];
  expect(last - first).toBeLessThan(1e6 + 1000 * streams * (rounds - 1));
});
