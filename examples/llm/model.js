// @ts-check
import { setTimeout } from 'node:timers/promises';

/** @typedef {{ role: string, content: string }} Message */

/**
 * Stands for a language model: repeats what it was told, word by word.
 * @param {readonly Message[]} messages
 * @param {AbortSignal} signal - stops it
 */
export async function* generate(messages, signal) {
  const said = messages.at(-1)?.content ?? '';
  // A way to see what happens when a model fails halfway.
  const failsAfter = said === 'fail' ? 2 : Infinity;
  let words = 0;
  for (const word of `You said: ${said}`.split(/(?<= )/)) {
    if (words++ === failsAfter) throw new Error('The model is out of memory');
    await setTimeout(50, undefined, { signal });
    yield word;
  }
}
