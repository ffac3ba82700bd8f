import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { expect, it, onTestFinished } from 'vitest';
import {
  type ChannelRunMessage,
  createMemoryBackplane,
  currentContext,
  deadline,
  InvalidOptionError,
  lifecycle,
  resumable,
} from '../../../src/index.ts';
import type { Middleware } from '../../support/carriers.ts';
import { settles, until } from '../../support/until.ts';
import { changed, ended, Script, serveAnswers, told } from './site.ts';

const end = (status: string): string => `sluice.end {"status":"${status}"}`;

/** What is said of runs from now on. */
function watchRuns(): string[] {
  const states: string[] = [];
  const note = (message: unknown): void => void states.push((message as ChannelRunMessage).state);
  subscribe('sluice:channel:run', note);
  onTestFinished(() => void unsubscribe('sluice:channel:run', note));
  return states;
}

it('readers of an answer whose producer is dead are told, and its end is that of one process', async () => {
  const backplane = createMemoryBackplane();
  const states = watchRuns();
  const script = new Script();
  // Its claims are not renewed, and nothing that it writes after its first entry arrives: as a process that is stopped.
  let isDead = false;
  const late: (() => void)[] = [];
  const stopped = changed(backplane, (log) => ({
    append: (entry, options) => {
      if (!isDead || options.fence === undefined) return log.append(entry, options);
      return new Promise((resolve, reject) => {
        late.push(() => {
          try {
            resolve(log.append(entry, options));
          } catch (error) {
            reject(error as Error);
          }
        });
      });
    },
    renew: (fence, ttl) => (isDead ? new Promise(() => undefined) : log.renew(fence, ttl)),
  }));
  const one = await serveAnswers({ script, backplane: stopped, lease: 100 });
  const two = await serveAnswers({ script, backplane, lease: 100 });
  const three = await serveAnswers({ script, backplane, lease: 100 });
  const first = await one.start();
  script.yields('a');
  await first.count(1);
  const readers = [await two.resume(), await three.resume()];
  isDead = true;
  script.yields('b');
  for (const reader of readers) {
    await settles(reader.over);
    expect(told(reader)).toEqual(['a', end('interrupted')]);
  }
  await until(() => two.ends.length + three.ends.length > 0);
  // The process goes on: what it has left to say comes too late.
  for (const append of late) append();
  await until(() => script.isOver);
  expect(script.signal?.reason).toMatchObject({ code: 'ERR_SLUICE_PRODUCER_FENCED' });
  await until(() => states.includes('fenced'));
  expect(states).toEqual(['started', 'interrupted', 'fenced']);
  expect(one.ends).toEqual([]);
  const [last] = [...two.ends, ...three.ends];
  expect(last).toMatchObject({ key: 'a', status: 'interrupted' });
  expect((await last!.events()).map(({ data }) => data as unknown)).toEqual(['a']);
  expect(two.ends.length + three.ends.length).toBe(1);
  await settles(first.over);
  expect(told(first)).toEqual(['a', end('interrupted')]);
});

it('an answer that cannot be published fails, and its readers are told', async () => {
  const backplane = createMemoryBackplane();
  const script = new Script();
  let isDown = false;
  const failing = changed(backplane, (log) => ({
    append: (entry, options) => {
      if (isDown && entry.isEnd !== true) return Promise.reject(new Error('no connection'));
      return log.append(entry, options);
    },
  }));
  const one = await serveAnswers({ script, backplane: failing });
  const client = await one.start();
  script.yields('a');
  await client.count(1);
  isDown = true;
  script.yields('b');
  await settles(client.over);
  expect(told(client)).toEqual(['a', end('failed')]);
  const [last] = await ended(one);
  expect(last).toMatchObject({ status: 'failed', error: { cause: new Error('no connection') } });
  expect(script.signal?.reason).toBe(last!.error);
});

it('the end is tried until it is in the log, and told once', async () => {
  const backplane = createMemoryBackplane();
  const script = new Script();
  let tries = 0;
  const failing = changed(backplane, (log) => ({
    // The first answer is lost: the entry is in the log. The second time it is not reached.
    append: (entry, options) => {
      if (entry.isEnd !== true || ++tries > 2) return log.append(entry, options);
      if (tries === 1) void log.append(entry, options);
      return Promise.reject(new Error('no connection'));
    },
  }));
  const one = await serveAnswers({ script, backplane: failing });
  script.yields('a');
  script.returns(1);
  const client = await one.start();
  await settles(client.over);
  expect(told(client)).toEqual(['a', end('done')]);
  expect((await ended(one)).map(({ status, value }) => [status, value as unknown])).toEqual([['done', 1]]);
  expect(tries).toBe(3);
});

it('readers are sent away when the log cannot say whether the producer lives', async () => {
  const memory = createMemoryBackplane();
  const script = new Script();
  const down = changed(memory, () => ({ isClaimed: () => Promise.reject(new Error('no connection')) }));
  const errors: unknown[] = [];
  const note = (message: unknown): void => void errors.push((message as { error: Error }).error.message);
  subscribe('sluice:channel:error', note);
  onTestFinished(() => void unsubscribe('sluice:channel:error', note));
  const one = await serveAnswers({ script, backplane: memory, lease: 100 });
  const two = await serveAnswers({ script, backplane: down, lease: 100 });
  await one.start();
  script.yields('a');
  const reader = await two.resume();
  await reader.count(1);
  expect(await settles(reader.over)).toBe('aborted');
  expect(errors).toEqual(['no connection']);
  script.returns();
});

it.each([
  ['cancel', 'cancel'],
  ['cancelAfter', { cancelAfter: 50 }],
] as const)('onDisconnect %s: the last client of all instances counts', async (_name, onDisconnect) => {
  const script = new Script();
  let announced = 0;
  const backplane = changed(createMemoryBackplane(), (log) => ({
    append: (entry, options) => {
      if (entry.event === 'reader') announced += 1;
      return log.append(entry, options);
    },
  }));
  const options = { script, backplane, onDisconnect, lease: 1000 };
  const one = await serveAnswers(options);
  const two = await serveAnswers(options);
  const first = await one.start();
  script.yields('a');
  await first.count(1);
  const second = await two.resume();
  await second.count(1);
  first.destroy();
  await until(() => one.rooms.subscribers().length === 0);
  // After more than a lease: the other instance says again that it has a client.
  const least = announced + 3;
  await until(() => announced >= least);
  script.yields('b');
  await second.count(2);
  expect([one.ends, script.signal?.aborted]).toEqual([[], false]);
  second.destroy();
  const [last] = await ended(one);
  expect(last).toMatchObject({ status: 'cancelled', error: { reason: 'disconnected' } });
});

it('goes on without any client by default', async () => {
  const script = new Script();
  const one = await serveAnswers({ script });
  const client = await one.start();
  client.destroy();
  await until(() => one.rooms.subscribers().length === 0);
  script.yields('a');
  script.returns();
  expect((await ended(one))[0]).toMatchObject({ status: 'done' });
});

it('a client that comes before the time is over saves the answer', async () => {
  const script = new Script();
  const one = await serveAnswers({ script, onDisconnect: { cancelAfter: '30s' } });
  const client = await one.start();
  client.destroy();
  await until(() => one.rooms.subscribers().length === 0);
  const back = await one.resume();
  script.yields('a');
  script.returns();
  await settles(back.over);
  expect(told(back)).toEqual(['a', end('done')]);
});

it('a generator that does not heed its signal is given up after the grace', async () => {
  let isReleased = false;
  const one = await serveAnswers({
    grace: 30,
    async *run() {
      yield 'a';
      try {
        await new Promise(() => undefined);
      } finally {
        isReleased = true;
      }
    },
  });
  const client = await one.start();
  await client.count(1);
  expect(await one.cancel()).toBe(204);
  await settles(client.over);
  expect(told(client)).toEqual(['a', end('cancelled')]);
  expect((await ended(one))[0]).toMatchObject({ status: 'cancelled', value: undefined });
  expect(isReleased).toBe(false);
});

it.each([
  ['no source', () => 'text', 'ERR_SLUICE_SOURCE_INVALID'],
  ['what is no event', () => [{ id: '1', data: 'a' }], 'ERR_SLUICE_EVENT_INVALID'],
])('a run that gives %s fails', async (_name, run, code) => {
  const one = await serveAnswers({ run });
  const client = await one.start();
  await settles(client.over);
  expect(told(client)).toEqual([end('failed')]);
  expect((await ended(one))[0]).toMatchObject({ status: 'failed', error: { code } });
});

it('ends at the deadline of the response that began it, as that holds for a stream', async () => {
  const script = new Script();
  const one = await serveAnswers({ script, before: [deadline({ max: 150 }) as Middleware] });
  const client = await one.start();
  script.yields('a');
  await settles(client.over);
  const [last] = await ended(one);
  expect(last).toMatchObject({ status: 'failed', error: { code: 'ERR_SLUICE_DEADLINE_EXCEEDED' } });
  const streams = await serveAnswers({ script, before: [deadline({ default: 100, idle: '30s' }) as Middleware] });
  const other = await streams.start();
  await new Promise((resolve) => setTimeout(resolve, 300));
  script.yields('b');
  script.returns();
  await settles(other.over);
  expect(told(other)).toEqual(['b', end('done')]);
});

it('runs in the async context of its request, and in a context of its own', async () => {
  const storage = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  const one = await serveAnswers({
    before: [(req, _res, next) => storage.run(String(req.headers['x-user']), next)],
    async *run({ signal, key }) {
      yield 'a';
      await new Promise((resolve) => setImmediate(resolve));
      seen.push(storage.getStore(), currentContext().signal === signal, key);
    },
  });
  await settles((await one.start({ id: 'a' }, { 'x-user': 'ann' })).over);
  expect(seen).toEqual(['ann', true, 'a']);
});

it('a shutdown waits for it and for onEnd, and moves its readers', async () => {
  const script = new Script();
  const life = lifecycle({ signals: [], spread: 1, preDrain: 0, drainTimeout: '30s' });
  let release: () => void = () => undefined;
  const saved = new Promise<void>((resolve) => (release = resolve));
  const one = await serveAnswers({ script, before: [life as Middleware], onEnd: () => saved });
  life.attach(one.running.server);
  const client = await one.start();
  script.yields('a');
  await client.count(1);
  const report = life.drain();
  expect(await settles(client.over)).toBe('aborted');
  let isOver = false;
  void report.then(() => (isOver = true));
  script.yields('b');
  script.returns();
  await until(() => script.isOver);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect([isOver, life.state, script.signal?.aborted]).toEqual([false, 'draining', false]);
  release();
  expect(await settles(report)).toMatchObject({ reason: 'complete', finished: { holds: 1 }, told: { streams: 1 } });
});

it('a shutdown that waits no longer interrupts it', async () => {
  const script = new Script();
  const life = lifecycle({ signals: [], spread: 1, preDrain: 0, drainTimeout: 50 });
  const one = await serveAnswers({ script, before: [life as Middleware] });
  life.attach(one.running.server);
  const client = await one.start();
  script.yields('a');
  await client.count(1);
  await settles(life.drain());
  const [last] = await ended(one);
  expect(last).toMatchObject({ status: 'interrupted', error: { code: 'ERR_SLUICE_DRAINING' } });
  expect((await last!.events()).map(({ data }) => data as unknown)).toEqual(['a']);
});

it('is interrupted when its family closes', async () => {
  const script = new Script();
  const one = await serveAnswers({ script });
  const client = await one.start();
  script.yields('a');
  await client.count(1);
  one.rooms.close();
  expect(await settles(client.over)).toBe('aborted');
  expect((await ended(one))[0]).toMatchObject({ status: 'interrupted', error: { code: 'ERR_SLUICE_CHANNEL_CLOSED' } });
});

it('asks the application who may have an answer', async () => {
  const script = new Script();
  const one = await serveAnswers({ script, key: (req) => req.headers['x-user'] === 'ann' && 'a' });
  const user = { 'x-user': 'ann' };
  expect([(await one.start()).status, (await one.resume()).status, await one.cancel()]).toEqual([403, 403, 403]);
  expect(script.begun).toBe(0);
  const client = await one.start({}, user);
  script.returns();
  await settles(client.over);
  expect(told(client)).toEqual([end('done')]);
  const failing = await serveAnswers({ key: () => Promise.reject(new Error('no database')) });
  expect((await failing.start()).status).toBe(500);
  const wrong = await serveAnswers({ key: () => 'x'.repeat(201) });
  expect((await wrong.start()).status).toBe(500);
  const past = await serveAnswers({ key: () => ({ key: 'a', until: 1 }) });
  expect((await past.start()).status).toBe(403);
});

it('is begun for no client that the limits refuse', async () => {
  const script = new Script();
  const channels = { limits: { perIdentity: 1 } };
  const one = await serveAnswers({ script, channels, key: (req) => ({ key: req.body.id, identity: 'ann' }) });
  await one.start({ id: 'a' });
  expect((await one.start({ id: 'b' })).status).toBe(429);
  expect(script.begun).toBe(1);
  script.returns();
});

it('tells late readers of an answer that is longer than the history', async () => {
  const script = new Script();
  const one = await serveAnswers({ script, channels: { history: { count: 3 } } });
  const client = await one.start();
  script.yields('a', 'b', 'c', 'd');
  await client.count(4);
  const late = await one.resume();
  script.returns();
  await settles(Promise.all([client.over, late.over]));
  expect(told(client)).toEqual(['a', 'b', 'c', 'd', end('done')]);
  expect(told(late)[0]).toMatch(/^sluice\.reset \{"reason":"gap"/);
  expect(told(late).slice(1)).toEqual(['b', 'c', 'd', end('done')]);
});

it('leaves nothing behind', async () => {
  const script = new Script();
  const one = await serveAnswers({ script, channels: { ttl: 50 } });
  const client = await one.start();
  script.yields('a');
  await client.count(1);
  expect(one.rooms.keys()).toHaveLength(2);
  // Longer than channels are kept that are not used.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect((await (await one.resume()).count(1)).map(({ data }) => data)).toEqual(['a']);
  script.yields('b');
  script.returns();
  await settles(client.over);
  expect(told(client)).toEqual(['a', 'b', end('done')]);
  await until(() => one.rooms.keys().length === 0);
  expect((await one.resume()).status).toBe(204);
});

it('refuses what is no family, no option, and a family without a history', async () => {
  const { rooms } = await serveAnswers();
  const given = { key: () => 'a', run: () => [] };
  const wrong: unknown[][] = [
    [{}, given],
    [rooms, {}],
    [rooms, { ...given, key: 1 }],
    [rooms, { ...given, format: 'xml' }],
    [rooms, { ...given, onDisconnect: 'stop' }],
    [rooms, { ...given, onDisconnect: { cancelAfter: -1 } }],
    [rooms, { ...given, lease: 1 }],
    [rooms, { ...given, onFinish: () => undefined }],
    [(await serveAnswers()).rooms, undefined],
  ];
  for (const args of wrong)
    expect(() => (resumable as (...all: unknown[]) => unknown)(...args)).toThrow(InvalidOptionError);
  await expect(serveAnswers({ channels: { history: { count: 0 } } })).rejects.toThrow(InvalidOptionError);
});
