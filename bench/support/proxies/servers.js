// @ts-check
// Proxies, each set up as its documentation says for many requests: with connections to the upstream that stay open.
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import express from 'express';
import { installPackages } from '../../../scripts/cache.js';
import { Child } from '../child.js';
import { serveNginx } from './nginx.js';

/** @typedef {import('../rounds.js').Peer} Peer */
/** @typedef {import('node:http').RequestListener} RequestListener */
/** @typedef {(req: any, res: any, next: (error?: unknown) => void) => unknown} Middleware */

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const runsVersion4 = major > 22 || (major === 22 && minor >= 15);
const middlewareTitle = `http-proxy-middleware ${runsVersion4 ? 4 : 3}`;

/**
 * Imports a package of the manifest in `packages`.
 * @param {string} name
 */
async function importPeer(name) {
  const folder = installPackages('bench-proxies', new URL('packages/package.json', import.meta.url));
  // Its own `import` finds what is installed there.
  const file = join(folder, 'import.mjs');
  writeFileSync(file, 'export default (name) => import(name);\n');
  const { default: load } = await import(pathToFileURL(file).href);
  return load(name);
}

/** @param {string} target */
async function httpProxyMiddleware(target) {
  const { createProxyMiddleware } = await importPeer(`http-proxy-middleware${runsVersion4 ? '' : '3'}`);
  return createProxyMiddleware({ target, xfwd: true, agent: new Agent({ keepAlive: true }) });
}

/** @param {string} target */
async function sluice(target) {
  const { proxy } = await import('sluice/proxy');
  return proxy({ target });
}

/**
 * @param {'httpxy' | 'http-proxy-3'} name
 * @returns {(target: string) => Promise<Middleware>}
 */
function proxyServer(name) {
  return async (target) => {
    const { createProxyServer } = await importPeer(name);
    const proxy = createProxyServer({ target, xfwd: true, agent: new Agent({ keepAlive: true }) });
    proxy.on('error', failLoudly);
    return (req, res) => proxy.web(req, res);
  };
}

/**
 * What one writes by hand. It checks nothing, and removes nothing from headers.
 * @param {string} target
 * @returns {Middleware}
 */
function byHand(target) {
  const agent = new Agent({ keepAlive: true });
  return (req, res) => {
    const { method, headers } = req;
    const outgoing = request(`${target}${req.url}`, { agent, method, headers }, (incoming) => {
      res.writeHead(incoming.statusCode, incoming.rawHeaders);
      incoming.pipe(res);
    });
    outgoing.on('error', () => res.destroy());
    res.on('close', () => outgoing.destroy());
    req.pipe(outgoing);
  };
}

/** @param {unknown} error */
function failLoudly(error) {
  // A client that has left is no failure.
  if (/** @type {{ code?: string }} */ (error).code !== 'ECONNRESET') throw error;
}

/**
 * @param {(target: string) => Middleware | Promise<Middleware>} make
 * @param {boolean} isExpress
 */
function serveWith(make, isExpress) {
  /** @type {RequestListener} */
  let handler = () => failLoudly(new Error('not connected yet'));
  return {
    app: (/** @type {any} */ req, /** @type {any} */ res) => handler(req, res),
    calls: {
      /** @param {number} upstream - its port */
      async connect(upstream) {
        const middleware = await make(`http://127.0.0.1:${upstream}`);
        handler = isExpress ? express().use(middleware) : (req, res) => void middleware(req, res, failLoudly);
      },
    },
  };
}

/**
 * @param {string} name
 * @param {string} title
 * @param {(target: string) => Middleware | Promise<Middleware>} make
 * @returns {Peer}
 */
const bare = (name, title, make) => ({ name, title: `node:http, ${title}`, serve: () => serveWith(make, false) });

/**
 * @param {string} name
 * @param {string} title
 * @param {(target: string) => Middleware | Promise<Middleware>} make
 * @returns {Peer}
 */
const inExpress = (name, title, make) => ({
  name: `${name}-express`,
  title: `Express, ${title}`,
  serve: () => serveWith(make, true),
});

/** @type {Record<'middleware' | 'middlewareExpress' | 'httpxy' | 'httpProxy3' | 'byHand' | 'nginx' | 'sluice' | 'sluiceExpress', Peer>} */
export const proxies = {
  middleware: bare('hpm', middlewareTitle, httpProxyMiddleware),
  middlewareExpress: inExpress('hpm', middlewareTitle, httpProxyMiddleware),
  httpxy: bare('httpxy', 'httpxy', proxyServer('httpxy')),
  httpProxy3: bare('http-proxy-3', 'http-proxy-3', proxyServer('http-proxy-3')),
  byHand: bare('by-hand', 'http.request and pipe', byHand),
  nginx: { name: 'nginx', title: 'nginx', serve: serveNginx },
  sluice: bare('sluice', 'proxy', sluice),
  sluiceExpress: inExpress('sluice', 'proxy', sluice),
};

/**
 * Starts an upstream and connects a proxy with it.
 * @param {Child} server
 */
export async function openUpstream(server) {
  const upstream = new Child('upstream', 'proxies/upstream-process.js');
  try {
    await server.call('connect', await upstream.call('port'));
  } catch (error) {
    await upstream.stop();
    throw error;
  }
  return upstream;
}

/**
 * A bench whose upstream ends with it.
 * @param {Child} upstream
 * @param {() => Promise<import('../rounds.js').Bench>} open
 * @returns {Promise<import('../rounds.js').Bench>}
 */
export async function withUpstream(upstream, open) {
  try {
    const bench = await open();
    return { ...bench, close: () => bench.close().finally(() => upstream.stop()) };
  } catch (error) {
    await upstream.stop();
    throw error;
  }
}
