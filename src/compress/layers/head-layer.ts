import type { ServerResponse } from 'node:http';
import { type HttpRequest, requestField } from '../../internal/http/message.ts';
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
import type { Seam } from '../../internal/seam/response.ts';
import { bytesOf } from '../codecs/checked-stream.ts';
import type { Compressor } from '../compressor.ts';
import { reportBytes, reportCompressError } from '../events.ts';
import { type Decision, decideCompression, type EncodeDecision, type IdentityReason } from '../policy/decide.ts';
import { BodyLayer } from './body-layer.ts';
import { encodeBody, openEncoder } from './engines.ts';
import { HeadFields } from './head-fields.ts';
import { readFacts, type ResponseFacts } from './response-facts.ts';

/**
 * Waits for the head of a response and decides about its body. A body that comes whole is encoded on the spot, for
 * others a layer takes its place.
 */
export class HeadLayer extends Layer {
  override readonly rank: Rank = rank.compress;
  override readonly kind: LayerKind = 'encoder';
  readonly #compressor: Compressor;
  readonly #req: HttpRequest;
  readonly #seam: Seam;
  /** `If-None-Match` as the client sent it, before a suffix was taken off. */
  readonly ifNoneMatch: string | undefined;
  /** The filter, or other code of the application, threw: what is sent instead goes out as it is. */
  #hasFailed = false;
  /** The body as it will be sent, between head and end. */
  #coded: { readonly bytes: Uint8Array; readonly coding: string; readonly textBytes: number } | undefined;

  /** @param before - the layer whose place it takes */
  constructor(compressor: Compressor, req: HttpRequest, seam: Seam, before?: HeadLayer) {
    super();
    this.#compressor = compressor;
    this.#req = req;
    this.#seam = seam;
    this.ifNoneMatch = before ? before.ifNoneMatch : requestField(req, 'if-none-match');
  }

  override head({ res: response, complete }: Head): HeadOutcome {
    const res = response as ServerResponse;
    if (this.#hasFailed) return keep;
    const body = complete && bytesOf(complete.chunk ?? new Uint8Array(), complete.encoding);
    const { facts, decision } = this.#decide(res, body);
    const fields = new HeadFields(this.#compressor, this.#req, res, facts);
    if (decision.negotiable) fields.addVary();
    if (decision.kind === 'encode') return this.#encode(facts, decision, fields, body);
    return this.#leavePlain(decision.reason, fields);
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    const coded = this.#coded;
    this.#coded = undefined;
    if (!coded) {
      this.below.end(chunk, encoding, callback);
      return;
    }
    reportBytes(this.#req, coded.coding, coded.textBytes, coded.bytes.length);
    this.below.end(coded.bytes, undefined, callback);
  }

  #decide(res: ServerResponse, body: Uint8Array | undefined): { facts: ResponseFacts; decision: Decision } {
    const { noTransformByWriter } = this.#seam;
    this.#hasFailed = true;
    const facts = readFacts({ compressor: this.#compressor, req: this.#req, res, body, noTransformByWriter });
    const decision = decideCompression(facts);
    this.#hasFailed = false;
    return { facts, decision };
  }

  #leavePlain(reason: IdentityReason, fields: HeadFields): HeadOutcome {
    const describes = reason === 'not-modified' || reason === 'head';
    const undo = describes || this.#compressor.options.serverTiming ? fields.remember() : undefined;
    if (reason === 'not-modified') fields.tagNotModified(this.ifNoneMatch);
    else if (reason === 'head') fields.describeGet();
    fields.report('identity', reason);
    return undo ? { kind: 'keep', undo } : keep;
  }

  #encode(
    facts: ResponseFacts,
    decision: EncodeDecision,
    fields: HeadFields,
    body: Uint8Array | undefined,
  ): HeadOutcome {
    const restore = fields.remember();
    const job = { seam: this.#seam, compressor: this.#compressor, facts, decision, fields };
    try {
      const made = body && decision.codec.encode ? encodeBody(job, body) : openEncoder(job);
      if (made instanceof Layer) return takePlace(made, restore);
      this.#coded = made && { bytes: made, coding: decision.coding, textBytes: body?.length ?? 0 };
    } catch (error) {
      // Nothing is sent yet: it goes out as it is.
      restore();
      reportCompressError(error, this.#req);
      fields.report('identity', 'codec-failed');
    }
    return { kind: 'keep', undo: () => this.#withdraw(restore) };
  }

  #withdraw(restore: () => void): void {
    this.#coded = undefined;
    restore();
  }
}

function takePlace(layer: ReturnType<typeof openEncoder> | BodyLayer, restore: () => void): HeadOutcome {
  const undo = (): void => {
    layer.close();
    restore();
  };
  return { kind: layer instanceof BodyLayer ? 'hold' : 'become', layer, undo };
}
