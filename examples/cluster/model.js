// @ts-check
import { setTimeout } from 'node:timers/promises';

const pause = 60;

const sentences = [
  'A stream says: more will come.',
  'The server that writes it may be another than the one that you read from.',
  'Close the page, and the text goes on without you.',
  'Open it again, and all of it is there, from its first word.',
  'Each piece has an id, so that a reader says where it stopped.',
  'A cut cable costs a moment, and not a word.',
  'Two tabs may read the same text, each at its own pace.',
  'Press stop at any server: the one that writes hears of it.',
];

/**
 * All that the model says, in so many words of its own.
 *
 * @param {string} question
 * @param {number} length
 */
export function textOf(question, length) {
  const words = sentences.join(' ').split(' ');
  const own = Array.from({ length }, (_each, n) => words[n % words.length]);
  return `You asked: ${question}\n\n${own.join(' ')}`;
}

/**
 * Stands for a language model: yields its text, word by word.
 *
 * @param {string} question
 * @param {number} length - words
 * @param {AbortSignal} signal - stops it
 */
export async function* write(question, length, signal) {
  for (const word of textOf(question, length).split(/(?<= )/)) {
    await setTimeout(pause, undefined, { signal });
    yield word;
  }
}
