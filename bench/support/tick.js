// @ts-check
import { words } from './words.js';

/**
 * What a client is told at a tick: about 210 bytes of JSON, different for each client and each tick.
 * @param {number} client
 * @param {number} number
 */
export function tickFor(client, number) {
  const price = 10_000 + ((client * 7919 + number * 104_729) % 9_000);
  return {
    instrument: `SLC-${client}`,
    venue: 'XAMS',
    currency: 'EUR',
    bid: price / 100,
    ask: (price + 3) / 100,
    last: (price + 1) / 100,
    bidSize: 100 + (price % 77),
    askSize: 100 + (price % 91),
    volume: 1_200_000 + number * 13 + client,
    change: (price % 211) / 100,
    state: 'continuous-trading',
    at: 1_767_225_600_000 + number * 1000,
  };
}

/**
 * A piece of an answer that a language model writes: a word, and what a service has around it.
 * @param {number} client
 * @param {number} number
 */
export function tokenFor(client, number) {
  return { index: number, delta: { content: ` ${words[(client * 7919 + number * 104_729) % words.length]}` } };
}
