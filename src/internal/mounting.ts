import { subscribe } from 'node:diagnostics_channel';
import debug from 'debug';
import { type HttpRequest, type HttpResponse, requestLabel } from './http/message.ts';

// Enough to see where it is mounted wrong. A log has to stay readable.
const mostTold = 100;

/**
 * Tells in the debug log, `sluice:<part>`, of requests that a middleware did not see, or saw too late, because it is
 * mounted behind the route. Costs two look-ups for each request while the log is off.
 */
export class Mounting {
  readonly #part: string;
  readonly #log: debug.Debugger;
  readonly #passed = new WeakSet<HttpRequest>();
  readonly #told = new Set<string>();
  #isMade = false;

  constructor(part: string) {
    this.#part = part;
    this.#log = debug(`sluice:${part}`);
  }

  /** A middleware was made: from now on requests may be expected to pass it. */
  noteMade(): void {
    this.#isMade = true;
    if (this.#log.enabled) watchResponses();
  }

  /** A request came to the middleware. */
  notePassed(req: HttpRequest, res: HttpResponse): void {
    if (!this.#log.enabled) return;
    this.#passed.add(req);
    if (res.headersSent)
      this.#tell(req, 'came to `%s` when its headers were sent. Mount the middleware before the route.');
  }

  /** A stream begins, or a response has ended. */
  noteAnswered(req: HttpRequest): void {
    if (!this.#isMade || !this.#log.enabled || this.#passed.has(req) || answered.has(req)) return;
    this.#tell(req, 'did not pass `%s`. If it is to, mount the middleware before the route.');
  }

  /** Each path once. */
  #tell(req: HttpRequest, text: string): void {
    const label = requestLabel(req);
    if (this.#told.has(label) || this.#told.size >= mostTold) return;
    this.#told.add(label);
    this.#log(`%s ${text}`, label, this.#part);
  }
}

/** The middlewares that have to stand before the routes. */
export const mountings: Readonly<Record<'compress' | 'heartbeat' | 'deadline' | 'lifecycle', Mounting>> = {
  compress: new Mounting('compress'),
  heartbeat: new Mounting('heartbeat'),
  deadline: new Mounting('deadline'),
  lifecycle: new Mounting('lifecycle'),
};

/** Requests that one middleware has answered: the others behind it could not see them. */
const answered = new WeakSet<HttpRequest>();

/** A middleware answers in place of the route. */
export function noteAnsweredEarly(req: HttpRequest | undefined): void {
  if (req) answered.add(req);
}

/** Tells of the middlewares that a response has not passed. A stream is told of when it begins: its end may be far. */
export function tellUnpassed(req: HttpRequest): void {
  for (const mounting of Object.values(mountings)) mounting.noteAnswered(req);
}

let isWatching = false;

/** Node's own channel. Only while a log is on, and for the life of the process, as the log. */
function watchResponses(): void {
  if (isWatching) return;
  isWatching = true;
  subscribe('http.server.response.finish', (message) => tellUnpassed((message as { request: HttpRequest }).request));
}
