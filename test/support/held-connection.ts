import http from 'node:http';
import { Duplex } from 'node:stream';
import { getRequest, parseChunked } from './raw.ts';

/**
 * A connection in memory to a server of Node's: the client takes what it is told to, and no kernel takes anything
 * meanwhile.
 */
export interface HeldConnection {
  /** The body that was read so far, as UTF-8. */
  readonly body: string;
  /** Whether the whole body was read. */
  readonly isComplete: boolean;
  /** Takes the write that is next in line, if there is one. */
  read(): void;
  /** Takes everything, also what comes from now on. */
  readAll(): void;
  destroy(): void;
}

/**
 * Sends a request over a connection that nobody reads yet.
 * @param highWaterMark - of the server's end, in bytes
 */
export function holdConnection(listener: http.RequestListener, highWaterMark: number): HeldConnection {
  let received = '';
  let arrive: (() => void) | undefined;
  let readsOn = false;
  const socket = new Duplex({
    highWaterMark,
    read: () => undefined,
    write: (chunk: Buffer, _encoding, callback) => {
      arrive = () => {
        arrive = undefined;
        received += chunk.toString('latin1');
        callback();
      };
      if (readsOn) setImmediate(() => arrive?.());
    },
  });
  // What a close without an end asks of a socket.
  Object.defineProperty(socket, 'bytesWritten', { get: () => received.length });
  Object.assign(socket, { destroySoon: () => socket.end(() => socket.destroy()) });
  // "Any Duplex stream can be passed": https://nodejs.org/api/http.html#event-connection
  http.createServer(listener).emit('connection', socket);
  socket.push(getRequest());
  const parsed = (): ReturnType<typeof parseChunked> | undefined =>
    received.includes('\r\n\r\n') ? parseChunked(received) : undefined;
  return {
    get body() {
      return Buffer.from(parsed()?.chunks.join('') ?? '', 'latin1').toString();
    },
    get isComplete() {
      return parsed()?.complete === true;
    },
    read: () => arrive?.(),
    readAll: () => {
      readsOn = true;
      arrive?.();
    },
    destroy: () => socket.destroy(),
  };
}
