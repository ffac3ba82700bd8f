import type { Server } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress, deadline, heartbeat, lifecycle } from '../../src/index.ts';
import { type Carrier, carriers, type Middleware, type Running } from '../support/carriers.ts';
import { settles, until } from '../support/until.ts';
import { type Outcome, serveSite } from './site.ts';

/** A middleware of the library for one test. */
interface Mounted {
  readonly middleware: Middleware;
  /** After it is up. */
  attach?(running: Running): void;
  /** After all requests: that it holds nothing any more. */
  check(): Promise<void> | void;
}

const parts = {
  lifecycle(): Mounted {
    const life = lifecycle({ signals: false, preDrain: 0, spread: 0 });
    onTestFinished(() => life.close());
    return {
      middleware: life,
      attach: ({ server }) => void life.attach(server as Server),
      // Nothing that is over keeps it.
      check: async () => expect(await settles(life.drain())).toMatchObject({ forced: false, reason: 'complete' }),
    };
  },
  deadline(): Mounted {
    const limited = deadline({ default: '30s', idle: '30s', max: '60s' });
    return { middleware: limited, check: () => expect(limited.lateCalls).toBe(0) };
  },
  heartbeat(): Mounted {
    const beat = heartbeat();
    return {
      middleware: beat,
      check: () =>
        until(
          () => beat.registry.stats().connections === 0,
          () => JSON.stringify(beat.registry.stats()),
        ),
    };
  },
  compress(): Mounted {
    const compressed = compress();
    return {
      middleware: compressed as Middleware,
      check: () =>
        until(
          () => compressed.activeEncoders === 0,
          () => `${compressed.activeEncoders} encoders are open`,
        ),
    };
  },
};

type Part = keyof typeof parts;

const names = Object.keys(parts) as Part[];
const pairs = names.flatMap((first) => names.filter((other) => other !== first).map((second) => [first, second]));
const stacks: readonly Part[][] = [...names.map((name) => [name]), ...pairs, names, names.toReversed()];

// What a coding, and who watches a connection, may change of a head.
const codingFields = ['content-encoding', 'content-length', 'transfer-encoding', 'vary', 'accept-ranges'];
const connectionFields = ['date', 'connection', 'keep-alive'];

/** An outcome without what the middlewares may change. */
function stable(outcome: Outcome, ignored: readonly string[]): Outcome {
  const headers = Object.entries(outcome.headers)
    .filter(([name]) => !ignored.includes(name))
    .map(([name, value]) => [name, name === 'etag' ? String(value).replace(/^W\//, '') : value]);
  return { ...outcome, headers: Object.fromEntries(headers) as Outcome['headers'] };
}

// The body of a HEAD is not made, nor coded.
const codable = ['events', 'written', 'records', 'json', 'body', 'late error', 'left'];

const bareOutcomes = new Map<Carrier, Promise<Record<string, Outcome>>>();

async function visitBare(carrier: Carrier): Promise<Record<string, Outcome>> {
  const site = await serveSite(carrier, []);
  return site.visit('gzip');
}

describe.each(carriers)('on $name', (carrier) => {
  it.for(stacks.map((stack) => [stack.join(' → '), stack] as const))(
    'the client sees the same behind %s',
    async ([, stack]) => {
      const mounted = stack.map((name) => parts[name]());
      const site = await serveSite(
        carrier,
        mounted.map(({ middleware }) => middleware),
      );
      for (const each of mounted) each.attach?.(site.running);

      bareOutcomes.set(carrier, bareOutcomes.get(carrier) ?? visitBare(carrier));
      const bare = await bareOutcomes.get(carrier)!;
      const isCoded = stack.includes('compress');
      const ignored = [...connectionFields, ...(isCoded ? codingFields : [])];
      const codings = stack.length === names.length ? ['gzip', 'br', undefined] : ['gzip'];
      for (const coding of codings) {
        const seen = await site.visit(coding);
        for (const [name, outcome] of Object.entries(seen))
          expect.soft(stable(outcome, ignored), name).toEqual(stable(bare[name]!, ignored));
        const coded = Object.keys(seen).filter((name) => seen[name]!.headers['content-encoding'] === coding);
        if (coding !== undefined) expect(coded).toEqual(isCoded ? codable : []);
        else expect(coded).toEqual(Object.keys(seen));
        expect(site.running.errors.splice(0).map(String).toSorted()).toEqual(['Error: boom', 'Error: too late']);
      }
      for (const each of mounted) await each.check();
    },
  );
});
