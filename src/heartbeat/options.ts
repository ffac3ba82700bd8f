import { InvalidOptionError } from '../errors.ts';
import { longestDelay } from '../internal/time/clock.ts';
import { mediaTypeOf } from '../internal/http/accept.ts';
import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import { type Duration, readBag, readDuration, readFunction, readInteger, readOneOf } from '../internal/option.ts';
import { type CommentStyle, commentStyles, formatEvent } from '../internal/format/event-stream.ts';
import { formatBeat, formatOf, formatVisible, type StreamFormat } from '../internal/format/keep-alive.ts';
import {
  type BoundaryTracker,
  EventBoundary,
  LineBoundary,
  SequenceBoundary,
  WriteBoundary,
} from '../internal/format/boundary.ts';
import { encodeHeartbeat } from '../internal/format/frame.ts';
import {
  type HealthOptions,
  readSpan,
  type ResolvedHealthOptions,
  resolveHealthOptions,
} from '../internal/health/options.ts';
import type { HeartbeatFormat } from './policy/injection.ts';
import type { DrainMode } from './policy/resumption.ts';
import { LengthPrefixBoundary, type LengthPrefixOptions } from '../internal/format/length-prefix-boundary.ts';

/** Options of `heartbeat`. */
export interface HeartbeatOptions extends HealthOptions {
  /** Further bytes of each heartbeat, for proxies that hold small pieces back: 0 to 8,192. @defaultValue `0` */
  padding?: number;
  /**
   * The name of an event, with empty data, that clients get in place of a comment, which they skip. @defaultValue none
   */
  event?: string;
  /**
   * How comments and retry hints are written into event streams. `'line'`: as lines, so that no blank line comes
   * without an event: some clients take each for a message. `'block'`: with a blank line behind each, for readers that
   * split the stream at blank lines.
   * @defaultValue `'line'`
   */
  comments?: CommentStyle;
  /**
   * A record that readers of NDJSON and JSON sequences get in place of an empty line or element, which they skip.
   * @defaultValue none
   */
  record?: unknown;
  /**
   * Media types of binary streams whose readers know the frame of `encodeHeartbeat`, and where one of their own
   * messages ends: `'write'`, with each `res.write`, or by a length in front of each.
   * @defaultValue none
   */
  frames?: Record<string, 'write' | LengthPrefixOptions>;
  /**
   * How long a handler may produce nothing before its stream is closed with the reason `idle`. Heartbeats do not count:
   * they would hide a producer that hangs.
   * @defaultValue `Infinity`
   */
  idleProducer?: Duration;
  /**
   * Whether a stream gets heartbeats and is watched. What it throws is published on `sluice:heartbeat:error`, and means
   * no. @defaultValue every stream
   */
  // A method, so that functions typed for a framework's request fit.
  filter?(req: HttpRequest, res: HttpResponse): boolean;
  /**
   * What a drain of `lifecycle` does with event streams that are not made by `sse`. `'auto'`: one that answers a GET is
   * told to come back once it has sent an event with an id, or if its client came with one; any other runs to its end.
   * `'resumable'`: all that answer a GET are told. `'finite'`: none is.
   * @defaultValue `'auto'`
   */
  drain?: DrainMode;
  /**
   * The retry hint to event sources that are sent away or refused, spread evenly between half and one and a half times
   * this. At least 1 ms. @defaultValue `'2s'`
   */
  reconnectDelay?: Duration;
  /**
   * The `Retry-After` of a refused request, spread in the same way; sent as whole seconds, at least 1. @defaultValue
   * `'5s'`
   */
  retryAfter?: Duration;
}

/** `HeartbeatOptions` with every default filled in. */
export interface ResolvedHeartbeatOptions extends ResolvedHealthOptions {
  readonly formatOf: (mediaType: string) => HeartbeatFormat | undefined;
  readonly filter: ((req: HttpRequest, res: HttpResponse) => boolean) | undefined;
  readonly drain: DrainMode;
  readonly reconnectDelay: number;
  readonly comments: CommentStyle;
  readonly retryAfter: number;
}

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveHeartbeatOptions(given: HeartbeatOptions | undefined): ResolvedHeartbeatOptions {
  const options = readBag('heartbeat', given);
  return {
    ...resolveHealthOptions('heartbeat', options),
    idleProducer: readSpan('heartbeat.idleProducer', options.idleProducer ?? Infinity),
    formatOf: makeFormats(options),
    filter: readFunction('heartbeat.filter', options.filter),
    drain: readOneOf('heartbeat.drain', options.drain ?? 'auto', ['auto', 'resumable', 'finite']),
    comments: readOneOf('heartbeat.comments', options.comments ?? 'line', commentStyles),
    reconnectDelay: readDuration('heartbeat.reconnectDelay', options.reconnectDelay ?? '2s', {
      min: 1,
      max: longestDelay,
    }),
    retryAfter: readDuration('heartbeat.retryAfter', options.retryAfter ?? '5s', { max: longestDelay }),
  };
}

const boundaries: Readonly<Record<StreamFormat, () => BoundaryTracker>> = {
  'event-stream': () => new EventBoundary(),
  ndjson: () => new LineBoundary(),
  'json-seq': () => new SequenceBoundary(),
};

function makeFormats(options: HeartbeatOptions): (mediaType: string) => HeartbeatFormat | undefined {
  const padding = readInteger('heartbeat.padding', options.padding ?? 0, { max: 8192 });
  const formats: Readonly<Record<StreamFormat, HeartbeatFormat>> = {
    'event-stream': makeFormat('event-stream', readEvent(options, padding)),
    ndjson: makeFormat('ndjson', readRecord('ndjson', options.record, padding)),
    'json-seq': makeFormat('json-seq', readRecord('json-seq', options.record, padding)),
  };
  const framed = readFrames(options.frames);
  return (mediaType) => {
    const format = formatOf(mediaType);
    return framed.get(mediaType) ?? (format && formats[format]);
  };
}

function makeFormat(format: StreamFormat, heartbeat: string): HeartbeatFormat {
  return { heartbeat, makeBoundary: boundaries[format], isEventStream: format === 'event-stream' };
}

function readEvent({ event, comments = 'line' }: HeartbeatOptions, padding: number): string {
  try {
    if (event !== undefined) formatEvent({ event });
  } catch {
    throw new InvalidOptionError('heartbeat.event', 'the name of an event', event);
  }
  return formatBeat('event-stream', { padding, event, comments });
}

function readRecord(format: 'ndjson' | 'json-seq', record: unknown, padding: number): string {
  const heartbeat = formatBeat(format, { padding });
  if (record === undefined) return heartbeat;
  try {
    return formatVisible(format, record) + (padding === 0 ? '' : heartbeat);
  } catch {
    throw new InvalidOptionError('heartbeat.record', 'a value that JSON can hold', record);
  }
}

function readFrames(value: HeartbeatOptions['frames']): ReadonlyMap<string, HeartbeatFormat> {
  const frames = readBag('heartbeat.frames', value);
  const bad = Object.keys(frames).find(
    (type) => !/^[^/\s]+\/[^/\s]+$/.test(mediaTypeOf(type)) || formatOf(mediaTypeOf(type)) !== undefined,
  );
  if (bad !== undefined)
    throw new InvalidOptionError('heartbeat.frames', 'an object by media type, of binary streams', bad);
  return new Map(
    Object.entries(frames).map(([type, boundary]) => [
      mediaTypeOf(type),
      {
        heartbeat: encodeHeartbeat(),
        makeBoundary: readBoundary(`heartbeat.frames.${type}`, boundary),
        isEventStream: false,
      },
    ]),
  );
}

function readBoundary(option: string, value: 'write' | LengthPrefixOptions | undefined): () => BoundaryTracker {
  if (value === 'write') return () => new WriteBoundary();
  const options = readBag(option, value) as LengthPrefixOptions;
  // Here, because a bad one must not wait for a response.
  new LengthPrefixBoundary(options, option);
  return () => new LengthPrefixBoundary(options);
}
