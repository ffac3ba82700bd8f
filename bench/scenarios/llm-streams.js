// @ts-check
import { compressedStreams } from '../support/compressed-streams.js';
import { tokenFor } from '../support/tick.js';

export default compressedStreams({
  name: 'llm-streams',
  summary: '1,000 event streams, a word of a model to each at every tick, gzip',
  dataFor: tokenFor,
});
