import http from 'node:http';
import http2 from 'node:http2';
import type { Running } from './carriers.ts';

/** A response being read, over either protocol. */
export interface Reading {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  /** Text so far. */
  readonly text: string;
  /** Bytes so far. */
  readonly length: number;
  /** Resolves at the end: `end` for a complete body, `aborted` for one that was cut. */
  readonly over: Promise<'end' | 'aborted'>;
  /** Leaves without a word. */
  destroy(): void;
  /** Stops and starts reading. */
  pause(): void;
  resume(): void;
}

export interface RequestInput {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
}

/** Sends a request by the protocol of the server and resolves with the head. */
export function open(running: Running, protocol: 'http1' | 'http2', input: RequestInput = {}): Promise<Reading> {
  return protocol === 'http1' ? openHttp1(running, input) : openHttp2(running, input);
}

function openHttp1(running: Running, { path = '/', method = 'GET', headers = {} }: RequestInput): Promise<Reading> {
  return new Promise((resolve, reject) => {
    const req = http.request({ port: running.port, host: '127.0.0.1', path, method, headers, agent: false });
    req.on('error', reject);
    req.on('response', (res) => {
      // From here on an error is how a cut connection shows.
      req.off('error', reject).on('error', () => undefined);
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      const over = new Promise<'end' | 'aborted'>((settle) => {
        res.on('error', () => settle('aborted'));
        res.on('close', () => settle(res.complete ? 'end' : 'aborted'));
      });
      resolve({
        status: res.statusCode ?? 0,
        headers: res.headers,
        get text() {
          return Buffer.concat(chunks).toString();
        },
        get length() {
          return chunks.reduce((sum, { length }) => sum + length, 0);
        },
        over,
        destroy: () => req.destroy(),
        pause: () => void res.pause(),
        resume: () => void res.resume(),
      });
    });
    req.end();
  });
}

function openHttp2(running: Running, { path = '/', method = 'GET', headers = {} }: RequestInput): Promise<Reading> {
  return new Promise((resolve, reject) => {
    const session = http2.connect(running.origin);
    session.on('error', reject);
    const req = session.request({ ':path': path, ':method': method, ...headers });
    const chunks: Buffer[] = [];
    let ended = false;
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => (ended = true));
    const over = new Promise<'end' | 'aborted'>((settle) => {
      req.on('error', () => settle('aborted'));
      req.on('close', () => {
        // A reset may come after 'end' has been emitted for the bytes before it.
        settle(ended && req.rstCode === 0 ? 'end' : 'aborted');
        session.destroy();
      });
    });
    req.on('response', (fields) => {
      resolve({
        status: fields[':status'] ?? 0,
        headers: fields as Record<string, string>,
        get text() {
          return Buffer.concat(chunks).toString();
        },
        get length() {
          return chunks.reduce((sum, { length }) => sum + length, 0);
        },
        over,
        destroy: () => {
          req.close(http2.constants.NGHTTP2_CANCEL);
          session.destroy();
        },
        pause: () => void req.pause(),
        resume: () => void req.resume(),
      });
    });
    req.on('error', reject);
    req.end();
  });
}
