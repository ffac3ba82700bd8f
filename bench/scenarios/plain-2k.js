// @ts-check
import { plainBodies } from '../support/json-bodies.js';

export default plainBodies({
  name: 'plain-2k',
  summary: 'answers of 2 kB JSON over 32 connections without a framework, gzip level 6',
  bytes: 2_000,
  toReach: { rate: 3, body: 1.03 },
});
