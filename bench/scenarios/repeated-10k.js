// @ts-check
import { repeatedBodies } from '../support/json-bodies.js';

export default repeatedBodies({
  name: 'repeated-10k',
  summary: 'the same answer of 10 kB JSON over 32 connections, to a client that takes every coding',
  bytes: 10_000,
  acceptEncoding: 'gzip, deflate, br, zstd',
  rate: 0.85,
});
