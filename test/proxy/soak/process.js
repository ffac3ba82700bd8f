// One of the three processes of test/proxy/soak.test.ts: `upstream`, `proxy` or `clients`. It gets orders, and answers
// each with one message.
import http from 'node:http';
import net from 'node:net';
import { proxy } from 'sluice/proxy';

const [, , role, target] = process.argv;

/** @typedef {(order: any) => unknown} Order */

/** @returns {Record<string, Order>} */
function upstream() {
  /** @type {Set<http.ServerResponse>} */
  const streams = new Set();
  const server = http.createServer((_req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    res.write('data: first\n\n');
    streams.add(res);
    res.on('close', () => streams.delete(res));
  });
  // So the proxy does not keep its connections: those that are open at the end of a round are leaked.
  server.keepAliveTimeout = 1_000;
  return {
    listen: () => listen(server),
    // Events for all that are open; then an end, or for a share of them a break at some event: by FIN, or by RST.
    play: async ({ events, killed }) => {
      const open = [...streams];
      const fates = open.map((res, at) => ({ res, dies: at < killed ? 1 + (at % events) : Infinity, at }));
      for (let event = 1; event <= events; event += 1) {
        for (const { res, dies, at } of fates) {
          if (event < dies) res.write(`data: ${event}\n\n`);
          else if (event === dies && at % 2 === 0) res.socket?.destroy();
          else if (event === dies) /** @type {net.Socket | null} */ (res.socket)?.resetAndDestroy();
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      for (const { res, dies } of fates) if (dies === Infinity) res.end('data: last\n\n');
      return { open: open.length };
    },
  };
}

/** @returns {Record<string, Order>} */
function proxying() {
  const middleware = proxy({ target: String(target) });
  const server = http.createServer((req, res) => middleware(req, res, () => res.destroy()));
  return {
    listen: () => listen(server),
    measure: async () => {
      for (let time = 0; time < 3; time += 1) {
        globalThis.gc?.();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const { rss, heapUsed, external } = process.memoryUsage();
      const connections = await new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
      const sockets = process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
      return { rss, heapUsed, external, connections, sockets, upstream: middleware.upstreams()[0] };
    },
  };
}

/** @returns {Record<string, Order>} */
function clients() {
  const counts = { open: 0, complete: 0, cut: 0, wrong: 0 };
  /** @type {Promise<void>[]} */
  let over = [];
  return {
    open: async ({ streams }) => {
      Object.assign(counts, { open: 0, complete: 0, cut: 0, wrong: 0 });
      over = [];
      for (let stream = 0; stream < streams; stream += 1) {
        const opened = new Promise((resolve) => over.push(visit(Number(target), counts, resolve)));
        // As many at once as a backlog takes.
        if (stream % 100 === 99) await opened;
      }
      while (counts.open < streams && counts.wrong + counts.cut === 0) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return counts;
    },
    finish: async () => {
      await Promise.all(over);
      return counts;
    },
  };
}

/**
 * Reads one stream to its end.
 * @param {number} port
 * @param {{ open: number, complete: number, cut: number, wrong: number }} counts
 * @param {(value?: unknown) => void} onOpen
 * @returns {Promise<void>}
 */
function visit(port, counts, onOpen) {
  return new Promise((resolve) => {
    let tail = '';
    let isOpen = false;
    let isEnded = false;
    const socket = net.connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
    socket.setEncoding('latin1');
    socket.on('data', (/** @type {string} */ chunk) => {
      tail = (tail + chunk).slice(-600);
      if (!isOpen && /^HTTP\/1\.1 200[^]*data: first\n\n/.test(tail)) {
        isOpen = true;
        counts.open += 1;
        onOpen();
      }
      if (!tail.endsWith('\r\n0\r\n\r\n')) return;
      isEnded = true;
      socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      // The upstream sends its last event only where it ends.
      const isWhole = tail.includes('data: last\n\n');
      if (isOpen && isEnded === isWhole) counts[isWhole ? 'complete' : 'cut'] += 1;
      else counts.wrong += 1;
      onOpen();
      resolve();
    });
  });
}

/** @param {http.Server} server */
async function listen(server) {
  if (!server.listening)
    await new Promise((resolve) =>
      server.listen({ port: 0, host: '127.0.0.1', backlog: 8192 }, () => resolve(undefined)),
    );
  return { port: /** @type {net.AddressInfo} */ (server.address()).port };
}

/** @type {Record<string, () => Record<string, Order>>} */
const roles = { upstream, proxy: proxying, clients };
const orders = roles[String(role)]?.();
process.on('message', async (/** @type {{ name: string }} */ order) =>
  process.send?.(await orders?.[order.name]?.(order)),
);
process.on('disconnect', () => process.exit());
