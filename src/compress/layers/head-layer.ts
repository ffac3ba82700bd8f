import type { ServerResponse } from 'node:http';
import vary from 'vary';
import { isThenable } from '../../internal/deferred.ts';
import { responseField } from '../../internal/http/headers.ts';
import { setLength } from '../../internal/seam/head.ts';
import {
  type Chunk,
  type Head,
  type HeadOutcome,
  keep,
  Layer,
  type LayerKind,
  type Rank,
  rank,
} from '../../internal/seam/layer.ts';
import { mediaTypeOf } from '../../internal/http/accept.ts';
import { type HttpRequest, type HttpResponse, isGone, isHttp2, requestField } from '../../internal/http/message.ts';
import type { Seam } from '../../internal/seam/response.ts';
import { BlockLayer } from './block-layer.ts';
import { BodyLayer } from './body-layer.ts';
import { bytesOf } from '../codecs/checked-stream.ts';
import { isTrusted } from '../codecs/checked-codec.ts';
import type { BodyKind, Codec, EncodeSettings, StreamEncoder, Tier } from '../codec.ts';
import type { Compressor } from '../compressor.ts';
import { type Decision, decideCompression, type EncodeDecision } from '../policy/decide.ts';
import { encodedEtag, matchedEtag } from '../policy/etag.ts';
import { fingerprint } from '../policy/fingerprint.ts';
import { isCompressible, isEventStream } from '../policy/compressible.ts';
import { acceptedCodings } from '../policy/negotiate.ts';
import type { Offer } from '../control/codec-set.ts';
import { type CompressionReason, reportCompressError, compressEvents } from '../events.ts';
import { StreamLayer } from './stream-layer.ts';
import type { SwitchState } from '../control/switch.ts';

const touchedFields = [
  'content-encoding',
  'content-length',
  'transfer-encoding',
  'accept-ranges',
  'etag',
  'server-timing',
];

/** One response at the moment of its head: all that is decided about it is decided from this. */
interface Moment {
  readonly res: ServerResponse;
  readonly state: SwitchState;
  readonly offer: Offer;
  readonly tier: Tier;
  readonly kind: BodyKind;
  readonly mediaType: string;
  /** Whether the filter refused. */
  readonly filtered: boolean;
  /** Bytes of the body, where that is known. */
  readonly size: number | undefined;
}

/**
 * Waits for the head of a response and decides what becomes of its body. A body that comes whole is encoded on the
 * spot, for others a layer takes the gate's place. The switch, the profile and the tier are read here, once.
 */
export class Gate extends Layer {
  override readonly rank: Rank = rank.compress;
  override readonly kind: LayerKind = 'encoder';
  #compressor: Compressor;
  #req: HttpRequest;
  #seam: Seam;
  /** `If-None-Match` as the client sent it, before a suffix was taken off. */
  readonly ifNoneMatch: string | undefined;
  /** The filter, or something else of the user's, threw: it was seen, and what is sent instead goes out as it is. */
  #hasFailed = false;
  /** The body as it will be sent, between head and end. */
  #coded: Uint8Array | undefined;

  /** @param before - the gate whose place it takes */
  constructor(compressor: Compressor, req: HttpRequest, seam: Seam, before?: Gate) {
    super();
    this.#compressor = compressor;
    this.#req = req;
    this.#seam = seam;
    this.ifNoneMatch = before ? before.ifNoneMatch : requestField(req, 'if-none-match');
  }

  override head({ res: response, complete }: Head): HeadOutcome {
    const res = response as ServerResponse;
    // Its 'close' may be over: nothing would end an encoder.
    if (this.#hasFailed || isGone(res)) return keep;
    const body = complete && bytesOfBody(complete);
    const { moment, decision } = this.#decideOnce(res, body);
    if (decision.negotiable) addVary(res);
    if (decision.kind === 'identity') {
      const describes = decision.reason === 'not-modified' || decision.reason === 'head';
      const undo = describes || this.#compressor.options.serverTiming ? rememberFields(res) : undefined;
      if (decision.reason === 'not-modified') this.#tagNotModified(moment);
      else if (decision.reason === 'head') this.#describeGet(moment);
      this.#report(moment, 'identity', decision.reason);
      return undo ? { kind: 'keep', undo } : keep;
    }
    const restoreFields = rememberFields(res);
    try {
      const outcome =
        body && decision.codec.encode
          ? this.#encodeBody(moment, decision, body)
          : { kind: 'become' as const, layer: this.#openEncoder(moment, decision) };
      const undo = (): void => {
        this.#coded = undefined;
        if ('layer' in outcome) outcome.layer.close?.();
        restoreFields();
      };
      return { ...outcome, undo };
    } catch (error) {
      // Nothing is sent yet: it goes out as it is.
      restoreFields();
      reportCompressError(error, this.#req);
      this.#report(moment, 'identity', 'codec-failed');
      return { kind: 'keep', undo: restoreFields };
    }
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    const coded = this.#coded;
    this.#coded = undefined;
    if (coded) this.below.end(coded, undefined, callback);
    else this.below.end(chunk, encoding, callback);
  }

  #decideOnce(res: ServerResponse, body: Uint8Array | undefined): { moment: Moment; decision: Decision } {
    this.#hasFailed = true;
    const moment = this.#read(res, body);
    const decision = this.#decide(moment, this.#req.method);
    this.#hasFailed = false;
    return { moment, decision };
  }

  #read(res: ServerResponse, body: Uint8Array | undefined): Moment {
    const compressor = this.#compressor;
    const state = compressor.switch.current;
    const mediaType = mediaTypeOf(responseField(res, 'content-type'));
    const kind = body
      ? 'complete'
      : isEventStream(mediaType, compressor.options.streams.types)
        ? 'event-stream'
        : 'long';
    const { filter, streams } = compressor.options;
    const filtered = filter ? !filter(this.#req, res) : !isWorthIt(mediaType, streams.types);
    return {
      res,
      state,
      offer: compressor.offerOf(state.profile),
      tier: compressor.tier,
      kind,
      mediaType,
      filtered,
      size: body && this.#req.method !== 'HEAD' ? body.length : announcedLength(res),
    };
  }

  #decide({ res, state, offer, tier, kind, filtered, size }: Moment, method: string | undefined): Decision {
    const { options, budget } = this.#compressor;
    return decideCompression({
      method,
      status: res.statusCode,
      field: (name) => responseField(res, name),
      noTransformByWriter: this.#seam.noTransformByWriter,
      length: size,
      threshold: offer.threshold,
      kind,
      filtered,
      enabled: state.enabled,
      tier,
      acceptEncoding: requestField(this.#req, 'accept-encoding'),
      codecs: this.#compressor.candidates(offer, kind),
      enforceEncoding: options.enforceEncoding,
      family: fingerprint(this.#req).family,
      hasBudget:
        kind === 'complete' ||
        ((codec) =>
          budget.hasRoom(kind === 'long' ? codec.streamMemory : codec.blockMemory?.(options.streams.history))),
    });
  }

  #encodeBody(moment: Moment, { codec, coding }: EncodeDecision, body: Uint8Array): HeadOutcome {
    const settings = this.#settings(moment);
    const coded = encodeWhole(codec, body, settings);
    if (!isThenable(coded)) {
      if (this.#completeHead(moment, coding, body, coded)) this.#coded = coded;
      return keep;
    }
    const compressor = this.#compressor;
    const started = performance.now();
    const layer = new BodyLayer({
      seam: this.#seam,
      body: coded,
      size: body.length,
      release: compressor.budget.take(body.length),
      completeHead: (bytes) => {
        compressor.observe(body.length, performance.now() - started);
        if (!bytes) this.#report(moment, 'identity', 'codec-failed');
        else if (this.#completeHead(moment, coding, body, bytes)) return bytes;
        setLength(moment.res, body.length);
        return body;
      },
    });
    return { kind: 'hold', layer };
  }

  /** Puts the outcome into the head. `false`: it became no shorter, and nothing is changed. */
  #completeHead(moment: Moment, coding: string, body: Uint8Array, coded: Uint8Array): boolean {
    if (coded.length >= body.length && !this.#compressor.options.randomPadding) {
      this.#report(moment, 'identity', 'no-gain');
      return false;
    }
    this.#setFields(moment, coding);
    setLength(moment.res, coded.length);
    return true;
  }

  #openEncoder(moment: Moment, { codec, coding }: EncodeDecision): Layer {
    const { kind, offer } = moment;
    const compressor = this.#compressor;
    const { observe, options } = compressor;
    const settings = this.#settings(moment);
    // First: what follows is nothing that could fail.
    const blocks =
      kind === 'event-stream' ? codec.createBlocks?.({ ...settings, history: options.streams.history }) : undefined;
    if (blocks) {
      const tuning = offer.live && blocks.retune ? () => compressor.tuningFor(coding) : undefined;
      const release = compressor.budget.take(blocks.memory);
      return this.#describe(
        moment,
        coding,
        new BlockLayer({
          seam: this.#seam,
          encoder: blocks,
          tuning,
          observe,
          release,
          directly: options.streams.directChunks,
        }),
      );
    }
    // One of the user's may fail: it is made before the head promises it. Others are made when there is text for them.
    const encoder = isTrusted(codec) ? undefined : openStream(codec, settings);
    let release = compressor.budget.take(encoder?.memory ?? codec.streamMemory ?? 0);
    const recount = (bytes: number): void => {
      release();
      release = compressor.budget.take(bytes);
    };
    return this.#describe(
      moment,
      coding,
      new StreamLayer({
        seam: this.#seam,
        encoder,
        open: () => {
          const opened = openStream(codec, settings);
          recount(opened.memory);
          return opened;
        },
        encodeWhole:
          codec.encode &&
          ((body) => {
            recount(body.length);
            return encodeWhole(codec, body, { ...settings, size: body.length });
          }),
        release: () => release(),
        idleFlush: options.idleFlush,
        observe,
      }),
    );
  }

  /** Sets the fields for a layer that encodes. A patch of `res` may throw: then nothing is left open. */
  #describe(moment: Moment, coding: string, layer: BlockLayer | StreamLayer): Layer {
    try {
      this.#setFields(moment, coding);
    } catch (error) {
      layer.close();
      throw error;
    }
    return layer;
  }

  #settings({ tier, size }: Moment): EncodeSettings {
    return { tier, size, padding: this.#compressor.drawPadding() };
  }

  #setFields(moment: Moment, coding: string): void {
    const { res } = moment;
    res.setHeader('Content-Encoding', coding);
    this.#describeEncoded(res, coding);
    this.#report(moment, coding, 'negotiated');
  }

  #describeEncoded(res: ServerResponse, coding: string): void {
    res.removeHeader('Content-Length');
    // Ranges would be of the bytes as they are coded now, which nobody can make a second time.
    res.removeHeader('Accept-Ranges');
    const etag = responseField(res, 'etag');
    if (etag !== undefined) setEtag(res, encodedEtag(etag, coding, this.#compressor.options.etag));
  }

  /**
   * Where a GET would be encoded, HEAD must not give the length and the tag of something else (RFC 9110 8.6, 9.3.2).
   */
  #describeGet(moment: Moment): void {
    // Whether its body would come whole is not known: `sendFile` has none here, and pieces there.
    const kinds: readonly BodyKind[] = moment.kind === 'event-stream' ? ['event-stream'] : ['complete', 'long'];
    const decisions = kinds.map((kind) => this.#decide({ ...moment, kind }, 'GET'));
    const codings = new Set(decisions.map((decision) => (decision.kind === 'encode' ? decision.coding : undefined)));
    const [coding, other] = [...codings].filter((each) => each !== undefined);
    if (coding === undefined) return;
    const isFramed = moment.res.hasHeader('content-length');
    this.#describeEncoded(moment.res, coding);
    if (isFramed) frameHead(moment.res);
    if (codings.size > 1 && (other === undefined || this.#compressor.options.etag === 'suffix'))
      moment.res.removeHeader('ETag');
  }

  /** A 304 names the variant that the client holds. */
  #tagNotModified({ res, offer }: Moment): void {
    const etag = responseField(res, 'etag');
    if (etag === undefined || this.ifNoneMatch === undefined) return;
    const codings = acceptedCodings(
      requestField(this.#req, 'accept-encoding'),
      offer.codecs.map(({ coding }) => coding),
    );
    setEtag(res, matchedEtag(etag, { ifNoneMatch: this.ifNoneMatch, codings, mode: this.#compressor.options.etag }));
  }

  #report({ res, kind, tier, state }: Moment, coding: string, reason: CompressionReason): void {
    if (this.#compressor.options.serverTiming)
      res.appendHeader('Server-Timing', `compress;desc="${coding === 'identity' ? reason : coding}"`);
    compressEvents.decision.publish({ req: this.#req, coding, reason, kind, tier, version: state.version });
  }
}

/** Returns the undo of what is done to the fields of a response that is encoded. */
function rememberFields(res: ServerResponse): () => void {
  const fields = touchedFields.map((name) => [name, res.getHeader(name)] as const);
  return () => {
    for (const [name, value] of fields) {
      if (value === undefined) res.removeHeader(name);
      else res.setHeader(name, value);
    }
  };
}

function encodeWhole(codec: Codec, body: Uint8Array, settings: EncodeSettings): Uint8Array | Promise<Uint8Array> {
  if (!codec.encode) throw new TypeError(`The codec of ${codec.coding} has no encode`);
  return codec.encode(body, settings);
}

function openStream(codec: Codec, settings: EncodeSettings): StreamEncoder {
  if (!codec.createStream) throw new TypeError(`The codec of ${codec.coding} has no createStream`);
  return codec.createStream(settings);
}

function isWorthIt(mediaType: string, further: readonly string[]): boolean {
  return isCompressible(mediaType) || further.includes(mediaType);
}

function bytesOfBody({ chunk, encoding }: NonNullable<Head['complete']>): Uint8Array {
  return chunk === undefined ? new Uint8Array() : bytesOf(chunk, encoding);
}

function announcedLength(res: ServerResponse): number | undefined {
  const length = responseField(res, 'content-length');
  return length !== undefined && /^\d+$/.test(length) ? Number(length) : undefined;
}

/**
 * Frames the answer to HEAD without a length. Clients that read the framing of any answer close the connection
 * otherwise, Node's own among them (nodejs/node#28438). RFC 9112 6.1 has `chunked` say how a GET would be sent, and
 * allows it from HTTP/1.1 on; to an older client Node keeps the connection where chunks may be used, and names none
 * where there is no body.
 */
function frameHead(res: HttpResponse): void {
  if (isHttp2(res)) return;
  if (res.useChunkedEncodingByDefault) res.setHeader('Transfer-Encoding', 'chunked');
  else res.useChunkedEncodingByDefault = true;
}

function addVary(res: ServerResponse): void {
  // By far the most frequent case, at a tenth of the cost.
  if (res.getHeader('vary') === undefined) res.setHeader('Vary', 'Accept-Encoding');
  else vary(res, 'Accept-Encoding');
}

function setEtag(res: HttpResponse, etag: string | undefined): void {
  if (etag === undefined) (res as ServerResponse).removeHeader('ETag');
  else (res as ServerResponse).setHeader('ETag', etag);
}
