import http from 'node:http';
import http2 from 'node:http2';
import type { Running } from './carriers.ts';
import type { Coding } from './decoders.ts';

/** A response being read, with its bytes as they came: nothing is decoded before the test asks for it. */
export interface UndecodedReading {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  /** `Content-Encoding`, or `identity`. */
  readonly coding: Coding;
  readonly bytes: Buffer;
  /** Resolves at the end: `end` for a complete body, `aborted` for one that was cut. */
  readonly over: Promise<'end' | 'aborted'>;
  pause(): void;
  resume(): void;
  destroy(): void;
}

/** A client for any number of requests. */
export interface BodyClient {
  get(path: string, acceptEncoding?: string): Promise<UndecodedReading>;
  close(): void;
}

/** HTTP/1.1: a connection for each request, or those of an agent. */
export function http1Client({ port }: Pick<Running, 'port'>, agent: http.Agent | false = false): BodyClient {
  return {
    get: (path, acceptEncoding) =>
      new Promise((resolve, reject) => {
        const headers = acceptEncoding === undefined ? {} : { 'accept-encoding': acceptEncoding };
        const req = http.get({ port, host: '127.0.0.1', path, headers, agent }, (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (chunk: Buffer) => chunks.push(chunk));
          resolve({
            status: res.statusCode ?? 0,
            headers: res.headers,
            coding: (res.headers['content-encoding'] ?? 'identity') as Coding,
            get bytes() {
              return Buffer.concat(chunks);
            },
            over: new Promise((settle) => {
              res.on('error', () => settle('aborted'));
              res.on('close', () => settle(res.complete ? 'end' : 'aborted'));
            }),
            pause: () => void res.pause(),
            resume: () => void res.resume(),
            destroy: () => void req.destroy(),
          });
        });
        // Once there is a response, an error is how a cut connection shows, and `over` tells that.
        req.on('error', reject);
      }),
    close: () => void (agent && agent.destroy()),
  };
}

/** HTTP/2: all requests on one connection. */
export function http2Client({ origin }: Pick<Running, 'origin'>): BodyClient {
  const session = http2.connect(origin);
  session.on('error', () => undefined);
  return {
    get: (path, acceptEncoding) =>
      new Promise((resolve, reject) => {
        const req = session.request({
          ':path': path,
          ...(acceptEncoding !== undefined && { 'accept-encoding': acceptEncoding }),
        });
        const chunks: Buffer[] = [];
        let ended = false;
        req.on('data', (chunk: Buffer) => chunks.push(chunk));
        req.on('end', () => (ended = true));
        req.on('error', reject);
        const over = new Promise<'end' | 'aborted'>((settle) => {
          req.on('error', () => settle('aborted'));
          req.on('close', () => settle(ended && req.rstCode === 0 ? 'end' : 'aborted'));
        });
        req.on('response', (fields) =>
          resolve({
            status: fields[':status'] ?? 0,
            headers: fields as Record<string, string>,
            coding: (fields['content-encoding'] ?? 'identity') as Coding,
            get bytes() {
              return Buffer.concat(chunks);
            },
            over,
            pause: () => void req.pause(),
            resume: () => void req.resume(),
            destroy: () => req.close(http2.constants.NGHTTP2_CANCEL),
          }),
        );
      }),
    close: () => session.destroy(),
  };
}
