import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { type Backplane, createMemoryBackplane, mergeDeltas } from '../../../src/index.ts';
import type { Middleware } from '../../support/carriers.ts';
import { settles, until } from '../../support/until.ts';
import { changed, ended, type Instance, Script, serveAnswers, told } from './site.ts';

const end = (status: string): string => `sluice.end {"status":"${status}"}`;

/** A backplane that a test holds up: it does not say where logs begin until it is let go on. */
function heldUp(): { backplane: ReturnType<typeof changed>; held(): number; hold(): () => void } {
  let held = 0;
  let gate: Promise<void> | undefined;
  const backplane = changed(createMemoryBackplane(), (log) => ({
    start: (from) => {
      if (!gate) return log.start(from);
      held += 1;
      return gate.then(() => log.start(from));
    },
  }));
  const hold = (): (() => void) => {
    let open!: () => void;
    gate = new Promise((resolve) => (open = resolve));
    return () => {
      gate = undefined;
      open();
    };
  };
  return { backplane, held: () => held, hold };
}

/** Posts, and leaves when the test says so. */
function postAndLeave({ running }: Instance): () => Promise<unknown> {
  const controller = new AbortController();
  const headers = { 'content-type': 'application/json' };
  const signal = controller.signal;
  const answer = fetch(`${running.origin}/chat`, { method: 'POST', headers, body: '{"id":"a"}', signal });
  const over = answer.then(
    () => 'answered',
    () => 'left',
  );
  return () => {
    controller.abort();
    return over;
  };
}

it('the end of another process is not taken for the own one', async () => {
  const backplane = createMemoryBackplane();
  const script = new Script();
  let isDead = false;
  // It is stopped while its generator has nothing to say: the end is all that it still writes.
  const stopped = changed(backplane, (log) => ({
    renew: (fence, ttl) => (isDead ? new Promise(() => undefined) : log.renew(fence, ttl)),
  }));
  const one = await serveAnswers({ script, backplane: stopped, lease: 100 });
  const two = await serveAnswers({ script, backplane, lease: 100 });
  const client = await one.start();
  script.yields('a');
  await client.count(1);
  isDead = true;
  const reader = await two.resume();
  await settles(reader.over);
  expect((await ended(two)).map(({ status }) => status)).toEqual(['interrupted']);
  script.returns({ tokens: 3 });
  await until(() => script.signal?.aborted === true);
  expect(script.signal?.reason).toMatchObject({ code: 'ERR_SLUICE_PRODUCER_FENCED' });
  expect(one.ends).toEqual([]);
  await settles(client.over);
  expect(told(client)).toEqual(['a', end('interrupted')]);
});

it.each<[string, (onClosed: () => void) => unknown]>([
  ['a promise that does not settle', () => new Promise(() => undefined)],
  [
    'a source whose cleanup throws',
    (onClosed) => ({
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => undefined),
        return() {
          onClosed();
          throw new DOMException('cleanup', 'AbortError');
        },
      }),
    }),
  ],
  [
    'a generator that never waits',
    function* (onClosed) {
      try {
        for (;;) yield 'a';
      } finally {
        onClosed();
      }
    },
  ],
])('%s is given up after the grace', async (name, make) => {
  let closed = 0;
  const one = await serveAnswers({ run: () => make(() => closed++), grace: 50 });
  const client = await one.start();
  expect(await one.cancel()).toBe(204);
  await settles(client.over);
  expect((await ended(one)).map(({ status }) => status)).toEqual(['cancelled']);
  expect(closed).toBe(name.startsWith('a promise') ? 0 : 1);
});

it('a process that has not heard of the newest entries sees that an answer has ended', async () => {
  // What it calls 'now' is where it has been since the beginning.
  const behind = changed(createMemoryBackplane(), (log) => ({
    start: (from) => log.start(from === 'now' ? 'earliest' : from),
  }));
  const script = new Script();
  const one = await serveAnswers({ script, backplane: behind });
  const client = await one.start();
  script.yields('half');
  await client.count(1);
  expect(await one.cancel()).toBe(204);
  await settles(client.over);
  expect(told(client)).toEqual(['half', end('cancelled')]);
});

it('a source that comes after the grace is closed', async () => {
  const script = new Script();
  let give!: (source: unknown) => void;
  const source = new Promise((resolve) => (give = resolve));
  const one = await serveAnswers({ run: () => source, grace: 20 });
  await one.start();
  expect(await one.cancel()).toBe(204);
  let isCancelled = false;
  give(new ReadableStream({ cancel: () => void (isCancelled = true) }));
  await until(() => isCancelled);
  expect(script.begun).toBe(0);
});

it('a client that leaves before it is served does not end the answer of another', async () => {
  const { backplane, held, hold } = heldUp();
  const script = new Script();
  let gone = 0;
  const watch: Middleware = (_req, res, next) => {
    res.on('close', () => gone++);
    next();
  };
  const one = await serveAnswers({ script, backplane, onDisconnect: 'cancel', before: [watch] });
  const first = await one.start();
  script.yields('a');
  await first.count(1);
  const letGo = hold();
  const leave = postAndLeave(one);
  await until(() => held() > 0);
  expect(await leave()).toBe('left');
  await until(() => gone > 0);
  letGo();
  await wait(20);
  expect(script.signal?.aborted).toBe(false);
  script.yields('b');
  script.returns();
  await settles(first.over);
  expect(told(first)).toEqual(['a', 'b', end('done')]);
});

it('an answer is cancelled whose client is refused once it has begun', async () => {
  const { backplane, held, hold } = heldUp();
  const one = await serveAnswers({
    script: new Script(),
    backplane,
    key: (req) => ({ key: String(req.body.id), identity: 'user' }),
    channels: { limits: { perIdentity: 1 } },
    onDisconnect: 'cancel',
  });
  const letGo = hold();
  const starting = [one.start({ id: 'a' }), one.start({ id: 'b' })];
  await until(() => held() === 2);
  letGo();
  const statuses = (await Promise.all(starting)).map(({ status }) => status);
  expect(statuses.toSorted()).toEqual([200, 429]);
  expect((await ended(one)).map(({ status }) => status)).toEqual(['cancelled']);
});

it('a part that the generator uses again is joined as it was', async () => {
  const one = await serveAnswers({
    format: 'ui-message',
    coalesce: mergeDeltas({ ms: 10_000 }),
    async *run() {
      const part = { type: 'text-delta', id: 'text', delta: '' };
      for (const delta of ['a', 'b', 'c']) yield await Promise.resolve(Object.assign(part, { delta }));
    },
  });
  const client = await one.start();
  await settles(client.over);
  expect(told(client)).toEqual(['{"type":"text-delta","id":"text","delta":"abc"}', '[DONE]']);
});

it.each([
  ['openai', ['{"n":1}', expect.stringContaining('answer_gap')]],
  ['ui-message', ['{"n":1}', expect.stringContaining('errorText'), '[DONE]']],
  ['sse', ['{"n":1}', 'sluice.reset {"reason":"gap"}', '{"n":2}', end('done')]],
] as const)('readers of %s are told where live entries are lost', async (format, expected) => {
  const memory = createMemoryBackplane();
  const lose: (() => void)[] = [];
  const backplane: Backplane = {
    open(channel, limits, receiver) {
      const log = memory.open(channel, limits, receiver);
      const listen = (): void => {
        void log.listen();
        if (!channel.endsWith(':control')) lose.push(() => receiver.lost(log.start('now') as string));
      };
      return { ...log, listen };
    },
    close: () => memory.close(),
  };
  const script = new Script();
  const one = await serveAnswers({ script, format, backplane });
  const client = await one.start();
  const data = (n: number): unknown => (format === 'sse' ? { data: { n } } : { n });
  script.yields(data(1));
  await client.count(1);
  for (const each of lose) each();
  script.yields(data(2));
  script.returns();
  await settles(client.over);
  expect(told(client).map((text) => text.replace(/,"key":"[^"]*"/, ''))).toEqual(expected);
});

it('clients of a family that is closed are told to come back later', async () => {
  const one = await serveAnswers();
  one.rooms.close();
  const source = await one.resume('a', { accept: 'text/event-stream', 'cache-control': 'no-cache' });
  await settles(source.over);
  expect([source.status, source.text]).toEqual([200, expect.stringContaining('retry:')]);
  expect([(await one.resume()).status, await one.cancel(), (await one.start()).status]).toEqual([503, 503, 503]);
});

it('late readers are told the end of an answer that returned more than is kept', async () => {
  const script = new Script();
  const one = await serveAnswers({ script, channels: { history: { bytes: 2048 } } });
  const value = 'x'.repeat(5000);
  script.yields('a');
  script.returns(value);
  await settles((await one.start()).over);
  const late = await one.resume();
  await settles(late.over);
  // What it returned is for `onEnd`: it takes no place of the answer.
  expect(told(late)).toEqual(['a', end('done')]);
  const [last] = await ended(one);
  expect(last).toMatchObject({ status: 'done', value });
  expect((await last!.events()).map(({ data }) => data as unknown)).toEqual(['a']);
});
