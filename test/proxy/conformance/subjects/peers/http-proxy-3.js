import { createProxyServer } from 'http-proxy-3';
import { serve } from '../serve.js';

serve((target) => {
  const passOn = createProxyServer({ target, ws: true, xfwd: true });
  // Without a listener of the application's it throws, and without an answer of it the client waits.
  passOn.on('error', (_error, _req, res) => {
    if (!('writeHead' in res) || res.headersSent) res.destroy();
    else res.writeHead(502).end();
  });
  return { request: (req, res) => passOn.web(req, res), upgrade: (req, socket, head) => passOn.ws(req, socket, head) };
});
