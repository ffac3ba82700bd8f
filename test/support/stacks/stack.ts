import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Middleware } from '../carriers.ts';
import { type Coding, decodeStrictly, IncrementalDecoder } from '../decoders.ts';
import { until } from '../until.ts';

/** A service of real packages, with one place for a middleware that compresses. */
export interface Stack {
  readonly name: string;
  readonly requests: readonly StackRequest[];
  /** Uses the client that belongs to the framework. What it gives has to be the same each time. */
  readonly talks?: Readonly<Record<string, (port: number, gates: Gates) => Promise<unknown>>>;
  start(compress: Middleware, gates: Gates): Promise<StartedStack>;
}

export interface StartedStack {
  readonly port: number;
  /** What is left of the requests in the service: log lines, sessions. */
  facts?(): Promise<unknown>;
  close(): Promise<void>;
}

export interface StackRequest {
  readonly name: string;
  readonly method?: string;
  readonly path: string;
  readonly headers?: Fields | ((seen: ReadonlyMap<string, Outcome>) => Fields);
  readonly body?: string;
  /** Text of each part of a streamed body; the service waits at the gate of that name before it sends the next. */
  readonly parts?: readonly string[];
}

type Fields = Readonly<Record<string, string>>;

/** What a client sees of a response. */
export interface Outcome {
  readonly status: number;
  readonly statusText: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly coding: Coding;
  /** Bytes of content as they came. */
  readonly length: number;
  readonly text: string;
}

/** Where a service waits in the middle of a body until its client has what came before. */
export class Gates {
  readonly isPatient: boolean;
  readonly #passed = new Set<string>();
  readonly #waiting = new Map<string, () => void>();

  /** @param isPatient - whether the client waits for each part; otherwise all gates are open */
  constructor(isPatient: boolean) {
    this.isPatient = isPatient;
  }

  pass(name: string): Promise<void> {
    if (!this.isPatient || this.#passed.has(name)) return new Promise((resolve) => setImmediate(resolve));
    return new Promise((resolve) => this.#waiting.set(name, resolve));
  }

  open(name: string): void {
    this.#passed.add(name);
    this.#waiting.get(name)?.();
  }
}

/** Cookies by name, as a browser keeps them. */
export type Jar = Map<string, string>;

/** Sends a request, opens the gate of each part when it has come, and reads to the end. */
export function exchange(
  port: number,
  { method = 'GET', path, body, parts = [] }: StackRequest,
  headers: Fields,
  { jar, gates }: { readonly jar: Jar; readonly gates: Gates },
): Promise<Outcome> {
  const cookie = [...jar].map((pair) => pair.join('=')).join('; ');
  return new Promise((resolve, reject) => {
    const fields = { 'accept-encoding': 'gzip, deflate', ...(cookie !== '' && { cookie }), ...headers };
    const req = http.request({ port, host: '127.0.0.1', method, path, agent: false, headers: fields }, (res) => {
      keep(jar, res.headers['set-cookie'] ?? []);
      const coding = codingOf(res.headers);
      const decoder = new IncrementalDecoder(coding);
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        decoder.push(chunk);
      });
      res.on('error', reject);
      res.on('end', () => {
        const bytes = Buffer.concat(chunks);
        const text = bytes.length === 0 ? '' : decodeStrictly(coding, bytes).toString();
        decoder.destroy();
        resolve({
          status: res.statusCode ?? 0,
          statusText: res.statusMessage ?? '',
          headers: res.headers,
          coding,
          length: bytes.length,
          text,
        });
      });
      if (gates.isPatient) openInTurn(decoder, parts, gates).catch(reject);
    });
    req.on('error', reject);
    req.end(body);
  });
}

async function openInTurn(decoder: IncrementalDecoder, parts: readonly string[], gates: Gates): Promise<void> {
  for (const part of parts) {
    await until(
      () => decoder.text.includes(part),
      () => `${part} did not come: ${decoder.text}`,
      5000,
    );
    gates.open(part);
  }
}

/** Asks whether what the client has is still what it would get. */
export function ifNoneMatch(outcome: Outcome | undefined): Fields {
  return { 'if-none-match': outcome?.headers.etag ?? '' };
}

function codingOf(headers: http.IncomingHttpHeaders): Coding {
  // Some frameworks say so of a stream that nothing should encode.
  const coding = headers['content-encoding'] ?? 'identity';
  return coding === 'none' ? 'identity' : (coding as Coding);
}

function keep(jar: Jar, fields: readonly string[]): void {
  for (const field of fields) {
    const [name = '', value = ''] = (field.split(';', 1)[0] ?? '').split('=');
    if (/expires=Thu, 01 Jan 1970/i.test(field)) jar.delete(name);
    else jar.set(name, value);
  }
}

/** Starts a server on a free port. */
export async function listenOn(server: http.Server): Promise<{ readonly port: number; close(): Promise<void> }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
