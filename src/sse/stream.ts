import { namesMediaType } from '../internal/http/accept.ts';
import type { FiniteReason } from '../internal/seam/layer.ts';
import { type ItemStream, OutItemStream } from '../internal/writer/item-stream.ts';
import { jittered } from '../internal/time/clock.ts';
import { type HttpRequest, requestField } from '../internal/http/message.ts';
import { readInteger } from '../internal/option.ts';
import type { OutStream } from '../internal/writer/stream.ts';
import {
  type EventInput,
  formatComment,
  formatEvent,
  formatLoneId,
  formatRetryHint,
  stopId,
} from '../internal/format/event-stream.ts';
import type { AnyEvents, Sendable } from './event-map.ts';
import type { ResolvedSseOptions } from './options.ts';

/**
 * An open event stream: one client. `M` maps event names to the types of their data; `send` takes an event, or a string
 * as the data of one. An `EventSource` reconnects after `end()` too: `stop()` is what keeps it away.
 */
export interface EventStream<M extends object = AnyEvents> extends ItemStream<Sendable<M>> {
  /** The `Last-Event-ID` of the request: the last id this client has seen; `''` for none. */
  readonly lastEventId: string;
  /** Sends a comment, which clients skip. Settles as `send`. */
  comment(text: string): Promise<void>;
  /**
   * Come back: sends a retry hint, flushes, then closes without terminating the body, which fetch clients would
   * take as final. Close reason `draining`. Resolves when the connection is closed.
   * @param options - `retry`: milliseconds, an integer of at least 1; without it, `reconnectDelay` with its spread.
   */
  reconnect(options?: { retry?: number }): Promise<void>;
  /**
   * Do not come back: sends the id `sluice.stop`, then ends. The client's next request carries it and is answered 204.
   */
  stop(): Promise<void>;
}

/** `EventStream` over a response. */
export class OutEventStream<M extends object>
  extends OutItemStream<Sendable<M>, EventInput | string>
  implements EventStream<M>
{
  readonly lastEventId: string;
  #options: ResolvedSseOptions<Sendable<M>>;
  #hasIds: boolean;

  constructor(out: OutStream, lastEventId: string, options: ResolvedSseOptions<Sendable<M>>) {
    super(out, options);
    this.lastEventId = lastEventId;
    this.#options = options;
    this.#hasIds = lastEventId !== '';
  }

  override finiteBecause(): FiniteReason | undefined {
    const { drain } = this.#options;
    if (drain === 'auto') return this.#hasIds ? undefined : 'no-id';
    return drain === 'resumable' ? undefined : 'finite';
  }

  override leave(): Promise<void> {
    return this.reconnect();
  }

  protected override format(event: EventInput | string): string {
    const text = formatEvent(event, this.#options.comments);
    if (typeof event === 'object' && event.id !== undefined) this.#hasIds = true;
    return text;
  }

  /** Without an id: the client's last one stays that of the last event before the gap. */
  protected override defaultGap(dropped: number): EventInput {
    return { event: 'sluice.gap', data: { dropped } };
  }

  comment(text: string): Promise<void> {
    return this.send({ comment: text });
  }

  async reconnect(options: { retry?: number } = {}): Promise<void> {
    const retry =
      options.retry === undefined ? this.#spread() : readInteger('reconnect.retry', options.retry, { min: 1 });
    await this.out.leave('draining', { last: formatRetryHint(retry, this.#options.comments) });
  }

  async stop(): Promise<void> {
    // An id without data moves the client's last event id and dispatches nothing. For an `EventSource` that takes a
    // blank line, which others take for a message.
    const hasBlankLine = this.#options.comments === 'block' || mayBeEventSource(this.out.req);
    await this.out.finish(formatLoneId(stopId, hasBlankLine));
  }

  #spread(): number {
    return Math.max(1, Math.round(jittered(this.#options.reconnectDelay, Math.random)));
  }
}

/** What an event stream starts with. */
export function formatPrelude({
  prelude,
  retry,
  comments,
}: Pick<ResolvedSseOptions, 'prelude' | 'retry' | 'comments'>): string {
  return (prelude ? formatComment('ok', comments) : '') + (retry === undefined ? '' : formatRetryHint(retry, comments));
}

/** WHATWG HTML 9.2.2 and 9.2.3: an `EventSource` sends GET and `Accept: text/event-stream`. */
function mayBeEventSource(req: HttpRequest): boolean {
  const accept = requestField(req, 'accept');
  return req.method === 'GET' && (accept === undefined || namesMediaType(accept, 'text/event-stream'));
}

/**
 * The last event id of a request, as the client was given it. Browsers send it as UTF-8 (WHATWG HTML 9.2.3), which
 * Node reads as Latin-1; bytes that are not UTF-8 are left as Node read them.
 */
export function decodeLastEventId(field: string | undefined): string {
  if (field === undefined) return '';
  // eslint-disable-next-line no-control-regex
  if (/^[\x00-\x7f]*$/.test(field)) return field;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(field, (char) => char.charCodeAt(0)));
  } catch {
    return field;
  }
}
