// Numbers of a snapshot as tiles and tables.
import { bytes, count, duration, fillFacts, fillTable, ms, none, percent, rate, seconds, setText } from './format.js';

const find = (selector) => document.querySelector(selector);
const sum = (counts) => Object.values(counts).reduce((total, each) => total + each, 0);

/** @param {any} snapshot @param {{ name: string, above: number }[]} rules */
export function showOverview(snapshot, rules) {
  const { connections, streams, throughput, process, bytes: codings } = snapshot;
  const isOver = (name, value) => value > (rules.find((rule) => rule.name === name)?.above ?? Infinity);
  const total = Object.values(codings).reduce((all, each) => ({ in: all.in + each.in, out: all.out + each.out }), {
    in: 0,
    out: 0,
  });
  const notHealthy = sum(Object.values(connections.transports).map((states) => sum(states) - states.healthy));
  fillFacts(find('#overview .tiles'), [
    { term: 'Connections', value: count(connections.connections), note: `${count(streams.stalled)} stalled` },
    { term: 'Streams', value: count(streams.active), note: `${count(streams.opened)} opened` },
    {
      term: 'Unresponsive',
      value: percent(connections.unresponsive_ratio),
      note: `${count(notHealthy)} of ${count(connections.connections)}`,
      state: isOver('unresponsive_ratio', connections.unresponsive_ratio) ? 'bad' : '',
    },
    {
      term: 'Round trip',
      value: ms(connections.avg_heartbeat_rt),
      note: snapshot.roundTrip.p95 === undefined ? '' : `p95 ${seconds(snapshot.roundTrip.p95)}`,
      state: isOver('avg_heartbeat_rt', connections.avg_heartbeat_rt ?? 0) ? 'bad' : '',
    },
    { term: 'Sent', value: rate(throughput.out), note: `${rate(throughput.in)} before` },
    {
      term: 'Saved',
      value: throughput.in > 0 ? percent(savedOf(throughput)) : none,
      note: total.in > 0 ? `${percent(savedOf(total))} so far` : '',
    },
    {
      term: 'Event loop',
      value: percent(process.eventLoopUtilization),
      note: `delay ${seconds(process.eventLoopDelay)}`,
    },
    { term: 'Memory', value: bytes(process.residentMemory), note: `heap ${bytes(process.heapUsed)}` },
  ]);
  setText(find('#uptime'), `watching for ${duration(snapshot.uptime)}`);
}

/** The share that compression took away; below 0 where it added. */
function savedOf({ in: before, out }) {
  return before > 0 ? 1 - out / before : 0;
}

/** @param {any} snapshot */
export function showCompression({ compression, bytes: codings, streams, decisions }) {
  fillTable(
    find('#codings'),
    Object.entries({ ...mapValues(streams.codings ?? {}, () => ({ in: 0, out: 0 })), ...codings })
      .sort(([, one], [, other]) => other.in - one.in)
      .map(([coding, each]) => ({
        cells: [
          coding,
          count(streams.codings?.[coding] ?? 0),
          bytes(each.in),
          bytes(each.out),
          each.in > 0 && coding !== 'identity' ? percent(savedOf(each)) : none,
        ],
      })),
  );
  if (!compression) return;
  const top = Object.entries(decisions).sort(([, one], [, other]) => other - one);
  fillFacts(find('#compression .facts'), [
    { term: 'Profile', value: compression.profile ?? 'default' },
    { term: 'Changes', value: count(compression.version) },
    // The governor's, where there is one.
    ...(compression.load == null
      ? []
      : [
          { term: 'Tier', value: count(compression.tier), note: 'of 0 to 3' },
          { term: 'Load', value: percent(compression.load) },
        ]),
    { term: 'Encoders', value: count(compression.activeEncoders), note: bytes(compression.encoderBytes) },
    ...top.slice(0, 2).map(([reason, number]) => ({ term: reason, value: count(number), note: 'decisions' })),
  ]);
}

/** @param {any} snapshot */
export function showProcess({ lifecycle, process, uptime, expired }) {
  fillFacts(find('#process .facts'), [
    { term: 'State', value: lifecycle ?? none },
    { term: 'CPU time', value: duration(process.cpu * 1000) },
    { term: 'Watching for', value: duration(uptime) },
    { term: 'Out of time', value: count(sum(expired)), note: 'requests' },
  ]);
}

/** @param {any} snapshot */
export function showConnections({ connections }) {
  setText(find('#connections .total'), count(connections.connections));
  const rows = Object.entries(connections.transports).map(([transport, counts]) => ({
    cells: [
      transport,
      ...['healthy', 'read-late', 'write-late', 'dead'].map((state) => count(counts[state])),
      count(sum(counts)),
    ],
  }));
  fillTable(find('#transports'), rows.length > 0 ? rows : [{ cells: ['none yet', '0', '0', '0', '0', '0'] }]);
}

/** @param {any} snapshot */
export function showDetails({ routes, streams, connections, errors, expired, proxy, channels }) {
  fillTable(
    find('#routes'),
    Object.entries(routes)
      .sort(([, one], [, other]) => other.active - one.active || sum(other.ended) - sum(one.ended))
      .map(([route, { active, ended, timeToHead, timeToFirstByte }]) => ({
        cells: [
          route === '__other__' ? 'other' : route,
          count(active),
          count(sum(ended)),
          count(ended['4xx'] ?? 0),
          count(ended['5xx'] ?? 0),
          count(ended.aborted ?? 0),
          seconds(timeToHead.p95),
          seconds(timeToFirstByte.p95),
        ],
      })),
  );
  const reasons = [...new Set([...Object.keys(streams.ended), ...Object.keys(connections.ended)])].sort();
  fillTable(
    find('#ends'),
    reasons.map((reason) => ({
      cells: [reason, count(streams.ended[reason] ?? 0), count(connections.ended[reason] ?? 0)],
    })),
  );
  fillTable(
    find('#faults'),
    [
      ...Object.entries(errors).map(([part, number]) => [`error in ${part}`, number]),
      ...Object.entries(expired).map(([outcome, number]) => [`deadline passed: ${outcome}`, number]),
      ...Object.entries(connections.refused).map(([limit, number]) => [
        `refused: limit of the ${limitOf(limit)}`,
        number,
      ]),
      ...Object.entries(proxy.failures).map(([code, number]) => [code, number]),
      ...Object.entries(proxy.retries).map(([reason, number]) => [`proxy retried: ${reason}`, number]),
    ]
      .filter(([, number]) => number > 0)
      .map(([what, number]) => ({ cells: [what, count(number)] })),
  );
  showUpstreams(proxy.upstreams);
  showChannels(channels);
}

function limitOf(limit) {
  return limit === 'client' ? 'client' : 'registry';
}

function showUpstreams(upstreams) {
  find('#upstreams-card').hidden = Object.keys(upstreams).length === 0;
  fillTable(
    find('#upstreams'),
    Object.entries(upstreams).flatMap(([proxy, servers]) =>
      servers.map(({ upstream, state, requests, failures }) => ({
        cells: [proxy, upstream, state, count(requests), count(failures)],
        state,
      })),
    ),
  );
}

function showChannels(channels) {
  find('#channels-card').hidden = Object.keys(channels).length === 0;
  fillTable(
    find('#channels'),
    Object.entries(channels)
      .sort(([, one], [, other]) => other.subscribers - one.subscribers)
      .map(([channel, each]) => ({
        cells: [
          channel === '__other__' ? 'other' : channel,
          count(each.subscribers),
          count(each.lagging),
          bytes(each.queuedBytes),
          count(each.published),
          count(each.delivered),
          bytes(each.deliveredBytes),
          count(sum(each.resets)),
        ],
      })),
  );
}

function mapValues(values, map) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value)]));
}
