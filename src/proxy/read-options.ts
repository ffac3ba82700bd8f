import { InvalidOptionError } from '../errors.ts';
import {
  type OptionNames,
  readBoolean,
  readDuration,
  readFunction,
  readInteger,
  readOneOf,
  readOptions,
  readSize,
  refuseWhen,
} from '../internal/option.ts';
import { Registry, requireRegistry } from '../internal/health/registry.ts';
import { longestDelay } from '../internal/time/clock.ts';
import type {
  DrainUpstreamOptions,
  OutlierOptions,
  ProbeOptions,
  ProxyOptions,
  ProxyTimeouts,
  ResolvedProxyOptions,
  RetryOptions,
  TargetInput,
} from './options.ts';
import { readRequestRules, readRules } from './header-rules.ts';
import type { OutlierPolicy } from './policy/outlier.ts';
import { isCleanPath, parseTarget, type Target } from './policy/request-target.ts';
import { readTls } from './tls.ts';
import { readTrust } from './trust.ts';

const page = 'See docs/from-http-proxy-middleware.md.';
const rewritesResponse = `Change the header in \`responseHeaders\`. ${page}`;

const logs = 'Subscribe to `sluice:proxy:response` and `sluice:proxy:failure`, or set DEBUG=sluice:proxy.';

// What http-proxy-middleware calls otherwise, and what is another option here.
const advice = {
  single: 'target',
  call: "app.use(proxy({ target: 'http://…' }))",
  instead: {
    router: 'route',
    pathRewrite: 'Use `rewrite: (path) => path.replace(/^\\/old/, "/new")`.',
    changeOrigin: 'The upstream sees its own host. `host: "client"` is `changeOrigin: false`.',
    xfwd: '`X-Forwarded-*` are sent by default. `forwarded: "none"` is `xfwd: false`.',
    headers: 'requestHeaders',
    auth: 'Use `requestHeaders: { Authorization: … }`.',
    secure: 'Use `tls: { rejectUnauthorized: false }`.',
    ssl: 'Use `tls` for upstreams. The certificate of your own server belongs to `https.createServer`.',
    agent: 'Use `tls` and `maxConnections`.',
    proxyTimeout: 'Use `timeouts: { head, idle }`.',
    upgradeTimeout: 'Use `timeouts: { head }`.',
    timeout: 'Use `timeouts`, or the middleware `deadline`.',
    ws: 'Call `attach(server)` of the proxy.',
    on: `Use \`requestHeaders\`, \`modifyResponse\` and \`onError\`. ${page}`,
    // The first four are of http-proxy-middleware 2.
    onProxyReq: 'requestHeaders',
    onProxyReqWs: 'requestHeaders',
    onProxyRes: 'Use `responseHeaders`, or `modifyResponse`.',
    logLevel: logs,
    logger: logs,
    plugins: page,
    ejectPlugins: page,
    selfHandleResponse: 'Use `modifyResponse`.',
    pathFilter: 'Mount the proxy at a path: `app.use(path, proxy(…))`.',
    ignorePath: 'Use `rewrite: () => "/"`.',
    prependPath: 'The path of `target` always stands before that of the request. Leave it out of `target`.',
    hostRewrite: rewritesResponse,
    autoRewrite: rewritesResponse,
    protocolRewrite: rewritesResponse,
    cookieDomainRewrite: rewritesResponse,
    cookiePathRewrite: rewritesResponse,
    followRedirects: 'Redirects go to the client.',
    preserveHeaderKeyCase: 'Names of headers keep their case.',
    buffer: 'A body that was read before is taken from `req.rawBody` or `req.body`.',
    http2: 'The proxy works on a server of `node:http2` too.',
    method: 'The method is that of the request.',
    forward: page,
    toProxy: page,
    localAddress: page,
  },
};

const proxyNames: OptionNames<ProxyOptions> = {
  target: true,
  route: true,
  rewrite: true,
  host: true,
  forwarded: true,
  trust: true,
  via: true,
  requestHeaders: true,
  responseHeaders: true,
  modifyResponse: true,
  tap: true,
  timeouts: true,
  retry: true,
  outlier: true,
  health: true,
  registry: true,
  tls: true,
  onClientGone: true,
  errorEvent: true,
  onError: true,
  propagateDeadline: true,
  maxConnections: true,
};

const clockNames: OptionNames<ProxyTimeouts> = { connect: true, head: true, idle: true };

const retryNames: OptionNames<RetryOptions> = {
  limit: true,
  statuses: true,
  minDelay: true,
  maxDelay: true,
  maxBody: true,
  budget: true,
  minBudget: true,
};

const outlierNames: OptionNames<OutlierOptions> = { failures: true, ejection: true, maxEjection: true };

const probeNames: OptionNames<ProbeOptions> = { path: true, every: true, timeout: true, failures: true, grace: true };

interface GoneOptions {
  readonly drain?: DrainUpstreamOptions;
}

const goneNames: OptionNames<GoneOptions> = { drain: true };

const drainNames: OptionNames<DrainUpstreamOptions> = { timeout: true, maxBytes: true, concurrent: true };

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveProxyOptions(given: ProxyOptions): ResolvedProxyOptions {
  // A URL has no enumerable members: it would pass as options without any.
  const options = readOptions('proxy', given instanceof URL ? (String(given) as never) : given, proxyNames, advice);
  const { target, route, onClientGone = 'abort', via = 'sluice', timeouts } = options;
  if (target === undefined && route === undefined) {
    throw new InvalidOptionError('proxy.target', 'a URL such as "http://localhost:4000"', target);
  }
  refuseWhen(target !== undefined && route !== undefined, 'proxy.target', 'and `proxy.route` exclude each other');
  const clocks = readOptions('proxy.timeouts', timeouts, clockNames);
  return {
    target: target === undefined ? undefined : readTargets('proxy.target', target),
    route: readFunction('proxy.route', route),
    rewrite: readFunction('proxy.rewrite', options.rewrite),
    host: readHost(options.host ?? 'target'),
    forwarded: readOneOf('proxy.forwarded', options.forwarded ?? 'x-forwarded', [
      'x-forwarded',
      'forwarded',
      'both',
      'none',
    ]),
    trusts: options.trust === undefined ? undefined : readTrust('proxy.trust', options.trust),
    via: via === false ? undefined : readVia(via),
    requestHeaders: readRequestRules('proxy.requestHeaders', options.requestHeaders),
    responseHeaders: readRules('proxy.responseHeaders', options.responseHeaders),
    modifyResponse: readFunction('proxy.modifyResponse', options.modifyResponse),
    tap: readFunction('proxy.tap', options.tap),
    timeouts: {
      connect: readDuration('proxy.timeouts.connect', clocks.connect ?? '5s', { min: 1, max: longestDelay }),
      head: readDuration('proxy.timeouts.head', clocks.head ?? '15s', { min: 1, max: Infinity }),
      idle: readDuration('proxy.timeouts.idle', clocks.idle ?? '5m', { min: 1, max: Infinity }),
    },
    retry: readRetry(options.retry),
    outlier: readOutlier(options.outlier, options.health),
    health: readProbe(options.health),
    registry: options.registry === undefined ? new Registry() : requireRegistry('proxy.registry', options.registry),
    tlsOf: readTls(options.tls),
    drain: onClientGone === 'abort' ? undefined : readDrain(onClientGone),
    errorEvent: readBoolean('proxy.errorEvent', options.errorEvent ?? false),
    onError: readFunction('proxy.onError', options.onError),
    propagateDeadline: readBoolean('proxy.propagateDeadline', options.propagateDeadline ?? true),
    maxConnections:
      options.maxConnections === undefined || options.maxConnections === Infinity
        ? Infinity
        : readInteger('proxy.maxConnections', options.maxConnections, { min: 1 }),
  };
}

/** Reads targets. Throws `InvalidOptionError`. */
export function readTargets(option: string, given: TargetInput): readonly Target[] {
  const list = Array.isArray(given) ? (given as readonly (string | URL)[]) : [given as string | URL];
  if (list.length === 0) throw new InvalidOptionError(option, 'at least one URL', given);
  return list.map((each) => {
    const target = parseTarget(each);
    if (target) return target;
    // A password does not belong into a log.
    const shown = String(each).replace(/\/\/[^/]*@/, '//…@');
    throw new InvalidOptionError(option, `a URL such as "http://localhost:4000"${hintFor(shown)}`, shown);
  });
}

function hintFor(text: string): string {
  if (/^wss?:/i.test(text)) return ', for WebSockets too: http: for ws:, https: for wss:';
  if (text.includes('//…@')) return ' without credentials, which belong to `requestHeaders`';
  if (/^unix:|\.sock\b/i.test(text)) return '; sockets of Unix are not supported';
  return text.includes('#') ? ' without a fragment' : ', with http: or https:';
}

function readHost(host: unknown): string {
  if (typeof host === 'string' && /^[\w.:[\]-]+$/.test(host)) return host;
  throw new InvalidOptionError('proxy.host', '"target", "client" or a host', host);
}

function readVia(via: unknown): string {
  // RFC 9110 7.6.3: a pseudonym is a token.
  if (typeof via === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(via)) return via;
  throw new InvalidOptionError('proxy.via', 'a token or false', via);
}

function readRetry(given: ProxyOptions['retry']): ResolvedProxyOptions['retry'] {
  const retry = readOptions('proxy.retry', given === false ? { limit: 0 } : given, retryNames);
  const { statuses = [502, 503, 504], budget = 0.2 } = retry;
  if (!Array.isArray(statuses) || !statuses.every((status) => Number.isInteger(status) && status >= 400)) {
    throw new InvalidOptionError('proxy.retry.statuses', 'a list of statuses from 400 on', statuses);
  }
  if (typeof budget !== 'number' || !(budget >= 0 && budget <= 1)) {
    throw new InvalidOptionError('proxy.retry.budget', 'a share from 0 to 1', budget);
  }
  const minDelay = readDuration('proxy.retry.minDelay', retry.minDelay ?? '25ms');
  return {
    limit: readInteger('proxy.retry.limit', retry.limit ?? 2, { max: 10 }),
    statuses: new Set(statuses),
    minDelay,
    maxDelay: readDuration('proxy.retry.maxDelay', retry.maxDelay ?? Math.max(250, minDelay), { min: minDelay }),
    maxBody: given === false ? 0 : readSize('proxy.retry.maxBody', retry.maxBody ?? '64kb'),
    budget,
    minBudget: readInteger('proxy.retry.minBudget', retry.minBudget ?? 3),
  };
}

function readOutlier(given: ProxyOptions['outlier'], health: ProxyOptions['health']): OutlierPolicy {
  const outlier = readOptions('proxy.outlier', given === false ? {} : given, outlierNames);
  const probes = readOptions('proxy.health', health === false ? {} : health, probeNames);
  const ejection = readDuration('proxy.outlier.ejection', outlier.ejection ?? '30s', { min: 1 });
  const maxEjection = outlier.maxEjection ?? Math.max(300_000, ejection);
  return {
    failures: given === false ? Infinity : readInteger('proxy.outlier.failures', outlier.failures ?? 5, { min: 1 }),
    ejection,
    maxEjection: readDuration('proxy.outlier.maxEjection', maxEjection, { min: ejection }),
    probeFailures: readInteger('proxy.health.failures', probes.failures ?? 3, { min: 1 }),
    grace: readDuration(
      'proxy.health.grace',
      probes.grace ?? 3 * readDuration('proxy.health.every', probes.every ?? '5s'),
    ),
  };
}

function readProbe(given: ProxyOptions['health']): ResolvedProxyOptions['health'] {
  if (given === undefined || given === false) return undefined;
  const { path = '/', every = '5s', timeout = '2s' } = readOptions('proxy.health', given, probeNames);
  if (typeof path !== 'string' || !isCleanPath(path)) {
    throw new InvalidOptionError('proxy.health.path', 'a path that begins with a slash', path);
  }
  return {
    path,
    every: readDuration('proxy.health.every', every, { min: 1, max: longestDelay }),
    timeout: readDuration('proxy.health.timeout', timeout, { min: 1, max: longestDelay }),
  };
}

function readDrain(given: unknown): NonNullable<ResolvedProxyOptions['drain']> {
  const bag = typeof given === 'object' ? readOptions('proxy.onClientGone', given as GoneOptions, goneNames) : {};
  if (bag.drain === undefined) {
    throw new InvalidOptionError('proxy.onClientGone', '"abort" or `{ drain: {} }`', given);
  }
  const drain = readOptions('proxy.onClientGone.drain', bag.drain, drainNames);
  return {
    timeout: readDuration('proxy.onClientGone.drain.timeout', drain.timeout ?? '30s', { min: 1, max: longestDelay }),
    maxBytes: readSize('proxy.onClientGone.drain.maxBytes', drain.maxBytes ?? '1mb'),
    concurrent: readInteger('proxy.onClientGone.drain.concurrent', drain.concurrent ?? 100),
  };
}
