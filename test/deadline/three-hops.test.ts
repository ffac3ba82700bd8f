import { type ChildProcess, fork } from 'node:child_process';
import http from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { settles, until } from '../support/until.ts';

interface HopEvent {
  readonly name: 'A' | 'B' | 'C';
  readonly event: 'listening' | 'request' | 'abort' | 'failed' | 'close';
  readonly port?: number;
  /** Of which visit. */
  readonly visit?: string;
  /** Milliseconds of its deadline. */
  readonly left?: number;
  /** The `grpc-timeout` that came. */
  readonly field?: string;
  readonly code?: string;
  /** Of an answer that was sent; 0 when the connection was cut before. */
  readonly status?: number;
  readonly at?: number;
}

const hops: ChildProcess[] = [];
const events: HopEvent[] = [];
let origin = '';
let visits = 0;

async function seen(name: HopEvent['name'], event: HopEvent['event'], visit?: string): Promise<HopEvent> {
  const find = (): HopEvent | undefined =>
    events.find((each) => each.name === name && each.event === event && each.visit === visit);
  await until(
    () => find() !== undefined,
    () => `${name} ${event}: ${JSON.stringify(events)}`,
  );
  return find()!;
}

async function startHop(name: HopEvent['name'], next: string, client: 'fetch' | 'undici'): Promise<string> {
  const hop = fork(fileURLToPath(new URL('fixtures/hop.js', import.meta.url)), [name, next, client]);
  hops.push(hop);
  hop.on('message', (event) => events.push(event as HopEvent));
  return `http://127.0.0.1:${(await seen(name, 'listening')).port}`;
}

interface Visit {
  /** The status; rejects when the connection was cut. */
  readonly status: Promise<number>;
  /** What a hop has told of it. */
  seen(name: HopEvent['name'], event: HopEvent['event']): Promise<HopEvent>;
  /** All of one kind that were told of it so far. */
  told(event: HopEvent['event']): HopEvent[];
  leave(): void;
}

function visit(query: string, timeout: string): Visit {
  const id = String(visits++);
  const req = http.get(`${origin}/?${query}&visit=${id}`, { agent: false, headers: { 'grpc-timeout': timeout } });
  const status = new Promise<number>((resolve, reject) => {
    req.on(
      'response',
      (res) =>
        void res
          .resume()
          .on('end', () => resolve(res.statusCode!))
          .on('error', reject),
    );
    req.on('error', reject);
  });
  status.catch(() => undefined);
  return {
    status,
    seen: (name, event) => seen(name, event, id),
    told: (event) => events.filter((each) => each.event === event && each.visit === id),
    leave: () => req.destroy(),
  };
}

beforeAll(async () => {
  const c = await startHop('C', '', 'fetch');
  const b = await startHop('B', c, 'undici');
  origin = await startHop('A', b, 'fetch');
});

afterAll(async () => {
  await Promise.all(hops.map((hop) => new Promise((resolve) => hop.on('exit', resolve).disconnect())));
});

describe('a request that goes through three processes', () => {
  it('has less time at each, and the same answer', async () => {
    const { status, seen, told } = visit('', '10000m');
    expect(await settles(status)).toBe(200);
    const [a, b, c] = await Promise.all([seen('A', 'request'), seen('B', 'request'), seen('C', 'request')]);
    console.log(`left at A ${a.left}, at B ${b.left}, at C ${c.left} ms`);
    expect(a).toMatchObject({ field: '10000m' });
    expect(a.left).toBeLessThanOrEqual(10_000);
    // The margin of 10 ms at least, and what the way took.
    expect(Number.parseInt(b.field!)).toBeLessThanOrEqual(9990);
    expect(b.left).toBeLessThan(a.left!);
    expect(Number.parseInt(c.field!)).toBeLessThanOrEqual(Number.parseInt(b.field!) - 9);
    expect(c.left).toBeLessThan(b.left!);
    expect(c.left).toBeGreaterThan(0);
    await Promise.all([seen('A', 'close'), seen('B', 'close'), seen('C', 'close')]);
    expect(told('abort')).toEqual([]);
  });

  it('is cancelled at each when its client leaves', async () => {
    const { seen, told, leave } = visit('hang=C', '1M');
    await seen('C', 'request');
    expect(told('abort')).toEqual([]);
    const left = Date.now();
    leave();
    const [a, b, c] = await Promise.all([seen('A', 'abort'), seen('B', 'abort'), seen('C', 'abort')]);
    console.log(`aborted after ${a.at! - left} ms at A, ${b.at! - left} at B, ${c.at! - left} at C`);
    for (const { code } of [a, b, c]) expect(code).toBe('ERR_SLUICE_CLIENT_CLOSED');
    // A call is aborted before the listeners of its context are told, so that one hop may be overtaken by the next.
    expect(c.at! - left).toBeLessThan(5000);
    // What the calls rejected with: the reason of whoever made them.
    for (const name of ['A', 'B'] as const)
      expect(await seen(name, 'failed')).toMatchObject({ code: 'ERR_SLUICE_CLIENT_CLOSED' });
  });

  // A margin that is more than the way takes on a busy machine; it is never more than a tenth of what is left.
  const margin = 800;

  const order = ['A', 'B', 'C'] as const;
  it.concurrent.each(order)(
    'is answered 504 by the one that hangs (%s), and the others pass that on',
    async (hanging) => {
      const { status, seen, told } = visit(`hang=${hanging}&margin=${margin}`, '8S');
      expect(await settles(status)).toBe(504);
      expect(await seen(hanging, 'abort')).toMatchObject({ code: 'ERR_SLUICE_DEADLINE_EXCEEDED' });
      const passing = order.slice(0, order.indexOf(hanging));
      for (const name of [...passing, hanging]) expect(await seen(name, 'close')).toMatchObject({ status: 504 });
      expect(told('failed')).toEqual([]);
      expect(told('abort')).toHaveLength(1);
      expect(told('request')).toHaveLength(passing.length + 1);
    },
  );

  it.concurrent(
    'is answered 504 by the one before the one that hangs and has no deadline, which is told to stop',
    async () => {
      const { status, seen, told } = visit(`hang=C&deaf=C&margin=${margin}`, '8S');
      expect(await settles(status)).toBe(504);
      expect(await seen('B', 'abort')).toMatchObject({ code: 'ERR_SLUICE_DEADLINE_EXCEEDED' });
      expect(await seen('B', 'failed')).toMatchObject({ code: 'ERR_SLUICE_DEADLINE_EXCEEDED' });
      expect(await seen('B', 'close')).toMatchObject({ status: 504 });
      expect(await seen('C', 'close')).toMatchObject({ status: 0 });
      expect(told('abort').filter(({ name }) => name === 'A')).toEqual([]);
    },
  );

  it('is not passed on when it came too late', async () => {
    const { status, seen, told } = visit('', '0m');
    expect(await settles(status)).toBe(504);
    await seen('A', 'close');
    expect(told('request')).toEqual([]);
  });
});
