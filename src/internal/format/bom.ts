// U+FEFF in UTF-8.
const bom = [0xef, 0xbb, 0xbf] as const;

const nothing = new Uint8Array(0);

/**
 * Takes one leading BOM off the body of a handler, for when a heartbeat was written before it. WHATWG HTML 9.2.4: a
 * client strips one BOM at the start of the stream; any later one is part of a line, and turns `data` into an
 * unknown field.
 */
export class BomFilter {
  #matched = 0;
  #done = false;

  /** Whether the start has been seen: from then on chunks come back as they are. */
  get done(): boolean {
    return this.#done;
  }

  /**
   * What is to be written for a chunk: the chunk itself, or less or more of it while the start is open. At most 2 bytes
   * are held back.
   * @param chunk - bytes, or a string that is sent as UTF-8
   */
  filter(chunk: Uint8Array | string): Uint8Array | string {
    if (this.#done || chunk.length === 0) return chunk;
    return typeof chunk === 'string' ? this.#filterText(chunk) : this.#filterBytes(chunk);
  }

  /** The body has ended: gives back what is held, since it was no BOM. Empty if nothing is. */
  flush(): Uint8Array {
    const held = this.#matched === 0 ? nothing : Uint8Array.from(bom.slice(0, this.#matched));
    this.#matched = 0;
    this.#done = true;
    return held;
  }

  #filterText(text: string): Uint8Array | string {
    // No text begins in the middle of a character, so it cannot end a BOM that bytes began.
    if (this.#matched > 0) return joined(this.flush(), Buffer.from(text));
    this.#done = true;
    return text.startsWith('\uFEFF') ? text.slice(1) : text;
  }

  #filterBytes(bytes: Uint8Array): Uint8Array {
    let at = 0;
    while (this.#matched + at < bom.length && at < bytes.length && bytes[at] === bom[this.#matched + at]) at++;
    if (this.#matched + at === bom.length) {
      this.#matched = 0;
      this.#done = true;
      return bytes.subarray(at);
    }
    if (at < bytes.length) return this.#matched === 0 ? this.#pass(bytes) : joined(this.flush(), bytes);
    this.#matched += at;
    return nothing;
  }

  #pass(bytes: Uint8Array): Uint8Array {
    this.#done = true;
    return bytes;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
