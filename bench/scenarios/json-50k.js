// @ts-check
import { costRow, jsonBodies } from '../support/json-bodies.js';

export default jsonBodies({
  name: 'json-50k',
  summary: 'answers of 50 kB JSON over 32 connections, gzip level 6',
  bytes: 50_000,
  acceptEncoding: 'gzip',
  settings: { level: 6 },
  toReach: { rate: 1.3, body: 1.03 },
  rows: [costRow('50 kB', 0.9)],
});
