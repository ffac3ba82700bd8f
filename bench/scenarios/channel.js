// @ts-check
import { broadcasts } from '../support/broadcasts.js';

export default broadcasts({
  name: 'channel',
  summary: '1,000 event streams, the same event to all at every tick, gzip',
  events: 1,
  toReach: { bare: { cpu: 0.75, wire: 0.3 }, each: { cpu: 0.3 }, compression: { cpu: 0.2 } },
  rows: [
    {
      title: 'channel, gzip, one event a tick, CPU of a delivery',
      against: '`res.write` to each, uncompressed',
      better: 'less',
      ratio: ({ bare, sluice }) => sluice.cpu / bare.cpu,
      limit: { title: 'one `socket.write` to each', of: ({ bare, ready }) => ready.cpu / bare.cpu },
      toReach: 0.75,
    },
    {
      title: 'channel, gzip, one event a tick, CPU of a delivery',
      against: '`compression` and `res.flush()`',
      better: 'less',
      ratio: ({ compression, sluice }) => sluice.cpu / compression.cpu,
      limit: { title: 'one `socket.write` to each', of: ({ compression, ready }) => ready.cpu / compression.cpu },
      toReach: 0.2,
    },
    {
      title: 'channel, gzip, one event a tick, bytes of an event',
      against: 'uncompressed',
      better: 'less',
      ratio: ({ bare, sluice }) => sluice.wire / bare.wire,
      toReach: 0.3,
    },
  ],
});
