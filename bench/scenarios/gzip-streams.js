// @ts-check
import { compressedStreams } from '../support/compressed-streams.js';
import { tickFor } from '../support/tick.js';

export default compressedStreams({
  name: 'gzip-streams',
  summary: '1,000 event streams, a text of its own to each at every tick, gzip',
  dataFor: tickFor,
  toReach: { cpu: 0.8, wire: 0.55, rss: 0.2 },
  toReachBare: { cpu: 1.3, wire: 0.3 },
  rows: [
    {
      title: '1,000 gzip event streams, own text each: CPU per event',
      against: '`compression` and `res.flush()`',
      better: 'less',
      ratio: ({ sluice, compression }) => sluice.cpu / compression.cpu,
      limit: { title: 'bare Express', of: ({ bare, compression }) => bare.cpu / compression.cpu },
      toReach: 0.25,
    },
    {
      title: 'the same: CPU per event',
      against: 'bare Express, uncompressed',
      better: 'less',
      ratio: ({ sluice, bare }) => sluice.cpu / bare.cpu,
      toReach: { 20: 1.2, 24: 1.5 },
    },
    {
      title: 'the same: bytes per event',
      against: 'bare Express, uncompressed',
      better: 'less',
      ratio: ({ sluice, bare }) => sluice.wire / bare.wire,
      toReach: 0.25,
    },
    {
      title: 'the same: memory of each after a load',
      against: '–',
      better: 'less',
      unit: 'kB',
      ratio: ({ sluice }) => sluice.rss,
      limit: { title: 'bare Express', of: ({ bare }) => bare.rss },
      toReach: { 24: 58 },
    },
  ],
});
