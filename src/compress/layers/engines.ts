import { isThenable } from '../../internal/deferred.ts';
import { setLength } from '../../internal/seam/head.ts';
import type { Seam } from '../../internal/seam/response.ts';
import type { BlockEncoder, Codec, EncodeSettings, StreamEncoder } from '../codec.ts';
import { isTrusted } from '../codecs/checked-codec.ts';
import type { Compressor } from '../compressor.ts';
import type { CachedBody } from '../control/body-cache.ts';
import { reportBytes } from '../events.ts';
import type { EncodeDecision } from '../policy/decide.ts';
import { BlockLayer } from './block-layer.ts';
import { BodyLayer } from './body-layer.ts';
import type { HeadFields } from './head-fields.ts';
import type { ResponseFacts } from './response-facts.ts';
import { StreamLayer } from './stream-layer.ts';

/** One response that is to be encoded. */
export interface EncodeJob {
  readonly seam: Seam;
  readonly compressor: Compressor;
  readonly facts: ResponseFacts;
  readonly decision: EncodeDecision;
  readonly fields: HeadFields;
}

/**
 * Encodes a whole body: at once, or in another thread while a layer holds the head. `undefined`: it became no shorter,
 * and the head is as it was. Throws what the codec throws.
 */
export function encodeBody(job: EncodeJob, body: Uint8Array): Uint8Array | BodyLayer | undefined {
  const { seam, compressor, decision, fields } = job;
  const { coded, isCached } = encodeOrFind(job, body);
  if (!isThenable(coded)) return completeHead(job, body, { coded, isCached }) ? coded : undefined;
  const started = performance.now();
  return new BodyLayer({
    seam,
    body: coded,
    size: body.length,
    release: compressor.budget.take(body.length),
    completeHead: (bytes) => {
      if (!isCached) compressor.observe(body.length, performance.now() - started);
      if (!bytes) fields.report('identity', 'codec-failed');
      else if (completeHead(job, body, { coded: bytes, isCached })) {
        reportBytes(seam.res.req, decision.coding, body.length, bytes.length);
        return bytes;
      }
      setLength(seam.res, body.length);
      return body;
    },
  });
}

function encodeOrFind(job: EncodeJob, body: Uint8Array): CachedBody {
  const { compressor, facts, decision } = job;
  const { codec } = decision;
  const settings = settingsOf(job);
  if (!compressor.cache) return { coded: encodeWhole(codec, body, settings), isCached: false };
  const use = { codecSet: facts.codecSet, codec, tier: facts.tier };
  return compressor.cache.encode(use, body, (plain) => encodeWhole(codec, plain, settings));
}

/** Puts the outcome into the head. `false`: the body became no shorter, and nothing is changed. */
function completeHead(
  { seam, compressor, decision, fields }: EncodeJob,
  body: Uint8Array,
  { coded, isCached }: { readonly coded: Uint8Array; readonly isCached: boolean },
): boolean {
  if (coded.length >= body.length && !compressor.options.randomPadding) {
    fields.report('identity', 'no-gain', isCached);
    return false;
  }
  fields.setCoding(decision.coding, isCached);
  setLength(seam.res, coded.length);
  return true;
}

/** Makes the layer for a body in pieces, and sets the head. Throws what the codec or a patch of `res` throws. */
export function openEncoder(job: EncodeJob): BlockLayer | StreamLayer {
  const { compressor, facts, decision, fields } = job;
  const { codec } = decision;
  const settings = settingsOf(job);
  // First: what follows is nothing that could fail.
  const blocks =
    facts.kind === 'event-stream'
      ? codec.createBlocks?.({ ...settings, history: compressor.options.streams.history })
      : undefined;
  const layer = blocks ? blockLayer(job, blocks) : streamLayer(job, settings);
  try {
    fields.setCoding(decision.coding);
    return layer;
  } catch (error) {
    layer.close();
    throw error;
  }
}

function blockLayer({ seam, compressor, facts, decision }: EncodeJob, encoder: BlockEncoder): BlockLayer {
  return new BlockLayer({
    seam,
    coding: decision.coding,
    encoder,
    tuning: facts.codecSet.live && encoder.retune ? () => compressor.tuningFor(decision.coding) : undefined,
    observe: compressor.observe,
    release: compressor.budget.take(encoder.memory),
    directly: compressor.options.streams.directChunks,
  });
}

function streamLayer({ seam, compressor, decision }: EncodeJob, settings: EncodeSettings): StreamLayer {
  const { codec, coding } = decision;
  // One of the user's may fail: it is made before the head promises it. Others are made when there is text for them.
  const encoder = isTrusted(codec) ? undefined : openStream(codec, settings);
  let release = compressor.budget.take(encoder?.memory ?? codec.streamMemory ?? 0);
  const recount = (bytes: number): void => {
    release();
    release = compressor.budget.take(bytes);
  };
  const open = (): StreamEncoder => {
    const opened = openStream(codec, settings);
    recount(opened.memory);
    return opened;
  };
  const encodeInOneGo = (body: Uint8Array): Uint8Array | Promise<Uint8Array> => {
    recount(body.length);
    return encodeWhole(codec, body, { ...settings, size: body.length });
  };
  return new StreamLayer({
    seam,
    coding,
    encoder,
    open,
    encodeWhole: codec.encode && encodeInOneGo,
    release: () => release(),
    idleFlush: compressor.options.idleFlush,
    observe: compressor.observe,
  });
}

function settingsOf({ compressor, facts }: EncodeJob): EncodeSettings {
  return { tier: facts.tier, size: facts.length, padding: compressor.drawPadding() };
}

function encodeWhole(codec: Codec, body: Uint8Array, settings: EncodeSettings): Uint8Array | Promise<Uint8Array> {
  if (!codec.encode) throw new TypeError(`The codec of ${codec.coding} has no encode`);
  return codec.encode(body, settings);
}

function openStream(codec: Codec, settings: EncodeSettings): StreamEncoder {
  if (!codec.createStream) throw new TypeError(`The codec of ${codec.coding} has no createStream`);
  return codec.createStream(settings);
}
