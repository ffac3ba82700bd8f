import type { ServerResponse } from 'node:http';
import { mediaTypeOf } from '../../internal/http/accept.ts';
import { responseField } from '../../internal/http/headers.ts';
import { type HttpRequest, requestField } from '../../internal/http/message.ts';
import type { BodyKind } from '../codec.ts';
import type { Compressor } from '../compressor.ts';
import type { CodecSet } from '../control/codec-set.ts';
import type { SwitchState } from '../control/switch.ts';
import { isCompressible, isEventStream } from '../policy/compressible.ts';
import type { CompressionFacts } from '../policy/decide.ts';
import { fingerprint } from '../policy/fingerprint.ts';

/** One response at the moment of its head. The switch, the profile and the tier are read here, once. */
export interface ResponseFacts extends CompressionFacts {
  readonly state: SwitchState;
  readonly codecSet: CodecSet;
}

/** What to read the facts of a response from. */
export interface FactSources {
  readonly compressor: Compressor;
  readonly req: HttpRequest;
  readonly res: ServerResponse;
  /** The body, where it comes whole. */
  readonly body: Uint8Array | undefined;
  readonly noTransformByWriter: boolean;
}

/** Reads the facts. Throws what the filter throws. */
export function readFacts({ compressor, req, res, body, noTransformByWriter }: FactSources): ResponseFacts {
  const { options, tier } = compressor;
  const state = compressor.switch.current;
  const codecSet = compressor.codecSetOf(state.profile);
  const mediaType = mediaTypeOf(responseField(res, 'content-type'));
  const { types } = options.streams;
  const kind = body ? 'complete' : isEventStream(mediaType, types) ? 'event-stream' : 'long';
  return {
    state,
    codecSet,
    method: req.method,
    status: res.statusCode,
    field: (name) => responseField(res, name),
    noTransformByWriter,
    length: body && req.method !== 'HEAD' ? body.length : announcedLength(res),
    threshold: codecSet.threshold,
    filtered: options.filter ? !options.filter(req, res) : !isCompressible(mediaType) && !types.includes(mediaType),
    enabled: state.enabled,
    tier,
    acceptEncoding: requestField(req, 'accept-encoding'),
    enforceEncoding: options.enforceEncoding,
    family: fingerprint(req).family,
    kind,
    codecs: compressor.candidates(codecSet, kind),
    hasBudget: budgetFor(compressor, kind),
  };
}

/** A body that the GET may have for which a HEAD stands. */
export type BodyOfGet = Pick<ResponseFacts, 'kind' | 'length'>;

/** The facts of that GET. */
export function factsOfGet(compressor: Compressor, facts: ResponseFacts, { kind, length }: BodyOfGet): ResponseFacts {
  const codecs = compressor.candidates(facts.codecSet, kind);
  return { ...facts, method: 'GET', kind, length, codecs, hasBudget: budgetFor(compressor, kind) };
}

function budgetFor({ budget, options }: Compressor, kind: BodyKind): CompressionFacts['hasBudget'] {
  if (kind === 'complete') return true;
  const { history } = options.streams;
  return (codec) => budget.hasRoom(kind === 'long' ? codec.streamMemory : codec.blockMemory?.(history));
}

function announcedLength(res: ServerResponse): number | undefined {
  const length = responseField(res, 'content-length');
  return length !== undefined && /^\d+$/.test(length) ? Number(length) : undefined;
}
