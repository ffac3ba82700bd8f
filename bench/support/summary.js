// @ts-check
import { summarise } from './statistics.js';

/** @typedef {import('./rounds.js').Scenario} Scenario */
/** @typedef {import('./rounds.js').Samples} Samples */

/**
 * What one round measured: peer → metric → value.
 * @typedef {Record<string, Record<string, number>>} Round
 *
 * A line of the summary.
 * @typedef {object} Row
 * @property {string} title
 * @property {string} against - what the ratio is to
 * @property {'less' | 'more'} better
 * @property {(round: any) => number} ratio - of a `Round`
 * @property {string} [unit] - for a number that is no ratio
 * @property {Limit} [limit] - what no middleware can pass, in the same measure
 * @property {number | Record<number, number>} [toReach] - of the median; for all versions of Node, or by version
 *
 * @typedef {{ title: string, of: (round: any) => number }} Limit
 *
 * A row and what was measured for it.
 * @typedef {object} MeasuredRow
 * @property {string} scenario
 * @property {string} title
 * @property {string} against
 * @property {'less' | 'more'} better
 * @property {string} [unit]
 * @property {ReturnType<typeof summarise>} ratio
 * @property {string} [limitTitle]
 * @property {number} [limit]
 * @property {number} [toReach]
 * @property {boolean} [met]
 *
 * @typedef {{ node: string, rows: readonly MeasuredRow[] }} Summary
 */

/**
 * The scenario with those of its peers that its rows need.
 * @param {Scenario} scenario
 * @returns {Scenario}
 */
export function forSummary(scenario) {
  const { rowPeers } = scenario;
  return rowPeers ? { ...scenario, peers: scenario.peers.filter(({ name }) => rowPeers.includes(name)) } : scenario;
}

/**
 * @param {Scenario} scenario
 * @param {Samples} samples
 * @param {number} major - of the version of Node
 * @returns {MeasuredRow[]}
 */
export function evaluateRows(scenario, samples, major) {
  const rounds = roundsIn(samples);
  return (scenario.rows ?? []).map(({ title, against, better, unit, ratio: ratioOf, limit, toReach }) => {
    const ratio = summarise(rounds.map(ratioOf));
    const wanted = typeof toReach === 'number' ? toReach : toReach?.[major];
    return {
      scenario: scenario.name,
      title,
      against,
      better,
      ratio,
      ...(unit !== undefined && { unit }),
      ...(limit && { limitTitle: limit.title, limit: summarise(rounds.map(limit.of)).median }),
      ...(wanted !== undefined && {
        toReach: wanted,
        met: better === 'less' ? ratio.median <= wanted : ratio.median >= wanted,
      }),
    };
  });
}

/**
 * @param {Samples} samples
 * @returns {Round[]}
 */
function roundsIn(samples) {
  const [first] = samples.values();
  const [values = []] = first?.values() ?? [];
  return values.map((_, index) =>
    Object.fromEntries(
      [...samples].map(([peer, metrics]) => [
        peer,
        Object.fromEntries([...metrics].map(([key, list]) => [key, list[index] ?? NaN])),
      ]),
    ),
  );
}

/**
 * One table of all rows, in Markdown, with columns for each version of Node.
 * @param {readonly Summary[]} summaries
 */
export function formatSummary(summaries) {
  const all = summaries.flatMap(({ rows }) => rows);
  const keys = [...new Set(all.map(keyOf))];
  const versions = summaries.map(({ node }) => `Node ${node.replace(/^v/, '').split('.', 1)[0]}`);
  const head = ['', 'against', ...versions.flatMap((version) => [version, 'limit', 'to reach'])];
  const lines = keys.map((key) => {
    const given = all.find((row) => keyOf(row) === key);
    const cells = summaries.flatMap(({ rows }) => formatCells(rows.find((row) => keyOf(row) === key)));
    return [given?.title ?? '', given?.against ?? '', ...cells];
  });
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** @param {MeasuredRow} row */
function keyOf({ scenario, title, against }) {
  return `${scenario} ${title} ${against}`;
}

/** @param {MeasuredRow | undefined} row */
function formatCells(row) {
  if (!row) return ['–', '–', '–'];
  const { better, ratio, limit, limitTitle, toReach, met } = row;
  const unit = row.unit === undefined ? '' : ` ${row.unit}`;
  return [
    `${show(ratio.median)}${unit} (${show(ratio.min)}–${show(ratio.max)})`,
    limit === undefined ? '–' : `${show(limit)}${unit}: ${limitTitle}`,
    toReach === undefined ? '–' : `${better === 'less' ? '≤' : '≥'} ${toReach}${unit}, ${met ? 'met' : 'missed'}`,
  ];
}

/** @param {number} value */
function show(value) {
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
