// The process of a proxy under check: opens a server for each upstream that its parent names.
import http from 'node:http';
import http2 from 'node:http2';

/**
 * @typedef {object} Opened
 * @property {(req: any, res: any) => void} request
 * @property {((req: any, socket: any, head: any) => void) | undefined} [upgrade]
 * @property {(() => unknown) | undefined} [close]
 */

/**
 * Serves proxies. A framework makes its own server: then `open` gets one and listens on it.
 * @param {(target: string) => Opened | Promise<Opened>} open - makes a proxy in front of an origin
 * @param {((target: string, front: string) => Promise<{ server: http.Server, close: () => unknown }>)} [openServer]
 */
export function serve(open, openServer) {
  /** @type {Map<number, () => void>} */
  const undo = new Map();

  /** @param {{ id: number, target: string, front: string }} order */
  async function start({ id, target, front }) {
    const { server, close } = await (openServer ?? serverOf)(target, front);
    undo.set(id, () => {
      server.close();
      if ('closeAllConnections' in server) server.closeAllConnections();
      close();
    });
    if (!server.listening) await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
    process.send?.({ id, port: /** @type {import('node:net').AddressInfo} */ (server.address()).port });
  }

  /** @param {string} target @param {string} front */
  async function serverOf(target, front) {
    const opened = await open(target);
    const server = front === 'h2c' ? http2.createServer(opened.request) : http.createServer(opened.request);
    if (opened.upgrade) server.on('upgrade', opened.upgrade);
    return { server: /** @type {http.Server} */ (server), close: () => void opened.close?.() };
  }

  process.on('message', (/** @type {any} */ order) => {
    if (!order.close) {
      void start(order);
      return;
    }
    undo.get(order.id)?.();
    undo.delete(order.id);
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ ready: true });
}
