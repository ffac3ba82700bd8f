import { InvalidEventError } from '../errors.ts';
import { namesMediaType } from '../internal/http/accept.ts';
import type { FiniteReason } from '../internal/seam/layer.ts';
import { type ItemStream, OutItemStream } from '../internal/writer/item-stream.ts';
import { retryDelay } from '../internal/time/clock.ts';
import { type HttpRequest, requestField } from '../internal/http/message.ts';
import { type OptionNames, readInteger, readOptions } from '../internal/option.ts';
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
 * An open event stream: one client. `M` maps event names to the types of their data. `send` takes an event, or a string
 * as the data of one. An `EventSource` also reconnects after `end()`; only `stop()` keeps it away.
 */
export interface EventStream<M extends object = AnyEvents> extends ItemStream<Sendable<M>> {
  /** The `Last-Event-ID` of the request: the last id that the client has seen; `''` for none. */
  readonly lastEventId: string;
  /** Sends a comment, which clients skip. Settles like `send`. */
  comment(text: string): Promise<void>;
  /**
   * Tells the client to reconnect: sends a retry hint and what is queued, then closes. The body is not terminated:
   * fetch clients would take it as complete. Close reason `draining`. Resolves when the connection is closed.
   * @param options - `retry`: milliseconds, an integer of at least 1. Default: `reconnectDelay` with its spread.
   */
  reconnect(options?: { retry?: number }): Promise<void>;
  /**
   * Tells the client not to reconnect: sends the id `sluice.stop`, then ends. The next request of the client carries
   * the id and is answered 204.
   */
  stop(): Promise<void>;
}

type ReconnectOptions = NonNullable<Parameters<EventStream['reconnect']>[0]>;

const reconnectNames: OptionNames<ReconnectOptions> = { retry: true };
const reconnectAdvice = { single: 'retry', instead: { delay: 'retry', reconnectDelay: 'retry', after: 'retry' } };

/** `EventStream` over a response. */
export class OutEventStream<M extends object>
  extends OutItemStream<Sendable<M>, EventInput | string>
  implements EventStream<M>
{
  readonly lastEventId: string;
  #options: ResolvedSseOptions;
  #hasIds: boolean;

  constructor(out: OutStream, lastEventId: string, options: ResolvedSseOptions) {
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

  protected override extraError(method: 'send' | 'end', first: unknown): InvalidEventError {
    const name = typeof first === 'string' && first.length < 50 ? JSON.stringify(first) : '…';
    const fault =
      method === 'send'
        ? `is not an argument of its own. Write \`send({ event: ${name}, data: … })\``
        : 'is nothing that `end` takes. Send it before';
    return new InvalidEventError('event', fault);
  }

  /** Without an id: the client keeps the id of the last event before the gap. */
  protected override defaultGap(dropped: number): EventInput {
    return { event: 'sluice.gap', data: { dropped } };
  }

  comment(text: string): Promise<void> {
    return this.send({ comment: text });
  }

  async reconnect(options?: ReconnectOptions): Promise<void> {
    const { retry: given } = readOptions('reconnect', options, reconnectNames, reconnectAdvice);
    const retry = given === undefined ? this.#spread() : readInteger('reconnect.retry', given, { min: 1 });
    await this.out.leave('draining', { last: formatRetryHint(retry, this.#options.comments) });
  }

  async stop(): Promise<void> {
    // An id without data sets the client's last event id and dispatches nothing. `EventSource` needs a blank line for
    // that, which other clients take for a message.
    const hasBlankLine = this.#options.comments === 'block' || mayBeEventSource(this.out.req);
    await this.out.finish(formatLoneId(stopId, hasBlankLine));
  }

  #spread(): number {
    return retryDelay(this.#options.reconnectDelay);
  }
}

/** The first bytes of an event stream. */
export function formatPrelude({
  prelude,
  retry,
  comments,
}: Pick<ResolvedSseOptions, 'prelude' | 'retry' | 'comments'>): string {
  return (prelude ? formatComment('ok', comments) : '') + (retry === undefined ? '' : formatRetryHint(retry, comments));
}

/** WHATWG HTML 9.2.2 and 9.2.3: `EventSource` sends GET and `Accept: text/event-stream`. */
function mayBeEventSource(req: HttpRequest): boolean {
  const accept = requestField(req, 'accept');
  return req.method === 'GET' && (accept === undefined || namesMediaType(accept, 'text/event-stream'));
}

/**
 * The last event id of a request, as it was sent to the client. Browsers send it back as UTF-8 (WHATWG HTML 9.2.3), and
 * Node reads it as Latin-1. A header that is not UTF-8 stays as Node reads it.
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
