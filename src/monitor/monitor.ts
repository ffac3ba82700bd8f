import type { RegistryStats } from '../heartbeat/index.ts';
import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import { openSeam, seamOf } from '../internal/seam/response.ts';
import { ChannelCounters } from './channels.ts';
import { ResponseCounters, type RouteCounters } from './counters.ts';
import { monitorErrors } from './events.ts';
import type { ResolvedMonitorOptions } from './options.ts';
import { otherLabel } from './policy/labels.ts';
import { mergeStats } from './policy/merge-stats.ts';
import { type LayerHost, ResponseLayer, type ResponseTrace } from './response-layer.ts';
import { Sampler } from './sampler.ts';
import type { CodingSnapshot, CompressionSnapshot, MonitorSnapshot, ProxySnapshot, RouteSnapshot } from './snapshot.ts';

/** The numbers behind `monitor`. */
export class MonitorState implements LayerHost {
  readonly options: ResolvedMonitorOptions;
  readonly counters: ResponseCounters;
  readonly sampler: Sampler;
  /** Followers of each response from its beginning. */
  readonly tracers: Set<(req: HttpRequest) => ResponseTrace> = new Set();
  readonly #exports: (() => void)[] = [];
  readonly #channels: ChannelCounters;
  readonly #started = performance.now();
  /** Of the responses that came in this turn of the event loop. Most are over before it is, and need no listener. */
  readonly #fresh: ResponseLayer[] = [];
  readonly #watchFresh = (): void => {
    for (const layer of this.#fresh.splice(0)) layer.watchClose();
  };
  #isClosed = false;

  constructor(options: ResolvedMonitorOptions) {
    this.options = options;
    this.counters = new ResponseCounters(options.maxRoutes);
    this.#channels = new ChannelCounters(this.counters);
    this.sampler = new Sampler({
      interval: options.interval,
      alerts: options.alerts,
      bytes: () => totalOf(Object.values(bytesOf(this.counters))),
      connections: () => this.connections(),
    });
  }

  /** Counts a response from now on. */
  watch(res: HttpResponse): void {
    if (this.#isClosed || res.headersSent) return;
    // Mounted twice.
    if (seamOf(res)?.layers.some((layer) => layer instanceof ResponseLayer && layer.host === this)) return;
    const seam = openSeam(res);
    const layer = new ResponseLayer(this, seam);
    seam.add(layer);
    if (this.#fresh.push(layer) === 1) setImmediate(this.#watchFresh);
  }

  /** Something that ends with the monitor. Returns its undo. */
  own(undo: () => void): () => void {
    if (this.#isClosed) undo();
    else this.#exports.push(undo);
    return () => {
      const index = this.#exports.indexOf(undo);
      if (index >= 0) this.#exports.splice(index, 1);
      undo();
    };
  }

  labelOf(req: HttpRequest): string {
    try {
      const label = this.options.route(req as Parameters<ResolvedMonitorOptions['route']>[0]);
      return typeof label === 'string' && label !== '' ? label : otherLabel;
    } catch (error) {
      monitorErrors.report({ error, req });
      return otherLabel;
    }
  }

  connections(): RegistryStats {
    return mergeStats(this.options.registries.map((registry) => registry.stats()));
  }

  snapshot(): MonitorSnapshot {
    const { counters, sampler } = this;
    const connections = this.connections();
    return {
      time: Date.now(),
      uptime: performance.now() - this.#started,
      routes: counters.routes.toObject(routeSnapshot),
      streams: {
        opened: counters.streamsOpened,
        active: counters.streamsActive,
        codings: counters.codings.toObject(({ streams }) => streams),
        stalled: stalledOf(connections),
        ended: counters.streamsEnded.toObject(),
        duration: counters.duration.snapshot(),
      },
      bytes: bytesOf(counters),
      throughput: sampler.throughput,
      connections,
      roundTrip: counters.roundTrip.snapshot(),
      compression: this.#compression(),
      decisions: this.#channels.decisions.toObject(),
      expired: this.#channels.expired.toObject(),
      lifecycle: this.options.lifecycle?.state,
      proxy: this.#proxy(),
      channels: this.#channels.channels(),
      errors: this.#channels.errors.toObject(),
      process: sampler.process(),
      alerts: sampler.alerts(connections),
    };
  }

  close(): void {
    this.#isClosed = true;
    this.sampler.close();
    this.#channels.close();
    for (const undo of this.#exports.splice(0)) undo();
  }

  #compression(): CompressionSnapshot | undefined {
    const { compress } = this.options;
    if (!compress) return undefined;
    const { enabled, version, profile } = compress.switch.current;
    const { activeEncoders, encoderBytes, cache, governor } = compress;
    const { tier = 0, load } = governor ?? {};
    const counts = cache && { hits: cache.hits, misses: cache.misses, bytes: cache.bytes };
    return { enabled, version, profile: profile.name, tier, load, activeEncoders, encoderBytes, cache: counts };
  }

  #proxy(): ProxySnapshot {
    const { proxies, canaries } = this.options;
    return {
      ...this.#channels.proxy(),
      upstreams: mapValues(proxies, (proxy) => proxy.upstreams()),
      canaries: mapValues(canaries, (canary) => ({
        version: canary.version,
        weights: mapValues(canary.config.arms, ({ weight }) => weight),
        arms: canary.counts(),
      })),
    };
  }
}

/** Connections whose client does not take what was written. */
function stalledOf({ transports }: RegistryStats): number {
  return Object.values(transports).reduce((sum, counts) => sum + counts['write-late'], 0);
}

function routeSnapshot({ active, ended, timeToHead, timeToFirstByte }: RouteCounters): RouteSnapshot {
  return {
    active,
    ended: ended.toObject(),
    timeToHead: timeToHead.snapshot(),
    timeToFirstByte: timeToFirstByte.snapshot(),
  };
}

function bytesOf({ codings }: ResponseCounters): Record<string, CodingSnapshot> {
  return codings.toObject(({ out, saved }) => ({ in: out + saved, out }));
}

function totalOf(codings: readonly CodingSnapshot[]): CodingSnapshot {
  return codings.reduce((sum, each) => ({ in: sum.in + each.in, out: sum.out + each.out }), { in: 0, out: 0 });
}

function mapValues<T, U>(values: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value)]));
}
