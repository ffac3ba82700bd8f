import { inspect } from 'node:util';
import { type HttpRequest, requestLabel } from './http/message.ts';

/** The code of the process warning about an error that nothing listens for. Part of the interface. */
const warningCode = 'SLUICE_UNHANDLED';

const minute = 60_000;
// A service fails at a few places at once. With more than that in one minute the rest is not warned of: a log has to
// stay readable.
const maxPlaces = 100;

/** Decides which errors are warned of: the first of each place in the code and minute. */
export class WarningLimit {
  readonly #now: () => number;
  /** When each place was warned of, the oldest first. */
  readonly #warnedAt = new Map<string, number>();

  /** @param now - milliseconds that do not go back */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether a warning of this error is due. It counts as given then. */
  isDue(error: unknown): boolean {
    const now = this.#now();
    for (const [place, at] of this.#warnedAt) {
      if (now - at < minute) break;
      this.#warnedAt.delete(place);
    }
    const place = placeOf(error);
    if (this.#warnedAt.has(place) || this.#warnedAt.size >= maxPlaces) return false;
    this.#warnedAt.set(place, now);
    return true;
  }
}

const limit = new WarningLimit(() => performance.now());

/** What a warning says beside the error. */
export interface Unheard {
  /** How to hear such errors, as a sentence. */
  readonly cure: string;
  /** What the client sees of the error, as a sentence. */
  readonly consequence?: string | undefined;
  readonly req?: HttpRequest | undefined;
}

/** Warns of an error that has no caller and no listener. */
export function warnUnheard(error: unknown, { cure, consequence, req }: Unheard): void {
  if (!limit.isDue(error)) return;
  const subject = req ? `Unhandled error of ${requestLabel(req)}` : 'Unhandled error';
  const text = textOf(error);
  const [summary = ''] = text.split('\n', 1);
  const advice = consequence === undefined ? cure : `${consequence}\n${cure}`;
  const detail = `${text.slice(summary.length + 1, 5000)}\n${advice}`;
  process.emitWarning(`${subject}: ${summary.slice(0, 500)}`, { type: 'SluiceWarning', code: warningCode, detail });
}

/** Stacks, also of the causes, and no other fields: they may hold what is not meant for a log. */
function textOf(error: unknown, depth = 0): string {
  const text = stackOf(error) ?? inspect(error);
  const cause: unknown =
    typeof error === 'object' && error !== null && depth < 3 && 'cause' in error ? error.cause : undefined;
  return cause === undefined ? text : `${text}\n[cause]: ${textOf(cause, depth + 1)}`;
}

/**
 * The class of an error and where the application made it: the first frame that is not Node's or a package's. Its
 * message may differ from one to the next.
 */
function placeOf(error: unknown): string {
  const stack = stackOf(error);
  if (stack === undefined) return typeof error;
  // As V8 writes frames.
  const frames = stack.split('\n').filter((line) => line.startsWith('    at '));
  const own = frames.find((line) => !/node:|<anonymous>|[\\/]node_modules[\\/]/.test(line));
  return `${(error as Error).name} ${own ?? frames[0] ?? ''}`.slice(0, 500);
}

function stackOf(error: unknown): string | undefined {
  const stack: unknown = typeof error === 'object' && error !== null && 'stack' in error ? error.stack : undefined;
  return typeof stack === 'string' && stack !== '' ? stack : undefined;
}
