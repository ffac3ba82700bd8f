import net from 'node:net';
import { until } from './until.ts';

/** A client without an HTTP library between: bytes out, bytes in. */
export interface RawClient {
  readonly socket: net.Socket;
  /** All that came so far, as Latin-1: one character a byte. */
  readonly received: string;
  send(bytes: string): void;
  /** Waits until the bytes so far satisfy the test. */
  waitFor(test: string | RegExp | ((received: string) => boolean)): Promise<string>;
  /** Resolves when the peer has closed, with how: `end` for FIN, `error` for a reset. */
  readonly closed: Promise<'end' | 'error'>;
  destroy(): void;
}

export async function connectRaw(port: number): Promise<RawClient> {
  const socket = net.connect(port, '127.0.0.1');
  let received = '';
  let failed = false;
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => (received += chunk));
  socket.on('error', () => (failed = true));
  const closed = new Promise<'end' | 'error'>((resolve) => socket.on('close', () => resolve(failed ? 'error' : 'end')));
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return {
    socket,
    get received() {
      return received;
    },
    send: (bytes) => void socket.write(bytes, 'latin1'),
    waitFor: async (test) => {
      const passes =
        typeof test === 'function'
          ? test
          : (text: string) => (typeof test === 'string' ? text.includes(test) : test.test(text));
      await until(
        () => passes(received),
        () => `not in ${JSON.stringify(received.slice(-2000))}`,
      );
      return received;
    },
    closed,
    destroy: () => socket.destroy(),
  };
}

/** A GET as a minimal client sends it. */
export function getRequest(path = '/', fields: Record<string, string> = {}, version = '1.1'): string {
  const lines = Object.entries({ Host: 'test', ...fields }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/${version}\r\n${lines.join('')}\r\n`;
}

/** What a strict reader makes of a chunked message: throws on any framing error. */
export interface ChunkedMessage {
  readonly head: string;
  readonly chunks: string[];
  /** Whether the terminating chunk came. */
  readonly complete: boolean;
  /** Bytes after the message: the next response on the connection. */
  readonly rest: string;
}

export function parseChunked(received: string): ChunkedMessage {
  const headEnd = received.indexOf('\r\n\r\n');
  if (headEnd < 0) throw new Error('no head yet');
  const head = received.slice(0, headEnd);
  const chunks: string[] = [];
  let at = headEnd + 4;
  for (;;) {
    const lineEnd = received.indexOf('\r\n', at);
    if (lineEnd < 0) return { head, chunks, complete: false, rest: '' };
    const size = received.slice(at, lineEnd);
    if (!/^[0-9a-f]+$/i.test(size)) throw new Error(`bad chunk size ${JSON.stringify(size.slice(0, 80))}`);
    const length = Number.parseInt(size, 16);
    const start = lineEnd + 2;
    if (length === 0) {
      const end = received.indexOf('\r\n\r\n', lineEnd);
      return { head, chunks, complete: end >= 0, rest: end < 0 ? '' : received.slice(end + 4) };
    }
    if (received.length < start + length + 2) return { head, chunks, complete: false, rest: '' };
    if (received.slice(start + length, start + length + 2) !== '\r\n')
      throw new Error('a chunk does not end where its size says');
    chunks.push(received.slice(start, start + length));
    at = start + length + 2;
  }
}
