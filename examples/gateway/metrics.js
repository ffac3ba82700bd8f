// @ts-check
import os from 'node:os';
import { basename } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import process from 'node:process';
import { clearInterval, setInterval } from 'node:timers';
import { sse } from 'sluice';
import { describeCompression } from './compression.js';
import { History } from './history.js';
import { pageOf } from './traffic.js';

// Milliseconds between samples.
const interval = Number(process.env['INTERVAL'] ?? 500);
const fiveMinutes = (5 * 60_000) / interval;
const oneMinute = 60_000 / interval;
// With every second sample, which comes two intervals after the last but one, give or take.
const reportInterval = 1.8 * interval;
// The histogram holds the time between two wake-ups of a timer, so what is below this is no delay.
const resolution = 10;

/**
 * What does not change while this process lives.
 *
 * @typedef {object} Host
 * @property {string} name
 * @property {string} cpu - the processor's model
 * @property {number} cores
 * @property {number} memory - bytes in all
 * @property {string} runtime
 * @property {number} startedAt - milliseconds since 1970; tells one process from the next
 * @property {number} interval - milliseconds between samples
 * @property {string | null} file - the name of the followed file; `null` where none is followed
 */

/**
 * @typedef {object} Sample
 * @property {number} time - milliseconds since 1970
 * @property {number[]} cores - percent busy since the last sample, per core
 * @property {number[]} load - averages over 1, 5 and 15 minutes; zeros on Windows
 * @property {{ used: number, process: number }} memory - bytes
 * @property {{ median: number, p99: number, max: number }} delay - of the event loop since the last sample, in
 * milliseconds
 */

/**
 * What compression does for one page.
 *
 * @typedef {object} TrafficReport
 * @property {number} time - milliseconds since 1970
 * @property {number} tier
 * @property {number} load
 * @property {{ open: number, bytes: number }} encoders - of all clients, and the memory that they hold
 * @property {import('./traffic.js').PageTraffic} page
 */

/**
 * @typedef {object} MetricsEvents
 * @property {Host} host
 * @property {Sample} sample
 * @property {import('./compression.js').CompressionState} compression
 * @property {TrafficReport} traffic
 * @property {import('sluice').RegistryStats} connections
 * @property {{ state: import('sluice').LifecycleState }} lifecycle
 */

/**
 * Measures this machine, once for all clients, until it is closed.
 *
 * @typedef {ReturnType<typeof createSampler>} Sampler
 */
export function createSampler() {
  /** @type {History<Sample>} */
  const history = new History({ limit: fiveMinutes });
  const delay = monitorEventLoopDelay({ resolution });
  let before = os.cpus();
  const timer = setInterval(() => {
    const now = os.cpus();
    history.add({
      time: Date.now(),
      cores: now.map((cpu, index) => busyPercent(before[index], cpu)),
      load: os.loadavg(),
      memory: { used: os.totalmem() - os.freemem(), process: process.memoryUsage.rss() },
      delay: { median: delayOf(delay.percentile(50)), p99: delayOf(delay.percentile(99)), max: delayOf(delay.max) },
    });
    before = now;
    delay.reset();
  }, interval);
  delay.enable();
  return {
    host: describeHost(),
    history,
    close() {
      clearInterval(timer);
      delay.disable();
    },
  };
}

/**
 * `GET /metrics`: a `host` event, then samples from where the client left off, a `compression` event whenever that is
 * switched, and a `lifecycle` event when this process begins to drain. A page that says its name gets a `compression`
 * event at once, and with every second sample what its streams have cost and how the streams of all clients are.
 *
 * @param {object} parts
 * @param {Sampler} parts.sampler
 * @param {import('sluice').Compression} parts.compression
 * @param {import('./traffic.js').Traffic} parts.traffic
 * @param {import('sluice').Lifecycle} parts.life
 * @param {import('sluice').ConnectionRegistry} parts.registry
 * @param {string | undefined} parts.file - the path of the followed file
 */
export function metrics({ sampler, compression, traffic, life, registry, file }) {
  const host = { ...sampler.host, file: file === undefined ? null : basename(file) };
  const handler = /** @type {import('sluice').SseHandler<MetricsEvents>} */ (
    async function* (stream, req) {
      const page = pageOf(req);
      stream.onClose(
        compression.switch.on('change', () => {
          void stream.send({ event: 'compression', data: describeCompression(compression) });
        }),
      );
      stream.onClose(
        life.on('state', ({ state }) => {
          void stream.send({ event: 'lifecycle', data: { state } });
        }),
      );
      yield { event: 'host', data: host };
      if (life.state !== 'active') yield { event: 'lifecycle', data: { state: life.state } };
      if (page !== undefined) yield { event: 'compression', data: describeCompression(compression) };
      // Not before what the client has missed: sent all at once, that says nothing of a second.
      let reportedAt = Date.now();
      for await (const { id, value } of sampler.history.after(stream.lastEventId, {
        backlog: oneMinute,
        signal: stream.signal,
      })) {
        yield { event: 'sample', id, data: value };
        if (page === undefined || Date.now() - reportedAt < reportInterval) continue;
        reportedAt = Date.now();
        yield { event: 'connections', data: registry.stats() };
        const cost = traffic.of(page);
        if (cost) yield { event: 'traffic', data: describeTraffic(compression, cost) };
      }
    }
  );
  return sse(handler, { retry: 1000, reconnectDelay: 1000, closeTimeout: 1000 });
}

/**
 * @param {import('sluice').Compression} compression
 * @param {import('./traffic.js').PageTraffic} page
 * @returns {TrafficReport}
 */
function describeTraffic(compression, page) {
  const { tier, load } = describeCompression(compression);
  return {
    time: Date.now(),
    tier,
    load,
    encoders: { open: compression.activeEncoders, bytes: compression.encoderBytes },
    page,
  };
}

/** @returns {Omit<Host, 'file'>} */
function describeHost() {
  const cpus = os.cpus();
  return {
    name: os.hostname(),
    cpu: cpus[0]?.model.trim() ?? 'unknown processor',
    cores: cpus.length,
    memory: os.totalmem(),
    runtime: `Node ${process.versions.node} on ${os.type()} ${os.arch()}`,
    startedAt: Math.round(performance.timeOrigin),
    interval,
  };
}

/**
 * @param {os.CpuInfo | undefined} before - none for a core that was just switched on
 * @param {os.CpuInfo} now
 */
function busyPercent(before, now) {
  if (!before) return 0;
  const idle = now.times.idle - before.times.idle;
  const all = total(now.times) - total(before.times);
  return all > 0 ? round(100 * Math.min(1, Math.max(0, 1 - idle / all))) : 0;
}

/** @param {os.CpuInfo['times']} times */
function total({ user, nice, sys, idle, irq }) {
  return user + nice + sys + idle + irq;
}

/** @param {number} nanoseconds */
function delayOf(nanoseconds) {
  return round(Math.max(0, nanoseconds / 1e6 - resolution));
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 100) / 100;
}
