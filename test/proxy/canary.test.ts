import http, { type IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { InvalidOptionError } from '../../src/errors.ts';
import { type Canary, type CanaryConfig, createCanary } from '../../src/proxy/index.ts';
import { bare, listen } from '../support/carriers.ts';
import { attend, serve } from '../support/serve.ts';
import { until } from '../support/until.ts';
import { rawUpstream, testProxy } from './upstreams.ts';

const arms = (weights: Record<string, number>): CanaryConfig['arms'] =>
  Object.fromEntries(
    Object.entries(weights).map(([name, weight]) => [name, { target: `http://${name}.test`, weight }]),
  );

function request(headers: Record<string, string> = {}, remoteAddress = '192.0.2.1'): IncomingMessage {
  return { headers, socket: { remoteAddress } } as unknown as IncomingMessage;
}

const armOf = (canary: Canary, req: IncomingMessage): unknown => (canary(req) as { arm?: string }).arm;

describe('weights', () => {
  const key = (req: IncomingMessage): string => String(req.headers['x-user']);

  it('are met, and no client moves back or between other arms while one grows', () => {
    const canary = createCanary({ arms: arms({ stable: 99, other: 0, canary: 1 }) }, { key: key as never });
    const clients = Array.from({ length: 10_000 }, (_, user) => request({ 'x-user': `user-${user}` }));
    let before = clients.map((client) => armOf(canary, client));
    for (const share of [1, 5, 20, 50, 100]) {
      canary.setWeights({ stable: 100 - share, canary: share });
      const now = clients.map((client) => armOf(canary, client));
      const moved = now.filter((arm, at) => arm !== before[at]);
      expect(moved.every((arm) => arm === 'canary')).toBe(true);
      const found = now.filter((arm) => arm === 'canary').length / clients.length;
      // Four standard deviations of the binomial.
      expect(Math.abs(found - share / 100)).toBeLessThanOrEqual(
        4 * Math.sqrt((share / 100) * (1 - share / 100) * 1e-4) + 1e-9,
      );
      before = now;
    }
    expect(canary.version).toBe(6);
  });

  it('spread three arms, and a client stays where it is while another arm changes', () => {
    const canary = createCanary({ arms: arms({ a: 1, b: 1, c: 2 }) }, { key: key as never });
    const clients = Array.from({ length: 4_000 }, (_, user) => request({ 'x-user': `${user}` }));
    const before = clients.map((client) => armOf(canary, client));
    expect(before.filter((arm) => arm === 'c').length / clients.length).toBeCloseTo(0.5, 1);
    canary.setWeights({ c: 1 });
    for (const [at, client] of clients.entries())
      if (before[at] !== 'c') expect(armOf(canary, client)).toBe(before[at]);
    expect(Object.values(canary.counts()).reduce((sum, { requests }) => sum + requests, 0)).toBeGreaterThan(4_000);
  });
});

describe('rules', () => {
  const canary = createCanary(
    {
      arms: arms({ stable: 1, canary: 0, local: 0, beta: 0 }),
      rules: [
        { arm: 'canary', headers: { 'X-Canary': 'always' } },
        { arm: 'canary', cookies: { canary: true }, ranges: ['192.0.2.0/24', '2001:db8::/32'] },
        { arm: 'local', ranges: ['10.0.0.0/8', '::1'] },
        { arm: 'beta', tiers: ['beta', 'staff'] },
      ],
    },
    { tier: (req) => (req.headers['x-tier'] as string | undefined) ?? undefined, trust: ['127.0.0.1'] },
  );

  it.each([
    [request(), 'stable'],
    [request({ 'x-canary': 'always' }), 'canary'],
    [request({ 'x-canary': 'never' }), 'stable'],
    [request({ cookie: 'a=1; canary=x' }), 'canary'],
    [request({ cookie: 'a=1; canary=x' }, '198.51.100.1'), 'stable'],
    [request({ cookie: 'canaryx=1' }), 'stable'],
    [request({ cookie: 'canary=' }, '2001:db8::7'), 'canary'],
    [request({}, '10.1.2.3'), 'local'],
    [request({}, '::ffff:10.1.2.3'), 'local'],
    [request({}, '::1'), 'local'],
    [request({ 'x-forwarded-for': '10.1.2.3' }), 'stable'],
    [request({ 'x-forwarded-for': '9.9.9.9, 10.1.2.3' }, '127.0.0.1'), 'local'],
    [request({ 'x-tier': 'staff' }), 'beta'],
    [request({ 'x-tier': 'free' }), 'stable'],
  ])('%#: send a request to its arm', (req, arm) => {
    expect(armOf(canary, req)).toBe(arm);
  });
});

it('refuses a configuration as a whole, and keeps the one that is there', () => {
  const canary = createCanary({ arms: arms({ a: 1 }) });
  for (const config of [
    { arms: {} },
    { arms: arms({ a: 0 }) },
    { arms: arms({ a: -1 }) },
    { arms: arms({ a: NaN }) },
    { arms: { a: { target: 'nowhere', weight: 1 } } },
    { arms: arms({ a: 1 }), rules: [{ arm: 'b' }] },
    { arms: arms({ a: 1 }), rules: [{ arm: 'a', ranges: ['300.0.0.0/8'] }] },
  ])
    expect(() => canary.swap(config)).toThrow(InvalidOptionError);
  expect(() => canary.setWeights({ b: 1 })).toThrow(InvalidOptionError);
  expect([canary.version, canary.config]).toEqual([1, { arms: arms({ a: 1 }) }]);
});

it('changes while it runs, without a lost request, and tells of it', async () => {
  const answer = (text: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  const upstreams = await Promise.all(['a', 'b'].map((name) => rawUpstream(({ send }) => send(answer(name)))));
  const [a, b] = upstreams.map(({ origin }) => origin);
  const config = (weightOfA: number, weightOfB: number): CanaryConfig => ({
    arms: { a: { target: a!, weight: weightOfA }, b: { target: b!, weight: weightOfB } },
  });
  const canary = createCanary(config(1, 0));
  const changes: number[] = [];
  const undo = canary.on('change', ({ version }) => changes.push(version));
  const running = await serve(bare, testProxy({ route: canary }));
  const texts: string[] = [];
  const visits = Array.from({ length: 20 }, async () => {
    for (let round = 0; round < 10; round += 1) {
      const answered = await fetch(running.origin);
      expect(answered.status).toBe(200);
      texts.push(await answered.text());
      if (texts.length === 100) canary.swap(config(0, 1));
    }
  });
  await Promise.all(visits);
  undo();
  canary.swap(config(1, 1));
  expect([changes, texts.slice(0, 80).includes('b'), texts.slice(-80).includes('a')]).toEqual([[2], false, false]);
  await until(() => Object.values(canary.counts()).every(({ active }) => active === 0));
  expect(canary.counts()).toEqual({
    a: { requests: texts.filter((each) => each === 'a').length, active: 0, retries: 0, failures: 0 },
    b: { requests: texts.filter((each) => each === 'b').length, active: 0, retries: 0, failures: 0 },
  });
});

it('changes its weights under load, and no stream is cut and no request lost', async () => {
  const streams: http.ServerResponse[] = [];
  const service = async (name: string): Promise<string> => {
    const server = http.createServer((req, res) => {
      if (req.url !== '/events') {
        req.resume().on('end', () => res.end(name));
        return;
      }
      res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(`data: ${name}\n\n`);
      streams.push(res);
    });
    return attend(await listen(server)).origin;
  };
  const [stable, next] = [await service('stable'), await service('next')];
  const config = (share: number): CanaryConfig => ({
    arms: { stable: { target: stable, weight: 100 - share }, next: { target: next, weight: share } },
  });
  const user = (req: IncomingMessage): string => String(req.headers['x-user']);
  const canary = createCanary(config(0), { key: user as never });
  const running = await serve(bare, testProxy({ route: canary }));
  const headersOf = (name: number): Record<string, string> => ({ 'x-user': `user-${name}` });
  const open = await Promise.all(
    Array.from({ length: 8 }, (_, name) => running.visit({ path: '/events', headers: headersOf(name) })),
  );
  await until(() => open.every(({ text }) => text === 'data: stable\n\n'));

  // Each user asks one thing after the other, while the share grows and the configuration is replaced.
  const answers = new Map<number, string[]>();
  let isOver = false;
  const users = Array.from({ length: 8 }, async (_, name) => {
    const seen: string[] = [];
    answers.set(name, seen);
    while (!isOver) {
      const answer = await fetch(running.origin, { method: 'POST', body: 'x'.repeat(1000), headers: headersOf(name) });
      expect(answer.status).toBe(200);
      seen.push(await answer.text());
    }
  });
  for (const [step, share] of [5, 20, 60, 100].entries()) {
    const before = [...answers.values()].map(({ length }) => length);
    if (step % 2 === 0) canary.setWeights({ stable: 100 - share, next: share });
    else canary.swap(config(share));
    await until(() => [...answers.values()].every(({ length }, at) => length > before[at]! + 1));
  }
  isOver = true;
  await Promise.all(users);
  for (const seen of answers.values()) {
    // Once moved, it stays.
    expect(seen.lastIndexOf('stable')).toBeLessThan(seen.indexOf('next'));
    expect(seen.at(-1)).toBe('next');
  }
  for (const stream of streams) stream.end('data: last\n\n');
  for (const reading of open)
    expect([await reading.over, reading.text]).toEqual(['end', 'data: stable\n\ndata: last\n\n']);
  await until(() => Object.values(canary.counts()).every(({ active }) => active === 0));
  const requests = open.length + [...answers.values()].reduce((sum, { length }) => sum + length, 0);
  const counts = Object.values(canary.counts());
  expect(counts.reduce((sum, each) => sum + each.requests, 0)).toBe(requests);
  expect(counts.map(({ retries, failures }) => [retries, failures])).toEqual([
    [0, 0],
    [0, 0],
  ]);
});

it('tells the retries and failures of each arm apart', async () => {
  const broken = await rawUpstream(({ socket }) => void setImmediate(() => socket.destroy()));
  const failing = await rawUpstream(({ send }) => send('HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n'));
  const cutting = await rawUpstream(({ socket }) =>
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab', 'latin1'),
  );
  const canary = createCanary({
    arms: {
      broken: { target: broken.origin, weight: 1 },
      failing: { target: failing.origin, weight: 0 },
      cutting: { target: cutting.origin, weight: 0 },
    },
    rules: ['failing', 'cutting'].map((arm) => ({ arm, headers: { 'x-arm': arm } })),
  });
  const running = await serve(bare, testProxy({ route: canary, retry: { minDelay: 1, maxDelay: 1 } }));
  const outcomes: unknown[] = [];
  for (const arm of ['broken', 'failing', 'cutting']) {
    const reading = await running.visit({ headers: { 'x-arm': arm } });
    outcomes.push([reading.status, await reading.over]);
  }
  expect(outcomes).toEqual([
    [502, 'end'],
    [500, 'end'],
    [200, 'aborted'],
  ]);
  expect(canary.counts()).toEqual({
    broken: { requests: 1, active: 0, retries: 2, failures: 1 },
    failing: { requests: 1, active: 0, retries: 0, failures: 1 },
    cutting: { requests: 1, active: 0, retries: 0, failures: 1 },
  });
});
