import { createProxyServer } from 'httpxy';
import { serve } from '../serve.js';

serve((target) => {
  const passOn = createProxyServer({ target, ws: true, xfwd: true });
  // Without a listener of the application's it rejects, and without an answer of it the client waits.
  passOn.on('error', (_error, _req, res) => {
    if (!res || !('writeHead' in res) || res.headersSent) res?.destroy();
    else res.writeHead(502).end();
  });
  return {
    request: (req, res) => void passOn.web(req, res),
    upgrade: (req, socket, head) => void passOn.ws(req, socket, undefined, head),
  };
});
