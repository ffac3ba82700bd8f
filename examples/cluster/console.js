// @ts-check
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import express from 'express';

const require = createRequire(import.meta.url);
const files = join(import.meta.dirname, 'public');

/** The import map is the one script inside a page: it is allowed by its hash. @param {string} page */
function hashImportMap(page) {
  const [, text = ''] = /<script type="importmap">(.*?)<\/script>/s.exec(readFileSync(join(files, page), 'utf8')) ?? [];
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/**
 * Serves the page, and what its buttons do. A server of its own: it goes on while instances die.
 *
 * @param {object} parts
 * @param {import('./fleet.js').Fleet} parts.fleet
 * @param {readonly import('./tcp-switch.js').TcpSwitch[]} parts.switches
 * @param {import('sluice').Channel} parts.states
 * @param {Record<string, number>} parts.ports
 */
export function createConsole({ fleet, switches, states, ports }) {
  const app = express();
  const scripts = ['index.html', 'answer.html'].map(hashImportMap).join(' ');
  const origins = Object.values(ports).map((port) => `http://*:${port}`);
  const policy =
    `default-src 'none'; script-src 'self' ${scripts}; style-src 'self'; img-src data:; ` +
    `connect-src 'self' ${origins.join(' ')}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
  app.disable('x-powered-by');
  app.use((_req, res, next) => {
    res.set({ 'Content-Security-Policy': policy, 'X-Content-Type-Options': 'nosniff' });
    next();
  });
  app.get('/ports', (_req, res) => void res.json(ports));
  app.get('/fleet', states.subscribe({ from: 'latest' }));
  app.post('/cut', requireSameOrigin, (_req, res) => {
    for (const each of switches) each.cut();
    res.sendStatus(204);
  });
  app.post('/instances/:name/:action', requireSameOrigin, (req, res) => {
    const { name, action } = req.params;
    const instance = fleet.find(String(name));
    if (!instance) return void res.status(404).json({ error: 'There is no such instance' });
    if (action === 'kill') instance.kill();
    else if (action === 'pause') instance.pause();
    else if (action === 'resume') instance.resume();
    else return void res.status(404).json({ error: 'There is no such action' });
    res.sendStatus(204);
  });
  for (const name of ['sluice/client', 'eventsource-parser'])
    app.use(`/modules/${name}`, express.static(dirname(require.resolve(name))));
  app.use(express.static(files));
  return app;
}

/**
 * Another site may not press the buttons.
 *
 * @param {import('express').Request} req
 * @param {import('express').Response} res
 * @param {import('express').NextFunction} next
 */
function requireSameOrigin({ headers: { origin, host } }, res, next) {
  if (origin === undefined || origin === `http://${host}`) next();
  else res.status(403).json({ error: 'Only the page of this server may ask for that' });
}
