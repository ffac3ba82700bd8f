import { readdir, readFile, readlink, rename, truncate, writeFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connectRaw, getRequest, parseChunked } from '../support/raw.ts';
import { settles } from '../support/until.ts';
import {
  eventsOf,
  type Gateway,
  lastingPort,
  newestId,
  nextStats,
  patient,
  recordsOf,
  runExample,
  startClient,
  startGateway,
  take,
  temporaryFile,
  useGateway,
} from './support.ts';

const timeout = 120_000;
const shared = useGateway();

function rising(first: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(Number(first) + index));
}

describe('the models behind the gateway', { timeout }, () => {
  it('answer through its proxy: each client stays with one of them, and the dashboard moves clients', async () => {
    const { url } = await startGateway();
    const modelOf = async (): Promise<string | null> => {
      const response = await fetch(`${url}/tokens?prompt=hello`);
      await response.body?.cancel();
      return response.headers.get('x-model');
    };
    const first = await modelOf();
    expect(['stable', 'next']).toContain(first);
    expect([await modelOf(), await modelOf()]).toEqual([first, first]);
    const other = first === 'stable' ? 'next' : 'stable';
    const moved = await fetch(`${url}/dashboard/canary`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Sluice': '1' },
      body: JSON.stringify({ name: 'model', weights: { [first!]: 0, [other]: 100 } }),
    });
    expect(moved.ok).toBe(true);
    expect(await modelOf()).toBe(other);
    const metrics = await (await fetch(`${url}/prometheus`)).text();
    expect(metrics).toContain(`sluice_canary_requests_total{canary="model",arm="${first}"} 3`);
    expect(metrics).toContain(`sluice_canary_requests_total{canary="model",arm="${other}"} 1`);
    expect(await (await fetch(`${url}/dashboard/`)).text()).toContain('<!doctype html>');
  });
});

describe('GET /metrics of the gateway', { timeout }, () => {
  it('resumes after the last id, without a gap or a double', async () => {
    const { url } = shared;
    const [host, first] = await take(eventsOf(`${url}/metrics`), 4);
    expect(host).toMatchObject({ type: 'host', lastEventId: '' });
    const id = first!.lastEventId;

    const resumed = eventsOf(`${url}/metrics`, id);
    const [, ...samples] = await take(resumed, 6);
    await resumed.return();
    expect(samples.map(({ lastEventId }) => lastEventId)).toEqual(rising(id, 6).slice(1));
    const times = samples.map(({ data }) => (JSON.parse(data) as { time: number }).time);
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
  });

  it('gives what the next process measured to a client of the last one', async () => {
    const killed = await startGateway({ port: await lastingPort() });
    const [, sample] = await take(eventsOf(`${killed.url}/metrics`), 2);
    await killed.stop('SIGKILL');
    const { url } = await startGateway({ port: killed.port });
    const [, first] = await take(eventsOf(`${url}/metrics`), 4);

    const [, resumed] = await take(eventsOf(`${url}/metrics`, sample!.lastEventId), 2);

    expect(resumed!.lastEventId).toBe(first!.lastEventId);
  });

  it.each(['nonsense', '99999999999999', '-1', '1e3'])('takes a client with the id %s for a new one', async (id) => {
    const [, sample] = await take(eventsOf(`${shared.url}/metrics`, id), 2);

    expect(sample).toMatchObject({ type: 'sample' });
  });

  it('measures every core', async () => {
    const [host, sample] = (await take(eventsOf(`${shared.url}/metrics`), 2)).map(({ data }) => JSON.parse(data));

    expect(sample.cores).toHaveLength(host.cores);
    for (const busy of sample.cores) expect(busy >= 0 && busy <= 100).toBe(true);
    expect(sample.memory.used).toBeLessThan(host.memory);
  });
});

describe('GET /follow of the gateway', { timeout }, () => {
  it('starts with the last twenty lines', async () => {
    const lines = Array.from({ length: 10_000 }, (_, index) => `${index} – ünïcödé`);
    const { url, file } = shared;
    await writeFile(file.path, `${lines.join('\r\n')}\r\nincomplete`);
    const records = recordsOf(`${url}/follow`);

    expect(await take(records, 20)).toEqual(lines.slice(-20).map((line) => ({ line })));
    await file.append(' no more\n');
    expect(await take(records, 1)).toEqual([{ line: 'incomplete no more' }]);
    await records.return();
  });

  it('follows through truncation and rotation', async () => {
    const { url, file } = shared;
    await writeFile(file.path, '1\n');
    const records = recordsOf(`${url}/follow`);
    expect(await take(records, 1)).toEqual([{ line: '1' }]);

    await truncate(file.path);
    expect(await take(records, 1)).toEqual([{ notice: 'truncated' }]);
    await file.append('2\n');
    expect(await take(records, 1)).toEqual([{ line: '2' }]);

    await rename(file.path, `${file.path}.1`);
    await writeFile(`${file.path}.1`, '3\n', { flag: 'a' });
    expect(await take(records, 1)).toEqual([{ line: '3' }]);
    await writeFile(file.path, '4\n');
    expect(await take(records, 2)).toEqual([{ notice: 'rotated' }, { line: '4' }]);
    await records.return();
  });

  it.runIf(process.platform === 'linux')('lets go of the file when the client leaves', async () => {
    const { url, file } = shared;
    await writeFile(file.path, '1\n');
    const records = recordsOf(`${url}/follow`);
    await take(records, 1);
    expect(await openFiles(shared)).toContain(file.path);

    await records.return();

    await expect.poll(() => openFiles(shared), patient).not.toContain(file.path);
  });

  it.runIf(process.platform === 'linux')('reads no further than the client does', async () => {
    const count = 24_576;
    const { url, file } = shared;
    await writeFile(file.path, 'start\n');
    // Of lines that compress well, the kernel's buffers would hold all.
    const records = recordsOf(`${url}/follow`, { 'accept-encoding': 'identity' });
    await take(records, 1);
    const before = await bytesRead(shared);
    const lines = Array.from({ length: count }, (_, index) => `${index} `.padEnd(1023, 'x'));
    await file.append(`${lines.join('\n')}\n`);
    await expect.poll(() => bytesRead(shared), patient).toBeGreaterThan(before + 1024 * 1024);

    // More samples are the sign that the server was not just slow.
    await newestId(url);
    await newestId(url);
    // The kernel's buffers hold some megabytes, on both sides.
    expect((await bytesRead(shared)) - before).toBeLessThan((count * 1024) / 2);

    const numbers = (await take(records, count)).map((record) => parseInt((record as { line: string }).line, 10));
    expect(numbers).toEqual(Array.from({ length: count }, (_, index) => index));
    await records.return();
  });
});

describe('GET /tokens of the gateway', { timeout }, () => {
  it('ends with done, and asks the client to stay away', async () => {
    const { url } = shared;
    const events = [];
    for await (const event of eventsOf(`${url}/tokens?prompt=hello`)) events.push(event);

    const tokens = events.slice(0, -1);
    expect(tokens.map(({ lastEventId }) => lastEventId)).toEqual(rising('0', tokens.length));
    expect(events.at(-1)).toMatchObject({ type: 'done', data: JSON.stringify({ tokens: tokens.length }) });
    const again = await fetch(`${url}/tokens?prompt=hello`, { headers: { 'last-event-id': 'sluice.stop' } });
    expect(again.status).toBe(204);
  });

  it('goes on at the next token', async () => {
    const { url } = shared;
    const whole = await take(eventsOf(`${url}/tokens?prompt=hello`), 6);

    const rest = await take(eventsOf(`${url}/tokens?prompt=hello`, '2'), 3);

    expect(rest).toEqual(whole.slice(3));
  });

  it.each([
    ['no prompt', ''],
    ['an empty prompt', '?prompt='],
    ['a blank prompt', '?prompt=%20'],
    ['two prompts', '?prompt=a&prompt=b'],
    ['a long prompt', `?prompt=${'a'.repeat(501)}`],
  ])('refuses %s', async (_what, query) => {
    const response = await fetch(`${shared.url}/tokens${query}`);

    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error: expect.stringContaining('prompt') });
  });
});

describe('the connections of the gateway', { timeout }, () => {
  it('are its streams, and the ended ones are counted by reason', async () => {
    const { url } = shared;
    for (const path of ['/', '/style.css', '/livez']) await (await fetch(url + path)).arrayBuffer();
    await expect.poll(() => nextStats(url), patient).toMatchObject({ connections: 1 });
    const { ended } = await nextStats(url);
    const client = await startClient(`${url}/metrics`);
    expect(await nextStats(url)).toMatchObject({
      connections: 2,
      unresponsive_ratio: 0,
      refused: { total: 0, client: 0 },
    });

    await client.kill();

    await expect.poll(() => nextStats(url), patient).toMatchObject({ connections: 1 });
    const before = ended['client-closed'] ?? 0;
    expect((await nextStats(url)).ended['client-closed']).toBeGreaterThan(before);
  });
});

describe('the process of the gateway', { timeout }, () => {
  it('asks clients to come back on SIGTERM and on SIGINT, and ends', async () => {
    await Promise.all([expectDrain('SIGTERM'), expectDrain('SIGINT')]);
  });

  it('says that the port is in use', async () => {
    const { port } = shared;

    const exit = await runExample('gateway/server.js', { port }).exit;

    expect(exit).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(new RegExp(`^Port ${port} is in use: .*\n$`)),
    });
  });

  it('says that it cannot read the file', async () => {
    const exit = await runExample('gateway/server.js', { args: ['/no/such/file'] }).exit;

    expect(exit).toMatchObject({ code: 1, stderr: expect.stringContaining('/no/such/file') });
  });
});

async function expectDrain(signal: NodeJS.Signals): Promise<void> {
  const file = await temporaryFile();
  const gateway = await startGateway({ file: file.path });
  // Without a library between: fetch may drop what came right before the close.
  const client = await connectRaw(gateway.port);
  onTestFinished(() => client.destroy());
  client.send(getRequest('/metrics'));
  await client.waitFor('\n\n');
  const response = await fetch(`${gateway.url}/metrics`);
  const follower = await fetch(`${gateway.url}/follow`);
  await fetch(gateway.url).then((page) => page.text());

  const exit = gateway.stop(signal);

  // A clean end would be final to a client that uses fetch.
  await expectBroken(response);
  await settles(client.closed, 60_000);
  const told = parseChunked(client.received);
  expect(told.complete).toBe(false);
  expect(told.chunks.join('')).toMatch(/event: lifecycle\ndata: \{"state":"draining"\}\n\n[^]*\n\nretry: \d+\n$/);
  await expectBroken(follower);
  expect(await exit).toEqual({ code: 0, signal: null, stderr: '' });
}

/** A body that breaks off, sooner or later. */
async function expectBroken(response: Response): Promise<void> {
  await expect(response.text()).rejects.toThrow();
}

async function openFiles({ child }: Pick<Gateway, 'child'>): Promise<(string | undefined)[]> {
  const folder = `/proc/${child.pid}/fd`;
  // A descriptor may be closed between the two calls.
  return Promise.all((await readdir(folder)).map((name) => readlink(`${folder}/${name}`).catch(() => undefined)));
}

async function bytesRead({ child }: Pick<Gateway, 'child'>): Promise<number> {
  const text = await readFile(`/proc/${child.pid}/io`, 'utf8');
  return Number(/rchar: (\d+)/.exec(text)?.[1]);
}
