// Without undici, or with one that this Node cannot load, all else loads, and the proxy says what to install.
const assert = require('node:assert');
const { once } = require('node:events');
const { createServer } = require('node:http');
const { MissingPeerError, proxy } = require('sluice');

module.exports = (async () => {
  /** @type {unknown} */
  let error;
  const middleware = proxy({ target: 'http://127.0.0.1:9' });
  const server = createServer((req, res) => {
    middleware(req, res, (reason) => {
      error = reason;
      res.writeHead(500).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: 'close' } });
  server.close();
  assert.strictEqual(answer.status, 500);
  assert.ok(error instanceof MissingPeerError, String(error));
  const why = process.argv[2] === 'unloadable' ? /`undici`, which cannot be loaded \(.*\): / : /`undici`: /;
  assert.match(error.message, new RegExp(`^\`proxy\` needs the package ${why.source}npm install undici@7$`));
})();
