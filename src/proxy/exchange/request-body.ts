import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { ClientClosedError } from '../../errors.ts';
import { mediaTypeOf } from '../../internal/http/accept.ts';
import type { HttpRequest } from '../../internal/http/message.ts';

/**
 * The body of a client's request, on its way to an upstream. Reads from the client only while the upstream takes. Keeps
 * what it has read, up to a limit, to be sent again.
 */
export class RequestBody {
  readonly #req: HttpRequest;
  readonly #onProgress: () => void;
  #room: number;
  /** What was read so far; `undefined`: too much to be kept. */
  #kept: Buffer[] | undefined = [];
  #reader: BodyReader | undefined;
  #isListening = false;
  #isComplete = false;
  #failure: Error | undefined;

  /** @param keep - bytes @param onProgress - called when a piece was read, and at the end */
  constructor(req: HttpRequest, keep: number, onProgress: () => void) {
    this.#req = req;
    this.#room = keep;
    this.#onProgress = onProgress;
  }

  /** Whether `open` can be called again. */
  get isReplayable(): boolean {
    return this.#kept !== undefined;
  }

  /** Whether all that has come was taken, and more is to come. */
  get awaitsClient(): boolean {
    return this.#isListening && !this.#isComplete && this.#reader?.readableLength === 0;
  }

  /** Opens the body from its first byte, for one try. The reader of the try before is closed. */
  open(): Readable {
    this.#reader?.abandon();
    const reader = new BodyReader(() => this.#resume());
    this.#reader = reader;
    for (const chunk of this.#kept ?? []) reader.push(chunk);
    if (this.#failure) reader.destroy(this.#failure);
    else if (this.#isComplete) reader.push(null);
    return reader;
  }

  /** Stops reading. What the client still sends is thrown away, so that its connection can go on. */
  close(): void {
    this.#reader?.abandon();
    this.#reader = undefined;
    this.#kept = undefined;
    const req = this.#req as IncomingMessage;
    req.off('data', this.#onData).off('end', this.#onEnd).off('error', this.#onGone).off('close', this.#onGone);
    if (this.#isComplete || req.destroyed) return;
    // An 'error' may still come.
    req.on('error', ignore);
    req.resume();
  }

  #resume(): void {
    const req = this.#req as IncomingMessage;
    if (!this.#isListening) {
      this.#isListening = true;
      req.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onGone).on('close', this.#onGone);
    }
    req.resume();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#onProgress();
    this.#keep(chunk);
    if (this.#reader?.push(chunk) !== true) (this.#req as IncomingMessage).pause();
  };

  readonly #onEnd = (): void => {
    this.#isComplete = true;
    this.#onProgress();
    this.#reader?.push(null);
  };

  readonly #onGone = (): void => {
    if (this.#isComplete || this.#failure) return;
    this.#failure = new ClientClosedError();
    this.#reader?.destroy(this.#failure);
  };

  #keep(chunk: Buffer): void {
    this.#room -= chunk.length;
    if (this.#room < 0) this.#kept = undefined;
    else this.#kept?.push(chunk);
  }
}

/** The body as one try reads it. undici destroys it with the try; the request stays. */
class BodyReader extends Readable {
  #pull: (() => void) | undefined;

  constructor(pull: () => void) {
    super();
    this.#pull = pull;
  }

  override _read(): void {
    this.#pull?.();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#pull = undefined;
    callback(error);
  }

  /** Another try reads now. */
  abandon(): void {
    this.#pull = undefined;
    this.on('error', ignore);
    this.destroy();
  }

  override push(chunk: Buffer | null): boolean {
    return this.destroyed ? false : super.push(chunk);
  }
}

function ignore(): void {
  // The failure is known already.
}

/**
 * The body of a request that a parser has read, written again: from `rawBody` where it is kept, else from `body`.
 * `undefined`: it cannot be written again.
 */
export function parsedBody(req: HttpRequest): Buffer | undefined {
  const { rawBody, body } = req as { rawBody?: unknown; body?: unknown };
  if (Buffer.isBuffer(rawBody)) return rawBody;
  if (Buffer.isBuffer(body)) return body;
  if (typeof body === 'string') return Buffer.from(body);
  if (typeof body !== 'object' || body === null) return undefined;
  const type = mediaTypeOf(req.headers['content-type']);
  if (type === 'application/json' || type.endsWith('+json')) return Buffer.from(JSON.stringify(body));
  if (type === 'application/x-www-form-urlencoded') return formEncoded(body as Record<string, unknown>);
  return undefined;
}

// Nested objects have no one form in this coding: parsers differ.
function formEncoded(body: Readonly<Record<string, unknown>>): Buffer | undefined {
  const form = new URLSearchParams();
  for (const [name, values] of Object.entries(body)) {
    for (const value of [values].flat()) {
      if (typeof value === 'object' && value !== null) return undefined;
      form.append(name, String(value));
    }
  }
  return Buffer.from(form.toString());
}
