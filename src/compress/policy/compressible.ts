import compressible from 'compressible';

const streams: readonly string[] = [
  'text/event-stream',
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/x-jsonlines',
  'application/json-seq',
  'application/stream+json',
];

/** Whether each message of such a body has to arrive at once. */
export function isEventStream(mediaType: string, further: readonly string[]): boolean {
  return streams.includes(mediaType) || further.includes(mediaType);
}

/** Whether a type is worth compressing: what `compressible` says, and all streams of messages. */
export function isCompressible(mediaType: string): boolean {
  return mediaType !== '' && (streams.includes(mediaType) || compressible(mediaType) === true);
}
