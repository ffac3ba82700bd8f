// @ts-check
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** @typedef {{ name: string, port: number }} Target */

/** Passes connections on to the targets, by turns. It reads nothing of what it passes on, as a load balancer of TCP. */
export class TcpSwitch {
  /** @type {Map<import('node:net').Socket, string>} client → name of the target */
  #connections = new Map();
  #turn = 0;
  #server = createServer((client) => this.#accept(client));
  #targets;
  #onChange;

  /**
   * @param {() => readonly Target[]} targets - those that new connections may go to
   * @param {() => void} onChange - a connection has come or gone
   */
  constructor(targets, onChange) {
    this.#targets = targets;
    this.#onChange = onChange;
  }

  /** @param {string} host @returns {Promise<number>} the port */
  async listen(host) {
    this.#server.listen(0, host);
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  /** How many connections a target has. @param {string} name */
  count(name) {
    return Array.from(this.#connections.values()).filter((each) => each === name).length;
  }

  /** Cuts all connections. Their clients come back. */
  cut() {
    for (const client of this.#connections.keys()) client.resetAndDestroy();
  }

  close() {
    this.#server.close();
    this.cut();
  }

  /** @param {import('node:net').Socket} client */
  #accept(client) {
    const targets = this.#targets();
    const target = targets[this.#turn++ % targets.length];
    if (!target) {
      client.destroy();
      return;
    }
    const server = connect(target.port, '127.0.0.1');
    this.#connections.set(client, target.name);
    this.#onChange();
    // One side is gone: so is the other. An error is told by the 'close' that follows it.
    client.on('error', () => undefined).on('close', () => server.destroy());
    server.on('error', () => undefined).on('close', () => client.destroy());
    client.on('close', () => {
      this.#connections.delete(client);
      this.#onChange();
    });
    client.pipe(server).pipe(client);
  }
}
