/** One message of HTTP/1.1, as its bytes say. */
export interface RawMessage {
  /** The request line, or the status line. */
  readonly startLine: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  /** How it is framed; `close`: its end is that of the connection. */
  readonly framing: 'none' | 'length' | 'chunked' | 'close';
  /** Whether all of it is there. Never `true` for one that the end of the connection ends. */
  readonly isComplete: boolean;
}

/** Bytes that no strict reader takes for a message. */
export class FramingError extends Error {}

/** Reads requests as a strict server does. Throws `FramingError`. */
export function readRequests(bytes: string): RawMessage[] {
  return readMessages(bytes, () => false);
}

/** Reads answers as a strict client does, interim ones among them. Throws `FramingError`. @param methods - asked for */
export function readAnswers(bytes: string, methods: readonly string[] = ['GET']): RawMessage[] {
  let finals = 0;
  return readMessages(bytes, (startLine) => {
    const status = statusOf({ startLine });
    const method = status < 200 ? undefined : methods[finals++];
    return status < 200 || status === 204 || status === 304 || method === 'HEAD';
  });
}

export function statusOf({ startLine }: Pick<RawMessage, 'startLine'>): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(startLine)?.[1] ?? 0);
}

/** The values of a field, a line each. */
export function valuesOf({ fields }: Pick<RawMessage, 'fields'>, name: string): string[] {
  return fields.filter(([each]) => each.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

function readMessages(bytes: string, endsWithHead: (startLine: string) => boolean): RawMessage[] {
  const messages: RawMessage[] = [];
  let at = 0;
  while (at < bytes.length) {
    const headEnd = bytes.indexOf('\r\n\r\n', at);
    if (headEnd < 0) break;
    const [startLine = '', ...lines] = bytes.slice(at, headEnd).split('\r\n');
    if (!/^HTTP\/1\.[01] \d{3}( .*)?$|^[!#$%&'*+.^_`|~\w-]+ \S+ HTTP\/1\.1$/.test(startLine)) {
      throw new FramingError(`not the start of a message: ${JSON.stringify(startLine.slice(0, 80))}`);
    }
    const fields = lines.map(readField);
    const body = readBody(bytes, headEnd + 4, { startLine, fields }, endsWithHead(startLine));
    messages.push({ startLine, fields, ...body });
    if (!body.isComplete) break;
    at = body.end;
  }
  return messages;
}

function readField(line: string): [string, string] {
  const match = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*([\t\u0020-\u007e\u0080-\u00ff]*?)[ \t]*$/.exec(line);
  if (!match) throw new FramingError(`not a field: ${JSON.stringify(line.slice(0, 80))}`);
  return [match[1] ?? '', match[2] ?? ''];
}

type Body = Pick<RawMessage, 'body' | 'trailers' | 'framing' | 'isComplete'> & { readonly end: number };

function readBody(bytes: string, start: number, head: Pick<RawMessage, 'startLine' | 'fields'>, isBare: boolean): Body {
  const none: Body = { body: '', trailers: [], framing: 'none', isComplete: true, end: start };
  if (isBare) return none;
  const lengths = valuesOf(head, 'content-length');
  const codings = valuesOf(head, 'transfer-encoding');
  if (lengths.length + codings.length > 1) throw new FramingError('framed twice');
  if (codings.length > 0) {
    if (codings[0]?.toLowerCase() !== 'chunked') throw new FramingError(`a transfer coding ${codings[0] ?? ''}`);
    return readChunks(bytes, start);
  }
  const [length] = lengths;
  if (length !== undefined) {
    if (!/^\d+$/.test(length)) throw new FramingError(`a length of ${length}`);
    const body = bytes.slice(start, start + Number(length));
    const isComplete = body.length === Number(length);
    return { ...none, body, framing: 'length', isComplete, end: start + body.length };
  }
  if (!head.startLine.startsWith('HTTP/')) return none;
  return { ...none, body: bytes.slice(start), framing: 'close', isComplete: false, end: bytes.length };
}

function readChunks(bytes: string, start: number): Body {
  let body = '';
  let at = start;
  const partly = (): Body => ({ body, trailers: [], framing: 'chunked', isComplete: false, end: bytes.length });
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return partly();
    const size = bytes.slice(at, lineEnd);
    if (!/^[\da-f]{1,8}$/i.test(size)) throw new FramingError(`a chunk size ${JSON.stringify(size.slice(0, 40))}`);
    const length = Number.parseInt(size, 16);
    if (length === 0) break;
    const chunk = bytes.slice(lineEnd + 2, lineEnd + 2 + length);
    body += chunk;
    at = lineEnd + 2 + length + 2;
    if (chunk.length < length || bytes.length < at) return partly();
    if (!bytes.startsWith('\r\n', at - 2)) throw new FramingError('a chunk that is longer than it says');
  }
  // The trailers stand between the last chunk's line and an empty one.
  const trailersStart = bytes.indexOf('\r\n', at);
  const end = bytes.indexOf('\r\n\r\n', trailersStart);
  if (end < 0) return partly();
  const lines = bytes.slice(trailersStart + 2, end).split('\r\n');
  const trailers = end === trailersStart ? [] : lines.map(readField);
  return { body, trailers, framing: 'chunked', isComplete: true, end: end + 4 };
}
