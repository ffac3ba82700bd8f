import { StringDecoder } from 'node:string_decoder';
import type { TappedEvent } from '../options.ts';

// In characters. An event longer than this is not for counting tokens: it passes, and is not told of.
const maxLength = 1 << 20;

/** Reads the events of a stream that passes (WHATWG HTML 9.2.6), and changes nothing of it. */
export class EventTap {
  readonly #onEvent: (event: TappedEvent) => void;
  readonly #decoder = new StringDecoder('utf8');
  /** What has come of a line. */
  #rest = '';
  /** So much of it has no end of a line. */
  #scanned = 0;
  #isFirst = true;
  #type = '';
  #data: string[] = [];
  /** Characters of `#data`. */
  #length = 0;
  #isTooLong = false;
  #id: string | undefined;

  constructor(onEvent: (event: TappedEvent) => void) {
    this.#onEvent = onEvent;
  }

  push(chunk: Uint8Array): void {
    this.#rest += this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if (this.#isFirst && this.#rest !== '') {
      this.#isFirst = false;
      if (this.#rest.startsWith('\uFEFF')) this.#rest = this.#rest.slice(1);
    }
    let start = 0;
    for (let end = this.#lineEnd(this.#scanned); end >= 0; end = this.#lineEnd(start)) {
      this.#line(this.#rest.slice(start, end));
      start = end + (this.#rest.startsWith('\r\n', end) ? 2 : 1);
    }
    this.#rest = this.#rest.slice(start);
    if (this.#rest.length > maxLength) {
      this.#isTooLong = true;
      // A comment stands for the line. Its last character may be half of its end.
      this.#rest = `:${this.#rest.slice(-1)}`;
    }
    this.#scanned = Math.max(0, this.#rest.length - 1);
  }

  /** The stream has ended. An event without its blank line does not count. */
  end(): void {
    this.#rest = '';
    this.#data = [];
  }

  /** Where the line ends; -1: not in what has come. A CR at the very end may be the first half of CRLF. */
  #lineEnd(start: number): number {
    const text = this.#rest;
    for (let at = start; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (code === 0x0a) return at;
      if (code === 0x0d) return at + 1 < text.length ? at : -1;
    }
    return -1;
  }

  #line(line: string): void {
    if (line === '') {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'data') this.#keep(value);
    else if (name === 'event') this.#type = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
  }

  #keep(value: string): void {
    this.#length += value.length + 1;
    this.#isTooLong ||= this.#length > maxLength;
    if (!this.#isTooLong) this.#data.push(value);
  }

  #dispatch(): void {
    const [type, data, isTooLong] = [this.#type || 'message', this.#data, this.#isTooLong];
    this.#type = '';
    this.#data = [];
    this.#length = 0;
    this.#isTooLong = false;
    if (isTooLong || data.length === 0) return;
    this.#onEvent({ type, data: data.join('\n'), id: this.#id });
  }
}
