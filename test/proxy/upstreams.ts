import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { proxy, type Proxy, type ProxyOptions } from '../../src/proxy/index.ts';
import { until } from '../support/until.ts';

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
export async function rawUpstream(onRequest: (connection: RawConnection) => void): Promise<RawUpstream> {
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
  onTestFinished(close);
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, connections, close };
}

/** A proxy that is closed when the test is over. */
export function testProxy(options: ProxyOptions): Proxy {
  const made = proxy(options);
  onTestFinished(() => made.close());
  return made;
}

/** Waits for a number of connections, and returns the last. */
export async function connectionOf(upstream: RawUpstream, count = 1): Promise<RawConnection> {
  await until(() => upstream.connections.length >= count);
  return upstream.connections[count - 1]!;
}

/** The lines of a raw head whose name is given, in lower case, as values. */
export function fieldsOf(message: string, name: string): string[] {
  const head = message.slice(0, message.indexOf('\r\n\r\n'));
  return head
    .split('\r\n')
    .slice(1)
    .filter((line) => line.toLowerCase().startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).trim());
}
