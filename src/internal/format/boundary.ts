/**
 * Follows what a handler writes, and knows where between its messages a heartbeat may stand. Heartbeats themselves are
 * not pushed.
 */
export interface BoundaryTracker {
  /** Takes what was written: bytes, or a string that is sent as UTF-8. An empty chunk changes nothing. */
  push(chunk: Uint8Array | string): void;
  /**
   * Whether no message is half written, so that whatever is written next neither ends nor changes one. True before the
   * first byte.
   */
  readonly atBoundary: boolean;
}

const lf = 0x0a;
const cr = 0x0d;
const space = 0x20;
const tab = 0x09;
const quote = 0x22;
const backslash = 0x5c;
const rs = 0x1e;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * Event streams: the start of a line, where no field of an event is pending since the last blank line. WHATWG HTML
 * 9.2.5: `end-of-line = ( cr lf / cr / lf )`.
 *
 * A comment and a `retry` take effect by themselves (WHATWG HTML 9.2.6), so that a heartbeat may follow them. Any other
 * line waits for its blank line, a first line with a BOM too. One CR alone is not the end yet: the LF that may follow
 * it would become a blank line behind a heartbeat.
 */
export class EventBoundary implements BoundaryTracker {
  /** The first characters of the line that is being written. */
  #line = '';
  /** Whether a line since the last blank one needs a blank one. */
  #isPending = false;
  /** CRs at the end: one may be half of a CRLF; after two the writer ends its lines by CR. */
  #carriageReturns: 0 | 1 | 2 = 0;

  get atBoundary(): boolean {
    return this.#line === '' && !this.#isPending && this.#carriageReturns !== 1;
  }

  push(chunk: Uint8Array | string): void {
    const { length } = chunk;
    if (length === 0) return;
    // The second half of a CRLF.
    const begin = this.#carriageReturns > 0 && codeAt(chunk, 0) === lf ? 1 : 0;
    const start = lineStart(chunk, begin, length);
    if (start > begin) this.#endLines(chunk, begin, start);
    this.#carriageReturns = start === length ? this.#countReturns(chunk, begin) : 0;
    if (this.#line.length < tellingLength) this.#line += beginOf(chunk, start, length);
  }

  /** Lines ended in the chunk: judges them from the last one on, and looks no further than the first that decides. */
  #endLines(chunk: Uint8Array | string, begin: number, end: number): void {
    let next = end;
    do {
      const lineEnd =
        next - (next - begin > 1 && codeAt(chunk, next - 1) === lf && codeAt(chunk, next - 2) === cr ? 2 : 1);
      next = lineStart(chunk, begin, lineEnd);
      const kind = kindOf(next === begin ? this.#line + beginOf(chunk, next, lineEnd) : beginOf(chunk, next, lineEnd));
      if (kind === 'neutral') continue;
      this.#isPending = kind === 'field';
      break;
    } while (next > begin);
    this.#line = '';
  }

  #countReturns(chunk: Uint8Array | string, begin: number): 0 | 1 | 2 {
    const { length } = chunk;
    if (codeAt(chunk, length - 1) !== cr) return 0;
    const isSecond = length - begin > 1 ? codeAt(chunk, length - 2) === cr : begin === 0 && this.#carriageReturns > 0;
    return isSecond ? 2 : 1;
  }
}

// Enough of a line to tell what it is.
const tellingLength = 'retry:'.length;

/** Where the line begins that goes on, or ends, at `end`. */
function lineStart(chunk: Uint8Array | string, begin: number, end: number): number {
  let at = end;
  while (at > begin && !endsLine(codeAt(chunk, at - 1))) at--;
  return at;
}

function beginOf(chunk: Uint8Array | string, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end && at < start + tellingLength; at++) text += String.fromCharCode(codeAt(chunk, at));
  return text;
}

/** What a line does. A `neutral` one needs no blank line, and changes no event that is pending. */
function kindOf(line: string): 'blank' | 'neutral' | 'field' {
  if (line === '') return 'blank';
  return line.startsWith(':') || line === 'retry' || line.startsWith('retry:') ? 'neutral' : 'field';
}

/** Newline-delimited JSON: where a line has ended. JSON text on one line holds no LF of its own. */
export class LineBoundary implements BoundaryTracker {
  #atBoundary = true;

  get atBoundary(): boolean {
    return this.#atBoundary;
  }

  push(chunk: Uint8Array | string): void {
    if (chunk.length > 0) this.#atBoundary = codeAt(chunk, chunk.length - 1) === lf;
  }
}

/**
 * What the last byte left behind. `open`: outside of strings, in an element whose value is not complete or not yet
 * followed by LF.
 */
type SequenceState = 'start' | 'open' | 'string' | 'escape' | 'ended';

/**
 * JSON text sequences: where an element has ended. RFC 7464 2.2: `RS JSON-text LF`. The JSON text may hold LF as white
 * space, so the LF counts only once the value is complete. RS begins an element whatever was before it (RFC 7464 2.1),
 * for JSON strings hold it escaped.
 */
export class SequenceBoundary implements BoundaryTracker {
  #state: SequenceState = 'start';
  #depth = 0;
  #hasValue = false;

  get atBoundary(): boolean {
    return this.#state === 'start' || this.#state === 'ended';
  }

  push(chunk: Uint8Array | string): void {
    for (let at = 0; at < chunk.length; at++) this.#take(codeAt(chunk, at));
  }

  #take(code: number): void {
    if (code === rs) this.#beginElement();
    else if (this.#state === 'escape') this.#state = 'string';
    else if (this.#state === 'string') this.#takeInString(code);
    else this.#takeOutside(code);
  }

  #beginElement(): void {
    this.#state = 'open';
    this.#depth = 0;
    this.#hasValue = false;
  }

  #takeInString(code: number): void {
    if (code === backslash) this.#state = 'escape';
    else if (code === quote) this.#state = 'open';
  }

  #takeOutside(code: number): void {
    this.#state = code === lf && this.#depth === 0 && this.#hasValue ? 'ended' : 'open';
    if (isWhiteSpace(code)) return;
    this.#hasValue = true;
    if (code === quote) this.#state = 'string';
    else if (code === openBrace || code === openBracket) this.#depth++;
    else if (code === closeBrace || code === closeBracket) this.#depth--;
  }
}

/** Streams of which each write is one whole message: everywhere. */
export class WriteBoundary implements BoundaryTracker {
  readonly atBoundary = true;

  push(): void {
    // Nothing that is written can leave a message open.
  }
}

function endsLine(code: number): boolean {
  return code === lf || code === cr;
}

function isWhiteSpace(code: number): boolean {
  return code === lf || code === space || code === cr || code === tab;
}

/**
 * A byte, or a code unit of a string. Only ASCII is looked for, and no part of a longer character looks like it in
 * either.
 */
function codeAt(chunk: Uint8Array | string, at: number): number {
  return typeof chunk === 'string' ? chunk.charCodeAt(at) : (chunk[at] ?? 0);
}
