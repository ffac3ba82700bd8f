import { proxy } from 'sluice/proxy';
import { serve } from './serve.js';

serve((target) => {
  const passOn = proxy({ target });
  return {
    request: (req, res) => passOn(req, res, () => res.writeHead(500).end()),
    upgrade: passOn.upgrade,
    close: () => passOn.close(),
  };
});
