import { BodyConsumedError, InvalidOptionError, UnproxiableRequestError } from '../../errors.ts';
import type { RoutedRequest } from '../../internal/http/framework.ts';
import type { HeaderList } from '../../internal/http/header-list.ts';
import type { HttpRequest } from '../../internal/http/message.ts';
import type { ResolvedProxyOptions } from '../options.ts';
import { decideFraming, type Framing } from '../policy/framing.ts';
import { isCleanPath, pathOf } from '../policy/request-target.ts';
import { parsedBody, RequestBody } from './request-body.ts';

/** The body of a request, as the upstream gets it. */
export interface Payload {
  /** `undefined`: none. A `Buffer`: one that a parser has read, written again. */
  readonly body: RequestBody | Buffer | undefined;
  /** In bytes; `undefined`: not known, or no body and no need to say so. */
  readonly length: number | undefined;
}

/**
 * Opens the body of a request.
 * @param headers - as the client sent them
 * @param onProgress - called when a piece of it was read
 * Throws `UnproxiableRequestError` and `BodyConsumedError`.
 */
export function openPayload(req: HttpRequest, headers: HeaderList, keep: number, onProgress: () => void): Payload {
  const framing = framingOf(req, headers);
  if (framing.kind === 'refused') throw new UnproxiableRequestError(framing.why);
  if (framing.kind === 'none') return { body: undefined, length: bodyIsUsual(req.method) ? 0 : undefined };
  if (req.readableDidRead) {
    // Half read, there is no whole to write again.
    const body = req.readableEnded ? parsedBody(req) : undefined;
    if (!body) throw new BodyConsumedError();
    return { body, length: body.length };
  }
  const body = new RequestBody(req, keep, onProgress);
  return { body, length: framing.kind === 'length' ? framing.length : undefined };
}

/**
 * The body of a request to switch protocols: none. Throws `UnproxiableRequestError` for one of HTTP/1.1 that has a
 * body, which Node hands over as bytes of the new protocol.
 */
export function payloadOfUpgrade(req: HttpRequest, headers: HeaderList): Payload {
  if (req.httpVersionMajor < 2 && decideFraming(headers).kind !== 'none') {
    throw new UnproxiableRequestError('it asks to switch protocols and has a body');
  }
  return { body: undefined, length: undefined };
}

function framingOf(req: HttpRequest, headers: HeaderList): Framing {
  if (req.httpVersionMajor < 2) return decideFraming(headers);
  const { stream } = req as { stream?: { endAfterHeaders?: boolean } };
  return decideFraming(headers, { isHttp2: true, endsWithHead: stream?.endAfterHeaders === true });
}

/** Whether a request of this method has a body as a rule. Without one, it says so by a length of 0 (RFC 9110 8.6). */
function bodyIsUsual(method: string | undefined): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH';
}

/**
 * The path and query to ask the upstream for, without the target's. Throws `UnproxiableRequestError`, and
 * `InvalidOptionError` for what `rewrite` returns.
 */
export function upstreamPath(req: HttpRequest, { rewrite }: ResolvedProxyOptions): string {
  const path = pathOf(req.url);
  if (path === undefined) throw new UnproxiableRequestError('its target is not a path');
  if (!isCleanPath(path)) throw new UnproxiableRequestError('its path has characters that HTTP does not allow');
  if (!rewrite) return path;
  const rewritten: unknown = rewrite(path, req as RoutedRequest);
  // What is left of a path whose whole was a prefix that goes: nothing, or a query.
  const clean = typeof rewritten === 'string' ? pathOf(rewritten) : undefined;
  if (clean !== undefined && isCleanPath(clean)) return clean;
  throw new InvalidOptionError('proxy.rewrite', 'a function that returns a path with a slash first', rewritten);
}
