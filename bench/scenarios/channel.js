// @ts-check
import { broadcasts } from '../support/broadcasts.js';

export default broadcasts({
  name: 'channel',
  summary: '1,000 event streams, the same event to all at every tick, gzip',
  each: 'one event',
  events: 1,
  toReach: { bare: { cpu: 0.75, wire: 0.3 }, each: { cpu: 0.3 }, compression: { cpu: 0.2 } },
});
