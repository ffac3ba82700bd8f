import fc from 'fast-check';
import { expect, it } from 'vitest';
import { acceptWeight } from '../../src/internal/http/accept.ts';

interface Element {
  readonly type: string;
  readonly subtype: string;
  /** Thousandths; `undefined` for none given. */
  readonly q: number | undefined;
  readonly parameter: string;
  readonly space: string;
  readonly upper: boolean;
}

const types = ['text', 'application', 'x'];
const subtypes = ['event-stream', 'html', 'x-ndjson', 'x'];

const element: fc.Arbitrary<Element> = fc
  .record({
    type: fc.constantFrom(...types, '*'),
    subtype: fc.constantFrom(...subtypes, '*'),
    q: fc.option(fc.oneof(fc.constantFrom(0, 1000), fc.integer({ min: 0, max: 1000 })), { nil: undefined }),
    parameter: fc.constantFrom('', ';charset=utf-8', ' ; level=1', ';v=q'),
    space: fc.constantFrom('', ' ', '\t'),
    upper: fc.boolean(),
  })
  .filter(({ type, subtype }) => type !== '*' || subtype === '*');

function write({ type, subtype, q, parameter, space, upper }: Element): string {
  const weight = q === undefined ? '' : `${space};${space}q=${(q / 1000).toFixed(3).replace(/\.?0+$/, '')}`;
  const text = `${space}${type}/${subtype}${parameter}${weight}${space}`;
  return upper ? text.toUpperCase() : text;
}

/** RFC 9110 12.5.1 word by word: the most specific range that matches decides; of equals, the most generous. */
function model(elements: readonly Element[], type: string, subtype: string): number {
  if (elements.length === 0) return 1;
  const levels = [
    elements.filter((each) => each.type === type && each.subtype === subtype),
    elements.filter((each) => each.type === type && each.subtype === '*'),
    elements.filter((each) => each.type === '*'),
  ];
  const deciding = levels.find((level) => level.length > 0) ?? [];
  return Math.max(0, ...deciding.map((each) => (each.q ?? 1000) / 1000));
}

it('acceptWeight agrees with a naive reading of the RFC', () => {
  fc.assert(
    fc.property(
      fc.array(element, { maxLength: 6 }),
      fc.constantFrom(...types),
      fc.constantFrom(...subtypes),
      (elements, type, subtype) => {
        const field = elements.map(write).join(',');
        expect(acceptWeight(field, `${type}/${subtype}`)).toBeCloseTo(model(elements, type, subtype), 10);
      },
    ),
    { numRuns: 5000 },
  );
});

it('acceptWeight does not depend on the order of the elements', () => {
  fc.assert(
    fc.property(fc.array(element, { minLength: 1, maxLength: 6 }), (elements) => {
      const weigh = (list: readonly Element[]): number => acceptWeight(list.map(write).join(', '), 'text/event-stream');
      expect(weigh(elements.toReversed())).toBe(weigh(elements));
    }),
  );
});

it('acceptWeight never picks what q=0 forbids, nor leaves the range of a weight', () => {
  fc.assert(
    fc.property(fc.string(), fc.array(element, { maxLength: 3 }), (junk, elements) => {
      const rest = elements.filter((each) => each.type !== 'text' || each.subtype !== 'event-stream').map(write);
      expect(acceptWeight([...rest, 'text/event-stream;q=0'].join(','), 'text/event-stream')).toBe(0);
      const weight = acceptWeight([junk, ...rest].join(','), 'text/event-stream');
      expect(weight).toBeGreaterThanOrEqual(0);
      expect(weight).toBeLessThanOrEqual(1);
    }),
  );
});
