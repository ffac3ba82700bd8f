import net from 'node:net';
import type { AddressInfo } from 'node:net';

/** One connection to an upstream without an HTTP library. */
export interface RawConnection {
  readonly socket: net.Socket;
  /** All that came so far, as Latin-1. */
  readonly received: string;
  /** Whether the proxy has closed it. */
  readonly isClosed: boolean;
  send(bytes: string): void;
}

export interface RawUpstream {
  readonly origin: string;
  readonly connections: readonly RawConnection[];
  close(): Promise<void>;
}

/** Starts an upstream that answers with bytes. `onRequest` is called when the headers of a request are there. */
export async function startRawUpstream(onRequest: (connection: RawConnection) => void): Promise<RawUpstream> {
  const connections: RawConnection[] = [];
  const server = net.createServer((socket) => {
    let received = '';
    let isClosed = false;
    let requests = 0;
    const connection: RawConnection = {
      socket,
      get received() {
        return received;
      },
      get isClosed() {
        return isClosed;
      },
      send: (bytes) => void socket.write(bytes, 'latin1'),
    };
    connections.push(connection);
    socket.setEncoding('latin1');
    socket.on('error', () => undefined);
    socket.on('close', () => (isClosed = true));
    socket.on('data', (chunk: string) => {
      received += chunk;
      while ((received.match(/HTTP\/1\.1\r\n(.+\r\n)*\r\n/g)?.length ?? 0) > requests) {
        requests += 1;
        onRequest(connection);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async (): Promise<void> => {
    for (const { socket } of connections) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, connections, close };
}
