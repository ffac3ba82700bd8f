import type { ServerResponse } from 'node:http';
import vary from 'vary';
import { responseField } from '../../internal/http/headers.ts';
import { type HttpRequest, isHttp2 } from '../../internal/http/message.ts';
import type { Compressor } from '../compressor.ts';
import { compressEvents, type CompressionReason } from '../events.ts';
import { decideCompression } from '../policy/decide.ts';
import { encodedEtag, matchedEtag } from '../policy/etag.ts';
import { acceptedCodings } from '../policy/negotiate.ts';
import { type BodyOfGet, factsOfGet, type ResponseFacts } from './response-facts.ts';

const touchedFields = [
  'content-encoding',
  'content-length',
  'transfer-encoding',
  'accept-ranges',
  'etag',
  'server-timing',
];

/** Writes a decision into the head of one response, and publishes it. */
export class HeadFields {
  readonly #compressor: Compressor;
  readonly #req: HttpRequest;
  readonly #res: ServerResponse;
  readonly #facts: ResponseFacts;

  constructor(compressor: Compressor, req: HttpRequest, res: ServerResponse, facts: ResponseFacts) {
    this.#compressor = compressor;
    this.#req = req;
    this.#res = res;
    this.#facts = facts;
  }

  /** Returns what puts the fields back as they are now. */
  remember(): () => void {
    const res = this.#res;
    const values = touchedFields.map((name) => res.getHeader(name));
    return () => {
      for (const [index, name] of touchedFields.entries()) {
        const value = values[index];
        if (value === undefined) res.removeHeader(name);
        else res.setHeader(name, value);
      }
    };
  }

  addVary(): void {
    // By far the most frequent case, at a tenth of the cost.
    if (this.#res.getHeader('vary') === undefined) this.#res.setHeader('Vary', 'Accept-Encoding');
    else vary(this.#res, 'Accept-Encoding');
  }

  setCoding(coding: string, isCached = false): void {
    this.#res.setHeader('Content-Encoding', coding);
    this.#describeEncoded(coding);
    this.report(coding, 'negotiated', isCached);
  }

  report(coding: string, reason: CompressionReason, cached = false): void {
    const { kind, tier, state } = this.#facts;
    if (this.#compressor.options.serverTiming)
      this.#res.appendHeader('Server-Timing', `compress;desc="${coding === 'identity' ? reason : coding}"`);
    compressEvents.decision.publish({ req: this.#req, coding, reason, kind, tier, version: state.version, cached });
  }

  /**
   * Where a GET would be encoded, HEAD must not give the length and the tag of something else (RFC 9110 8.6, 9.3.2).
   */
  describeGet(): void {
    const res = this.#res;
    const compressor = this.#compressor;
    const decisions = this.#bodiesOfGet().map((body) => decideCompression(factsOfGet(compressor, this.#facts, body)));
    const codings = new Set(decisions.map((decision) => (decision.kind === 'encode' ? decision.coding : undefined)));
    const [coding, other] = [...codings].filter((each) => each !== undefined);
    if (coding === undefined) return;
    const isFramed = res.hasHeader('content-length');
    this.#describeEncoded(coding);
    if (isFramed) frameHead(res);
    if (codings.size > 1 && (other === undefined || compressor.options.etag === 'suffix')) res.removeHeader('ETag');
  }

  /** A 304 names the variant that the client holds. @param ifNoneMatch - as the client sent it */
  tagNotModified(ifNoneMatch: string | undefined): void {
    const etag = responseField(this.#res, 'etag');
    if (etag === undefined || ifNoneMatch === undefined) return;
    const { acceptEncoding, codecSet } = this.#facts;
    const codings = acceptedCodings(
      acceptEncoding,
      codecSet.codecs.map(({ coding }) => coding),
    );
    this.#setEtag(matchedEtag(etag, { ifNoneMatch, codings, mode: this.#compressor.options.etag }));
  }

  /** Whether its body would come whole is not known, since `sendFile` has none here and pieces there; nor how long. */
  #bodiesOfGet(): BodyOfGet[] {
    const { kind, length, threshold } = this.#facts;
    if (kind === 'event-stream') return [{ kind, length }];
    const least = Math.max(threshold, 1);
    const complete = length === undefined ? [least, Infinity] : [length];
    return [...complete.map((each) => ({ kind: 'complete' as const, length: each })), { kind: 'long', length }];
  }

  #describeEncoded(coding: string): void {
    const res = this.#res;
    res.removeHeader('Content-Length');
    // Ranges would be of the encoded bytes, which cannot be made a second time.
    res.removeHeader('Accept-Ranges');
    const etag = responseField(res, 'etag');
    if (etag !== undefined) this.#setEtag(encodedEtag(etag, coding, this.#compressor.options.etag));
  }

  #setEtag(etag: string | undefined): void {
    if (etag === undefined) this.#res.removeHeader('ETag');
    else this.#res.setHeader('ETag', etag);
  }
}

/**
 * Frames the answer to HEAD without a length. Clients that read the framing of any answer close the connection
 * otherwise, Node's own among them (nodejs/node#28438). RFC 9112 6.1 has `chunked` say how a GET would be sent, and
 * allows it from HTTP/1.1 on; to an older client Node keeps the connection where chunks may be used, and names none
 * where there is no body.
 */
function frameHead(res: ServerResponse): void {
  if (isHttp2(res)) return;
  if (res.useChunkedEncodingByDefault) res.setHeader('Transfer-Encoding', 'chunked');
  else res.useChunkedEncodingByDefault = true;
}
