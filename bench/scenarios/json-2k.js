// @ts-check
import { costRow, jsonBodies } from '../support/json-bodies.js';

export default jsonBodies({
  name: 'json-2k',
  summary: 'answers of 2 kB JSON over 32 connections, gzip level 6',
  bytes: 2_000,
  acceptEncoding: 'gzip',
  settings: { level: 6 },
  toReach: { rate: 3, body: 1.03 },
  rows: [costRow('2 kB', { 20: 0.3, 24: 0.35 })],
});
