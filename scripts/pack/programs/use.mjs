import * as sluice from 'sluice';
import * as body from 'sluice/body';
import * as channel from 'sluice/channel';
import * as compress from 'sluice/compress';
import * as conformance from 'sluice/conformance';
import * as deadline from 'sluice/deadline';
import * as heartbeat from 'sluice/heartbeat';
import * as lifecycle from 'sluice/lifecycle';
import * as monitor from 'sluice/monitor';
import * as proxy from 'sluice/proxy';
import * as records from 'sluice/records';
import * as redis from 'sluice/redis';
import * as sse from 'sluice/sse';
import tryService from './service.cjs';

await tryService({
  sluice,
  body,
  channel,
  compress,
  conformance,
  deadline,
  heartbeat,
  lifecycle,
  monitor,
  proxy,
  records,
  redis,
  sse,
});
