// @ts-check
import { Child } from './child.js';

/** @typedef {import('./rounds.js').Bench} Bench */
/** @typedef {import('./rounds.js').Metric} Metric */

/**
 * @param {Record<string, number>} rate - peer → ratio to reach
 * @returns {Metric[]}
 */
export function loadMetrics(rate) {
  return [
    { key: 'rate', title: 'requests per second', better: 'more', digits: 0, toReach: rate },
    { key: 'cpu', title: 'CPU of the server per request, µs', better: 'less', digits: 1 },
  ];
}

/**
 * Requests of `/item` over 32 connections, each as soon as the one before is answered.
 * @param {Child} server
 * @param {{ text: string, acceptEncoding: string | null, quick: boolean }} options - text: what the answers are to be,
 * decoded; `null`: no such field
 * @returns {Promise<Bench>}
 */
export async function openLoad(server, { text, acceptEncoding, quick }) {
  const clients = new Child('clients', 'request-clients.js');
  const port = await server.call('port');
  const load = () =>
    clients.call('load', port, { connections: 32, duration: quick ? 200 : 1000, acceptEncoding, text });
  try {
    await load();
  } catch (error) {
    await clients.stop();
    throw error;
  }
  return {
    async measure() {
      const [cpuBefore, requestsBefore] = await Promise.all([server.call('cpu'), server.call('requests')]);
      const { responses, bytes, body, seconds } = await load();
      const [cpu, requests] = await Promise.all([server.call('cpu'), server.call('requests')]);
      if (requests - requestsBefore !== responses)
        throw new Error(`${requests - requestsBefore} requests had ${responses} answers`);
      return { rate: responses / seconds, cpu: (cpu - cpuBefore) / responses, bytes, body };
    },
    close: () => clients.stop(),
  };
}
