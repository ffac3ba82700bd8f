// Thousands of clients of all kinds join and leave a server that has every part of the library. After each wave only a
// base of clients is left: the server then has what it had after the wave before, and knows why each stream closed.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';

/** @typedef {{ ask(name: string, order?: object): Promise<any>, stop(): void }} Party */

/**
 * @param {string} role
 * @param {unknown[]} [args]
 * @returns {Party}
 */
function start(role, args = []) {
  const path = fileURLToPath(new URL(`${role}.js`, import.meta.url));
  const child = fork(path, args.map(String), { execArgv: ['--expose-gc'] });
  const death = once(child, 'exit').then(() => Promise.reject(new Error(`the process of the ${role} has ended`)));
  // It ends at the end.
  death.catch(() => undefined);
  return {
    async ask(name, order = {}) {
      const answer = once(child, 'message');
      child.send({ name, ...order });
      return (await Promise.race([answer, death]))[0];
    },
    // A signal would be a drain.
    stop: () => child.disconnect(),
  };
}

/**
 * Runs the soak. Resolves with a row for each wave, and with all that was wrong.
 * @param {object} options
 * @param {number} options.clients how many there are at once
 * @param {number} options.seconds how long clients join and leave, in all
 * @param {number} options.waves
 * @param {number} [options.seed] of what clients do
 * @param {(row: Record<string, any>) => void} [options.onWave]
 */
export async function soak({ clients, seconds, waves, seed = 1, onWave = () => undefined }) {
  const server = start('server');
  /** @type {Party[]} */
  const parties = [server];
  try {
    const { port } = await server.ask('listen');
    const crowds = [0, 1].map((at) => start('clients', [port, seed + at]));
    const base = start('clients', [port, seed + 2]);
    parties.push(base, ...crowds);
    /** @param {string} name @param {object} [order] @returns {Promise<any[]>} */
    const all = (name, order) => Promise.all(crowds.map((crowd) => crowd.ask(name, order)));

    const { open } = await base.ask('stay', { clients: 10 });
    /** @type {string[]} */
    const faults = [];
    const totals = { visits: 0, late: 0, ended: /** @type {Record<string, number>} */ ({}) };
    const rows = [];
    const ms = (seconds * 1000) / waves;
    // Half of the clients stay, half come and go, in two processes.
    const share = Math.round(clients / 4);
    for (let wave = 1; wave <= waves; wave += 1) {
      const joined = await all('stay', { clients: share, ms: ms / 4, ended: 0.5 });
      await all('mix', { clients: share, ms: ms / 2 });
      const stayed = joined.reduce((sum, each) => sum + each.open, open);
      const atPeak = await settle(server, stayed, { isRest: false });
      faults.push(...differences(`wave ${wave}, at its peak`, atPeak, expectedOf(stayed)));
      // Those that leave do so while the server ends the others.
      await Promise.all([all('leave', { ms: ms / 4 }), server.ask('end', { ms: ms / 4 })]);
      await settle(server, open, { isRest: true });
      const after = await server.ask('measure');
      faults.push(...differences(`wave ${wave}, after it`, after, { ...expectedOf(open), connections: open }));
      const seen = await server.ask('seen');
      const visits = (await all('visits')).flat();
      faults.push(...compare(visits, seen, totals).map((fault) => `wave ${wave}: ${fault}`));
      const { ended, late } = totals;
      const expired = late > 0 ? { answer: late } : {};
      const wanted = { ended, endedWatches: ended, expired, errors: {}, warnings: [] };
      faults.push(...differences(`wave ${wave}`, after, wanted));
      const row = { wave, visits: visits.length, stayed, totals: totals.visits, ...after };
      rows.push(row);
      onWave(row);
    }
    faults.push(...growth(rows));
    return { rows, faults };
  } finally {
    for (const party of parties) party.stop();
  }
}

/** What the server says of so many open streams. @param {number} open */
function expectedOf(open) {
  return { active: open, responses: open, watched: open };
}

/**
 * Waits until so many streams are open, and no other response; at rest, no other connection either, some of which are
 * kept for the next request. Gives up after a minute. Returns what there is.
 * @param {Party} server
 * @param {number} open
 * @param {{ isRest: boolean }} options
 */
async function settle(server, open, { isRest }) {
  const until = performance.now() + 60_000;
  for (;;) {
    const now = await server.ask('look');
    const isSettled = now.responses === open && (!isRest || now.connections === open);
    if (isSettled || performance.now() > until) return now;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * @param {string} place
 * @param {Record<string, any>} found
 * @param {Record<string, any>} wanted
 * @returns {string[]}
 */
function differences(place, found, wanted) {
  return Object.keys(wanted)
    .filter((name) => !isDeepStrictEqual(found[name], wanted[name]))
    .map((name) => `${place}: ${name} is ${JSON.stringify(found[name])}, not ${JSON.stringify(wanted[name])}`);
}

/**
 * Each visit as its client tells it, and as the server does. Adds them to the totals.
 * @param {any[]} visits
 * @param {any[]} seen
 * @param {{ visits: number, late: number, ended: Record<string, number> }} totals
 * @returns {string[]}
 */
function compare(visits, seen, totals) {
  const byId = new Map(seen.map((each) => [each.id, each]));
  const faults = [];
  if (byId.size !== seen.length) faults.push(`${seen.length - byId.size} requests came twice`);
  totals.visits += visits.length;
  for (const { reason, status } of seen) {
    if (reason !== undefined) totals.ended[reason] = (totals.ended[reason] ?? 0) + 1;
    if (status === 504) totals.late += 1;
  }
  for (const visit of visits) {
    const other = byId.get(visit.id);
    byId.delete(visit.id);
    if (!isExplained(visit, other)) faults.push(`${JSON.stringify(visit)}, the server: ${JSON.stringify(other)}`);
  }
  for (const other of byId.values()) faults.push(`no client, the server: ${JSON.stringify(other)}`);
  return faults;
}

/** @param {any} visit @param {any} other */
function isExplained({ path, did, sawHead, status }, other) {
  const isStream = /news|rows|ticks/.test(path);
  // A client that left at once may have come and gone unseen.
  if (did === 'left' && !other) return !sawHead;
  if (did === 'left') return !other.isWhole && (isStream ? other.reason === 'client-closed' : !other.reason);
  return did === 'ended' && other?.isWhole && other.status === status && other.reason === (isStream ? did : undefined);
}

/**
 * What grows from the second wave on. The first compiles, and fills what is kept for reuse.
 * @param {any[]} rows
 * @returns {string[]}
 */
function growth(rows) {
  const [, first] = rows;
  const last = rows.at(-1);
  const faults = [];
  // Node keeps a few for reuse.
  for (const kind of ['resources', 'objects'])
    for (const [name, count] of Object.entries(last[kind]))
      if (count > (first[kind][name] ?? 0) + 10) faults.push(`${name} grew from ${first[kind][name]} to ${count}`);
  // A response that is kept has several times this.
  const heap = 1e6 + 500 * (last.totals - first.totals);
  if (last.heapUsed - first.heapUsed > heap) faults.push(`the heap grew from ${first.heapUsed} to ${last.heapUsed}`);
  // The kernel gets pages back when the allocator likes to give them.
  if (last.rss > first.rss * 1.25 + 32e6) faults.push(`the memory grew from ${first.rss} to ${last.rss}`);
  return faults;
}
