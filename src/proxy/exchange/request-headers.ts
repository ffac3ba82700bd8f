import type { TLSSocket } from 'node:tls';
import type { Context } from '../../internal/context/context.ts';
import { writeTimeout } from '../../deadline/propagate.ts';
import type { RoutedRequest } from '../../internal/http/framework.ts';
import { HeaderList } from '../../internal/http/header-list.ts';
import { hopByHopFields, tokensOf } from '../../internal/http/hop-by-hop.ts';
import type { HttpRequest } from '../../internal/http/message.ts';
import type { ResolvedProxyOptions } from '../options.ts';
import { type ClientFacts, clientAddress, setForwarded, type Trusts } from '../policy/forwarded.ts';
import { countsHops, decideHop } from '../policy/last-hop.ts';
import type { Target } from '../policy/request-target.ts';

/** The headers of a request as the client sent them, in order. */
export function clientHeaders(req: HttpRequest): HeaderList {
  const headers = new HeaderList(req.rawHeaders);
  if (req.httpVersionMajor < 2) return headers;
  headers.keep((name) => !name.startsWith(':'));
  // RFC 9113 8.2.3: over HTTP/2 a cookie may come in several lines, and goes on in one.
  const cookies = headers.getAll('cookie');
  if (cookies.length > 1) headers.set('cookie', cookies.join('; '));
  return headers;
}

/** Who may claim something about the client of this request: by the options, or as Express has it. */
export function trustsOf(req: HttpRequest, options: ResolvedProxyOptions): Trusts {
  return options.trusts ?? trustsOfExpress(req);
}

/** Whom Express trusts (`trust proxy`); without Express, or by its default, no one. */
export function trustsOfExpress(req: HttpRequest): Trusts {
  const { app } = req as { app?: { get?(setting: string): unknown } };
  const ofExpress = typeof app?.get === 'function' ? app.get('trust proxy fn') : undefined;
  return typeof ofExpress === 'function' ? (ofExpress as Trusts) : () => false;
}

/** The address of a request's client, past trusted proxies. */
export function addressOf(req: HttpRequest, trusts: Trusts): string | undefined {
  const { 'x-forwarded-for': forwardedFor } = req.headers;
  return clientAddress(req.socket.remoteAddress, forwardedFor === undefined ? null : String(forwardedFor), trusts);
}

/** What the headers of a request to an upstream are made of. */
export interface RequestParts {
  readonly req: HttpRequest;
  /** As the client sent them. They become the result. */
  readonly headers: HeaderList;
  readonly target: Target;
  /** Bytes of the body; `undefined`: not known, or none. */
  readonly length: number | undefined;
  /** Whether the body is not the client's bytes, but written again. */
  readonly isRewritten: boolean;
  readonly context: Context | undefined;
}

/**
 * Makes the headers that the upstream gets. In this order: what ends at this hop goes, so that the client's
 * `Connection` cannot name what is added later; then the proxy's own; then the rules of the application.
 */
export function requestHeaders(parts: RequestParts, options: ResolvedProxyOptions): HeaderList {
  const { req, headers, target, length, isRewritten, context } = parts;
  const wantsTrailers = headers.getAll('te').some((line) => tokensOf(line).includes('trailers'));
  const hops = hopByHopFields(headers.getAll('connection'));
  headers.keep((name) => !hops.has(name) && name !== 'host' && name !== 'content-length' && name !== 'expect');
  if (isRewritten) headers.delete('content-encoding');
  const facts = factsOf(req);
  headers.append(
    'Host',
    options.host === 'target' ? target.host : options.host === 'client' ? (facts.host ?? target.host) : options.host,
  );
  if (length !== undefined) headers.append('Content-Length', String(length));
  if (wantsTrailers) headers.append('TE', 'trailers');
  if (countsHops(req.method)) {
    const hop = decideHop(req.method, req.url ?? '', headers.getAll('max-forwards'));
    if (hop.kind === 'pass' && hop.maxForwards !== undefined) headers.set('Max-Forwards', String(hop.maxForwards));
  }
  setForwarded(headers, facts, options.forwarded, trustsOf(req, options));
  if (options.via !== undefined) headers.set('Via', joined(headers.get('via'), `${facts.httpVersion} ${options.via}`));
  if (context && options.propagateDeadline) writeTimeout(context, headers, propagation);
  options.requestHeaders?.(headers, req as RoutedRequest);
  return headers;
}

const propagation = { fields: ['grpc-timeout', 'x-request-timeout-ms'], margin: 10 } as const;

function factsOf(req: HttpRequest): ClientFacts {
  const { authority, headers, socket, httpVersionMajor, httpVersionMinor } = req as HttpRequest & {
    authority?: string;
  };
  return {
    peer: socket.remoteAddress,
    host: authority ?? headers.host,
    protocol: (socket as Partial<TLSSocket>).encrypted ? 'https' : 'http',
    httpVersion: `${httpVersionMajor}.${httpVersionMinor}`,
  };
}

function joined(before: string | null, value: string): string {
  return before === null ? value : `${before}, ${value}`;
}

/** Removes the headers of an answer that end at this hop. `Trailer` stays: the proxy passes trailers on. */
export function dropHopByHop(headers: HeaderList): void {
  const hops = hopByHopFields(headers.getAll('connection'));
  if (!headers.names.some((name) => hops.has(name))) return;
  const trailers = headers.getAll('trailer');
  headers.keep((name) => !hops.has(name));
  for (const value of trailers) headers.append('Trailer', value);
}

// RFC 9110 6.5.1: these frame, route or describe the message, and are too late behind it.
const noTrailers = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'host',
  'set-cookie',
]);

/** The trailers that may go on. `undefined`: none. */
export function passableTrailers(trailers: HeaderList | undefined): HeaderList | undefined {
  if (!trailers) return undefined;
  const hops = hopByHopFields([]);
  trailers.keep((name) => !hops.has(name) && !noTrailers.has(name));
  return trailers.flat.length === 0 ? undefined : trailers;
}
