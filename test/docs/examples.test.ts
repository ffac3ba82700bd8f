import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ended, type Example, examplesOf, openRoom, pages, runUntilSignal, start } from '../support/docs.ts';
import { type NatsServer, startNats } from '../support/nats-server.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { rows } from './examples.ts';
import { browserOf } from './visits.ts';

const examples = new Map(pages.flatMap(examplesOf).map((example) => [example.key, example]));

function rowOf({ key }: Example): (typeof rows)[string] {
  return rows[key] ?? { notRun: 'has no row' };
}

describe('the examples of the documentation', () => {
  const draining = [...examples.values()].filter((example) => rowOf(example).drains);
  const others = [...examples.values()].filter(
    (example) => !rowOf(example).drains && rowOf(example).notRun === undefined,
  );

  let redis: RedisServer | undefined;
  let nats: NatsServer | undefined;
  beforeAll(async () => {
    [redis, nats] = await Promise.all([startRedis(), startNats()]);
    process.env['REDIS_URL'] = redis.url;
    process.env['NATS_URL'] = nats.url;
  });
  afterAll(() => Promise.all([redis?.stop(), nats?.stop()]));

  const room = openRoom();
  afterAll(() => room.remove());

  // They wait for most of their time: meanwhile the others run.
  const processes = new Map<string, ReturnType<typeof runUntilSignal>>();
  beforeAll(() => {
    for (const { key, code } of draining) processes.set(key, runUntilSignal(code));
  });
  afterAll(() => {
    for (const each of processes.values()) each.kill();
  });

  it('have a row each, and each row an example', () => {
    expect(Object.keys(rows).toSorted()).toEqual([...examples.keys()].toSorted());
    for (const { notRun } of Object.values(rows)) expect(notRun).not.toBe('');
  });

  it.for(others.map((example) => [example.key, example] as const))('%s', async ([, example]) => {
    const { beside, calls, imports, shorter, visit } = rowOf(example);
    if (imports) room.write(imports.file, examples.get(imports.example)!.code);
    const called = calls === undefined ? undefined : await start(examples.get(calls)!, room);
    const other = beside === undefined ? undefined : await start(examples.get(beside)!, room);
    const code = shorter ? example.code.replaceAll(...shorter) : example.code;
    if (shorter) expect(code).not.toBe(example.code);
    const running = await start({ ...example, code }, room, {
      ...(other && { globals: browserOf(other.origin()) }),
      ...(called && { upstream: called.origin() }),
    });
    await visit?.(other ? { ...running, origin: other.origin } : running);
  });

  it.for(draining.map(({ key }) => key))('%s drains on SIGTERM, and exits with 0', { timeout: 60_000 }, async (key) => {
    const ended: Ended = { code: 0, signal: null, output: '' };
    expect(await processes.get(key)!.ended).toEqual(ended);
  });
});
