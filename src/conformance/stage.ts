import { randomUUID } from 'node:crypto';
import type {
  Backplane,
  ChannelEntry,
  ChannelLog,
  HistoryLimits,
  LogReceiver,
  NewEntry,
} from '../channel/log/backplane.ts';

const pollInterval = 5;

/** What a check has: the logs of two processes, which are closed when it is over. */
export interface Stage {
  /** Opens a log in one of two processes, which share it. */
  open(options?: OpenOptions): Promise<OpenLog>;
  /** Waits for a condition that stays true. Rejects when it takes too long. */
  until(condition: () => boolean, what: string): Promise<void>;
}

export interface OpenOptions {
  /** @defaultValue `0` */
  readonly process?: 0 | 1;
  /** @defaultValue `'log'` */
  readonly channel?: string;
  /** @defaultValue 1000 entries, 1 MB */
  readonly limits?: Partial<HistoryLimits>;
}

/** A log, and what its receiver got. */
export interface OpenLog {
  readonly log: ChannelLog;
  readonly got: readonly ChannelEntry[];
  readonly lost: readonly string[];
  /** The data of `got`. */
  readonly data: readonly (string | undefined)[];
  readonly append: (data: string, more?: Partial<NewEntry>) => Promise<string>;
}

/** Makes the backplane of a process. Those of one `space` share their logs. */
export type MakeBackplane = (space: string) => Backplane | PromiseLike<Backplane>;

/** Runs a check, and closes what it opened. */
export async function onStage(
  make: MakeBackplane,
  patience: number,
  check: (stage: Stage) => Promise<void>,
): Promise<void> {
  const space = `check-${randomUUID()}`;
  const backplanes: (Promise<Backplane> | undefined)[] = [];
  const logs: ChannelLog[] = [];
  const stage: Stage = {
    async open({ process = 0, channel = 'log', limits } = {}) {
      const backplane = await (backplanes[process] ??= Promise.resolve(make(space)));
      const receiver = new Recorder();
      const log = backplane.open(channel, { count: 1000, bytes: 1_000_000, ...limits }, receiver);
      logs.push(log);
      return {
        log,
        got: receiver.got,
        lost: receiver.positions,
        get data() {
          return receiver.got.map(({ data }) => data);
        },
        append: async (data, more) => log.append({ data, ...more }, {}),
      };
    },
    async until(condition, what) {
      const end = performance.now() + patience;
      while (!condition()) {
        if (performance.now() > end) throw new Error(`It took too long: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, pollInterval));
      }
    },
  };
  try {
    await check(stage);
  } finally {
    for (const log of logs) log.close();
    for (const backplane of backplanes) await (await backplane)?.close();
  }
}

class Recorder implements LogReceiver {
  readonly got: ChannelEntry[] = [];
  readonly positions: string[] = [];

  entries(list: readonly ChannelEntry[]): void {
    this.got.push(...list);
  }

  lost(position: string): void {
    this.positions.push(position);
  }
}
