import { once } from 'node:events';
import net from 'node:net';

/** A TCP proxy of a test, between a client and a server. */
export interface TcpProxy {
  readonly port: number;
  /** Open connections. */
  readonly connections: number;
  /** Forwards nothing any more, and closes nothing: as a network that drops all packets. */
  darken(): void;
  /** Forwards new connections again. Those from before stay dark. */
  lighten(): void;
  /** Keeps the next data of the server that the test picks, and cuts that connection. */
  loseReply(pick: (data: Buffer) => boolean): Promise<void>;
  close(): void;
}

export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const sockets = new Set<net.Socket>();
  let isDark = false;
  let losing: { pick: (data: Buffer) => boolean; resolve: () => void } | undefined;
  const server = net.createServer((client) => {
    const upstream = net.connect(target, '127.0.0.1');
    const pair = { isDark };
    darkened.add(pair);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        if (pair.isDark) return;
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (data) => {
      if (!pair.isDark) upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (pair.isDark) return;
      if (losing?.pick(data) !== true) {
        client.write(data);
        return;
      }
      losing.resolve();
      losing = undefined;
      client.destroy();
    });
  });
  const darkened = new Set<{ isDark: boolean }>();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    get connections() {
      return sockets.size / 2;
    },
    darken() {
      isDark = true;
      for (const pair of darkened) pair.isDark = true;
    },
    lighten() {
      isDark = false;
    },
    loseReply: (pick) =>
      new Promise((resolve) => {
        losing = { pick, resolve };
      }),
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
