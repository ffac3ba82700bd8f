import { StreamRefusedError } from '../errors.ts';
import { whenOver } from '../internal/seam/lifetime.ts';
import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import { asksForEventStream, refuse, type RefusalOptions } from '../internal/writer/refusal.ts';
import type { Registry } from '../internal/health/registry.ts';

/** One mounted `heartbeat` on the way to a handler: where it counts, and how it refuses. */
export interface Door {
  readonly registry: Registry;
  readonly refusal: RefusalOptions;
}

/** Whether a stream may begin: with the function that gives its seats back, or with how and why it is refused. */
export type Entry =
  | { readonly kind: 'admitted'; readonly leave: () => void }
  | { readonly kind: 'refused'; readonly refusal: RefusalOptions; readonly error: StreamRefusedError };

/**
 * Refuses a request for an event stream while a limit is reached, so that nothing is started for it. It counts nothing:
 * what a request asks for is the client's to say.
 * @returns whether it was refused
 */
export function refuseEarly({ registry, refusal }: Door, req: HttpRequest, res: HttpResponse): boolean {
  if (!registry.limit.mayBeFull || !asksForEventStream(req)) return false;
  const limit = registry.findLimit(req);
  if (!limit) return false;
  registry.counters.refused[limit] += 1;
  refuse(req, res, refusal);
  return true;
}

/** A response has turned out to be a stream: it counts in each registry from here on, or in none. */
export function enter(doors: readonly Door[], req: HttpRequest, res: HttpResponse): Entry {
  for (const { registry, refusal } of doors) {
    const limit = registry.findLimit(req);
    if (!limit) continue;
    registry.counters.refused[limit] += 1;
    return { kind: 'refused', refusal, error: new StreamRefusedError(limit) };
  }
  const releases = doors.filter(({ registry }) => registry.limit.isLimited).map(({ registry }) => registry.count(req));
  const leave = (): void => {
    for (const release of releases) release();
  };
  if (releases.length > 0) whenOver(res, leave);
  return { kind: 'admitted', leave };
}

/** Adds doors to those before them. A registry counts a stream once, however often it is mounted. */
export function withDoors(before: readonly Door[], own: readonly Door[]): readonly Door[] {
  const isOwn = ({ registry }: Door): boolean => own.some((door) => door.registry === registry);
  return [...before.filter((door) => !isOwn(door)), ...own];
}
