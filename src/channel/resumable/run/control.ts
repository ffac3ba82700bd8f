import { reportChannelError } from '../../events.ts';
import type { ChannelEntry } from '../../log/backplane.ts';
import type { Directory } from './directory.ts';
import { channelKeyOf, type RunRef } from './run-ref.ts';

/** What other processes tell the producer of a run. `reader`, `left`: that they have clients of it, and have none. */
export type ControlWord = 'cancel' | 'reader' | 'left';

const suffix = ':control';

/** Tells the producer of a run. @param process - the one that tells it */
export async function sendControl(
  directory: Directory,
  ref: RunRef,
  word: ControlWord,
  process: string,
): Promise<void> {
  const log = directory.open(channelKeyOf(ref), suffix);
  try {
    await log.append({ event: word, data: process }, {});
  } finally {
    log.close();
  }
}

/** Listens to what others tell. Once this has resolved, nothing is missed. Resolves with the undo. */
export async function listenToControl(
  directory: Directory,
  channelKey: string,
  onWord: (word: ControlWord, process: string) => void,
): Promise<() => void> {
  const log = directory.open(channelKey, suffix, {
    entries(list: readonly ChannelEntry[]) {
      for (const { event, data = '' } of list) onWord(event as ControlWord, data);
    },
    // A process that is not heard any more counts as gone; a cancel that is lost is asked for again.
    lost: () => reportChannelError(new Error('What was told to the producer of an answer is lost')),
  });
  try {
    await log.listen();
  } catch (error) {
    log.close();
    throw error;
  }
  return () => {
    log.unlisten();
    log.close();
  };
}
