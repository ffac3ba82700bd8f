// The client, however it was loaded, against a server that ends twice and then says stop.
const assert = require('node:assert');
const { once } = require('node:events');
const { createServer } = require('node:http');

/** @param {typeof import('sluice/client')} client */
module.exports = async function tryClient({ ClientError, connect }) {
  /** @type {unknown[]} */
  const asked = [];
  const server = createServer((req, res) => {
    const from = Number(req.headers['last-event-id'] ?? 0);
    asked.push(from);
    if (from === 4) res.writeHead(204).end();
    else {
      res.writeHead(200, { 'Content-Type': 'text/event-stream' });
      res.end(`id: ${from + 1}\ndata: {"n":${from + 1}}\n\nid: ${from + 2}\ndata: {"n":${from + 2}}\n\n`);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const numbers = [];
  for await (const event of connect(`http://127.0.0.1:${port}/`, { retry: { min: 1 } })) numbers.push(event.json().n);
  assert.deepStrictEqual(
    [numbers, asked],
    [
      [1, 2, 3, 4],
      [0, 2, 4],
    ],
  );
  assert.throws(() => connect('/relative'), ClientError);
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
};
