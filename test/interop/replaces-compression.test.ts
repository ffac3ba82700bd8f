import compression from 'compression';
import express from 'express';
import express4 from 'express4';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import type { Middleware } from '../support/carriers.ts';
import { expressStack } from '../support/stacks/express.ts';
import { nestStack } from '../support/stacks/nest.ts';
import { exchange, Gates, type Jar, type Outcome, type Stack } from '../support/stacks/stack.ts';
import { trpcExpressStack, trpcStack } from '../support/stacks/trpc.ts';
import { yogaStack } from '../support/stacks/yoga.ts';

const stacks: readonly Stack[] = [
  expressStack('Express 5', express),
  expressStack('Express 4', express4),
  nestStack,
  yogaStack,
  trpcExpressStack,
  trpcStack,
];

interface Visited {
  readonly outcomes: ReadonlyMap<string, Outcome>;
  readonly talks: ReadonlyMap<string, unknown>;
  readonly facts: unknown;
}

/** All requests to a stack, one after the other. Each part of a body is waited for only where `isPatient`. */
async function visit(stack: Stack, middleware: Middleware, isPatient: boolean): Promise<Visited> {
  const outcomes = new Map<string, Outcome>();
  const talks = new Map<string, unknown>();
  const jar: Jar = new Map();
  const gates = new Gates(isPatient);
  const started = await stack.start(middleware, gates);
  onTestFinished(() => started.close());
  for (const request of stack.requests) {
    const headers = typeof request.headers === 'function' ? request.headers(outcomes) : request.headers;
    outcomes.set(request.name, await exchange(started.port, request, headers ?? {}, { jar, gates }));
  }
  for (const [name, talk] of Object.entries(stack.talks ?? {})) talks.set(name, await talk(started.port, gates));
  return { outcomes, talks, facts: await started.facts?.() };
}

// Set by the connection, by chance, by the clock, or compared by themselves.
const apart = [
  ...['connection', 'keep-alive', 'date', 'set-cookie', 'content-length', 'content-encoding', 'transfer-encoding'],
  ...['vary', 'etag', 'accept-ranges', 'last-modified'],
];

/** What has to be the same. */
function same({ status, statusText, headers, text }: Outcome): unknown {
  const rest = Object.entries(headers).filter(([name]) => !apart.includes(name));
  const cookies = headers['set-cookie']?.map((cookie) => cookie.split('=', 1)[0]);
  const etag = headers.etag?.replace(/^W\//, '');
  return { status, statusText, text, headers: Object.fromEntries(rest), etag, cookies };
}

function varyOf({ headers }: Outcome): readonly string[] {
  return (headers.vary ?? '')
    .toLowerCase()
    .split(/\s*,\s*/)
    .filter((name) => name !== '');
}

describe.each(stacks)('in place of `compression`, under $name,', (stack) => {
  it('`compress` gives every request the same outcome, and streams arrive part by part', async () => {
    const before = await visit(stack, compression() as unknown as Middleware, false);
    const after = await visit(stack, compress(), true);
    for (const [name, theirs] of before.outcomes) {
      const ours = after.outcomes.get(name)!;
      expect([name, same(ours)]).toEqual([name, same(theirs)]);
      expect(varyOf(ours)).toEqual(expect.arrayContaining([...varyOf(theirs)]));
      // Part of the bytes as they are must not be encoded (RFC 9110 14.4).
      if (theirs.status !== 206) expect([name, ours.coding]).toEqual([name, theirs.coding]);
      const length = ours.headers['content-length'];
      if (length !== undefined && ours.length > 0) expect([name, length]).toEqual([name, String(ours.length)]);
    }
    expect([...after.talks]).toEqual([...before.talks]);
    expect(after.facts).toEqual(before.facts);
    expect([...before.outcomes.values()].map(({ coding }) => coding)).toContain('gzip');
  });
});
