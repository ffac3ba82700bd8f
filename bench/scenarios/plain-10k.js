// @ts-check
import { plainBodies } from '../support/json-bodies.js';

export default plainBodies({
  name: 'plain-10k',
  summary: 'answers of 10 kB JSON over 32 connections without a framework, gzip level 6',
  bytes: 10_000,
  toReach: { rate: 1.5, body: 1.03 },
});
