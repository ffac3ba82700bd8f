import { createParser } from 'eventsource-parser';
import { ClientError } from './client-error.ts';
import type { Outcome } from './policy/outcome.ts';

/** The id with which `sse` tells a client not to come back. */
const stopId = 'sluice.stop';

/** Gets what is read. */
export interface EventSink {
  /** An event; `id` only where it has one of its own. */
  onEvent(type: string, data: string, id: string | undefined): void;
  /** An id without an event. */
  onId(id: string): void;
  /** A `retry:`, in milliseconds. */
  readonly onRetry: (delay: number) => void;
}

/** Reads one event stream. */
export interface EventReader {
  /** Reads more bytes. Returns an outcome when there is nothing more to read. */
  push(bytes: Uint8Array): Outcome | undefined;
  /** The body is complete. */
  end(): Outcome;
}

/**
 * Reads an event stream (WHATWG HTML 9.2.6) from any pieces of its bytes.
 *
 * The parser tells nothing of a block without data, though its id counts: of `id: 7` alone, and so of the id with which
 * `stop()` says farewell. So each blank line gets a line of `data` in front of it, and every block is told. The line is
 * taken off the event again, and a block without any other data is an id at most.
 */
export function createEventReader(sink: EventSink, maxBufferSize: number): EventReader {
  const decoder = new TextDecoder();
  let outcome: Outcome | undefined;
  let isEnded = false;
  let isPartial = false;
  // The character before what is read next: the start is the start of a line.
  let last = '\n';
  const { onRetry } = sink;
  const parser = createParser({
    maxBufferSize,
    onRetry,
    onEvent({ event, data, id }) {
      if (id === stopId && data === '') outcome = { kind: 'stopped' };
      else if (isEnded) isPartial = `${data}${event ?? ''}${id ?? ''}` !== '';
      else if (data !== '') sink.onEvent(event ?? 'message', data.slice(0, -1), id);
      else if (id !== undefined) sink.onId(id);
    },
    onError({ type, message }) {
      if (type === 'max-buffer-size-exceeded')
        outcome = { kind: 'failed', error: new ClientError('ERR_SLUICE_CLIENT_EVENT_TOO_LARGE', message) };
    },
  });

  /** Line breaks as LF, and `data` in front of each blank line. CR and LF of one line break may come apart. */
  function mark(text: string): string {
    const whole = last + text;
    last = whole.slice(-1);
    return whole
      .replace(/\r\n?/g, '\n')
      .replace(/\n(?=\n)/g, '\ndata\n')
      .slice(1);
  }

  return {
    push(bytes) {
      parser.feed(mark(decoder.decode(bytes, { stream: true })));
      return outcome;
    },
    end() {
      isEnded = true;
      isPartial = !/[\r\n]/.test(last);
      // Shows what the parser still holds.
      if (!isPartial) parser.feed('data\n\n');
      return outcome ?? { kind: 'ended', isPartial };
    },
  };
}
