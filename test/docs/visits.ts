import { EventSource } from 'eventsource';
import { expect } from 'vitest';
import type { Running } from '../support/docs.ts';
import { settles } from '../support/until.ts';

// How examples are visited, and what a page in a browser has beside them.

export type Visit = (running: Running) => Promise<void> | void;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Requests a URL and reads until each of some texts has come, or to the end where there are none. */
export async function get(
  url: string,
  texts: readonly string[] = [],
  init: RequestInit = {},
  onHead?: () => void,
): Promise<Answer> {
  const done = new AbortController();
  const response = await settles(fetch(url, { ...init, signal: done.signal }));
  onHead?.();
  let text = '';
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  while (reader && !(texts.length > 0 && texts.every((each) => text.includes(each)))) {
    const { done: isOver, value } = await settles(reader.read());
    if (isOver) break;
    text += decoder.decode(value, { stream: true });
  }
  done.abort();
  for (const each of texts) expect(text).toContain(each);
  return { status: response.status, headers: response.headers, text };
}

/** Visits a path of the example's server: each of the texts has to come. */
export function gets(path: string, ...texts: string[]): Visit {
  return async ({ origin }) => {
    const { status } = await get(origin() + path, texts);
    expect(status).toBe(200);
  };
}

/** Serves what the module exports by a name, and visits it. */
export function mounts(name: string, ...texts: string[]): Visit {
  return async (running) => {
    await running.mount(running.exports[name]);
    await gets('/', ...texts)(running);
  };
}

/** Visits in turn. */
export function each(...visits: Visit[]): Visit {
  return async (running) => {
    for (const visit of visits) await visit(running);
  };
}

/** A browser's globals, for a page of one origin. */
export function browserOf(origin: string): Record<string, unknown> {
  return {
    EventSource: class extends EventSource {
      constructor(url: string) {
        super(new URL(url, origin));
        sources.add(this);
      }
    },
    location: { href: origin },
    navigator: { locks: { request: requestLock } },
  };
}

const sources = new Set<EventSource>();

/** Closes what the page has opened. */
export function closeSources(): void {
  for (const source of sources) source.close();
  sources.clear();
}

const tails = new Map<string, Promise<unknown>>();

/** As `navigator.locks.request`: one holder at a time, in the order in which they ask. */
function requestLock(
  name: string,
  { signal }: { signal: AbortSignal },
  hold: () => Promise<unknown>,
): Promise<unknown> {
  const before = tails.get(name) ?? Promise.resolve();
  const held = before.then(() => {
    signal.throwIfAborted();
    return hold();
  });
  tails.set(
    name,
    held.catch(() => undefined),
  );
  return held;
}
