/** One message as a decoder hands it on. */
export interface LenientMessage {
  readonly event: string | undefined;
  readonly data: string;
}

/** Decodes an event stream by rules of its own. `[DONE]` ends it. */
export interface LenientDecoder {
  /** The messages that the bytes complete. */
  push(bytes: Uint8Array): LenientMessage[];
}

interface Block {
  event: string | undefined;
  data: string[];
}

/** Lines and fields as everywhere; what a blank line does differs. */
abstract class LineDecoder implements LenientDecoder {
  #text = new TextDecoder();
  #rest = '';
  #isDone = false;
  #block: Block = { event: undefined, data: [] };

  push(bytes: Uint8Array): LenientMessage[] {
    const lines = (this.#rest + this.#text.decode(bytes, { stream: true })).split(/\r\n|\n/);
    this.#rest = lines.pop()!;
    return lines.flatMap((line) => this.#takeLine(line));
  }

  /** Whether a blank line behind this block makes a message. */
  protected abstract isMessage(block: Block): boolean;

  /** A field other than `event` and `data`. */
  protected abstract note(field: string, value: string): void;

  protected afterMessage(): void {
    // Nothing is kept for one message only.
  }

  #takeLine(line: string): LenientMessage[] {
    if (line === '') return this.#takeBlankLine();
    if (line.startsWith(':')) return [];
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
    if (field === 'event') this.#block.event = value;
    else if (field === 'data') this.#block.data.push(value);
    else this.note(field, value);
    return [];
  }

  #takeBlankLine(): LenientMessage[] {
    const block = this.#block;
    if (!this.isMessage(block)) return [];
    this.#block = { event: undefined, data: [] };
    this.afterMessage();
    const data = block.data.join('\n');
    this.#isDone ||= data.startsWith('[DONE]');
    return this.#isDone ? [] : [{ event: block.event, data }];
  }
}

/**
 * By the rule of SDKs for Python: a blank line makes a message once any of event, data, id and retry was seen. The id
 * stays seen, so that from the first one on every blank line does.
 */
export class SeenFieldDecoder extends LineDecoder {
  #hasId = false;
  #hasRetry = false;

  protected override isMessage({ event, data }: Block): boolean {
    return event !== undefined || data.length > 0 || this.#hasId || this.#hasRetry;
  }

  protected override note(field: string, value: string): void {
    if (field === 'id') this.#hasId ||= value !== '';
    else if (field === 'retry') this.#hasRetry ||= /^\d+$/.test(value);
  }

  protected override afterMessage(): void {
    this.#hasRetry = false;
  }
}

/** By the rule of older SDKs for Go: every blank line makes a message. */
export class BlankLineDecoder extends LineDecoder {
  protected override isMessage(): boolean {
    return true;
  }

  protected override note(): void {
    // Other fields are skipped.
  }
}
