import { whenOver } from '../internal/lifetime.ts';
import type { HttpRequest, HttpResponse } from '../internal/message.ts';
import { asksForEventStream, refuse, type RefusalOptions } from '../internal/refusal.ts';
import type { Registry } from './registry.ts';

/** In which registries a response has its seat: a middleware may be mounted more than once. */
const seated = new WeakMap<HttpResponse, Set<Registry>>();

/** Gives a seat to a request that asks for an event stream, or refuses it where there is none. @returns whether it goes on */
export function admit(registry: Registry, refusal: RefusalOptions, req: HttpRequest, res: HttpResponse): boolean {
  if (!registry.seats.isLimited || !asksForEventStream(req) || isSeated(registry, res)) return true;
  const admission = registry.admit(req);
  if (admission.kind === 'seat') {
    hold(registry, res, admission.release);
    return true;
  }
  refuse(req, res, refusal);
  return false;
}

/** A stream has begun: it counts, also one that nobody asked for. */
export function occupy(registry: Registry, req: HttpRequest, res: HttpResponse): void {
  if (registry.seats.isLimited && !isSeated(registry, res)) hold(registry, res, registry.occupy(req));
}

function isSeated(registry: Registry, res: HttpResponse): boolean {
  return seated.get(res)?.has(registry) === true;
}

function hold(registry: Registry, res: HttpResponse, release: () => void): void {
  const registries = seated.get(res) ?? new Set();
  seated.set(res, registries.add(registry));
  whenOver(res, release);
}
