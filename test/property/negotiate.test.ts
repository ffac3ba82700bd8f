import fc from 'fast-check';
import { expect, it } from 'vitest';
import { codingWeight, parseAcceptEncoding } from '../../src/compress/policy/accept-encoding.ts';
import { encodedEtag, matchedEtag, plainConditions } from '../../src/compress/policy/etag.ts';
import { fingerprint } from '../../src/compress/policy/fingerprint.ts';
import { negotiate } from '../../src/compress/policy/negotiate.ts';
import type { BodyKind, Tier } from '../../src/compress/codec.ts';

interface Element {
  readonly coding: string;
  /** Thousandths; `undefined` for none given. */
  readonly q: number | undefined;
  readonly space: string;
  readonly upper: boolean;
}

const names = ['zstd', 'br', 'gzip', 'deflate', 'x-foo'];

const element: fc.Arbitrary<Element> = fc.record({
  coding: fc.constantFrom(...names, 'x-gzip', 'compress', 'identity', '*'),
  q: fc.option(fc.oneof(fc.constantFrom(0, 1000), fc.integer({ min: 0, max: 1000 })), { nil: undefined }),
  space: fc.constantFrom('', ' ', '\t'),
  upper: fc.boolean(),
});

const context: fc.Arbitrary<{ kind: BodyKind; tier: Tier }> = fc.record({
  kind: fc.constantFrom<BodyKind>('complete', 'long', 'event-stream'),
  tier: fc.constantFrom<Tier>(0, 1, 2, 3),
});

const offers = fc.shuffledSubarray(names);

function write({ coding, q, space, upper }: Element): string {
  const weight = q === undefined ? '' : `${space};${space}q=${(q / 1000).toFixed(3).replace(/\.?0+$/, '')}`;
  const text = `${space}${coding}${weight}${space}`;
  return upper ? text.toUpperCase() : text;
}

function weightIn(elements: readonly Element[], coding: string): number | undefined {
  const own = elements.filter((each) => (each.coding === 'x-gzip' ? 'gzip' : each.coding) === coding);
  return own.length === 0 ? undefined : Math.min(...own.map((each) => (each.q ?? 1000) / 1000));
}

it('codingWeight agrees with a naive reading of the RFC', () => {
  fc.assert(
    fc.property(fc.array(element, { maxLength: 6 }), fc.constantFrom(...names), (elements, coding) => {
      const accepted = parseAcceptEncoding(elements.map(write).join(','));
      expect(codingWeight(accepted, coding)).toBeCloseTo(
        weightIn(elements, coding) ?? weightIn(elements, '*') ?? 0,
        10,
      );
      const identity = weightIn(elements, 'identity') ?? (weightIn(elements, '*') === 0 ? 0 : 1);
      expect(codingWeight(accepted, 'identity')).toBeCloseTo(identity, 10);
    }),
    { numRuns: 5000 },
  );
});

it('negotiate never picks what q=0 forbids, whatever else the field says', () => {
  fc.assert(
    fc.property(
      fc.array(element, { maxLength: 5 }),
      fc.constantFrom(...names),
      fc.nat(),
      offers,
      context,
      (elements, refused, at, offered, situation) => {
        const parts = elements.map(write);
        parts.splice(at % (parts.length + 1), 0, `${refused};q=0`);
        expect(negotiate(parts.join(','), offered, situation).coding).not.toBe(refused);
      },
    ),
    { numRuns: 2000 },
  );
});

it('negotiate does not depend on the order of the elements', () => {
  fc.assert(
    fc.property(
      fc.array(element, { minLength: 1, maxLength: 6 }),
      fc.nat(),
      offers,
      context,
      (elements, turn, offered, situation) => {
        const turned = [...elements.slice(turn % elements.length), ...elements.slice(0, turn % elements.length)];
        const answer = negotiate(elements.map(write).join(','), offered, situation);
        expect(negotiate(turned.map(write).join(','), offered, situation)).toEqual(answer);
        expect(negotiate(elements.toReversed().map(write).join(', '), offered, situation)).toEqual(answer);
      },
    ),
    { numRuns: 2000 },
  );
});

it('negotiate follows a client that halves from coding to coding, in whatever order they are offered', () => {
  fc.assert(
    fc.property(
      fc.shuffledSubarray(names, { minLength: names.length }),
      offers,
      context,
      (ranked, offered, situation) => {
        const header = ranked.map((coding, at) => `${coding};q=${[1, 0.5, 0.25, 0.12, 0.06][at]}`).join(',');
        const expected = ranked.find((coding) => offered.includes(coding)) ?? 'identity';
        expect(negotiate(header, offered, situation).coding).toBe(expected);
      },
    ),
    { numRuns: 2000 },
  );
});

it('negotiate does not depend on the order of the offers when the client has no preference', () => {
  fc.assert(
    fc.property(offers, context, (offered, situation) => {
      expect(negotiate('*', offered, situation)).toEqual(negotiate('*', offered.toReversed(), situation));
    }),
  );
});

it('negotiate never throws, and answers with one of the offers or identity', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string({ unit: 'binary' }),
        fc.array(fc.oneof(element.map(write), fc.string()), { maxLength: 8 }).map((parts) => parts.join(',')),
      ),
      offers,
      context,
      (header, offered, situation) => {
        const { coding, reason } = negotiate(header, offered, situation);
        if (reason === 'negotiated') expect(offered).toContain(coding);
        else expect(coding).toBe('identity');
      },
    ),
    { numRuns: 5000 },
  );
});

it('negotiate sends identity only when nothing that is offered is acceptable, or identity is preferred', () => {
  fc.assert(
    fc.property(fc.array(element, { maxLength: 6 }), offers, context, (elements, offered, situation) => {
      const header = elements.map(write).join(',');
      const best = Math.max(0, ...offered.map((coding) => weightIn(elements, coding) ?? weightIn(elements, '*') ?? 0));
      const { reason } = negotiate(header, offered, situation);
      expect(reason === 'negotiated').toBe(best > 0 && best >= (weightIn(elements, 'identity') ?? 0));
    }),
    { numRuns: 2000 },
  );
});

it('fingerprint never throws, and its signature is one that it keeps', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(element, { maxLength: 8 }).map((elements) => elements.map(write).join(',')),
      ),
      (field) => {
        const first = fingerprint({ headers: { 'accept-encoding': field } });
        expect(fingerprint({ headers: { 'accept-encoding': first.signature } }).signature).toBe(first.signature);
      },
    ),
  );
});

const opaque = fc.string({
  unit: fc.constantFrom('a', 'b', '-', ',', '/', 'W', '!', '\u00e9', 'gzip', '-br'),
  maxLength: 6,
});

it('a suffix goes on and off, and a 304 names the tag that the client holds', () => {
  const codings = ['gzip', 'br'];
  fc.assert(
    fc.property(
      opaque,
      fc.boolean(),
      fc.constantFrom(...codings),
      fc.array(opaque, { maxLength: 3 }),
      (text, weak, coding, others) => {
        const etag = `${weak ? 'W/' : ''}"${text}"`;
        const held = encodedEtag(etag, coding, 'suffix') ?? '';
        const ifNoneMatch = [...others.map((each) => `"${each}"`), held].join(', ');
        expect(plainConditions(ifNoneMatch, codings).field.endsWith(etag)).toBe(true);
        expect(plainConditions(ifNoneMatch, codings).codings).toContain(coding);
        expect(ifNoneMatch).toContain(matchedEtag(etag, { ifNoneMatch, codings, mode: 'suffix' }));
      },
    ),
    { numRuns: 2000 },
  );
});

it('conditions never throw, and without a suffix stay as they are', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('"', ',', ' ', 'W/', '*', 'a', '-gzip', '\\') })),
      (field) => {
        expect(plainConditions(field, [])).toEqual({ field, codings: [] });
        const { field: plain, codings } = plainConditions(field, ['gzip']);
        expect(plain === field).toBe(codings.length === 0);
        expect(matchedEtag('"a"', { ifNoneMatch: field, codings: ['gzip'], mode: 'suffix' })).toMatch(/^"a(-gzip)?"$/);
      },
    ),
    { numRuns: 2000 },
  );
});
