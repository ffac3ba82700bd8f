// @ts-check
import { Child } from './child.js';
import { median } from './statistics.js';

/**
 * One way to do it. `serve` runs in the server's process; `calls` are what `prepare` may call there.
 * @typedef {object} Peer
 * @property {string} name
 * @property {string} title
 * @property {() => Served | Promise<Served>} serve
 * @property {string | null} [acceptEncoding] - of its clients' requests, where it is not the scenario's; `null`: they
 * have none
 * @property {readonly string[]} [flags] - of Node, for its server
 *
 * @typedef {{ app: import('node:http').RequestListener, calls?: Record<string, (...args: any[]) => unknown> }} Served
 *
 * @typedef {object} Metric
 * @property {string} key - in what `measure` returns
 * @property {string} title
 * @property {'less' | 'more'} better
 * @property {number} digits
 * @property {Record<string, number>} [toReach] - peer → ratio to the baseline
 * @property {string} [baseline] - instead of the scenario's; a key may come twice, with different ones
 *
 * A peer that is up, with its clients.
 * @typedef {object} Bench
 * @property {() => Promise<Record<string, number>>} measure - one slice; throws when something was lost
 * @property {() => Promise<void>} [finish] - after the last slice; throws when all of it together was wrong
 * @property {() => Promise<void>} close
 *
 * @typedef {object} Scenario
 * @property {string} name
 * @property {string} summary
 * @property {string} baseline - name of the peer that ratios refer to
 * @property {readonly Peer[]} peers
 * @property {readonly Metric[]} metrics
 * @property {number} rounds - unless asked otherwise
 * @property {number} slices - measurements of each peer in a round
 * @property {(server: Child, options: { quick: boolean, peer: Peer }) => Promise<Bench>} prepare
 * @property {readonly import('./summary.js').Row[]} [rows] - its lines in the summary
 * @property {readonly string[]} [rowPeers] - the peers that these need
 * @property {readonly string[]} [rowKeys] - what they read of what `measure` returns, beside the metrics
 *
 * @typedef {{ rounds: number | undefined, quick: boolean, profile: string | undefined }} RunOptions
 *
 * peer → metric → one value per round
 * @typedef {Map<string, Map<string, number[]>>} Samples
 */

/**
 * Runs a scenario. A round starts every peer in a fresh process, then measures them by turns in slices, and the turns
 * are rotated: what the machine does meanwhile, and what luck a process has with its code and memory, hits all peers
 * alike.
 * @param {Scenario} scenario
 * @param {RunOptions} options
 * @param {(text: string) => void} progress
 */
export async function runScenario(scenario, options, progress) {
  const rounds = roundsOf(scenario, options);
  const keys = [...new Set([...scenario.metrics.map(({ key }) => key), ...(scenario.rowKeys ?? [])])];
  /** @type {Samples} */
  const samples = new Map(scenario.peers.map(({ name }) => [name, new Map(keys.map((key) => [key, []]))]));
  for (let round = 0; round < rounds; round++) {
    progress(`${scenario.name}: round ${round + 1} of ${rounds}`);
    for (const [name, slices] of await runRound(scenario, round, options)) {
      for (const key of keys)
        samples
          .get(name)
          ?.get(key)
          ?.push(median(slices.map((slice) => slice[key] ?? NaN)));
    }
  }
  return samples;
}

/**
 * @param {Scenario} scenario
 * @param {RunOptions} options
 */
export function roundsOf(scenario, { rounds, quick }) {
  return rounds ?? (quick ? 2 : scenario.rounds);
}

/**
 * @param {Scenario} scenario
 * @param {number} round
 * @param {RunOptions} options
 * @returns {Promise<Map<string, Record<string, number>[]>>} peer → slices
 */
async function runRound(scenario, round, options) {
  /** @type {Map<string, Bench>} */
  const benches = new Map();
  /** @type {Map<string, Record<string, number>[]>} */
  const slices = new Map(scenario.peers.map(({ name }) => [name, []]));
  try {
    for (const peer of rotate(scenario.peers, round)) benches.set(peer.name, await openPeer(scenario, peer, options));
    for (let slice = 0; slice < (options.quick ? 1 : scenario.slices); slice++) {
      for (const [name, bench] of rotate([...benches], slice)) slices.get(name)?.push(await bench.measure());
    }
    for (const bench of benches.values()) await bench.finish?.();
  } finally {
    await Promise.all([...benches.values()].map((bench) => bench.close()));
  }
  return slices;
}

/**
 * @param {Scenario} scenario
 * @param {Peer} peer
 * @param {RunOptions} options
 * @returns {Promise<Bench>}
 */
async function openPeer(scenario, peer, { quick, profile }) {
  const profiling =
    profile === undefined
      ? []
      : [
          '--cpu-prof',
          `--cpu-prof-dir=${profile}`,
          `--cpu-prof-name=${scenario.name}.${peer.name}.${Date.now()}.cpuprofile`,
        ];
  const server = new Child(`server of ${peer.name}`, 'server-process.js', {
    args: [scenario.name, peer.name],
    execArgv: ['--expose-gc', ...(peer.flags ?? []), ...profiling],
  });
  try {
    const bench = await scenario.prepare(server, { quick, peer });
    return { ...bench, close: () => bench.close().finally(() => server.stop()) };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/**
 * @template T
 * @param {readonly T[]} list
 * @param {number} by
 */
function rotate(list, by) {
  const at = by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}
