import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import type { ChannelLog, LogPage, NewEntry } from '../channel/log/backplane.ts';
import { ChannelEndedError } from '../errors.ts';
import type { Stage } from './stage.ts';

/** Checks of what is kept, by the sentence that they prove. */
export const logChecks: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  async 'gives an id to each entry, and orders the ids'(stage) {
    const { log, append } = await stage.open();
    const ids = [];
    for (let n = 0; n < 12; n++) ids.push(await append(String(n)));
    equal(new Set(ids).size, 12);
    // What an id may hold: it goes into a header, and into cursors.
    for (const id of ids) ok(/^[!-+\--9;-~]{1,128}$/.test(id), `the id ${id}`);
    deepEqual(
      ids.toReversed().sort((a, b) => log.compare(a, b)),
      ids,
    );
    equal(log.compare(ids[3] ?? '', ids[3] ?? ''), 0);
  },

  async 'keeps the order of entries that are appended at once'(stage) {
    const { log, append } = await stage.open();
    const start = await log.start('now');
    const data = Array.from({ length: 300 }, (_each, n) => String(n));
    const ids = await Promise.all(data.map((each) => append(each)));
    deepEqual(await dataAfter(log, start), data);
    ok(ids.every((id, index) => index === 0 || log.compare(ids[index - 1] ?? '', id) < 0));
  },

  async 'gives an entry back as it was'(stage) {
    const { log } = await stage.open();
    const start = await log.start('now');
    const entries: NewEntry[] = [
      { data: 'text' },
      {},
      { data: '' },
      { event: 'tick', data: '{"a":[1,2]}', isJson: true, key: 'room: 7, "x"' },
      { event: 'ünï 名', data: 'two\nlines\r\nand \u0000 😀 \u2028 [1,2]\n', key: '' },
      { event: 'end', data: 'x'.repeat(100_000), isEnd: true },
    ];
    for (const entry of entries) await log.append(entry, {});
    const page = await log.read(start, 100);
    deepEqual(entriesOf(page).map(plain), entries.map(plain));
  },

  async 'reads on after each id, in pages'(stage) {
    const { log, append } = await stage.open();
    const start = await log.start('earliest');
    const ids = [];
    for (const data of ['a', 'b', 'c', 'd']) ids.push(await append(data));
    deepEqual(dataOf(await log.read(start, 3)), ['a', 'b', 'c']);
    deepEqual(dataOf(await log.read(ids[0] ?? '', 2)), ['b', 'c']);
    deepEqual(dataOf(await log.read(ids[2] ?? '', 9)), ['d']);
    deepEqual(dataOf(await log.read(ids[3] ?? '', 9)), []);
    deepEqual(
      entriesOf(await log.read(start, 9)).map(({ id }) => id),
      ids,
    );
  },

  async 'begins now, with all that is kept, or with the last entries'(stage) {
    const { log, append } = await stage.open();
    for (const data of ['a', 'b', 'c']) await append(data);
    deepEqual(await dataAfter(log, await log.start('earliest')), ['a', 'b', 'c']);
    deepEqual(await dataAfter(log, await log.start(2)), ['b', 'c']);
    deepEqual(await dataAfter(log, await log.start(99)), ['a', 'b', 'c']);
    const now = await log.start('now');
    deepEqual(await dataAfter(log, now), []);
    await append('d');
    deepEqual(await dataAfter(log, now), ['d']);
  },

  async 'tells of an id whose next entries are gone'(stage) {
    const { log, append } = await stage.open({ limits: { count: 3 } });
    const start = await log.start('now');
    const ids = [];
    for (const data of ['a', 'b', 'c', 'd', 'e']) ids.push(await append(data));
    deepEqual(await log.read(start, 9), { lost: 'gap' });
    deepEqual(await log.read(ids[0] ?? '', 9), { lost: 'gap' });
    deepEqual(dataOf(await log.read(ids[1] ?? '', 9)), ['c', 'd', 'e']);
    deepEqual(await dataAfter(log, await log.start('earliest')), ['c', 'd', 'e']);
    deepEqual(await dataAfter(log, await log.start(99)), ['c', 'd', 'e']);
  },

  async 'keeps no more bytes than it may, and the newest entries'(stage) {
    const { log, append } = await stage.open({ limits: { bytes: 10_000 } });
    for (let n = 0; n < 50; n++) await append(`${String(n)} ${'x'.repeat(997)}`);
    const kept = await dataAfter(log, await log.start('earliest'));
    ok(kept.length > 0 && kept.length <= 10, `${String(kept.length)} entries of 1,000 bytes in 10,000`);
    ok(kept.at(-1)?.startsWith('49 '));
    await append('y'.repeat(20_000));
    deepEqual(await dataAfter(log, await log.start('earliest')), []);
  },

  async 'keeps nothing if it may keep no entry'(stage) {
    const { log } = await stage.open({ limits: { count: 0 } });
    const start = await log.start('now');
    const once = { idempotencyKey: 'a' };
    const id = await log.append({ data: 'a' }, once);
    deepEqual(await log.read(start, 9), { lost: 'gap' });
    deepEqual(dataOf(await log.read(id, 9)), []);
    equal(await log.append({ data: 'a' }, once), id);
  },

  async 'keeps its last entry, however much it may keep'(stage) {
    const cases = [
      { channel: 'no entry', limits: { count: 0 } },
      { channel: 'few bytes', limits: { bytes: 100 } },
    ];
    for (const { channel, limits } of cases) {
      const { log, append } = await stage.open({ channel, limits });
      const start = await log.start('now');
      await append('a');
      const end = 'x'.repeat(1000);
      await append(end, { isEnd: true });
      deepEqual(await log.read(start, 9), { lost: 'gap' });
      const page = await log.read(await log.start('earliest'), 9);
      deepEqual([dataOf(page), isEnd(page)], [[end], true]);
      deepEqual(await dataAfter(log, await log.start('now')), [end]);
      const later = await stage.open({ process: 1, channel, limits });
      deepEqual(await dataAfter(later.log, await later.log.start('earliest')), [end]);
    }
  },

  async 'refuses an id that is none of the log'(stage) {
    const { log, append } = await stage.open();
    const other = await stage.open({ channel: 'other' });
    const id = await append('a');
    const foreign = await other.append('a');
    // Logs may share their numbers: the foreign one is not the newest.
    await append('b');
    for (const bogus of [
      foreign,
      '',
      '0',
      'x',
      `${id}0`,
      `${id}-1`,
      `${id} `,
      '-',
      'x'.repeat(100_000),
      '\u0000',
      '名',
    ])
      deepEqual(await log.read(bogus, 9), { lost: 'unknown-id' }, `the id ${bogus.slice(0, 50)}`);
  },

  async 'gives the newest entry of each key'(stage) {
    const { log, append } = await stage.open({ limits: { count: 5 } });
    await append('gone', { key: 'z' });
    for (const [data, key] of [
      ['1', 'a'],
      ['2', 'b'],
      ['3', 'a'],
      ['4', undefined],
    ] as const)
      await append(data, { key });
    await append('5', { key: 'c' });
    const { entries, position } = await log.latest();
    deepEqual(
      entries.map(({ data }) => data),
      ['2', '3', '5'],
    );
    deepEqual(await dataAfter(log, position), []);
    await append('6');
    deepEqual(await dataAfter(log, position), ['6']);
  },

  async 'ends with its last entry'(stage) {
    const { log, append } = await stage.open();
    const ids = [await append('a'), await append('b')];
    const end = await append('end', { isEnd: true });
    await rejects(async () => append('late'), ChannelEndedError);
    const page = await log.read(ids[0] ?? '', 1);
    deepEqual(dataOf(page), ['b']);
    equal(isEnd(page), false);
    ok(isEnd(await log.read(ids[0] ?? '', 2)) && isEnd(await log.read(ids[0] ?? '', 9)));
    ok(isEnd(await log.read(end, 9)));
    deepEqual(await dataAfter(log, await log.start('now')), ['end']);
    const later = await stage.open({ process: 1 });
    await rejects(async () => later.append('late'), ChannelEndedError);
    deepEqual(await dataAfter(later.log, await later.log.start('earliest')), ['a', 'b', 'end']);
  },

  async 'appends an entry once for each idempotency key'(stage) {
    const { log } = await stage.open();
    const { log: other } = await stage.open({ process: 1 });
    const start = await log.start('now');
    const once = { idempotencyKey: 'order 7: "名"' };
    const id = await log.append({ data: 'a' }, once);
    const ids = await Promise.all([log.append({ data: 'b' }, once), other.append({ data: 'c' }, once)]);
    deepEqual(ids, [id, id]);
    const both = await Promise.all([1, 2].map(async (n) => log.append({ data: String(n) }, { idempotencyKey: 'new' })));
    equal(both[0], both[1]);
    await log.append({ data: 'end', isEnd: true }, {});
    equal(await log.append({ data: 'd' }, once), id);
    deepEqual(await dataAfter(log, start), ['a', '1', 'end']);
  },

  async 'has a log of its own for each name'(stage) {
    const names = ['a', 'A', 'a:log', 'a b', '{a}', 'a}b', '}a', 'a{}', 'ä', '名', 'a%7B', 'x'.repeat(300)];
    const starts = new Map<string, string>();
    for (const channel of names) {
      const { log, append } = await stage.open({ channel });
      starts.set(channel, await log.start('earliest'));
      await append(channel);
    }
    for (const channel of names) {
      const { log } = await stage.open({ channel, process: 1 });
      deepEqual(await dataAfter(log, starts.get(channel) ?? ''), [channel]);
    }
  },

  async 'keeps the log while a process has it open'(stage) {
    const one = await stage.open();
    const two = await stage.open({ process: 1 });
    const id = await one.append('a');
    one.log.close();
    one.log.close();
    await two.append('b');
    const again = await stage.open();
    deepEqual(dataOf(await again.log.read(id, 9)), ['b']);
  },
};

function entriesOf(page: LogPage): readonly (NewEntry & { readonly id: string })[] {
  if (page.lost !== undefined) throw new Error(`The log has lost entries: ${page.lost}`);
  return page.entries;
}

function isEnd(page: LogPage): boolean {
  return page.lost === undefined && page.isEnd;
}

function dataOf(page: LogPage): readonly (string | undefined)[] {
  return entriesOf(page).map(({ data }) => data);
}

/** The data of all entries after an id. */
export async function dataAfter(log: ChannelLog, after: string): Promise<(string | undefined)[]> {
  const all: (string | undefined)[] = [];
  for (let position = after; ;) {
    const entries = entriesOf(await log.read(position, 100));
    all.push(...entries.map(({ data }) => data));
    position = entries.at(-1)?.id ?? position;
    if (entries.length < 100) return all;
  }
}

/** An entry without its id. A flag that is not set may be `false` or not there. */
export function plain({ event, data, isJson, isEnd: isLast, key }: NewEntry): NewEntry {
  return { event, data, isJson: isJson === true, isEnd: isLast === true, key };
}
