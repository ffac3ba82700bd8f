import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import type { TestContext } from 'vitest';
import {
  type CloseReason,
  compress,
  type ConnectionRegistry,
  createRegistry,
  heartbeat,
  type HeartbeatOptions,
  type HealthState,
  type HttpRequest,
  type HttpResponse,
  sse,
} from '../../src/index.ts';
import { listen, type Running } from '../support/carriers.ts';
import { noise } from '../support/texts.ts';

/** A server whose streams are watched. */
export interface Service {
  readonly registry: ConnectionRegistry;
  readonly states: HealthState[];
  readonly ends: CloseReason[];
  readonly running: Running;
  /** Bytes that wait for its clients. */
  buffered(): number;
}

export type Handler = (req: HttpRequest, res: HttpResponse) => unknown;

export async function serveIn(
  { onTestFinished }: TestContext,
  protocol: 'http1' | 'http2',
  handler: Handler,
  options: HeartbeatOptions,
): Promise<Service> {
  const registry = createRegistry();
  const [states, ends]: [HealthState[], CloseReason[]] = [[], []];
  registry.on('state', ({ connection, state }) => connection.transport !== 'http2' && states.push(state));
  registry.on('end', ({ connection, reason }) => connection.transport !== 'http2' && ends.push(reason));
  const beats = heartbeat({ every: 500, writeDeadline: 1000, grace: 1000, jitter: 0, ...options, registry });
  const compression = compress();
  const app = (req: HttpRequest, res: HttpResponse): void =>
    compression(req, res, () => beats(req, res, () => void handler(req, res)));
  const running = await listen(protocol === 'http1' ? http.createServer(app) : http2.createServer(app));
  onTestFinished(() => running.close());
  return {
    registry,
    states,
    ends,
    running,
    buffered: () => registry.connections().reduce((sum, { bufferedBytes }) => sum + bufferedBytes, 0),
  };
}

const filler = noise(10_000);

/** As much as a client takes. */
export const flood: Handler = sse(async function* () {
  for (let id = 0; ; id += 1) yield { data: { id, text: filler } };
});

/** A response read by hand, straight from the kernel: nothing is read before it is asked for. */
export interface HandReader {
  readonly bytes: number;
  /** Reads some bytes now and then, from now on. */
  drip(length: number, every: number): void;
  /** Reads on, as fast as it comes. */
  readOn(): void;
}

export function readByHand({ onTestFinished }: TestContext, port: number, coding = 'identity'): HandReader {
  let bytes = 0;
  let isFree = false;
  let length = 0;
  const read = (): void => {
    // Each resume is one read.
    if (length > 0) socket.resume();
  };
  const socket = net.connect({
    port,
    host: '127.0.0.1',
    onread: {
      buffer: () => Buffer.alloc(isFree ? 65_536 : Math.max(1, length)),
      callback: (count) => {
        bytes += count;
        return isFree;
      },
    },
  });
  socket.pause();
  socket.on('error', () => undefined);
  socket.write(`GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: ${coding}\r\n\r\n`);
  let timer: NodeJS.Timeout | undefined;
  onTestFinished(() => {
    clearInterval(timer);
    socket.destroy();
  });
  return {
    get bytes() {
      return bytes;
    },
    drip(each, every) {
      length = each;
      timer = setInterval(read, every);
    },
    readOn() {
      isFree = true;
      clearInterval(timer);
      socket.resume();
    },
  };
}

/** A stream of a session, read by hand: what is not read closes its window. */
export async function streamByHand({ onTestFinished }: TestContext, running: Running): Promise<HandReader> {
  const session = http2.connect(running.origin);
  session.on('error', () => undefined);
  const stream = session.request({ ':path': '/' });
  stream.on('error', () => undefined);
  let bytes = 0;
  let timer: NodeJS.Timeout | undefined;
  stream.pause();
  onTestFinished(() => {
    clearInterval(timer);
    session.destroy();
  });
  await new Promise((resolve) => stream.once('response', resolve));
  return {
    get bytes() {
      return bytes;
    },
    drip(each, every) {
      timer = setInterval(() => {
        const chunk = (stream.read(Math.min(each, stream.readableLength || each)) ?? { length: 0 }) as Buffer;
        bytes += chunk.length;
      }, every);
    },
    readOn() {
      clearInterval(timer);
      stream.on('data', (chunk: Buffer) => (bytes += chunk.length)).resume();
    },
  };
}
