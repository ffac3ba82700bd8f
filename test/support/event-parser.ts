/** A dispatched event, as an `EventSource` would hand it to a listener. */
export interface ParsedEvent {
  readonly type: string;
  readonly data: string;
  readonly lastEventId: string;
}

/** WHATWG HTML 9.2.6, to the letter, fed with any pieces of the stream. Throws for bytes that are not UTF-8. */
export class EventParser {
  readonly events: ParsedEvent[] = [];
  readonly comments: string[] = [];
  /** Every `retry` that a client would have obeyed. */
  readonly retries: number[] = [];
  /** What the next request would carry. */
  lastEventId = '';
  // "The UTF-8 decode algorithm strips one leading BOM, if any", and so does this.
  #decoder = new TextDecoder('utf-8', { fatal: true });
  #line = '';
  #afterCr = false;
  #data = '';
  #type = '';
  #id = '';

  push(bytes: Uint8Array): this {
    for (const char of this.#decoder.decode(bytes, { stream: true })) this.#take(char);
    return this;
  }

  #take(char: string): void {
    const continuesCr = this.#afterCr && char === '\n';
    this.#afterCr = char === '\r';
    if (continuesCr) return;
    if (char !== '\r' && char !== '\n') {
      this.#line += char;
      return;
    }
    const line = this.#line;
    this.#line = '';
    this.#process(line);
  }

  #process(line: string): void {
    if (line === '') {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) this.comments.push(line.slice(1));
    else if (colon < 0) this.#field(line, '');
    else this.#field(line.slice(0, colon), line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1));
  }

  #field(name: string, value: string): void {
    if (name === 'event') this.#type = value;
    else if (name === 'data') this.#data += `${value}\n`;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
    else if (name === 'retry' && /^[0-9]+$/.test(value)) this.retries.push(Number(value));
  }

  #dispatch(): void {
    this.lastEventId = this.#id;
    const type = this.#type === '' ? 'message' : this.#type;
    const data = this.#data;
    this.#type = '';
    this.#data = '';
    if (data !== '') this.events.push({ type, data: data.slice(0, -1), lastEventId: this.lastEventId });
  }
}

/** The events of a whole stream. */
export function parseEvents(text: string): ParsedEvent[] {
  return new EventParser().push(Buffer.from(text)).events;
}
