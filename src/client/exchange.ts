import { ClientError } from './client-error.ts';
import type { Environment } from './environment.ts';
import { createEventReader, type EventSink } from './event-reader.ts';
import type { ResolvedClientOptions } from './options.ts';
import type { Outcome } from './policy/outcome.ts';
import { decideResponse } from './policy/response.ts';
import { judgeSilence, silenceLimit } from './policy/silence.ts';

/** What a request is for. */
export interface ExchangeHost extends EventSink {
  readonly url: string;
  readonly options: ResolvedClientOptions;
  /** The id to resume from; `''`: none. */
  readonly lastEventId: string;
  /** Whether the URL has given an event stream before. */
  readonly hasBeenOpen: boolean;
  /** The response is an event stream. */
  onOpen(): void;
  /** Resolves when the loop has taken what came. */
  readonly room: () => Promise<void>;
  /** Called once, and nothing after it. */
  onOver(outcome: Outcome): void;
}

/** One request and its response. */
export interface Exchange {
  /** Milliseconds since something came, or since the request began. */
  silence(): number;
  /** Counts silence anew. */
  listen(): void;
  /** Ends the request. What comes of it from now on is ignored, and the host is not told. */
  cancel(): void;
}

/** Sends a request, and tells the host what comes of it. */
export function startExchange(host: ExchangeHost, { now, startTimer }: Environment): Exchange {
  const { heartbeat, maxBufferSize } = host.options;
  const controller = new AbortController();
  const isOver = (): boolean => controller.signal.aborted;
  let isOpen = false;
  // While the loop is behind, nothing is read: silence is then no sign.
  let isListening = true;
  let heardAt = now();
  let wasLate = false;
  let stopTimer: (() => void) | undefined;

  function cancel(): void {
    stopTimer?.();
    controller.abort();
  }

  function finish(outcome: Outcome): void {
    if (isOver()) return;
    cancel();
    host.onOver(outcome);
  }

  function watch(delay: number): void {
    if (delay === Infinity) return;
    const dueAt = now() + delay;
    stopTimer = startTimer(delay, () => {
      const verdict = judgeSilence({ now: now(), heardAt: isListening ? heardAt : now(), dueAt, heartbeat, wasLate });
      if (verdict.kind === 'dead') {
        finish({ kind: 'lost', error: silenceError(heartbeat) });
        return;
      }
      wasLate ||= verdict.kind === 'late';
      watch(verdict.delay);
    });
  }

  async function receive(response: Response): Promise<Outcome> {
    // The outcome of a request that is over is ignored.
    heardAt = now();
    const { status, headers } = response;
    const [contentType, retryAfter] = [headers.get('content-type'), headers.get('retry-after')];
    const { hasBeenOpen } = host;
    const refusal = decideResponse({ status, contentType, retryAfter, hasBeenOpen, now: heardAt });
    if (refusal) return refusal;
    if (isOver()) return { kind: 'stopped' };
    isOpen = true;
    host.onOpen();
    const reader = response.body?.getReader();
    const events = createEventReader(host, maxBufferSize);
    while (reader) {
      const { done, value } = await reader.read();
      if (done || isOver()) break;
      const outcome = events.push(value);
      if (outcome) return outcome;
      isListening = false;
      await host.room();
      isListening = true;
      heardAt = now();
      wasLate = false;
    }
    return events.end();
  }

  watch(heartbeat / 2);
  send(host, controller.signal)
    .then(receive)
    .then(finish, (cause: unknown) => {
      const error = isOpen
        ? new ClientError('ERR_SLUICE_CLIENT_DISCONNECTED', 'The stream broke off', { cause })
        : new ClientError('ERR_SLUICE_CLIENT_UNREACHABLE', 'There was no response', { cause });
      finish({ kind: 'lost', error });
    });
  return {
    cancel,
    listen() {
      stopTimer?.();
      heardAt = now();
      wasLate = false;
      watch(heartbeat / 2);
    },
    silence: () => (isListening ? now() - heardAt : 0),
  };
}

async function send({ options, lastEventId, url }: ExchangeHost, signal: AbortSignal): Promise<Response> {
  const headers = new Headers(await valueOf(options.headers));
  if (!headers.has('accept')) headers.set('accept', 'text/event-stream');
  if (lastEventId !== '') headers.set('last-event-id', asHeader(lastEventId));
  const { method, credentials, fetch } = options;
  const body = await valueOf(options.body);
  // Not every `fetch` looks at once, and a request that is over must not be sent.
  signal.throwIfAborted();
  // `undefined` is as if it were not there. The types of Node know nothing of `cache`.
  return fetch(url, { method, headers, body, credentials, signal, cache: 'no-store' } as RequestInit);
}

/** Of what may be given as a function. */
function valueOf<T>(given: T | (() => T | Promise<T>)): T | Promise<T> {
  return typeof given === 'function' ? (given as () => T | Promise<T>)() : given;
}

/** The error of a connection that said nothing for too long. */
export function silenceError(heartbeat: number): ClientError {
  return new ClientError('ERR_SLUICE_CLIENT_SILENT', `Nothing came for ${silenceLimit(heartbeat)} ms`);
}

/** WHATWG HTML 9.2.3: "encoded as UTF-8". A header of `fetch` is a string of bytes. */
function asHeader(id: string): string {
  return String.fromCharCode(...new TextEncoder().encode(id));
}
