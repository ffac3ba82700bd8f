import { AsyncLocalStorage } from 'node:async_hooks';
import { ClientClosedError } from '../../errors.ts';
import { Context } from './context.ts';
import { whenOver } from '../seam/lifetime.ts';
import { type HttpRequest, type HttpResponse, isGone } from '../http/message.ts';

const contextKey = Symbol('sluice.context');
const responseKey = Symbol('sluice.response');

const holdKey = Symbol('sluice.hold');

const none: readonly Context[] = [];

/**
 * Makes a shutdown wait for work that outlives its request. Returns the release.
 * @param onCut - the shutdown waits no longer
 */
export type TakeHold = (onCut: () => void) => () => void;

interface Slot {
  [holdKey]?: TakeHold | undefined;
  [responseKey]?: HttpResponse | undefined;
  /** The last one counts. */
  [contextKey]?: Context[] | undefined;
}

// The slot is on `rawHeaders`, which all wrappers of a request share. On the request itself, which Express gives
// another prototype, a property costs 4 µs before Node 24. A WeakMap costs 2 µs, most of them in the garbage collector.
function slotOf(req: HttpRequest): Slot {
  // A hand-made request of a test may have none.
  return ((req.rawHeaders as string[] | undefined) ?? req) as Slot;
}

const storage = new AsyncLocalStorage<Context>();

/** The context of a request, if it has one. */
export function contextIn(req: HttpRequest): Context | undefined {
  return slotOf(req)[contextKey]?.at(-1);
}

/** Lets `contextFor` make the context of a request on first use: most requests need none. */
export function offerContext(req: HttpRequest, res: HttpResponse): void {
  slotOf(req)[responseKey] = res;
}

/** Lets work that a request begins hold up the shutdown. */
export function offerHold(req: HttpRequest, take: TakeHold): void {
  slotOf(req)[holdKey] = take;
}

/** Makes the shutdown of the process that serves a request wait, if the request passed `lifecycle`. */
export function takeHold(req: HttpRequest, onCut: () => void): () => void {
  return slotOf(req)[holdKey]?.(onCut) ?? (() => undefined);
}

/** The context of a request. Makes the one that was offered. */
export function contextFor(req: HttpRequest): Context | undefined {
  const { [contextKey]: contexts, [responseKey]: res } = slotOf(req);
  if (contexts || !res) return contexts?.at(-1);
  const context = new Context(undefined, Infinity);
  setContext(req, res, context);
  if (isGone(res)) responseOnOver(res);
  return context;
}

/**
 * Gives a request its context, which ends with the response: aborted if the client leaves, disposed once all is sent. A
 * child of the previous context replaces it.
 */
export function setContext(req: HttpRequest, res: HttpResponse, context: Context): void {
  const slot = slotOf(req);
  const contexts = slot[contextKey];
  if (contexts) {
    contexts.push(context);
    return;
  }
  slot[contextKey] = [context];
  whenOver(res, responseOnOver);
}

function responseOnOver({ req, writableEnded }: HttpResponse): void {
  // After a reset HTTP/2 reports the body as finished. Only `writableEnded` tells whether the server had ended it.
  if (writableEnded) forEachContext(req, (context) => context.dispose());
  else abortRequest(req, new ClientClosedError());
}

/** Aborts all contexts of a request. */
export function abortRequest(req: HttpRequest, reason: Error): void {
  forEachContext(req, (context) => context.abort(reason));
}

/** From the last to the first: the end of the first alone would leave the others to their deadlines. */
function forEachContext(req: HttpRequest, call: (context: Context) => void): void {
  const contexts = slotOf(req)[contextKey] ?? none;
  for (let index = contexts.length - 1; index >= 0; index--) call(contexts[index] as Context);
}

/** The context of the code that runs now, if it has one. */
export function contextHere(): Context | undefined {
  return storage.getStore();
}

/** Calls a function in a context, with everything that it calls and awaits. */
export function runIn<T>(context: Context, call: () => T): T {
  return storage.run(context, call);
}
