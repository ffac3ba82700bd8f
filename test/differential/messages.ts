/** A response as it came over the wire. */
export interface Message {
  /** Heads of 1xx before it. */
  readonly interim: readonly string[];
  readonly statusLine: string;
  /** In the order of their names, which are as they were written. Without `Date`. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  readonly trailers: readonly string[];
  /** Whether the end of the body came. */
  readonly complete: boolean;
  /** All that came behind the head, up to the next message. */
  readonly raw: Buffer;
}

/** What came on a connection of HTTP/1, as a lenient client reads it. */
export interface Reading {
  readonly messages: readonly Message[];
  /** What is behind the last message that makes sense. */
  readonly rest: Buffer;
}

/** A field as text, or `undefined`. */
export function fieldOf(message: Message | undefined, name: string): string | undefined {
  const values = message?.fields.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value);
  return values?.length ? values.join(', ') : undefined;
}

/** @param methods - of the requests, in order. */
export function readMessages(received: Buffer, methods: readonly string[], hasEnded: boolean): Reading {
  const messages: Message[] = [];
  let at = 0;
  for (const method of methods) {
    const head = readHead(received, at);
    if (!head) break;
    const last = messages.at(-1);
    // What is behind it is another's.
    if (last) messages[messages.length - 1] = { ...last, raw: last.body };
    const { end, ...body } = readBody(received, { ...head, method, hasEnded });
    messages.push({
      interim: head.interim,
      statusLine: head.statusLine,
      fields: head.fields,
      ...body,
      raw: received.subarray(head.end),
    });
    at = end;
    if (!body.complete) break;
  }
  return { messages, rest: received.subarray(at) };
}

interface Head extends Pick<Message, 'interim' | 'statusLine' | 'fields'> {
  readonly status: number;
  readonly end: number;
}

function readHead(received: Buffer, start: number): Head | undefined {
  const interim: string[] = [];
  for (let at = start; ;) {
    const end = received.indexOf('\r\n\r\n', at, 'latin1');
    if (end < 0) return undefined;
    const [statusLine = '', ...lines] = received.toString('latin1', at, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(statusLine)?.[1] ?? NaN);
    if (Number.isNaN(status)) return undefined;
    at = end + 4;
    if (status >= 200 || status === 101) return { interim, statusLine, status, fields: readFields(lines), end: at };
    interim.push([statusLine, ...readFields(lines).map((pair) => pair.join(': '))].join('|'));
  }
}

function readFields(lines: readonly string[]): (readonly [string, string])[] {
  return lines
    .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()] as const)
    .filter(([name]) => name.toLowerCase() !== 'date')
    .map(([name, value]): readonly [string, string] => [
      name,
      name.toLowerCase() === 'keep-alive' ? value.replace(/\d+/, 'N') : value,
    ])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

interface Body extends Pick<Message, 'body' | 'complete' | 'trailers'> {
  readonly end: number;
}

function readBody(received: Buffer, head: Head & { method: string; hasEnded: boolean }): Body {
  const { method, status, fields, end: at, hasEnded } = head;
  if (method === 'HEAD' || status === 204 || status === 304 || status === 101)
    return { body: Buffer.alloc(0), trailers: [], complete: true, end: at };
  const field = (name: string): string | undefined => fields.find(([each]) => each.toLowerCase() === name)?.[1];
  if (/chunked/i.test(field('transfer-encoding') ?? '')) return readChunks(received, at);
  const length = field('content-length');
  if (length === undefined)
    return { body: received.subarray(at), trailers: [], complete: hasEnded, end: received.length };
  const end = at + Number(length);
  return {
    body: received.subarray(at, end),
    trailers: [],
    complete: received.length >= end,
    end: Math.min(end, received.length),
  };
}

function readChunks(received: Buffer, start: number): Body {
  const pieces: Buffer[] = [];
  const cut = (): Body => ({ body: Buffer.concat(pieces), trailers: [], complete: false, end: received.length });
  for (let at = start; ;) {
    const lineEnd = received.indexOf('\r\n', at, 'latin1');
    if (lineEnd < 0) return cut();
    const size = received.toString('latin1', at, lineEnd);
    if (!/^[0-9a-f]+$/i.test(size)) {
      pieces.push(Buffer.from('<bad chunk>'));
      return cut();
    }
    const length = Number.parseInt(size, 16);
    const from = lineEnd + 2;
    if (length === 0) return readTrailers(received, from, Buffer.concat(pieces)) ?? cut();
    pieces.push(received.subarray(from, Math.min(received.length, from + length)));
    if (received.length < from + length + 2) return cut();
    at = from + length + 2;
  }
}

function readTrailers(received: Buffer, from: number, body: Buffer): Body | undefined {
  if (received.toString('latin1', from, from + 2) === '\r\n')
    return { body, trailers: [], complete: true, end: from + 2 };
  const end = received.indexOf('\r\n\r\n', from, 'latin1');
  return end < 0
    ? undefined
    : { body, trailers: received.toString('latin1', from, end).split('\r\n').sort(), complete: true, end: end + 4 };
}
