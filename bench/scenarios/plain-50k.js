// @ts-check
import { plainBodies } from '../support/json-bodies.js';

export default plainBodies({
  name: 'plain-50k',
  summary: 'answers of 50 kB JSON over 32 connections without a framework, gzip level 6',
  bytes: 50_000,
  toReach: { rate: 1.3, body: 1.03 },
});
