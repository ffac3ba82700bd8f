// @ts-check
import { bestRows, jsonBodies } from '../support/json-bodies.js';

export default jsonBodies({
  name: 'json-50k-best',
  summary:
    'answers of 50 kB JSON over 32 connections to a client that takes every coding; what is to be reached is for Node 24',
  bytes: 50_000,
  acceptEncoding: 'gzip, deflate, br, zstd',
  toReach: { cpu: 0.43, bytes: 1.01 },
  rows: bestRows('50 kB', 0.43),
});
