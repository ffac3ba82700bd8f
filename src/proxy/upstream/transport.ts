import { isIP, type Socket } from 'node:net';
import type { Duplex, Readable } from 'node:stream';
import { loadPeer } from '../../internal/peer.ts';
import type { UpstreamTls } from '../options.ts';
import type { Target } from '../policy/request-target.ts';

/** A request as undici's `dispatch` takes it. */
export interface DispatchOptions {
  readonly path: string;
  readonly method: string;
  /** Name, value, name, value … */
  readonly headers: readonly string[];
  readonly body: Readable | Buffer | null;
  readonly upgrade?: string;
  /** The name by which undici tells connections apart. */
  readonly servername?: string;
}

/** What undici gives its handler to steer a request. */
export interface DispatchController {
  abort(reason: Error): void;
  pause(): void;
  resume(): void;
  /** Name, value, name, value …; undici 8 over HTTP/2 gives an object. */
  readonly rawHeaders?: readonly (Buffer | string)[] | Record<string, unknown> | null;
}

type ParsedHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The handler of undici 7 and 8. */
export interface DispatchHandler {
  onRequestStart(controller: DispatchController): void;
  onRequestUpgrade(controller: DispatchController, status: number, headers: ParsedHeaders, socket: Duplex): void;
  onResponseStart(controller: DispatchController, status: number, headers: ParsedHeaders, message?: string): void;
  onResponseData(controller: DispatchController, chunk: Buffer): void;
  onResponseEnd(controller: DispatchController, trailers: ParsedHeaders): void;
  onResponseError(controller: DispatchController | null, error: Error): void;
}

/** Connections to one origin. */
export interface ConnectionPool {
  dispatch(options: DispatchOptions, handler: DispatchHandler): boolean;
  destroy(error?: Error | null): Promise<void>;
}

type Connected = (error: Error | null, socket: Socket | null) => void;
type Connector = (options: object, connected: Connected) => unknown;

interface Undici {
  Pool: new (origin: string, options: object) => ConnectionPool;
  buildConnector(options: object): Connector;
}

let loading: Promise<Undici> | undefined;
let undici: Undici | undefined;

// Not a literal: bundlers leave optional peers out.
const peerName: string = 'undici';

/** Loads undici, once. Rejects with `MissingPeerError`; the next call tries again. */
export function loadTransport(): Promise<unknown> {
  loading ??= loadPeer<Undici>(peerName, '`proxy`', '7').then(
    (loaded) => (undici = loaded),
    (error: unknown) => {
      loading = undefined;
      throw error;
    },
  );
  return loading;
}

/** Whether `openPool` can be called. */
export function isTransportLoaded(): boolean {
  return undici !== undefined;
}

/** Opens a pool of connections. The clocks of undici are off: the proxy has its own. */
export function openPool(
  { origin, isEncrypted }: Target,
  { allowH2 = false, servername, ...tls }: UpstreamTls,
  { connectTimeout, maxConnections }: { readonly connectTimeout: number; readonly maxConnections: number },
): ConnectionPool {
  if (!undici) throw new Error('undici is not loaded');
  const settings = { timeout: connectTimeout, ...(isEncrypted && { allowH2, minVersion: 'TLSv1.2', ...tls }) };
  const connect = undici.buildConnector(settings);
  const name = servername ?? new URL(origin).hostname;
  // RFC 6066 3: an address is no name.
  const sni = isEncrypted && isIP(name.replace(/^\[|\]$/g, '')) === 0 ? name : '';
  const pool = new undici.Pool(origin, {
    connections: maxConnections === Infinity ? null : maxConnections,
    pipelining: 1,
    allowH2,
    connect: withResets((options, connected) => connect({ ...options, servername: sni }, connected)),
    headersTimeout: 0,
    bodyTimeout: 0,
    // Node's servers close an idle connection after 5 s by default: a request that is sent then is lost.
    keepAliveTimeout: 4_000,
  });
  // undici else takes the name from `Host`, which may be the client's, and reconnects whenever it changes.
  return isEncrypted
    ? {
        dispatch: (options, handler) => pool.dispatch({ ...options, servername: name }, handler),
        destroy: (error) => pool.destroy(error),
      }
    : pool;
}

/**
 * Lets a reset be an error also where the end of the connection ends the answer (RFC 9112 8). undici looks at the code,
 * and takes what has come for all of it.
 */
function withResets(connect: Connector): Connector {
  return (options, connected) =>
    connect(options, (error, socket) => {
      socket?.on('error', renameReset);
      connected(error, socket);
    });
}

function renameReset(error: NodeJS.ErrnoException): void {
  // What undici calls a connection that the other side has closed.
  if (error.code === 'ECONNRESET') error.code = 'UND_ERR_SOCKET';
}

/** The header lines of an answer, as name, value, name, value … */
export function headerLines(controller: DispatchController, parsed: ParsedHeaders): string[] {
  const { rawHeaders } = controller;
  if (Array.isArray(rawHeaders)) {
    return (rawHeaders as (Buffer | string)[]).map((each) =>
      typeof each === 'string' ? each : each.toString('latin1'),
    );
  }
  return linesOf(parsed);
}

/** The lines of parsed headers or trailers, as name, value, name, value … */
export function linesOf(parsed: ParsedHeaders): string[] {
  return Object.entries(parsed).flatMap(([name, values]) => [values ?? []].flat().flatMap((value) => [name, value]));
}
