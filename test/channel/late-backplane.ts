import { type Backplane, type ChannelEntry, createMemoryBackplane, type LogReceiver } from '../../src/index.ts';

/**
 * A backplane that answers later, each time after another number of turns: as one on the other side of a network. The
 * order of what is appended, and of what is told, stays.
 */
export function lateBackplane(random: () => number, memory: Backplane = createMemoryBackplane()): Backplane {
  const later = async <T>(answer: () => T | PromiseLike<T>): Promise<T> => {
    await turns(random);
    const value = await answer();
    await turns(random);
    return value;
  };
  return {
    open(channel, limits, receiver) {
      let told = Promise.resolve();
      const late: LogReceiver = {
        entries(list: readonly ChannelEntry[]) {
          told = told.then(() => turns(random)).then(() => receiver.entries(list));
        },
        lost: (position) => receiver.lost(position),
      };
      const log = memory.open(channel, limits, late);
      let appended: Promise<unknown> = Promise.resolve();
      return {
        append(entry, options) {
          const append = appended.then(() => later(() => log.append(entry, options)));
          appended = append.catch(() => undefined);
          return append;
        },
        read: (after, count) => later(() => log.read(after, count)),
        start: (from) => later(() => log.start(from)),
        latest: () => later(() => log.latest()),
        claim: (ttl) => later(() => log.claim(ttl)),
        renew: (fence, ttl) => later(() => log.renew(fence, ttl)),
        release: (fence) => later(() => log.release(fence)),
        isClaimed: () => later(() => log.isClaimed()),
        compare: (a, b) => log.compare(a, b),
        listen: () => later(() => log.listen()),
        unlisten: () => log.unlisten(),
        close: () => log.close(),
      };
    },
    close: () => memory.close(),
  };
}

async function turns(random: () => number): Promise<void> {
  const count = Math.floor(random() * 4);
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
