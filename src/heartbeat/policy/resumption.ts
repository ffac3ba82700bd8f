import type { FiniteReason } from '../../internal/seam/layer.ts';

/** What a drain does with the event streams of others: by their ids, or the same with all that answer a GET. */
export type DrainMode = 'auto' | 'resumable' | 'finite';

/** What matters of a request. */
interface Asked {
  readonly method: string | undefined;
  readonly lastEventId: string | undefined;
}

// WHATWG HTML 9.2.6: one space after the colon is no part of the value, and an empty id takes the last one away.
const idLine = /[\r\n]id:(?: [^\r\n]|[^ \r\n])/;

// All of what the pattern matches but its last character.
const longestBegin = '\nid: '.length;

/**
 * Whether the client of an event stream can go on elsewhere where it stopped here. Follows what its handler writes,
 * however that is cut.
 */
export class Resumption {
  readonly #mode: DrainMode;
  readonly #method: string | undefined;
  #hasId: boolean;
  /** What may be the begin of a line with an id; the stream begins as a line does. */
  #before = '\n';

  constructor(mode: DrainMode, { method, lastEventId }: Asked) {
    this.#mode = mode;
    this.#method = method;
    this.#hasId = lastEventId !== undefined && lastEventId !== '';
  }

  push(chunk: Uint8Array | string): void {
    // Only an id can still change the answer.
    if (this.finiteBecause() !== 'no-id') return;
    const text = typeof chunk === 'string' ? chunk : latin1(chunk);
    // Not one text of both: a long chunk would be copied.
    this.#hasId = idLine.test(this.#before + text.slice(0, longestBegin)) || idLine.test(text);
    this.#before = (this.#before + text.slice(-longestBegin)).slice(-longestBegin);
  }

  /** The one decision about event streams of others in a drain: why one runs to its end, or `undefined`. */
  finiteBecause(): FiniteReason | undefined {
    if (this.#mode === 'finite') return 'finite';
    // No client sends another request again by itself.
    if (this.#method !== 'GET') return 'method';
    return this.#mode === 'resumable' || this.#hasId ? undefined : 'no-id';
  }
}

/** Only ASCII is looked for, and no part of a longer character looks like it. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
