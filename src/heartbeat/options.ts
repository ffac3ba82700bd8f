import { InvalidOptionError } from '../errors.ts';
import { longestDelay } from '../internal/time/clock.ts';
import { mediaTypeOf } from '../internal/http/accept.ts';
import type { Hook, RoutedRequest, RoutedResponse } from '../internal/http/framework.ts';
import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readBag,
  readDuration,
  readFunction,
  readInteger,
  readOneOf,
  readOptions,
} from '../internal/option.ts';
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
  healthAdvice,
  healthNames,
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
  /** Bytes to add to each heartbeat, for proxies that hold small chunks back: 0 to 8,192. @defaultValue `0` */
  padding?: number | undefined;
  /**
   * The name of an event with empty data, which clients get instead of a comment that they skip. @defaultValue none
   */
  event?: string | undefined;
  /**
   * How comments and retry hints are written into event streams. `'line'`: as lines. No blank line comes without an
   * event, because some clients take each for a message. `'block'`: with a blank line after each, for readers that
   * split the stream at blank lines.
   * @defaultValue `'line'`
   */
  comments?: CommentStyle | undefined;
  /**
   * A record that readers of NDJSON and JSON sequences get instead of an empty line or element that they skip.
   * @defaultValue none
   */
  record?: unknown;
  /**
   * Media types of binary streams whose readers know the frame of `encodeHeartbeat`. The value says where a message
   * ends: `'write'`: with each `res.write`; an object: by the length in front of each message.
   * @defaultValue none
   */
  frames?: Record<string, 'write' | LengthPrefixOptions> | undefined;
  /**
   * How long a handler may write nothing before its stream is closed with the reason `idle`. Heartbeats do not count:
   * they would hide a handler that hangs.
   * @defaultValue `Infinity`
   */
  idleProducer?: Duration | undefined;
  /**
   * Whether a stream gets heartbeats and is watched. If it throws, the stream does not, and the error is published on
   * `sluice:heartbeat:error`. @defaultValue every stream
   */
  filter?: Hook<[req: RoutedRequest, res: RoutedResponse]> | undefined;
  /**
   * What a drain of `lifecycle` does with event streams that `sse` did not make. `'auto'`: a client whose stream
   * answers a GET is told to reconnect, if the stream has sent an event with an id, or the request came with one. Other
   * streams run to their end. `'resumable'`: all clients whose stream answers a GET are told. `'finite'`: none is.
   * @defaultValue `'auto'`
   */
  drain?: DrainMode | undefined;
  /**
   * The retry hint for event sources that are sent away or refused, spread evenly between half and one and a half times
   * this. At least 1 ms. @defaultValue `'2s'`
   */
  reconnectDelay?: Duration | undefined;
  /**
   * The `Retry-After` of a refused request, spread in the same way. Sent as whole seconds, at least 1.
   * @defaultValue `'5s'`
   */
  retryAfter?: Duration | undefined;
}

/** `HeartbeatOptions` with every default filled in. */
export interface ResolvedHeartbeatOptions extends ResolvedHealthOptions {
  readonly formatOf: (mediaType: string) => HeartbeatFormat | undefined;
  readonly filter: ((req: HttpRequest, res: HttpResponse) => unknown) | undefined;
  readonly drain: DrainMode;
  readonly reconnectDelay: number;
  readonly comments: CommentStyle;
  readonly retryAfter: number;
}

const names: OptionNames<HeartbeatOptions> = {
  ...healthNames,
  padding: true,
  event: true,
  comments: true,
  record: true,
  frames: true,
  idleProducer: true,
  filter: true,
  drain: true,
  reconnectDelay: true,
  retryAfter: true,
};

const advice: OptionAdvice = {
  single: 'every',
  instead: {
    ...healthAdvice,
    name: 'event',
    type: 'event',
    message: 'event',
    comment: 'comments',
    data: 'event',
    retry: 'reconnectDelay',
    minInterval: 'It is an option of `watchHttp2`.',
    maxPendingPings: 'It is an option of `watchWebSockets`.',
  },
};

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveHeartbeatOptions(given: HeartbeatOptions | undefined): ResolvedHeartbeatOptions {
  const options = readOptions('heartbeat', given, names, advice);
  return {
    ...resolveHealthOptions('heartbeat', options),
    idleProducer: readSpan('heartbeat.idleProducer', options.idleProducer ?? Infinity),
    formatOf: makeFormats(options),
    filter: readFunction('heartbeat.filter', options.filter) as ResolvedHeartbeatOptions['filter'],
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
  // Checked here, so that a bad option is not found at a response.
  new LengthPrefixBoundary(options, option);
  return () => new LengthPrefixBoundary(options);
}
