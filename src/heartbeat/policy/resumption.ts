import type { FiniteReason } from '../../internal/seam/layer.ts';

/** What a drain does with event streams that `sse` did not make: see the option `drain` of `heartbeat`. */
export type DrainMode = 'auto' | 'resumable' | 'finite';

/** The parts of a request that matter. */
interface RequestFacts {
  readonly method: string | undefined;
  readonly lastEventId: string | undefined;
}

// WHATWG HTML 9.2.6: one space after the colon is not part of the value, and an empty id removes the last one.
const idLine = /[\r\n]id:(?: [^\r\n]|[^ \r\n])/;

// What the pattern matches, without its last character.
const longestBegin = '\nid: '.length;

/**
 * Whether the client of an event stream can reconnect without missing events. Follows what the handler writes, however
 * it is split into chunks.
 */
export class Resumption {
  readonly #mode: DrainMode;
  readonly #method: string | undefined;
  #hasId: boolean;
  /** The last bytes, which may begin a line with an id. The stream begins as a line does. */
  #before = '\n';

  constructor(mode: DrainMode, { method, lastEventId }: RequestFacts) {
    this.#mode = mode;
    this.#method = method;
    this.#hasId = lastEventId !== undefined && lastEventId !== '';
  }

  push(chunk: Uint8Array | string): void {
    // Only an id can still change the answer.
    if (this.finiteBecause() !== 'no-id') return;
    const text = typeof chunk === 'string' ? chunk : latin1(chunk);
    // Not joined to one text: a long chunk would be copied.
    this.#hasId = idLine.test(this.#before + text.slice(0, longestBegin)) || idLine.test(text);
    this.#before = (this.#before + text.slice(-longestBegin)).slice(-longestBegin);
  }

  /** The one decision about such a stream in a drain: why it runs to its end; `undefined`: its client is told. */
  finiteBecause(): FiniteReason | undefined {
    if (this.#mode === 'finite') return 'finite';
    // A client repeats a GET by itself, and no other request.
    if (this.#method !== 'GET') return 'method';
    return this.#mode === 'resumable' || this.#hasId ? undefined : 'no-id';
  }
}

/** The pattern is ASCII, and no byte of a longer character is. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
