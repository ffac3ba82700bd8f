import { AsyncLocalStorage } from 'node:async_hooks';
import { ClientClosedError } from '../../errors.ts';
import { Context } from './context.ts';
import { whenOver } from '../seam/lifetime.ts';
import { type HttpRequest, type HttpResponse, isGone } from '../http/message.ts';

const contextKey = Symbol('sluice.context');
const responseKey = Symbol('sluice.response');

interface Slot {
  [responseKey]?: HttpResponse | undefined;
  /** The last is the one that counts. */
  [contextKey]?: Context[] | undefined;
}

// On the list of fields as they came, which all wrappers of a request share. On the request itself, which Express gives
// another prototype, a property costs 4 µs before Node 24; a WeakMap costs 2 µs everywhere, most of them to the garbage
// collector.
function slotOf(req: HttpRequest): Slot {
  // A request made by hand for a test may have none.
  return ((req.rawHeaders as string[] | undefined) ?? req) as Slot;
}

const storage = new AsyncLocalStorage<Context>();

/** The context of a request, if it was given one. */
export function contextIn(req: HttpRequest): Context | undefined {
  return slotOf(req)[contextKey]?.at(-1);
}

/** Has a request get a context when it is first asked for by `contextFor`: most requests never are. */
export function offerContext(req: HttpRequest, res: HttpResponse): void {
  slotOf(req)[responseKey] = res;
}

/** The context of a request, made now where it was offered. */
export function contextFor(req: HttpRequest): Context | undefined {
  const { [contextKey]: contexts, [responseKey]: res } = slotOf(req);
  if (contexts || !res) return contexts?.at(-1);
  const context = new Context(undefined, Infinity);
  setContext(req, res, context);
  if (isGone(res)) responseOnOver(res);
  return context;
}

/**
 * Gives a request its context, which from then on is ended with its response: aborted when the client leaves, disposed
 * when all was sent. A child of the one that it had takes its place.
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
  // After a reset HTTP/2 reports the body as finished: only `writableEnded` says that the server had ended it.
  if (!writableEnded) abortRequest(req, new ClientClosedError());
  else for (const context of contextsOf(req)) context.dispose();
}

/** Aborts all that a request was given. */
export function abortRequest(req: HttpRequest, reason: Error): void {
  for (const context of contextsOf(req)) context.abort(reason);
}

/**
 * From the last to the first: the end of the first alone would leave the others to their deadlines, and one in the
 * middle may be aborted.
 */
function contextsOf(req: HttpRequest): readonly Context[] {
  return slotOf(req)[contextKey]?.toReversed() ?? [];
}

/** The context of the code that runs, if it has one. */
export function contextHere(): Context | undefined {
  return storage.getStore();
}

/** Calls a function in a context: what it calls, and waits for, has that as its current one. */
export function runIn<T>(context: Context, call: () => T): T {
  return storage.run(context, call);
}
