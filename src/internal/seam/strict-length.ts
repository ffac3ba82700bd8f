import type { ServerResponse } from 'node:http';
import { endsWithHead } from '../http/body-rules.ts';
import { type HttpResponse, isHttp2 } from '../http/message.ts';

/** What Node knows of the framing of a response. Not documented. */
interface Framing {
  readonly _removedContLen?: boolean;
}

/**
 * `strictContentLength` for a body whose length a layer changes: the handler is told of a wrong body by the error that
 * Node would have thrown, before any of the bytes at hand is sent.
 */
export class StrictLength {
  #announced: number;
  #taken = 0;

  constructor(announced: number) {
    this.#announced = announced;
  }

  /**
   * More bytes of a body that goes on. Throws for too many.
   * @param isFirst - the write that sends the head. Node counts its bytes and does not look: it knows no length yet
   */
  take(bytes: number, isFirst: boolean): void {
    const taken = this.#taken + bytes;
    if (taken > this.#announced && !isFirst) throw mismatch(taken, this.#announced);
    this.#taken = taken;
  }

  /** The last bytes. Throws for too many and for too few; the body may then be ended another way. */
  end(bytes: number): void {
    const taken = this.#taken + bytes;
    if (taken !== this.#announced) throw mismatch(taken, this.#announced);
  }
}

/** The strict length of a response, as its fields are now; `undefined` where Node would not count. */
export function openStrictLength(response: HttpResponse): StrictLength | undefined {
  if (isHttp2(response) || !response.strictContentLength || !hasBody(response)) return undefined;
  const announced = response.getHeader('content-length');
  const isChunked = hasRemovedLength(response) || response.hasHeader('transfer-encoding');
  return announced === undefined || isChunked ? undefined : new StrictLength(Number(announced));
}

function hasBody({ req, statusCode }: ServerResponse): boolean {
  return !endsWithHead(req.method, statusCode);
}

/** Whether the handler has removed the field of the length: Node then sets none by itself. */
export function hasRemovedLength(res: HttpResponse): boolean {
  return !isHttp2(res) && (res as Framing)._removedContLen === true;
}

function mismatch(bytes: number, announced: number): Error {
  const sent = `content-length of ${bytes} byte(s)`;
  const message = `Response body's ${sent} does not match the content-length of ${announced} byte(s) set in header`;
  return Object.assign(new Error(message), { code: 'ERR_HTTP_CONTENT_LENGTH_MISMATCH' });
}
