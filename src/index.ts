export { type BodyOptions, type BodySource, pipeBody, type WaitOptions, waitWritable } from './body/index.ts';
export * from './errors.ts';
export type { HttpRequest, HttpResponse, Next, RoutedRequest } from './internal/message.ts';
export type { PipeOptions } from './internal/pipe.ts';
export { jsonSeq, ndjson, openJsonSeq, openNdjson, type RecordHandler, type RecordOptions, type RecordStream } from './records/index.ts';
export {
  type AnyEvents,
  type EventInput,
  type EventOf,
  type EventStream,
  openEventStream,
  type Sendable,
  sse,
  type SseHandler,
  type SseOptions,
  type TextOf,
} from './sse/index.ts';
