import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { open } from '../support/clients.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { settles, until } from '../support/until.ts';
import { type Visitor, visitorOf } from '../channel/site.ts';

let redis: RedisServer;
let one: Instance;
let two: Instance;
const children: ChildProcess[] = [];

beforeAll(async () => {
  redis = await startRedis();
  [one, two] = await Promise.all([startInstance(), startInstance()]);
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await redis.stop();
});

interface Message {
  readonly event: 'ready' | 'begun' | 'end';
  readonly key?: string;
  readonly port?: number;
  readonly status?: string;
}

/** An instance in a process of its own. */
interface Instance {
  readonly process: ChildProcess;
  readonly messages: Message[];
  /** What `onEnd` got of an answer. */
  ends(key: string): Message[];
  visit(method: string, path: string, headers?: Record<string, string>): Promise<Visitor>;
}

const program = fileURLToPath(new URL('answer-server.js', import.meta.url));

async function startInstance(): Promise<Instance> {
  const child = fork(program, [redis.url], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  children.push(child);
  const messages: Message[] = [];
  child.on('message', (message) => void messages.push(message as Message));
  await until(() => messages.length > 0);
  const port = messages[0]!.port!;
  return {
    process: child,
    messages,
    ends: (key) => messages.filter((each) => each.event === 'end' && each.key === key),
    async visit(method, path, headers = {}) {
      const reading = await open({ port } as Parameters<typeof open>[0], 'http1', { method, path, headers });
      onTestFinished(() => reading.destroy());
      return visitorOf(reading);
    },
  };
}

/** The text of an answer as a client has put it together, and how it ended. */
function textOf({ events }: Visitor): { text: string; end: string | undefined } {
  const text = events.flatMap(({ type, data }) => (type === 'message' ? [data] : [])).join('');
  return { text, end: events.find(({ type }) => type === 'sluice.end')?.data };
}

const done = { text: 'Hello, world', end: '{"status":"done"}' };

it('an answer goes on through a reload, a second tab and another instance: its text once, its usage once', async () => {
  const first = await one.visit('POST', '/chat/a');
  one.process.send({ key: 'a', steps: ['Hel', 'lo'] });
  await until(() => textOf(first).text === 'Hello');
  first.destroy();
  const [reload, tab] = await Promise.all([
    two.visit('GET', '/chat/a', { 'last-event-id': first.lastEventId }),
    two.visit('POST', '/chat/a'),
  ]);
  one.process.send({ key: 'a', steps: [', wor', 'ld', null] });
  await settles(Promise.all([reload.over, tab.over]));
  expect([textOf(reload), textOf(tab)]).toEqual([{ ...done, text: ', world' }, done]);
  // As after a minute without a network: all of it is there.
  const late = await two.visit('GET', '/chat/a', { 'last-event-id': first.lastEventId });
  await settles(late.over);
  expect(textOf(late)).toEqual({ ...done, text: ', world' });
  await until(() => one.ends('a').length > 0);
  expect(one.ends('a')).toEqual([
    { event: 'end', key: 'a', status: 'done', value: { tokens: 7 }, text: 'Hello, world' },
  ]);
  expect(two.messages.filter(({ key }) => key === 'a')).toEqual([]);
});

it('is cancelled from the other instance', async () => {
  const client = await one.visit('POST', '/chat/b');
  one.process.send({ key: 'b', steps: ['half'] });
  await until(() => textOf(client).text === 'half');
  expect((await two.visit('DELETE', '/chat/b')).status).toBe(204);
  await settles(client.over);
  expect(textOf(client)).toEqual({ text: 'half', end: '{"status":"cancelled"}' });
  await until(() => one.ends('b').length > 0);
  expect(one.ends('b')).toMatchObject([{ status: 'cancelled', value: { tokens: 1 } }]);
  const again = await Promise.all([one.visit('DELETE', '/chat/b'), two.visit('DELETE', '/chat/none')]);
  expect(again.map(({ status }) => status)).toEqual([204, 404]);
});

it('readers are told when its process is killed, and one that stood still writes nothing more', async () => {
  await Promise.all((['SIGKILL', 'SIGSTOP'] as const).map(lose));

  async function lose(signal: 'SIGKILL' | 'SIGSTOP'): Promise<void> {
    const producer = await startInstance();
    const path = `/chat/${signal}`;
    const client = await producer.visit('POST', path);
    producer.process.send({ key: signal, steps: ['half'] });
    await until(() => textOf(client).text === 'half');
    const readers = await Promise.all([two.visit('GET', path), two.visit('GET', path)]);
    await Promise.all(readers.map((reader) => reader.count(1)));
    producer.process.kill(signal);
    if (signal === 'SIGSTOP') producer.process.send({ key: signal, steps: ['too late', null] });
    else expect(await settles(client.over)).toBe('aborted');
    for (const reader of readers) {
      await settles(reader.over);
      expect(textOf(reader)).toEqual({ text: 'half', end: '{"status":"interrupted"}' });
    }
    await until(() => two.ends(signal).length > 0);
    expect(two.ends(signal)).toEqual([{ event: 'end', key: signal, status: 'interrupted', text: 'half' }]);
    if (signal === 'SIGSTOP') {
      producer.process.kill('SIGCONT');
      await settles(client.over);
      expect(textOf(client)).toEqual({ text: 'half', end: '{"status":"interrupted"}' });
    }
    // The key is free for another answer.
    const back = await two.visit('POST', path);
    two.process.send({ key: signal, steps: ['again', null] });
    await settles(back.over);
    expect(textOf(back)).toEqual({ text: 'again', end: '{"status":"done"}' });
    await until(() => two.ends(signal).length > 1);
    expect(producer.ends(signal)).toEqual([]);
  }
});
