// @ts-check
import { costRow, jsonBodies } from '../support/json-bodies.js';

export default jsonBodies({
  name: 'json-10k',
  summary: 'answers of 10 kB JSON over 32 connections, gzip level 6',
  bytes: 10_000,
  acceptEncoding: 'gzip',
  settings: { level: 6 },
  toReach: { rate: 1.5, body: 1.03 },
  rows: [costRow('10 kB', 0.4)],
});
