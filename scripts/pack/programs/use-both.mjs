// `require` and `import` in one process: every second part by each.
import assert from 'node:assert';
import { createRequire } from 'node:module';
import * as sluice from 'sluice';
import * as channel from 'sluice/channel';
import * as compress from 'sluice/compress';
import * as conformance from 'sluice/conformance';
import * as heartbeat from 'sluice/heartbeat';
import * as lifecycle from 'sluice/lifecycle';
import * as proxy from 'sluice/proxy';
import tryService from './service.cjs';

const require = createRequire(import.meta.url);

await tryService({
  sluice,
  channel,
  compress,
  conformance,
  heartbeat,
  lifecycle,
  proxy,
  body: require('sluice/body'),
  deadline: require('sluice/deadline'),
  monitor: require('sluice/monitor'),
  records: require('sluice/records'),
  redis: require('sluice/redis'),
  sse: require('sluice/sse'),
});

/** @type {Record<string, unknown>} */
const required = require('sluice');
assert.deepStrictEqual(Object.keys(required).sort(), Object.keys(sluice).sort());
for (const [name, value] of Object.entries(sluice)) assert.strictEqual(required[name], value, name);
