import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import type { Running } from './carriers.ts';
import { type Coding, decodeStrictly, IncrementalDecoder } from './decoders.ts';

/** What a request goes over. */
export type Protocol = 'HTTP/1.1' | 'HTTP/1.0' | 'HTTP/2';

export const protocols: readonly Protocol[] = ['HTTP/1.1', 'HTTP/1.0', 'HTTP/2'];

export interface CodedRequest {
  readonly path?: string;
  readonly method?: string;
  /** `Accept-Encoding`; without it there is no such field. */
  readonly accept?: string | undefined;
  readonly headers?: Record<string, string>;
}

/** A response that is read as its bytes come, and decoded by what its head says. */
export interface CodedReading {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  /** `Content-Encoding`. */
  readonly coding: Coding;
  /** The content, without the framing of the transfer. */
  readonly content: Buffer;
  /** What could be decoded so far. */
  readonly text: string;
  /** The text of the content as a whole, strictly. */
  decode(): string;
  /** `end` for a message that is complete as far as its framing tells, `aborted` for one that was cut. */
  readonly over: Promise<'end' | 'aborted'>;
  readonly trailers: Record<string, string | undefined>;
  pause(): void;
  resume(): void;
  destroy(): void;
}

/** Sends a request and resolves with the head. */
export function openCoded(running: Running, protocol: Protocol, request: CodedRequest = {}): Promise<CodedReading> {
  const fields = { ...(request.accept !== undefined && { 'accept-encoding': request.accept }), ...request.headers };
  if (protocol === 'HTTP/1.1') return openHttp1(running, request, fields);
  return protocol === 'HTTP/2' ? openHttp2(running, request, fields) : openHttp10(running, request, fields);
}

interface Parts {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly trailers?: () => Record<string, string | undefined>;
  readonly over: Promise<'end' | 'aborted'>;
  pause(): void;
  resume(): void;
  destroy(): void;
}

/** The pieces of content that come, for whoever takes them. */
class Content {
  readonly pieces: Buffer[] = [];
  decoder: IncrementalDecoder | undefined;

  push(piece: Buffer): void {
    this.pieces.push(piece);
    this.decoder?.push(piece);
  }
}

function readingOf(content: Content, parts: Parts): CodedReading {
  const coding = (parts.headers['content-encoding'] ?? 'identity') as Coding;
  const decoder = (content.decoder = new IncrementalDecoder(coding));
  for (const piece of content.pieces) decoder.push(piece);
  const whole = (): Buffer => Buffer.concat(content.pieces);
  return {
    ...parts,
    coding,
    get content() {
      return whole();
    },
    get text() {
      return decoder.text;
    },
    decode: () => decodeStrictly(coding, whole()).toString(),
    get trailers() {
      return parts.trailers?.() ?? {};
    },
    destroy() {
      parts.destroy();
      decoder.destroy();
    },
  };
}

function openHttp1(
  running: Running,
  { path = '/', method = 'GET' }: CodedRequest,
  headers: Record<string, string>,
): Promise<CodedReading> {
  return new Promise((resolve, reject) => {
    const req = http.request({ port: running.port, host: '127.0.0.1', path, method, headers, agent: false });
    req.on('error', reject);
    req.on('response', (res) => {
      // From here on an error is how a cut connection shows.
      req.off('error', reject).on('error', () => undefined);
      const content = new Content();
      res.on('data', (piece: Buffer) => content.push(piece));
      const over = new Promise<'end' | 'aborted'>((settle) => {
        res.on('error', () => settle('aborted'));
        res.on('close', () => settle(res.complete ? 'end' : 'aborted'));
      });
      resolve(
        readingOf(content, {
          status: res.statusCode ?? 0,
          headers: res.headers,
          trailers: () => res.trailers,
          over,
          pause: () => void res.pause(),
          resume: () => void res.resume(),
          destroy: () => req.destroy(),
        }),
      );
    });
    req.end();
  });
}

function openHttp2(
  running: Running,
  { path = '/', method = 'GET' }: CodedRequest,
  headers: Record<string, string>,
): Promise<CodedReading> {
  return new Promise((resolve, reject) => {
    const session = http2.connect(running.origin);
    session.on('error', reject);
    const req = session.request({ ':path': path, ':method': method, ...headers });
    const content = new Content();
    let ended = false;
    let trailers: Record<string, string> = {};
    req.on('data', (piece: Buffer) => content.push(piece));
    req.on('trailers', (fields) => (trailers = fields as Record<string, string>));
    req.on('end', () => (ended = true));
    req.on('error', reject);
    const over = new Promise<'end' | 'aborted'>((settle) => {
      req.on('error', () => settle('aborted'));
      req.on('close', () => {
        // A reset may come after 'end' has been emitted for the bytes before it.
        settle(ended && req.rstCode === 0 ? 'end' : 'aborted');
        session.destroy();
      });
    });
    req.on('response', (fields) => {
      resolve(
        readingOf(content, {
          status: fields[':status'] ?? 0,
          headers: fields as Record<string, string>,
          trailers: () => trailers,
          over,
          pause: () => void req.pause(),
          resume: () => void req.resume(),
          destroy: () => {
            req.close(http2.constants.NGHTTP2_CANCEL);
            session.destroy();
          },
        }),
      );
    });
    req.end();
  });
}

/**
 * As a client from before chunked coding: the body is what comes until the length that was told, else until the close.
 */
function openHttp10(
  running: Running,
  { path = '/', method = 'GET' }: CodedRequest,
  headers: Record<string, string>,
): Promise<CodedReading> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(running.port, '127.0.0.1');
    const content = new Content();
    let failed = false;
    let before: Buffer | undefined = Buffer.alloc(0);
    let length: number | undefined;
    const over = new Promise<'end' | 'aborted'>((settle) => {
      socket.on('close', () => {
        const received = content.pieces.reduce((sum, piece) => sum + piece.length, 0);
        settle(failed || (length !== undefined && method !== 'HEAD' && received !== length) ? 'aborted' : 'end');
        reject(new Error('closed before the head'));
      });
    });
    socket.on('error', () => (failed = true));
    socket.on('data', (bytes) => {
      if (before === undefined) {
        content.push(bytes);
        return;
      }
      before = Buffer.concat([before, bytes]);
      const end = before.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = parseHead(before.toString('latin1', 0, end));
      const rest = before.subarray(end + 4);
      before = undefined;
      if (head.headers['content-length'] !== undefined) length = Number(head.headers['content-length']);
      if (rest.length > 0) content.push(rest);
      resolve(
        readingOf(content, {
          ...head,
          over,
          pause: () => void socket.pause(),
          resume: () => void socket.resume(),
          destroy: () => socket.destroy(),
        }),
      );
    });
    const lines = Object.entries({ host: 'test', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`${method} ${path} HTTP/1.0\r\n${lines.join('')}\r\n`);
  });
}

function parseHead(text: string): Pick<Parts, 'status' | 'headers'> {
  const [start = '', ...lines] = text.split('\r\n');
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return { status: Number(start.split(' ')[1]), headers };
}
