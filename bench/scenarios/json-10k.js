// @ts-check
import { jsonBodies } from '../support/json-bodies.js';

export default jsonBodies({
  name: 'json-10k',
  summary: 'answers of 10 kB JSON over 32 connections, gzip level 6',
  bytes: 10_000,
  acceptEncoding: 'gzip',
  settings: { level: 6 },
  toReach: { rate: 1.5, body: 1.03 },
});
