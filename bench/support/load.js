// @ts-check
import { Child } from './child.js';

/** @typedef {import('./rounds.js').Bench} Bench */
/** @typedef {import('./rounds.js').Metric} Metric */

/**
 * @param {Record<string, number>} [rate] - peer → ratio to reach
 * @param {Record<string, number>} [cpu] - the same
 * @returns {Metric[]}
 */
export function loadMetrics(rate = {}, cpu = {}) {
  return [
    { key: 'rate', title: 'requests per second', better: 'more', digits: 0, toReach: rate },
    { key: 'cpu', title: 'CPU of the server per request, µs', better: 'less', digits: 1, toReach: cpu },
  ];
}

/**
 * Requests of `/item` over 32 connections, each as soon as the one before is answered.
 * @param {Child} server
 * @param {object} options
 * @param {string} options.text - what the answers are to be, decoded
 * @param {string | null} options.acceptEncoding - `null`: no such field
 * @param {boolean} options.quick
 * @param {number} [options.warmUps] - seconds of load before the first slice
 * @param {Child} [options.counter] - where requests arrive that the server passes on
 * @returns {Promise<Bench>}
 */
export async function openLoad(server, { text, acceptEncoding, quick, counter = server, warmUps = 1 }) {
  const clients = new Child('clients', 'request-clients.js');
  const port = await server.call('port');
  const load = () =>
    clients.call('load', port, { connections: 32, duration: quick ? 200 : 1000, acceptEncoding, text });
  try {
    for (let warmUp = 0; warmUp < (quick ? 1 : warmUps); warmUp++) await load();
  } catch (error) {
    await clients.stop();
    throw error;
  }
  return {
    async measure() {
      const [cpuBefore, userBefore, requestsBefore] = await Promise.all([
        server.call('cpu'),
        server.call('userCpu'),
        counter.call('requests'),
      ]);
      const { responses, bytes, body, seconds } = await load();
      const [cpu, user, requests] = await Promise.all([
        server.call('cpu'),
        server.call('userCpu'),
        counter.call('requests'),
      ]);
      if (requests - requestsBefore !== responses)
        throw new Error(`${requests - requestsBefore} requests had ${responses} answers`);
      return {
        rate: responses / seconds,
        cpu: (cpu - cpuBefore) / responses,
        user: (user - userBefore) / responses,
        bytes,
        body,
      };
    },
    close: () => clients.stop(),
  };
}
