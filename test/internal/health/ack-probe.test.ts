import { AsyncLocalStorage } from 'node:async_hooks';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AckProbe, keyOfSocket, type Probed, readTable, writtenBytes } from '../../../src/internal/health/ack-probe.ts';
import type { ConnectionKey } from '../../../src/internal/health/policy/address.ts';
import {
  type AckSample,
  readAcknowledgement,
  scanTcpTable,
  type TcpRow,
} from '../../../src/internal/health/policy/tcp-table.ts';
import { makeCertificate } from '../../support/certificate.ts';
import { settles, turns, until } from '../../support/until.ts';

type Table = ConnectionKey['table'];

interface Reading {
  readonly table: Table;
  answer(text: string): Promise<void>;
  fail(error: unknown): Promise<void>;
}

/** A probe whose clock and tables are moved by hand. */
function bench(delay?: number) {
  const timers: { at: number; callback: () => void }[] = [];
  const readings: Reading[] = [];
  const errors: unknown[] = [];
  const started: Table[] = [];
  let now = 10_000;
  const clock = {
    now: () => now,
    startTimer(wait: number, callback: () => void) {
      const timer = { at: now + wait, callback };
      timers.push(timer);
      return () => void (timers.includes(timer) && timers.splice(timers.indexOf(timer), 1));
    },
  };
  function readTable(table: Table): Promise<string> {
    started.push(table);
    return new Promise((resolve, reject) => {
      const settle = async (callback: () => void): Promise<void> => {
        readings.splice(0, 1);
        callback();
        await turns(1);
      };
      readings.push({
        table,
        answer: (text) => settle(() => resolve(text)),
        fail: (error) => settle(() => reject(error)),
      });
    });
  }
  const probe = new AckProbe({
    onError: (error) => errors.push(error),
    clock,
    readTable: async (table, onLines) => onLines(await readTable(table)),
    ...(delay === undefined ? {} : { delay }),
  });
  return {
    probe,
    errors,
    timers,
    /** What was read so far. */
    started,
    readings,
    get now() {
      return now;
    },
    /** In how many ms the timer goes off. */
    get next() {
      expect(timers.length).toBeLessThan(2);
      return timers[0] && timers[0].at - now;
    },
    async pass(time: number): Promise<void> {
      now += time;
      for (const timer of timers.splice(0)) {
        if (timer.at <= now) timer.callback();
        else timers.push(timer);
      }
      await turns(1);
    },
    /** Until the timer goes off; answers the reading after `cost` ms. */
    async read(text = '', cost = 0): Promise<void> {
      await this.pass(this.next ?? 0);
      now += cost;
      expect(readings).toHaveLength(1);
      await readings[0]!.answer(text);
    },
  };
}

type Log = [name: string, what: 'row' | 'missing', detail: number | AckSample][];

interface Entry extends Probed {
  count: number;
}

function makeEntry(log: Log, name: string, port: number, table: Table = 'tcp'): Entry {
  const address = table === 'tcp' ? '0100007F' : '00000000000000000000000001000000';
  const connection = { table, key: `${address}:1F90 ${address}:${hex(port)}` };
  return {
    connection,
    count: 0,
    written: entryWritten,
    onRow: (sample) => log.push([name, 'row', sample]),
    onMissing: (now) => log.push([name, 'missing', now]),
  };
}

function entryWritten(this: Entry): number {
  return this.count;
}

const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0');

function line({ connection }: Probed, unacked = 0, timer = '00'): string {
  return `   1: ${connection.key} 01 ${unacked.toString(16).toUpperCase().padStart(8, '0')}:00000000 ${timer}:00000000 00000000     0        0 1 1 0 20 0 0 10 -1\n`;
}

const names = (log: Log): string[] => log.map(([name, what]) => `${name} ${what}`);

describe('the pace of the probe', () => {
  it('does nothing while nothing waits', () => {
    const { timers, started, probe } = bench();
    expect(timers).toEqual([]);
    expect(started).toEqual([]);
    expect(probe.available).toBe(true);
  });

  it.each([
    [undefined, 1000],
    [250, 250],
  ])('reads first %d ms after the first entry came', async (delay, expected) => {
    const rig = bench(delay);
    const [first, second] = [makeEntry([], 'a', 1), makeEntry([], 'b', 2)];
    rig.probe.add(first);
    expect(rig.next).toBe(expected);
    await rig.pass(expected - 1);
    rig.probe.add(second);
    expect(rig.started).toEqual([]);
    expect(rig.next).toBe(1);
    await rig.pass(1);
    expect(rig.started).toEqual(['tcp']);
  });

  it.each([
    [0, 1000],
    [9, 1000],
    [10, 1000],
    [25, 2500],
    [50, 5000],
    [400, 5000],
  ])('rests after a pass of %d ms for %d', async (cost, expected) => {
    const rig = bench();
    rig.probe.add(makeEntry([], 'a', 1));
    for (let pass = 0; pass < 3; pass++) {
      await rig.read('', cost);
      expect(rig.next).toBe(expected);
    }
  });

  it('counts what the callbacks take, and both tables', async () => {
    const rig = bench();
    const [four, six] = [makeEntry([], 'a', 1), makeEntry([], 'b', 1, 'tcp6')];
    rig.probe.add(four);
    rig.probe.add(six);
    await rig.pass(1000);
    await rig.pass(12);
    await rig.readings[0]!.answer('');
    await rig.pass(18);
    await rig.readings[0]!.answer('');
    expect(rig.started).toEqual(['tcp', 'tcp6']);
    expect(rig.next).toBe(3000);
  });

  it('never reads twice at once', async () => {
    const rig = bench();
    rig.probe.add(makeEntry([], 'a', 1));
    await rig.pass(1000);
    rig.probe.add(makeEntry([], 'b', 2));
    rig.probe.add(makeEntry([], 'c', 2, 'tcp6'));
    await rig.pass(60_000);
    expect(rig.started).toEqual(['tcp']);
    expect(rig.next).toBeUndefined();
    await rig.readings[0]!.answer('');
    expect(rig.started).toEqual(['tcp', 'tcp6']);
  });

  it('stops when the last entry has gone', async () => {
    const rig = bench();
    const [first, second] = [makeEntry([], 'a', 1), makeEntry([], 'b', 1, 'tcp6')];
    rig.probe.add(first);
    rig.probe.add(second);
    rig.probe.remove(first);
    expect(rig.next).toBe(1000);
    rig.probe.remove(second);
    rig.probe.remove(second);
    expect(rig.timers).toEqual([]);
    await rig.pass(60_000);
    expect(rig.started).toEqual([]);
  });

  it('stops when the last entry has gone while it read', async () => {
    const rig = bench();
    const log: Log = [];
    const entry = makeEntry(log, 'a', 1);
    rig.probe.add(entry);
    await rig.pass(1000);
    rig.probe.remove(entry);
    await rig.readings[0]!.answer(line(entry));
    expect(rig.timers).toEqual([]);
    expect(log).toEqual([]);
  });

  it('rests also for an entry that comes after the others have gone', async () => {
    const rig = bench();
    const entry = makeEntry([], 'a', 1);
    rig.probe.add(entry);
    await rig.pass(1000);
    rig.probe.remove(entry);
    await rig.pass(40);
    await rig.readings[0]!.answer('');
    rig.probe.add(entry);
    expect(rig.next).toBe(4000);
    rig.probe.remove(entry);
    await rig.pass(3500);
    rig.probe.add(entry);
    expect(rig.next).toBe(1000);
  });

  it.each([
    [['tcp'], ['tcp']],
    [['tcp6'], ['tcp6']],
    [
      ['tcp6', 'tcp'],
      ['tcp', 'tcp6'],
    ],
  ] as [Table[], Table[]][])('reads, for entries in %j, %j', async (tables, expected) => {
    const rig = bench();
    tables.forEach((table, index) => rig.probe.add(makeEntry([], 'a', index, table)));
    await rig.pass(1000);
    while (rig.readings[0]) await rig.readings[0].answer('');
    expect(rig.started).toEqual(expected);
  });
});

describe('what an entry is told', () => {
  it('its row, with the counts around the reading, as of when that began', async () => {
    const rig = bench();
    const log: Log = [];
    const times: number[] = [];
    const entry = {
      ...makeEntry(log, 'a', 1),
      count: 100,
      onRow: (sample: AckSample, now: number) => (log.push(['a', 'row', sample]), times.push(now)),
    };
    rig.probe.add(entry);
    await rig.pass(1000);
    const began = rig.now;
    await rig.pass(30);
    entry.count = 103;
    await rig.readings[0]!.answer(line(makeEntry([], 'b', 2)) + line(entry, 40, '01'));
    const row: TcpRow = {
      unacked: 40,
      unread: 0,
      timer: 'retransmit',
      retransmits: 0,
      unansweredProbes: 0,
      rto: 200,
      state: 1,
    };
    expect(log).toEqual([['a', 'row', { row, writtenBefore: 100, writtenAfter: 103 }]]);
    expect(times).toEqual([began]);
  });

  it('the same again with every reading, until it is removed', async () => {
    const rig = bench();
    const log: Log = [];
    const [first, second] = [makeEntry(log, 'a', 1), makeEntry(log, 'b', 2)];
    rig.probe.add(first);
    rig.probe.add(second);
    await rig.read(line(first) + line(second));
    rig.probe.remove(first);
    await rig.read(line(first) + line(second));
    expect(names(log)).toEqual(['a row', 'b row', 'b row']);
  });

  it('that it is missing, when the table does not have it', async () => {
    const rig = bench();
    const log: Log = [];
    const [first, second, third] = [makeEntry(log, 'a', 1), makeEntry(log, 'b', 2), makeEntry(log, 'c', 1, 'tcp6')];
    for (const each of [first, second, third]) rig.probe.add(each);
    await rig.pass(1000);
    const began = rig.now;
    await rig.readings[0]!.answer(line(second) + line(third));
    await rig.readings[0]!.answer('');
    expect(names(log)).toEqual(['b row', 'a missing', 'c missing']);
    expect(log.slice(1).map(([, , now]) => now)).toEqual([began, began]);
  });

  it('that it is missing, in TIME_WAIT', async () => {
    const rig = bench();
    const log: Log = [];
    const entry = makeEntry(log, 'a', 1);
    rig.probe.add(entry);
    await rig.read(line(entry, 0, '03'));
    expect(names(log)).toEqual(['a missing']);
  });

  it('the first of its rows, where the table has two', async () => {
    const rig = bench();
    const log: Log = [];
    const entry = makeEntry(log, 'a', 1);
    rig.probe.add(entry);
    await rig.read(line(entry, 7) + line(entry, 8));
    expect(log.map(([, , detail]) => (detail as AckSample).row.unacked)).toEqual([7]);
  });

  it('nothing of a reading that began before it came', async () => {
    const rig = bench();
    const log: Log = [];
    const [first, second, third, again] = [
      makeEntry(log, 'a', 1),
      makeEntry(log, 'b', 2),
      makeEntry(log, 'c', 3),
      makeEntry(log, 'd', 4),
    ];
    rig.probe.add(first);
    rig.probe.add(again);
    await rig.pass(1000);
    rig.probe.add(second);
    rig.probe.add(third);
    rig.probe.remove(again);
    rig.probe.add(again);
    await rig.readings[0]!.answer(line(second) + line(first) + line(again));
    expect(names(log)).toEqual(['a row']);
    await rig.read(line(second) + line(first) + line(again));
    expect(names(log)).toEqual(['a row', 'b row', 'a row', 'd row', 'c missing']);
  });

  it('nothing once it was removed by the callback of another', async () => {
    const rig = bench();
    const log: Log = [];
    const [second, third] = [makeEntry(log, 'b', 2), makeEntry(log, 'c', 3)];
    const first: Entry = {
      ...makeEntry(log, 'a', 1),
      onRow: () => [second, third].forEach((each) => rig.probe.remove(each)),
    };
    for (const each of [first, second, third]) rig.probe.add(each);
    await rig.read(line(first) + line(second));
    expect(log).toEqual([]);
  });

  it('goes on waiting when it is added again', async () => {
    const rig = bench();
    const log: Log = [];
    const entry = makeEntry(log, 'a', 1);
    rig.probe.add(entry);
    await rig.pass(1000);
    rig.probe.add(entry);
    await rig.readings[0]!.answer(line(entry));
    expect(names(log)).toEqual(['a row']);
  });

  it('gives way to a newer entry of its connection, and cannot remove that', async () => {
    const rig = bench();
    const log: Log = [];
    const [older, newer] = [makeEntry(log, 'older', 1), makeEntry(log, 'newer', 1)];
    rig.probe.add(older);
    rig.probe.add(newer);
    rig.probe.remove(older);
    await rig.read(line(newer));
    expect(names(log)).toEqual(['newer row']);
  });

  it('finds each of thousands, and forgets those that went', async () => {
    const rig = bench();
    const log: Log = [];
    const entries = Array.from({ length: 20_000 }, (_, index) => makeEntry(log, String(index), index));
    for (const each of entries) rig.probe.add(each);
    for (const each of entries.slice(5)) rig.probe.remove(each);
    await rig.read(entries.map((each) => line(each)).join(''));
    expect(names(log)).toEqual(['0 row', '1 row', '2 row', '3 row', '4 row']);
  });
});

describe('when something fails', () => {
  it.each(['ENOENT', 'EACCES', 'EPERM'])('%s: it is unavailable from then on', async (code) => {
    const rig = bench();
    const log: Log = [];
    rig.probe.add(makeEntry(log, 'a', 1));
    rig.probe.add(makeEntry(log, 'b', 1, 'tcp6'));
    const error = Object.assign(new Error('no'), { code });
    await rig.pass(1000);
    await rig.readings[0]!.fail(error);
    expect(rig.errors).toEqual([error]);
    expect(rig.probe.available).toBe(false);
    rig.probe.add(makeEntry(log, 'c', 3));
    await rig.pass(60_000);
    expect([rig.started, rig.timers, log]).toEqual([['tcp'], [], []]);
  });

  it('anything else: it tries again', async () => {
    const rig = bench();
    const log: Log = [];
    const entry = makeEntry(log, 'a', 1);
    rig.probe.add(entry);
    const error = Object.assign(new Error('too many files'), { code: 'EMFILE' });
    await rig.pass(1000);
    await rig.readings[0]!.fail(error);
    expect([rig.errors, rig.probe.available, rig.next]).toEqual([[error], true, 1000]);
    expect(log).toEqual([]);
    await rig.read(line(entry));
    expect(names(log)).toEqual(['a row']);
  });

  it('an entry throws: the others are told nevertheless', async () => {
    const rig = bench();
    const log: Log = [];
    const thrown = [new Error('row'), new Error('missing'), new Error('written')];
    const fail = (index: number) => () => {
      throw thrown[index];
    };
    const entries: Entry[] = [
      { ...makeEntry(log, 'a', 1), onRow: fail(0) },
      makeEntry(log, 'b', 2),
      { ...makeEntry(log, 'c', 3), onMissing: fail(1) },
      makeEntry(log, 'd', 4),
      { ...makeEntry(log, 'e', 5), written: fail(2) },
      makeEntry(log, 'f', 6),
    ];
    for (const each of entries) rig.probe.add(each);
    await rig.read([0, 1, 4, 5].map((index) => line(entries[index]!)).join(''));
    expect(names(log)).toEqual(['b row', 'f row', 'd missing']);
    expect(rig.errors).toEqual([thrown[2], thrown[0], thrown[1]]);
    expect(rig.next).toBe(1000);
  });

  it('closed: nothing is reported any more, of what is under way neither', async () => {
    const rig = bench();
    const log: Log = [];
    const entry = makeEntry(log, 'a', 1);
    rig.probe.add(entry);
    await rig.pass(1000);
    rig.probe.close();
    await rig.readings[0]!.answer(line(entry));
    expect([log, rig.timers, rig.probe.available]).toEqual([[], [], false]);
  });

  it('closed while it rests: its timer goes', () => {
    const rig = bench();
    rig.probe.add(makeEntry([], 'a', 1));
    rig.probe.close();
    expect(rig.timers).toEqual([]);
  });
});

it('keeps nothing of the request in which an entry came', async () => {
  const storage = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const probe = new AckProbe({
    onError: (error) => seen.push(String(error)),
    delay: 1,
    readTable: async () => void seen.push(storage.getStore()),
  });
  const entry: Probed = {
    ...makeEntry([], 'a', 1),
    onMissing: () => (seen.push(storage.getStore()), probe.remove(entry)),
  };
  storage.run('a request', () => probe.add(entry));
  await until(() => seen.length === 2);
  expect(seen).toEqual([undefined, undefined]);
});

it('does not keep the process alive', async () => {
  const program = `
    import { AckProbe } from ${JSON.stringify(new URL('../../../dist/internal/health/ack-probe.js', import.meta.url).href)};
    const probe = new AckProbe({ onError: console.error });
    probe.add({ connection: { table: 'tcp', key: '' }, written: () => 0, onRow() {}, onMissing() {} });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  expect(await settles(once(child, 'close'))).toEqual([0, null]);
  expect(stderr).toBe('');
});

// Real sockets.

interface Connection {
  readonly server: net.Socket;
  readonly client: net.Socket;
}

/** A connection to a server that runs for one test. */
async function connect(options: { host: string; listen?: string }): Promise<Connection> {
  const listener = net.createServer();
  const accepted = once(listener, 'connection') as Promise<[net.Socket]>;
  const port = await listen(listener, options.listen ?? options.host);
  const client = net.connect(port, options.host);
  await once(client, 'connect');
  const [server] = await accepted;
  return tidy({ server, client });
}

async function listen(listener: net.Server, host = '127.0.0.1'): Promise<number> {
  listener.listen(0, host);
  onTestFinished(() => void listener.close());
  await once(listener, 'listening');
  return (listener.address() as net.AddressInfo).port;
}

function tidy<C extends Connection>(connection: C): C {
  for (const socket of [connection.server, connection.client]) {
    socket.on('error', () => undefined);
    onTestFinished(() => void socket.destroy());
  }
  return connection;
}

async function rowOf(socket: net.Socket): Promise<TcpRow | undefined> {
  const { table, key } = keyOfSocket(socket)!;
  const rows: TcpRow[] = [];
  await readTable(table, (text) => scanTcpTable(text, new Map([[key, 0]]), (_value, row) => rows.push(row)));
  return rows[0];
}

/** The row, once it is so. One can slip through while others come and go. */
async function rowWhen(socket: net.Socket, passes: (row: TcpRow) => boolean): Promise<TcpRow> {
  for (const end = Date.now() + 15_000; ;) {
    const row = await rowOf(socket);
    if (row && passes(row)) return row;
    if (Date.now() > end) throw new Error(`timed out: ${JSON.stringify(row)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function sampleOf(socket: net.Socket): Promise<AckSample> {
  const writtenBefore = writtenBytes(socket);
  return { row: await rowWhen(socket, () => true), writtenBefore, writtenAfter: writtenBytes(socket) };
}

const isFull = (row: TcpRow): boolean => row.timer === 'window-probe';

// More than the buffers of both kernels take.
const tooMuch = 40 * 1024 * 1024;

/** Bytes that the kernel of a client has: those that the process has read, and those that it has not. */
async function arrivedAt(client: net.Socket): Promise<number> {
  const { _handle } = client as unknown as { _handle: { bytesRead: number; _parent?: { bytesRead: number } } };
  return (_handle._parent ?? _handle).bytesRead + (await rowWhen(client, () => true)).unread;
}

/** The sample of a connection that is full and stands still: no write and no acknowledgement between the two counts. */
async function standstill({ server, client }: Connection): Promise<{ sample: AckSample; arrived: number }> {
  await rowWhen(server, isFull);
  const read = async () => ({ sample: await sampleOf(server), arrived: await arrivedAt(client) });
  for (let last = await read(); ;) {
    const next = await read();
    if (next.arrived === last.arrived && next.sample.row.unacked === last.sample.row.unacked && isFull(next.sample.row))
      return next;
    last = next;
  }
}

describe('the kernel’s account', () => {
  it('is there, on Linux', () => {
    expect(AckProbe.isAvailable()).toBe(true);
  });

  it.each([
    ['IPv4', { host: '127.0.0.1' }, 'tcp'],
    ['IPv6', { host: '::1' }, 'tcp6'],
    ['IPv4 on a socket of IPv6', { host: '127.0.0.1', listen: '::' }, 'tcp6'],
  ] as const)('shows what a client has acknowledged: %s', async (_what, options, table) => {
    const { server, client } = await connect(options);
    client.resume();
    expect(keyOfSocket(server)?.table).toBe(table);
    server.write('hello');
    expect(writtenBytes(server)).toBe(5);
    await until(() => client.bytesRead === 5);
    expect(await rowWhen(server, ({ unacked }) => unacked === 0)).toMatchObject({
      retransmits: 0,
      unansweredProbes: 0,
      state: 1,
    });
    expect(readAcknowledgement(undefined, await sampleOf(server))).toBe('acknowledged');
  });

  it('has no key of a socket that is closed, or of a path', async () => {
    const { server, client } = await connect({ host: '127.0.0.1' });
    server.destroy();
    await once(client.resume(), 'close');
    expect([keyOfSocket(server), keyOfSocket(client)]).toEqual([undefined, undefined]);
    expect(keyOfSocket(new net.Socket())).toBeUndefined();
  });

  it('tells a client that does not read from one that is gone', async () => {
    const connection = await connect({ host: '127.0.0.1' });
    const { server, client } = connection;
    client.pause();
    server.write(Buffer.alloc(tooMuch));
    const { sample, arrived } = await standstill(connection);
    expect(readAcknowledgement(sample, sample)).toBe('window-closed');
    expect(sample.row.unacked).toBeGreaterThan(0);
    expect(sample.writtenBefore).toBe(sample.writtenAfter);
    expect(sample.writtenAfter - sample.row.unacked).toBe(arrived);
    // What the socket says is something else.
    expect(server.bytesWritten).toBe(tooMuch);
    expect(sample.writtenAfter).toBeLessThan(tooMuch);
    client.resume();
    await until(() => client.bytesRead === tooMuch);
    expect(readAcknowledgement(sample, await sampleOf(server))).toMatch(/^(progress|acknowledged)$/);
    await rowWhen(server, ({ unacked }) => unacked === 0);
    expect(writtenBytes(server)).toBe(tooMuch);
  });

  it('counts what waits behind a large write as not given', async () => {
    const connection = await connect({ host: '127.0.0.1' });
    connection.client.pause();
    connection.server.write(Buffer.alloc(tooMuch));
    const { sample } = await standstill(connection);
    connection.server.write('more');
    connection.server.write(Buffer.alloc(1000));
    expect(writtenBytes(connection.server)).toBe(sample.writtenAfter);
  });

  it('shows that the kernel of a stopped process answers', async () => {
    const listener = net.createServer();
    const accepted = once(listener, 'connection') as Promise<[net.Socket]>;
    const port = await listen(listener);
    const client = spawnReader(port);
    const [server] = await accepted;
    server.on('error', () => undefined);
    onTestFinished(() => void server.destroy());
    client.kill('SIGSTOP');
    server.write(Buffer.alloc(tooMuch));
    await rowWhen(server, isFull);
    const stopped = await sampleOf(server);
    expect(readAcknowledgement(stopped, await sampleOf(server))).toBe('window-closed');
    client.kill('SIGCONT');
    // Nor is anything on its way while the rest is still to be given to the kernel.
    await rowWhen(server, ({ unacked }) => unacked === 0 && writtenBytes(server) === tooMuch);
    const continued = await sampleOf(server);
    expect(continued.writtenAfter).toBe(tooMuch);
    expect(readAcknowledgement(stopped, continued)).toBe('acknowledged');
  });
});

function spawnReader(port: number): ChildProcess {
  const child = spawn(process.execPath, ['-e', `require('node:net').connect(${port}, '127.0.0.1').resume()`], {
    stdio: 'ignore',
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

const certificate = makeCertificate();

if (certificate) {
  describe('over TLS, and under HTTP', () => {
    it('counts the bytes on the wire', async () => {
      const listener = tls.createServer(certificate);
      const accepted = once(listener, 'secureConnection') as Promise<[tls.TLSSocket]>;
      const client = tls.connect(await listen(listener), '127.0.0.1', { rejectUnauthorized: false });
      await once(client, 'secureConnect');
      const [server] = await accepted;
      const connection = tidy({ server, client });
      client.pause();
      server.write(Buffer.alloc(tooMuch));
      const { sample, arrived } = await standstill(connection);
      expect(readAcknowledgement(undefined, sample)).toBe('window-closed');
      expect(sample.writtenAfter - sample.row.unacked).toBe(arrived);
      client.resume();
      await until(() => client.bytesRead === tooMuch);
      await rowWhen(server, ({ unacked }) => unacked === 0);
      expect(writtenBytes(server)).toBe(await arrivedAt(client));
      expect(writtenBytes(server)).toBeGreaterThan(tooMuch);
    });

    it('knows the socket of a request of HTTPS', async () => {
      const requests: net.Socket[] = [];
      const listener = https.createServer(certificate, (req, res) => {
        requests.push(req.socket);
        res.write(Buffer.alloc(tooMuch));
      });
      const client = tls.connect(await listen(listener), '127.0.0.1', { rejectUnauthorized: false });
      await once(client, 'secureConnect');
      client.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n');
      client.pause();
      await until(() => requests.length === 1);
      const { sample, arrived } = await standstill(tidy({ server: requests[0]!, client }));
      expect(sample.writtenAfter - sample.row.unacked).toBe(arrived);
    });

    it.each(['h2', 'h2c'] as const)('knows what stands in for the socket of a session: %s', async (protocol) => {
      const listener = protocol === 'h2' ? http2.createSecureServer(certificate) : http2.createServer();
      const sessions: http2.ServerHttp2Session[] = [];
      listener.on('session', (session: http2.ServerHttp2Session) => sessions.push(session));
      listener.on('stream', (stream: http2.ServerHttp2Stream) => stream.respond());
      const port = await listen(listener);
      const client = http2.connect(`${protocol === 'h2' ? 'https' : 'http'}://127.0.0.1:${port}`, {
        rejectUnauthorized: false,
      });
      onTestFinished(() => client.destroy());
      const stream = client.request();
      await once(stream, 'response');
      const { socket } = sessions[0]!;
      await rowWhen(socket, ({ unacked }) => unacked === 0);
      const before = writtenBytes(socket);
      expect(before).toBe(await arrivedAt(client.socket));
      await new Promise((resolve) => sessions[0]!.ping(resolve));
      await rowWhen(socket, ({ unacked }) => unacked === 0);
      expect(writtenBytes(socket)).toBeGreaterThan(before);
      expect(writtenBytes(socket)).toBe(await arrivedAt(client.socket));
    });
  });
}

describe('the probe, by the kernel’s account', () => {
  function watch(socket: net.Socket, delay = 1) {
    const seen: string[] = [];
    const errors: unknown[] = [];
    const probe = new AckProbe({ onError: (error) => errors.push(error), delay });
    let previous: AckSample | undefined;
    probe.add({
      connection: keyOfSocket(socket)!,
      written: () => writtenBytes(socket),
      onRow(sample) {
        seen.push(readAcknowledgement(previous, sample));
        previous = sample;
      },
      onMissing: () => seen.push('missing'),
    });
    onTestFinished(() => {
      probe.close();
      expect(errors).toEqual([]);
    });
    return seen;
  }

  it.each([{ host: '127.0.0.1' }, { host: '::1' }, { host: '127.0.0.1', listen: '::' }])(
    'finds a connection: %j',
    async (options) => {
      const { server, client } = await connect(options);
      client.resume();
      server.write('hello');
      await until(() => client.bytesRead === 5);
      await rowWhen(server, ({ unacked }) => unacked === 0);
      const seen = watch(server);
      await until(() => seen.length === 2);
      expect(seen).toEqual(['acknowledged', 'acknowledged']);
    },
  );

  it('sees that a connection is gone', async () => {
    const { server, client } = await connect({ host: '127.0.0.1' });
    const seen = watch(server);
    await until(() => seen.length === 1);
    server.resetAndDestroy();
    await until(() => client.resume().destroyed);
    await until(
      () => seen.includes('missing'),
      () => seen.join(),
      15_000,
    );
    expect([seen[0], seen.at(-1)]).toEqual(['acknowledged', 'missing']);
  });
});
