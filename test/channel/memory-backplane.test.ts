import { describe, expect, it } from 'vitest';
import { ProducerClaim } from '../../src/channel/log/producer-claim.ts';
import { RecentKeys } from '../../src/channel/log/recent-keys.ts';
import {
  type ChannelEntry,
  ChannelEndedError,
  type ChannelLog,
  createMemoryBackplane,
  type HistoryLimits,
  type LogPage,
  type LogReceiver,
  ProducerFencedError,
} from '../../src/index.ts';

const silent: LogReceiver = { entries: () => undefined, lost: () => undefined };

function open(limits: Partial<HistoryLimits> = {}, receiver = silent): ChannelLog {
  return createMemoryBackplane().open('log', { count: 1000, bytes: Infinity, ...limits }, receiver);
}

const append = (log: ChannelLog, data: string, key?: string): string => log.append({ data, key }, {}) as string;
const dataOf = (page: LogPage): unknown => page.lost ?? page.entries.map(({ data }) => data);

describe('the log in memory', () => {
  it('keeps so many entries, and so many bytes', () => {
    const log = open({ count: 3, bytes: 10 });
    const start = log.start('now') as string;
    const ids = ['a', 'b', 'c', 'd'].map((data) => append(log, data));
    expect(dataOf(log.read(start, 10) as LogPage)).toBe('gap');
    expect(dataOf(log.read(ids[0] as string, 10) as LogPage)).toEqual(['b', 'c', 'd']);
    expect(dataOf(log.read(ids[0] as string, 2) as LogPage)).toEqual(['b', 'c']);
    append(log, '12345678');
    expect(dataOf(log.read(log.start('earliest') as string, 10) as LogPage)).toEqual(['c', 'd', '12345678']);
    append(log, 'ä'.repeat(6));
    expect(dataOf(log.read(log.start('earliest') as string, 10) as LogPage)).toEqual([]);
  });

  it('keeps its order over many more entries than it keeps', () => {
    const log = open({ count: 7 });
    for (let n = 0; n < 1000; n++) {
      append(log, String(n), String(n % 3));
      const last = Array.from({ length: Math.min(7, n + 1) }, (_each, index) => String(n - Math.min(6, n) + index));
      expect(dataOf(log.read(log.start('earliest') as string, 10) as LogPage)).toEqual(last);
      expect(dataOf(log.read(log.start(2) as string, 10) as LogPage)).toEqual(last.slice(-2));
    }
    const { entries } = log.latest() as { entries: readonly ChannelEntry[] };
    expect(entries.map(({ data }) => data)).toEqual(['997', '998', '999']);
  });

  it('forgets the newest of a key with the entry', () => {
    const log = open({ count: 2 });
    append(log, 'old', 'a');
    append(log, '1', 'b');
    append(log, '2', 'b');
    expect((log.latest() as { entries: readonly ChannelEntry[] }).entries.map(({ data }) => data)).toEqual(['2']);
  });

  it('orders its ids, and ends', () => {
    const log = open();
    const ids = Array.from({ length: 12 }, (_each, n) => append(log, String(n)));
    expect(ids.toSorted((a, b) => log.compare(a, b))).toEqual(ids);
    const last = log.append({ data: 'end', isEnd: true }, {}) as string;
    expect(() => log.append({ data: 'late' }, {})).toThrow(ChannelEndedError);
    expect(log.read(ids[10] as string, 1)).toMatchObject({ isEnd: false });
    expect(log.read(ids[10] as string, 2)).toMatchObject({ isEnd: true });
    expect(log.read(last, 1)).toEqual({ entries: [], isEnd: true });
    expect(dataOf(log.read(log.start('now') as string, 5) as LogPage)).toEqual(['end']);
  });

  it('tells those that listen, and is gone with the last that holds it', () => {
    const told: unknown[] = [];
    const backplane = createMemoryBackplane();
    const limits = { count: 10, bytes: 100 };
    const one = backplane.open('log', limits, { ...silent, entries: ([entry]) => told.push(entry?.data) });
    const two = backplane.open('log', limits, silent);
    append(two, 'before');
    void one.listen();
    const id = append(two, 'a');
    one.unlisten();
    append(two, 'b');
    expect(told).toEqual(['a']);
    one.close();
    one.close();
    expect(dataOf(two.read(id, 5) as LogPage)).toEqual(['b']);
    two.close();
    const anew = backplane.open('log', limits, silent);
    one.close();
    expect(dataOf(anew.read(id, 5) as LogPage)).toBe('unknown-id');
    append(anew, 'c');
    expect(dataOf(backplane.open('log', limits, silent).read(anew.start(1) as string, 5) as LogPage)).toEqual(['c']);
  });

  it('remembers idempotency keys for two minutes, and at most ten thousand', () => {
    let now = 0;
    const keys = new RecentKeys(() => now);
    keys.set('a', '1');
    now = 60_000;
    keys.set('b', '2');
    now = 119_999;
    expect([keys.get('a'), keys.get('b')]).toEqual(['1', '2']);
    now = 120_000;
    expect([keys.get('a'), keys.get('b')]).toEqual([undefined, '2']);
    for (let n = 0; n < 10_000; n++) keys.set(String(n), 'x');
    expect([keys.get('b'), keys.get('0')]).toEqual([undefined, 'x']);
  });

  it('has one producer: a claim holds for its time, and another comes behind it', () => {
    let now = 0;
    const claim = new ProducerClaim(() => now);
    expect(claim.isHeld).toBe(false);
    const first = claim.claim(100);
    now = 99;
    expect([claim.claim(100), claim.isHeld]).toEqual([{ status: 'held' }, true]);
    expect(claim.renew('1', 100)).toBe(true);
    now = 199;
    expect(claim.isHeld).toBe(false);
    // Late, and no other took it.
    expect([claim.renew('1', 100), claim.isHeld]).toEqual([true, true]);
    now = 299;
    expect([first, claim.claim(100)]).toEqual([
      { status: 'claimed', fence: '1' },
      { status: 'claimed', fence: '2' },
    ]);
    expect([claim.renew('1', 1000), claim.isNewest('1'), claim.isNewest('2')]).toEqual([false, false, true]);
    claim.release('1');
    expect(claim.isHeld).toBe(true);
    claim.release('2');
    expect([claim.isHeld, claim.isNewest('2')]).toEqual([false, true]);
    expect(claim.claim(100)).toEqual({ status: 'claimed', fence: '3' });
  });

  it('takes entries with the fence of the newest claim, and none after the last entry', () => {
    const log = open();
    expect([log.isClaimed(), log.claim(60_000), log.isClaimed()]).toEqual([
      false,
      { status: 'claimed', fence: '1' },
      true,
    ]);
    const id = log.append({ data: 'a' }, { fence: '1', idempotencyKey: 'k' });
    void log.release('1');
    expect([log.isClaimed(), log.claim(60_000)]).toEqual([false, { status: 'claimed', fence: '2' }]);
    expect(() => log.append({ data: 'b' }, { fence: '1' })).toThrow(ProducerFencedError);
    // It is in the log.
    expect(log.append({ data: 'a' }, { fence: '1', idempotencyKey: 'k' })).toBe(id);
    append(log, 'of no producer');
    void log.append({ data: 'end', isEnd: true }, { fence: '2' });
    expect(() => log.append({}, { fence: '1' })).toThrow(ProducerFencedError);
    expect(() => log.append({}, { fence: '2' })).toThrow(ChannelEndedError);
    expect([log.claim(1), log.renew('2', 1), log.isClaimed()]).toEqual([{ status: 'ended' }, false, false]);
    expect(dataOf(log.read(log.start('earliest') as string, 9) as LogPage)).toEqual(['a', 'of no producer', 'end']);
  });
});
