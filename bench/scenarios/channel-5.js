// @ts-check
import { broadcasts } from '../support/broadcasts.js';

export default broadcasts({
  name: 'channel-5',
  summary: '1,000 event streams, the same five events to all at every tick, gzip',
  each: 'five events',
  events: 5,
  toReach: { bare: { cpu: 0.5, wire: 0.3 }, each: { cpu: 0.3 }, compression: { cpu: 0.2 } },
});
