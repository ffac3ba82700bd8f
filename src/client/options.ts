import { ClientError } from './client-error.ts';
import type { ReconnectMode } from './policy/next.ts';

type HeadersInput = NonNullable<RequestInit['headers']>;
type BodyInput = NonNullable<RequestInit['body']>;
type Fetch = (url: string, init: RequestInit) => Promise<Response>;
type Credentials = NonNullable<RequestInit['credentials']>;

/** How long `connect` waits before it tries again. */
export interface ClientRetryOptions {
  /**
   * The bound of the first wait, in milliseconds. Each try that brings nothing doubles it. The wait is random, between
   * 0 and the bound. A `retry:` of the server takes the place of the first wait. At least 1.
   * @defaultValue `1000`
   */
  min?: number | undefined;
  /**
   * The bound of every wait, in milliseconds, without what the server asks for. At least `min`.
   * @defaultValue `30000`
   */
  max?: number | undefined;
  /**
   * After how many tries in a row that brought nothing it gives up, with the error of the last. At least 1.
   * @defaultValue `Infinity`
   */
  attempts?: number | undefined;
}

/** Options of `connect`. */
export interface ClientOptions {
  /**
   * The method of the request.
   * @defaultValue `'GET'`
   */
  method?: string | undefined;
  /**
   * More headers. A function is called before each request, and may be async: for a token that expires. Where it
   * throws, the request counts as failed, and is tried again.
   * @defaultValue none; `Accept: text/event-stream` and `Last-Event-ID` are set
   */
  headers?: HeadersInput | (() => HeadersInput | Promise<HeadersInput>) | undefined;
  /**
   * The body of the request. A function is called before each request. A stream can be sent only once: with a
   * `reconnect` other than `'never'` it is refused.
   * @defaultValue none
   */
  body?: BodyInput | (() => BodyInput | Promise<BodyInput>) | undefined;
  /**
   * Whether cookies are sent, as for `fetch`: `'include'` for another origin.
   * @defaultValue that of `fetch`, `'same-origin'`
   */
  credentials?: Credentials | undefined;
  /**
   * The id to resume from: `lastEventId` of an earlier connection. `''`: none.
   * @defaultValue `''`
   */
  lastEventId?: string | undefined;
  /**
   * How often the server sends something, at least: milliseconds between two heartbeats. After 2.5 heartbeats of
   * silence the connection is dead. `Infinity`: silence is no sign, for a server without heartbeats. At least 1.
   * @defaultValue `15000`, as in `heartbeat`
   */
  heartbeat?: number | undefined;
  /**
   * When the request is sent again. `'always'`: after every end, as `EventSource` does. `'on-error'`: after every end
   * but a complete body. `'never'`: not by itself; what goes wrong is thrown. 204 and `stop()` of the server end all
   * three.
   * @defaultValue `'always'` for GET, `'never'` for every other method: a POST that is sent again may act twice
   */
  reconnect?: ReconnectMode | undefined;
  /**
   * How long to wait before the next try.
   * @defaultValue random, up to 1 s at first and up to 30 s later
   */
  retry?: ClientRetryOptions | undefined;
  /**
   * The longest event, in characters: more makes the connection fail. `Infinity`: any length. At least 1.
   * @defaultValue `1048576`
   */
  maxBufferSize?: number | undefined;
  /**
   * Sends the request, in place of the global `fetch`. It must obey `init.signal`.
   * @defaultValue `globalThis.fetch`
   */
  fetch?: Fetch | undefined;
  /**
   * Closes the connection when it is aborted. The loop ends then, without an error.
   * @defaultValue none
   */
  signal?: AbortSignal | undefined;
}

/** What the connection works with. */
export interface ResolvedClientOptions extends Pick<ClientOptions, 'headers' | 'body' | 'credentials' | 'signal'> {
  readonly method: string;
  readonly lastEventId: string;
  readonly heartbeat: number;
  readonly reconnect: ReconnectMode;
  readonly retry: { readonly min: number; readonly max: number; readonly attempts: number };
  readonly maxBufferSize: number;
  readonly fetch: Fetch;
}

/** Fills in defaults and checks. Throws `ClientError`. */
export function resolveClientOptions(given: ClientOptions = {}): ResolvedClientOptions {
  const { method: name = 'GET', headers, body, credentials, lastEventId = '', heartbeat = 15_000, ...others } = given;
  const { retry = {}, maxBufferSize = 1024 * 1024, fetch = callFetch, signal, reconnect, ...unknown } = others;
  const { min = 1000, max = Math.max(30_000, min), attempts = Infinity, ...unknownOfRetry } = retry;
  for (const [each, value] of Object.entries({ ...unknown, ...unknownOfRetry }))
    if (value !== undefined) throw invalid(each, 'does not exist');
  check('method', name, typeof name === 'string', 'a string');
  check('lastEventId', lastEventId, typeof lastEventId === 'string', 'a string');
  check('fetch', fetch, typeof fetch === 'function', 'a function');
  checkNumbers({ heartbeat, maxBufferSize, 'retry.min': min, 'retry.max': max, 'retry.attempts': attempts });
  check('retry.max', max, max >= min, 'at least `retry.min`');
  const method = name.toUpperCase();
  const isGet = method === 'GET';
  const mode = reconnect ?? (isGet ? 'always' : 'never');
  check('reconnect', mode, modes.includes(mode), modes.join(' or '));
  if (body !== undefined && isGet) throw invalid('body', 'needs a method other than GET');
  // By its shape: test runners that play a browser know no `ReadableStream`.
  if (mode !== 'never' && typeof body === 'object' && 'getReader' in body)
    throw invalid('body', 'can be sent once only: use a function');
  if (typeof headers !== 'function') attempt('headers', () => new Headers(headers));
  const all = { method, headers, body, credentials, lastEventId, heartbeat, maxBufferSize, fetch, signal };
  return { ...all, reconnect: mode, retry: { min, max, attempts } };
}

const modes: readonly ReconnectMode[] = ['always', 'on-error', 'never'];

// Looked up when it is called: tests and polyfills replace it. As a method of an object, that of browsers throws.
function callFetch(url: string, init: RequestInit): Promise<Response> {
  return fetch(url, init);
}

/** The address, as a page would resolve it. Throws `ClientError`. */
export function resolveUrl(url: string | URL): string {
  const { document, location } = globalThis as { document?: { baseURI?: string }; location?: { href?: string } };
  return attempt('url', () => new URL(url, document?.baseURI ?? location?.href)).href;
}

/** What is made of an option, by a constructor that refuses what is wrong. */
function attempt<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw invalid(name, `is refused: ${String(cause)}`, cause);
  }
}

function checkNumbers(numbers: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(numbers))
    check(name, value, typeof value === 'number' && value >= 1, 'a number, 1 or more');
}

function check(name: string, value: unknown, isRight: boolean, kind: string): void {
  if (!isRight) throw invalid(name, `has to be ${kind}, and is ${String(value)} (${typeof value})`);
}

function invalid(name: string, fault: string, cause?: unknown): ClientError {
  return new ClientError('ERR_SLUICE_CLIENT_OPTION_INVALID', `Option \`${name}\` of \`connect\` ${fault}`, { cause });
}
