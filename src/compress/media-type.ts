import compressible from 'compressible';

/** The media type of a `Content-Type` field, in lower case and without its parameters; `''` without a field. */
export function mediaTypeOf(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

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
