// @ts-check
import { item, serveItem } from '../support/item.js';
import { loadMetrics, openLoad } from '../support/load.js';

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'contexts',
  summary: 'answers of 2 kB JSON over 32 connections, each request with a deadline and a signal',
  baseline: 'empty',
  rounds: 5,
  // Each a second. A difference of some µs needs many.
  slices: 8,
  metrics: loadMetrics({ deadline: 0.97, both: 0.97 }, { both: 1.03 }),
  prepare: (server, { quick }) => openLoad(server, { text: JSON.stringify(item), acceptEncoding: null, quick }),
  rowPeers: ['bare', 'empty', 'both'],
  rows: [
    {
      title: '`lifecycle` and `deadline` on each request: requests/s',
      against: 'a middleware that does nothing',
      better: 'more',
      ratio: ({ both, empty }) => both.rate / empty.rate,
      limit: { title: 'bare Express', of: ({ bare, empty }) => bare.rate / empty.rate },
      toReach: { 20: 0.95, 24: 0.97 },
    },
    {
      title: 'the same: CPU',
      against: 'a middleware that does nothing',
      better: 'less',
      ratio: ({ both, empty }) => both.cpu / empty.cpu,
      limit: { title: 'bare Express', of: ({ bare, empty }) => bare.cpu / empty.cpu },
      // What requests/s say too, where nothing else runs on the machine.
      toReach: { 20: 1.05, 24: 1.03 },
    },
  ],
  peers: [
    { name: 'bare', title: 'Express', serve: () => serveItem() },
    {
      name: 'empty',
      title: 'Express and a middleware that does nothing',
      serve: () => serveItem((_req, _res, next) => next()),
    },
    {
      name: 'deadline',
      title: 'deadline of 30 s',
      async serve() {
        const { deadline } = await import('sluice/deadline');
        return serveItem(deadline({ default: '30s' }));
      },
    },
    {
      name: 'deadline-plain',
      title: 'the same without currentContext()',
      async serve() {
        const { deadline } = await import('sluice/deadline');
        return serveItem(deadline({ default: '30s', asyncContext: false }));
      },
    },
    {
      name: 'both',
      title: 'lifecycle and a deadline of 30 s',
      async serve() {
        const { deadline, lifecycle } = await import('sluice');
        return serveItem(lifecycle({ signals: false }), deadline({ default: '30s' }));
      },
    },
  ],
};

export default scenario;
