/** What the streams of this page have cost so far, whatever servers they came from. */
export class Traffic {
  /** Those of servers that are gone, and of a page that had nothing open for a moment, start at 0 again: each counts. */
  #accounts = new Map();
  #before;

  /**
   * @param {object} report - of the server
   * @returns what is spent in all, by stream; and what of it in each second since the last report, if that says something
   */
  add({ time, page: { account, streams } }) {
    this.#accounts.set(account, streams);
    const all = sumOf(Object.values(streams));
    const before = this.#before;
    this.#before = { account, time, all };
    return {
      streams: this.#sumAccounts(),
      rate: before?.account === account ? rateOf(before, this.#before) : undefined,
    };
  }

  #sumAccounts() {
    const names = new Set(Array.from(this.#accounts.values(), Object.keys).flat());
    return Object.fromEntries(
      Array.from(names, (name) => {
        const parts = Array.from(this.#accounts.values(), (streams) => streams[name]).filter(Boolean);
        return [name, { ...parts.at(-1), ...sumOf(parts) }];
      }),
    );
  }
}

// Later than this, what was missed came at once, and says nothing of a second.
const longestInterval = 3_000;

function rateOf(before, { time, all }) {
  const elapsed = time - before.time;
  if (elapsed <= 0 || elapsed > longestInterval) return undefined;
  return {
    text: (all.text - before.all.text) / (elapsed / 1000),
    wire: (all.wire - before.all.wire) / (elapsed / 1000),
  };
}

/** @param {{ text: number, wire: number }[]} parts */
export function sumOf(parts) {
  return { text: parts.reduce((sum, { text }) => sum + text, 0), wire: parts.reduce((sum, { wire }) => sum + wire, 0) };
}

const codings = ['br', 'deflate', 'gzip', 'zstd'];

/** What the page and its files have cost, those aside that the browser had already. `undefined` if it had all. */
export function trafficOfFiles() {
  const entries = ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type));
  // Transferred is less than the body where a 304 or a cache stood for it.
  const files = entries.filter(
    ({ transferSize, encodedBodySize }) => encodedBodySize > 0 && transferSize > encodedBodySize,
  );
  if (files.length === 0) return undefined;
  // Server-Timing says what `compress` did, or why it did nothing. Not every browser passes it on.
  const said = files.flatMap(({ serverTiming = [] }) =>
    serverTiming.filter(({ name }) => name === 'compress').map(({ description }) => description),
  );
  return {
    coding: said.length === 0 ? '' : codings.filter((coding) => said.includes(coding)).join(', ') || 'identity',
    open: false,
    ...sumOf(files.map(({ decodedBodySize, transferSize }) => ({ text: decodedBodySize, wire: transferSize }))),
  };
}
