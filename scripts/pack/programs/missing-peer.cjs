// Without undici, or with one that this Node cannot load, all else loads, and the proxy says what to install. So does a
// channel in Redis, without redis.
const assert = require('node:assert');
const { subscribe } = require('node:diagnostics_channel');
const { once } = require('node:events');
const { createServer } = require('node:http');
const { createChannel, MissingPeerError, proxy, redisBackplane } = require('sluice');

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

  // A process with clients alone gets no rejection.
  /** @type {unknown[]} */
  const reported = [];
  subscribe('sluice:redis:error', (message) => reported.push(/** @type {{ error: unknown }} */ (message).error));
  const backplane = redisBackplane({ url: 'redis://127.0.0.1:9' });
  const ticks = createChannel({ name: 'ticks', backplane });
  await assert.rejects(ticks.publish('a'), (reason) => {
    assert.ok(reason instanceof MissingPeerError, String(reason));
    assert.strictEqual(reason.message, '`sluice/redis` needs the package `redis`: npm install redis');
    return true;
  });
  assert.ok(reported[0] instanceof MissingPeerError, String(reported[0]));
  ticks.close();
  await backplane.close();
})();
