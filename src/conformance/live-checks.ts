import { deepEqual, equal, notEqual, ok, rejects } from 'node:assert/strict';
import { ChannelEndedError, ProducerFencedError } from '../errors.ts';
import { dataAfter } from './log-checks.ts';
import type { OpenLog, Stage } from './stage.ts';

/** Checks of what processes tell each other, by the sentence that they prove. */
export const liveChecks: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  async 'tells every process that listens, each entry once and in order'(stage) {
    const both = [await stage.open(), await stage.open({ process: 1 })] as const;
    await both[0].append('before');
    for (const { log } of both) await log.listen();
    const data = Array.from({ length: 200 }, (_each, n) => String(n));
    await Promise.all(data.map((each) => both[0].append(each)));
    for (const each of both) {
      await stage.until(() => each.data.at(-1) === '199', 'all entries are with a listener');
      deepEqual(withoutBefore(each), data);
      deepEqual(each.lost, []);
    }
    deepEqual(
      both[0].got.map(({ id }) => id),
      both[1].got.map(({ id }) => id),
    );
  },

  async 'has one order for all, whichever process appends'(stage) {
    const both = [await stage.open(), await stage.open({ process: 1 })] as const;
    for (const { log } of both) await log.listen();
    const start = await both[0].log.start('now');
    const append = async ({ append: one }: OpenLog, name: string): Promise<void> => {
      for (let n = 0; n < 50; n++) await one(`${name}${String(n)}`);
    };
    await Promise.all([append(both[0], 'a'), append(both[1], 'b')]);
    await stage.until(() => both.every(({ got }) => got.length >= 100), 'all entries are with both');
    const order = await dataAfter(both[0].log, start);
    deepEqual(both[0].data, order);
    deepEqual(both[1].data, order);
  },

  async 'tells of large entries, and of entries that it does not keep'(stage) {
    const { append } = await stage.open({ limits: { count: 0 } });
    const listener = await stage.open({ process: 1, limits: { count: 0 } });
    await listener.log.listen();
    const large = 'ä'.repeat(300_000);
    for (const data of ['a', large, 'b']) await append(data);
    await stage.until(() => listener.data.includes('b'), 'the entries are with the listener');
    deepEqual(listener.data, ['a', large, 'b']);
  },

  async 'tells nothing to a process that does not listen any more'(stage) {
    const one = await stage.open();
    const two = await stage.open({ process: 1 });
    await one.log.listen();
    await two.log.listen();
    await one.append('a');
    await stage.until(() => two.data.includes('a') && one.data.includes('a'), 'both have the entry');
    one.log.unlisten();
    await two.append('b');
    await stage.until(() => two.data.includes('b'), 'the entry is with the other');
    deepEqual(one.data, ['a']);
    await one.log.listen();
    await two.append('c');
    await stage.until(() => one.data.includes('c'), 'the entry is with the one that listens again');
    ok(one.data.length <= 3 && one.data.filter((data) => data === 'c').length === 1);
  },

  async 'bears a process that changes its mind'(stage) {
    const { log, append, ...rest } = await stage.open();
    const listening = [];
    for (let n = 0; n < 20; n++) {
      listening.push(log.listen());
      if (n % 3 !== 0) log.unlisten();
    }
    log.unlisten();
    const last = log.listen();
    // Those that were broken off may settle in any way, or not at all.
    for (const each of listening) Promise.resolve(each).catch(() => undefined);
    await last;
    await append('a');
    await stage.until(() => rest.got.length > 0, 'the entry is with the listener');
    deepEqual(
      rest.got.map(({ data }) => data),
      ['a'],
    );
  },

  async 'leaves nothing between what is read and what is told'(stage) {
    const writer = await stage.open();
    const start = await writer.log.start('now');
    const write = async (): Promise<void> => {
      for (let n = 0; n < 300; n++) await writer.append(String(n));
    };
    const writing = write();
    const reader = await stage.open({ process: 1 });
    await reader.log.listen();
    const read = await dataAfter(reader.log, start);
    await writing;
    await stage.until(() => read.includes('299') || reader.data.includes('299'), 'the last entry is there');
    const all = new Set([...read, ...reader.data]);
    equal(all.size, 300);
  },

  async 'spares a client the reading only if it is told all that follows'(stage) {
    const writer = await stage.open();
    const { log, ...reader } = await stage.open({ process: 1 });
    const spares = (id: string): boolean => log.tellsAllAfter?.(id) ?? false;
    const ids = [await writer.append('a'), await writer.append('b')];
    await log.latest();
    equal(spares(ids[1] ?? ''), false, 'it does not listen');
    await log.listen();
    const start = await log.start('now');
    for (const bogus of ['', '0', 'x', '-', `${start}0`, `${start} `, 'x'.repeat(100_000)])
      equal(spares(bogus), false, `the id ${bogus.slice(0, 50)}`);
    const end = await writer.append('end', { isEnd: true });
    await stage.until(() => reader.got.some(({ data }) => data === 'end'), 'the last entry is with the listener');
    equal(spares(end), false, 'it was not told that this is the end');
    log.unlisten();
    equal(spares(start), false, 'it does not listen any more');
  },

  async 'lets one producer claim a channel'(stage) {
    const [{ log: one }, { log: two }] = [await stage.open(), await stage.open({ process: 1 })];
    equal(await one.isClaimed(), false);
    const first = await one.claim(60_000);
    ok(first.status === 'claimed' && /^[1-9][0-9]*$/.test(first.fence));
    equal(await two.isClaimed(), true);
    deepEqual(await two.claim(60_000), { status: 'held' });
    await one.release(first.fence);
    equal(await two.isClaimed(), false);
    const second = await two.claim(60_000);
    ok(second.status === 'claimed' && BigInt(second.fence) > BigInt(first.fence));
    equal(await one.renew(first.fence, 60_000), false);
    equal(await two.renew(second.fence, 60_000), true);
    await one.release(first.fence);
    equal(await one.isClaimed(), true);
  },

  async 'gives a channel to another producer when the claim is over'(stage) {
    const [{ log: one }, { log: two }] = [await stage.open(), await stage.open({ process: 1 })];
    const first = await one.claim(1);
    ok(first.status === 'claimed');
    let isHeld = true;
    const look = async (): Promise<void> => {
      while (isHeld) isHeld = await two.isClaimed();
    };
    await look();
    // No other has it: the time is over, and the claim is still the newest.
    equal(await one.renew(first.fence, 1), true);
    isHeld = true;
    await look();
    const second = await two.claim(60_000);
    ok(second.status === 'claimed');
    notEqual(second.fence, first.fence);
    equal(await one.renew(first.fence, 60_000), false);
  },

  async 'takes no entry of a producer whose channel another has claimed'(stage) {
    const [one, two] = [await stage.open(), await stage.open({ process: 1 })];
    const start = await one.log.start('now');
    const first = await one.log.claim(60_000);
    ok(first.status === 'claimed');
    const once = { idempotencyKey: 'a', fence: first.fence };
    const id = await one.log.append({ data: 'a' }, once);
    await one.log.release(first.fence);
    await one.log.append({ data: 'b' }, { fence: first.fence });
    const second = await two.log.claim(60_000);
    ok(second.status === 'claimed');
    await rejects(async () => one.log.append({ data: 'c' }, { fence: first.fence }), ProducerFencedError);
    equal(await one.log.append({ data: 'a' }, once), id);
    await two.log.append({ data: 'd' }, { fence: second.fence });
    await one.append('without a fence');
    await two.log.append({ data: 'end', isEnd: true }, { fence: second.fence });
    deepEqual(await dataAfter(one.log, start), ['a', 'b', 'd', 'without a fence', 'end']);
    await rejects(async () => one.log.append({ data: 'e' }, { fence: first.fence }), ProducerFencedError);
    await rejects(async () => two.log.append({ data: 'f' }, { fence: second.fence }), ChannelEndedError);
  },

  async 'has no producer after the end'(stage) {
    const { log } = await stage.open();
    const claim = await log.claim(60_000);
    ok(claim.status === 'claimed');
    await log.append({ isEnd: true }, { fence: claim.fence });
    equal(await log.isClaimed(), false);
    equal(await log.renew(claim.fence, 60_000), false);
    deepEqual(await log.claim(60_000), { status: 'ended' });
  },
};

function withoutBefore({ data }: OpenLog): readonly (string | undefined)[] {
  return data[0] === 'before' ? data.slice(1) : data;
}
