// @ts-check
import { bestRows, jsonBodies } from '../support/json-bodies.js';

export default jsonBodies({
  name: 'json-10k-best',
  summary:
    'answers of 10 kB JSON over 32 connections to a client that takes every coding; what is to be reached is for Node 24',
  bytes: 10_000,
  acceptEncoding: 'gzip, deflate, br, zstd',
  toReach: { cpu: 0.33, bytes: 1.01 },
  rows: bestRows('10 kB', 0.33),
});
