import { StreamRefusedError } from '../errors.ts';
import { whenOver } from '../internal/seam/lifetime.ts';
import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import { asksForEventStream, refuse, type RefusalOptions } from '../internal/writer/refusal.ts';
import type { Registry } from '../internal/health/registry.ts';

/** One mounted `heartbeat` before a handler: where it counts, and how it refuses. */
export interface Mount {
  readonly registry: Registry;
  readonly refusal: RefusalOptions;
}

/** Whether a stream may begin. */
export type Admission =
  | { readonly kind: 'admitted'; /** Stops counting it. */ readonly release: () => void }
  | { readonly kind: 'refused'; readonly refusal: RefusalOptions; readonly error: StreamRefusedError };

/**
 * Refuses a request for an event stream while a limit is reached, so that no work begins for it. It counts nothing: a
 * client may ask for anything.
 * @returns whether it was refused
 */
export function refuseEarly({ registry, refusal }: Mount, req: HttpRequest, res: HttpResponse): boolean {
  if (!registry.limit.mayBeFull || !asksForEventStream(req)) return false;
  const limit = registry.findLimit(req);
  if (!limit) return false;
  registry.counters.refused[limit] += 1;
  refuse(req, res, refusal);
  return true;
}

/** A response has turned out to be a stream. It counts in each registry from here on, or in none. */
export function admit(mounts: readonly Mount[], req: HttpRequest, res: HttpResponse): Admission {
  for (const { registry, refusal } of mounts) {
    const limit = registry.findLimit(req);
    if (!limit) continue;
    registry.counters.refused[limit] += 1;
    return { kind: 'refused', refusal, error: new StreamRefusedError(limit) };
  }
  const undos = mounts.filter(({ registry }) => registry.limit.isLimited).map(({ registry }) => registry.count(req));
  const release = (): void => {
    for (const undo of undos) undo();
  };
  if (undos.length > 0) whenOver(res, release);
  return { kind: 'admitted', release };
}

/** Adds mounts to those before them. A registry counts a stream once, however often it is mounted. */
export function withMounts(before: readonly Mount[], own: readonly Mount[]): readonly Mount[] {
  const isOwn = ({ registry }: Mount): boolean => own.some((mount) => mount.registry === registry);
  return [...before.filter((mount) => !isOwn(mount)), ...own];
}
