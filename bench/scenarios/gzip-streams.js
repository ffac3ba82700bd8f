// @ts-check
import { compressedStreams } from '../support/compressed-streams.js';
import { tickFor } from '../support/tick.js';

export default compressedStreams({
  name: 'gzip-streams',
  summary: '1,000 event streams, a text of its own to each at every tick, gzip',
  dataFor: tickFor,
  toReach: { cpu: 0.8, wire: 0.55, rss: 0.2 },
  toReachBare: { cpu: 1.3, wire: 0.3 },
});
