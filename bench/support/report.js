// @ts-check
import { pairedRatios, summarise } from './statistics.js';

/** @typedef {import('./rounds.js').Scenario} Scenario */
/** @typedef {import('./rounds.js').Metric} Metric */
/** @typedef {import('./rounds.js').Samples} Samples */

/**
 * What was measured, for people and for `--json` alike.
 * @param {Scenario} scenario
 * @param {Samples} samples
 */
export function evaluate(scenario, samples) {
  return {
    scenario: scenario.name,
    summary: scenario.summary,
    baseline: scenario.baseline,
    metrics: scenario.metrics.map((given) => {
      const metric = { baseline: scenario.baseline, ...given };
      return { ...metric, peers: scenario.peers.map(({ name, title }) => evaluatePeer(metric, name, title, samples)) };
    }),
  };
}

/**
 * @param {Metric & { baseline: string }} metric
 * @param {string} name
 * @param {string} title
 * @param {Samples} samples
 */
function evaluatePeer({ key, better, toReach, baseline }, name, title, samples) {
  const values = samples.get(name)?.get(key) ?? [];
  const ratios = pairedRatios(values, samples.get(baseline)?.get(key) ?? []);
  const ratio = summarise(ratios);
  const limit = toReach?.[name];
  const met = limit === undefined ? undefined : better === 'less' ? ratio.median <= limit : ratio.median >= limit;
  return { name, title, values, ...summarise(values), ratios, ratio, toReach: limit, met };
}

/**
 * @param {ReturnType<typeof evaluate>} evaluation
 * @param {number} rounds
 */
export function formatTables(evaluation, rounds) {
  const head = `\n${evaluation.scenario}: ${evaluation.summary}\n${rounds} rounds; ratios are paired by round\n`;
  return head + evaluation.metrics.map(formatTable).join('');
}

/** @param {ReturnType<typeof evaluate>['metrics'][number]} metric */
function formatTable({ title, better, digits, baseline, peers }) {
  const rows = peers.map((peer) => [
    `${peer.name}: ${peer.title}`,
    peer.median.toFixed(digits),
    formatRange(peer, digits),
    peer.ratio.median.toFixed(3),
    formatRange(peer.ratio, 3),
    peer.toReach === undefined ? '' : `${better === 'less' ? '≤' : '≥'} ${peer.toReach} ${peer.met ? 'met' : 'missed'}`,
  ]);
  const titles = [
    `${title} (${better} is better)`,
    'median',
    'min – max',
    `ratio to ${baseline}`,
    'min – max',
    'to reach',
  ];
  const lines = [titles, ...rows];
  const widths = titles.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return `\n${lines.map((line) => formatLine(line, widths)).join('\n')}\n`;
}

/**
 * @param {readonly string[]} cells
 * @param {readonly number[]} widths
 */
function formatLine([first = '', ...rest], [width = 0, ...widths]) {
  return [first.padEnd(width), ...rest.map((cell, column) => cell.padStart(widths[column] ?? 0))].join('  ').trimEnd();
}

/**
 * @param {{ min: number, max: number }} range
 * @param {number} digits
 */
function formatRange({ min, max }, digits) {
  return `${min.toFixed(digits)} – ${max.toFixed(digits)}`;
}
