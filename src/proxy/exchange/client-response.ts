import type { ServerResponse } from 'node:http';
import vary from 'vary';
import { mediaTypeOf } from '../../internal/http/accept.ts';
import { describesContent, endsWithHead } from '../../internal/http/body-rules.ts';
import type { HeaderList } from '../../internal/http/header-list.ts';
import { type HttpResponse, isGone, isHttp2, needsDrain } from '../../internal/http/message.ts';
import { closeUnterminated, endResponse } from '../../internal/seam/closing.ts';
import { Layer, type Rank, rank } from '../../internal/seam/layer.ts';
import { openSeam, type Seam } from '../../internal/seam/response.ts';

/** What the response tells the exchange that fills it. */
export interface ClientResponseHost {
  /** The client takes no more for now; or takes more again. */
  clientIsFull(isFull: boolean): void;
  /** The response is closed. @param hasLeft - the client went before the end */
  clientClosed(hasLeft: boolean): void;
}

/** How long what an upstream had sent may take to reach the client before a cut, in ms. */
const linger = 1_000;

/** Takes the writer's place on a response, and tells when it closes. */
class WriterLayer extends Layer {
  override readonly rank: Rank = rank.writer;
  readonly #onClose: () => void;

  constructor(onClose: () => void) {
    super();
    this.#onClose = onClose;
  }

  override close(): void {
    this.#onClose();
  }
}

/**
 * The response to the client. `flush` sends what has come since the last one. Called once for each read of the
 * upstream's connection, it sends a small answer in one piece with its headers, and the events of one read in one
 * chunk. Headers never wait for a body that is not there yet.
 *
 *     open ──start──▶ head ──flush──▶ body ──flush after end──▶ ended
 */
export class ClientResponse {
  readonly #res: HttpResponse;
  readonly #host: ClientResponseHost;
  readonly #seam: Seam;
  readonly #remove: () => void;
  #state: 'open' | 'head' | 'body' | 'ended' = 'open';
  #chunks: Uint8Array[] = [];
  #isEnding = false;
  #headers: HeaderList | undefined;
  #trailers: HeaderList | undefined;
  #isFull = false;
  #hasLength = false;
  #isEventStream = false;

  constructor(res: HttpResponse, host: ClientResponseHost) {
    this.#res = res;
    this.#host = host;
    this.#seam = openSeam(res);
    this.#remove = this.#seam.add(new WriterLayer(() => this.#closed()));
  }

  /** Whether status and headers are fixed. */
  get hasStarted(): boolean {
    return this.#state !== 'open';
  }

  /** Whether the headers have left, and not all of the body. */
  get isUnderWay(): boolean {
    return this.#state === 'body';
  }

  get hasEnded(): boolean {
    return this.#isEnding;
  }

  /** Leaves the response to another answer, without what was set for this one. */
  release(): void {
    const res = this.#res as ServerResponse;
    this.#remove();
    if (res.headersSent) return;
    for (const name of this.#headers?.names ?? []) res.removeHeader(name);
    if (!isHttp2(this.#res)) res.statusMessage = '';
  }

  /** Passes an interim answer on (RFC 9110 15.2): 103 with its links, 102. Never to a client of HTTP/1.0. */
  inform(status: number, headers: HeaderList): void {
    const res = this.#res as ServerResponse;
    if (this.hasStarted || res.headersSent || res.req.httpVersionMajor * 10 + res.req.httpVersionMinor < 11) return;
    if (status === 102 && !isHttp2(this.#res)) res.writeProcessing();
    if (status !== 103 || !headers.has('link')) return;
    // RFC 9110 8.6: it has none, and with one HTTP/2 breaks the stream.
    headers.delete('content-length');
    const hints: Record<string, string | string[]> = {};
    for (const [name] of headers) {
      const values = headers.getAll(name);
      hints[name.toLowerCase()] = values.length === 1 ? (values[0] ?? '') : values;
    }
    try {
      res.writeEarlyHints(hints);
    } catch {
      // Node takes only links of a simple form. A hint may be left out.
    }
  }

  /**
   * Sets status and headers. What the application has set stays, unless the upstream sends it too. Throws what Node
   * throws for a header that HTTP does not allow.
   */
  start(status: number, message: string | undefined, headers: HeaderList): void {
    const res = this.#res as ServerResponse;
    this.#headers = headers;
    setHeaders(res, headers);
    res.statusCode = status;
    if (!isHttp2(this.#res)) res.statusMessage = reasonPhrase(message);
    if (!describesContent(status)) res.removeHeader('Content-Length');
    this.#isEventStream = mediaTypeOf(headers.get('content-type') ?? undefined) === 'text/event-stream';
    this.#hasLength = res.hasHeader('content-length');
    if (!this.#hasLength) this.#seam.bottom.writeDirectly();
    if (endsWithHead(res.req.method, status) || this.#hasLength || !canChunk(this.#res)) res.removeHeader('Trailer');
    this.#state = 'head';
  }

  write(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
  }

  end(trailers: HeaderList | undefined): void {
    this.#isEnding = true;
    this.#trailers = trailers;
  }

  /**
   * Sends what has come straight to the socket, where the same would come of `flush` and nothing else would know of it.
   * `false`: nothing is sent.
   */
  flushDirectly(): boolean {
    const [chunk] = this.#chunks;
    if (this.#state !== 'body' || this.#isEnding || this.#hasLength) return false;
    if (chunk === undefined || this.#chunks.length > 1 || !this.#seam.sendDirect(chunk)) return false;
    this.#chunks.pop();
    return true;
  }

  flush(): void {
    if (this.#state === 'open' || this.#state === 'ended' || isGone(this.#res)) return;
    const res = this.#res as ServerResponse;
    const hasTrailers = this.#trailers !== undefined && !this.#hasLength && canChunk(this.#res);
    const chunk = this.#takeChunks();
    if (this.#state === 'head') {
      this.#state = 'body';
      if (this.#isEnding && !hasTrailers) {
        this.#state = 'ended';
        // With the body at hand a layer, or Node, knows its length.
        if (chunk) res.end(chunk);
        else res.end();
        return;
      }
      this.#seam.flushHeaders();
    }
    if (chunk) this.#send(chunk);
    if (!this.#isEnding) return;
    this.#state = 'ended';
    if (hasTrailers) res.addTrailers([...(this.#trailers ?? [])]);
    endResponse(this.#res);
  }

  /**
   * Breaks the response off, so that its client sees that more was to come. What the upstream had sent goes first.
   * @param lastEvent - sent before that on an event stream
   */
  cut(lastEvent: string | undefined): void {
    const res = this.#res as ServerResponse;
    if (this.#state === 'ended' || isGone(this.#res)) return;
    this.#isEnding = false;
    if (lastEvent !== undefined && this.#isEventStream) this.#chunks.push(Buffer.from(lastEvent));
    this.flush();
    this.#state = 'ended';
    // Without a length or chunks the end of the connection is the end of the body (RFC 9112 6.3): only a reset is none.
    if (!isHttp2(this.#res) && !this.#hasLength && !canChunk(this.#res)) res.socket?.resetAndDestroy();
    else closeUnterminated(this.#res, linger);
  }

  #takeChunks(): Uint8Array | undefined {
    const chunks = this.#chunks;
    if (chunks.length < 2) return chunks.pop();
    this.#chunks = [];
    return Buffer.concat(chunks);
  }

  #send(chunk: Uint8Array): void {
    const res = this.#res as ServerResponse;
    // A patch of `res.write` may forget to return the answer.
    const ok: boolean | undefined = this.#hasLength ? res.write(chunk) : this.#seam.send(chunk);
    if ((ok ?? !needsDrain(this.#res)) || this.#isFull) return;
    this.#isFull = true;
    res.once('drain', () => {
      this.#isFull = false;
      this.#host.clientIsFull(false);
    });
    this.#host.clientIsFull(true);
  }

  #closed(): void {
    this.#host.clientClosed(!this.#res.writableEnded);
  }
}

/** Whether a body without a length is framed in chunks, or in DATA frames, and so may have trailers. */
function canChunk(res: HttpResponse): boolean {
  return isHttp2(res) || res.useChunkedEncodingByDefault;
}

/**
 * The text behind the status as Node takes it: a character a byte, where undici reads UTF-8. `''` stands for Node's
 * own: clients do not read the text (RFC 9112 4), so one that Node refuses is no reason to fail.
 */
function reasonPhrase(message = ''): string {
  if (/^[\t\u0020-\u007e]*$/.test(message)) return message;
  const bytes = Buffer.from(message).toString('latin1');
  return /^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(bytes) && !message.includes('\ufffd') ? bytes : '';
}

// Of these a second line is a mistake of the upstream: Node's HTTP/2 refuses it, and clients differ.
const singleFields = new Set([
  'content-type',
  'content-length',
  'content-range',
  'date',
  'etag',
  'location',
  'retry-after',
]);

function setHeaders(res: ServerResponse, headers: HeaderList): void {
  const { names, flat } = headers;
  for (let at = 0; at < names.length; at += 1) {
    const [key = '', name = '', value = ''] = [names[at], flat[2 * at], flat[2 * at + 1]];
    if (key === 'set-cookie') {
      res.appendHeader(name, value);
      continue;
    }
    // A line that repeats another went with the first one.
    if (names.indexOf(key) < at) continue;
    if (key === 'vary') addVary(res, headers.getAll(key));
    else if (names.includes(key, at + 1) && !singleFields.has(key)) res.setHeader(name, headers.getAll(key));
    else res.setHeader(name, value);
  }
}

/** Adds to what the application varies by. A line may name nothing, or what is no name: that says nothing. */
function addVary(res: ServerResponse, lines: readonly string[]): void {
  const names = lines.flatMap((line) => line.split(',').map((each) => each.trim()));
  const valid = names.filter((each) => /^[!#$%&'*+.^_`|~\w-]+$/.test(each));
  if (valid.length > 0) vary(res, valid);
}
