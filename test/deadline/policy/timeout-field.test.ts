import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatGrpcTimeout,
  formatMilliseconds,
  parseGrpcTimeout,
  parseMilliseconds,
} from '../../../src/deadline/policy/timeout-field.ts';

const hour = 3_600_000;
/** What a `grpc-timeout` can hold. */
const longest = 99_999_999 * hour;

describe('parseGrpcTimeout', () => {
  const timeouts: [text: string, ms: number][] = [
    ['1H', hour],
    ['1M', 60_000],
    ['1S', 1000],
    ['1m', 1],
    ['1u', 0.001],
    ['1n', 0.000001],
    ['500m', 500],
    ['0m', 0],
    ['0H', 0],
    ['007S', 7000],
    ['1500u', 1.5],
    ['99999999n', 99.999999],
    ['99999999H', longest],
  ];
  it.each(timeouts)('reads %j as %d ms', (text, ms) => {
    expect(parseGrpcTimeout(text)).toBe(ms);
  });

  const others = [
    '',
    'm',
    '5',
    '5 m',
    ' 5m',
    '5m ',
    '+5m',
    '-5m',
    '5.5m',
    '5ms',
    '5h',
    '5s',
    '5N',
    '5U',
    '100000000m',
    '5m, 6m',
    '0x5m',
    '1e3m',
    '５m',
    '5m\n',
    'Infinity',
  ];
  it.each(others)('does not take %j for one', (text) => {
    expect(parseGrpcTimeout(text)).toBeUndefined();
  });
});

describe('formatGrpcTimeout', () => {
  const texts: [ms: number, text: string][] = [
    [500, '500m'],
    [489.2, '490m'],
    [0.0001, '1m'],
    [0, '1m'],
    [-5, '1m'],
    [99_999_999, '99999999m'],
    [99_999_999.5, '100000S'],
    [100_000_000, '100000S'],
    [100_000_001, '100001S'],
    [99_999_999_000, '99999999S'],
    [99_999_999_001, '1666667M'],
    [99_999_999 * 60_000, '99999999M'],
    [99_999_999 * 60_000 + 1, '1666667H'],
    [longest, '99999999H'],
    [longest + 1, '99999999H'],
    [Infinity, '99999999H'],
    // Its quotient by 1000 is rounded down to 120,000.
    [120_000_000.00000001, '120001S'],
  ];
  it.each(texts)('writes %d ms as %j', (ms, text) => {
    expect(formatGrpcTimeout(ms)).toBe(text);
  });

  const anyTimeout = fc.oneof(
    fc.double({ min: 0, max: longest, noNaN: true }),
    fc.double({ min: 0, max: 1e6, noNaN: true }),
    // Around what a unit just holds.
    fc
      .tuple(
        fc.constantFrom(1, 1000, 60_000, hour),
        fc.integer({ min: 99_999_990, max: 99_999_999 }),
        fc.double({ min: 0, max: 2, noNaN: true }),
      )
      .map(([unit, count, more]) => Math.min(longest, unit * count + more)),
    fc
      .tuple(fc.constantFrom(1000, 60_000, hour), fc.integer({ min: 1, max: 99_999_998 }))
      .map(([unit, count]) => unit * count * (1 + Number.EPSILON)),
  );

  it('never writes what is shorter, and nothing that is longer by more than a unit', () => {
    fc.assert(
      fc.property(anyTimeout, (ms) => {
        const read = parseGrpcTimeout(formatGrpcTimeout(ms))!;
        expect(read).toBeGreaterThanOrEqual(ms);
        // A unit is used only from 10^8 of the one below on: a second of 10^5 is the coarsest.
        expect(read - ms).toBeLessThanOrEqual(Math.max(1, ms / 1e5));
      }),
      { numRuns: 5000 },
    );
  });

  it('always writes by the grammar, and never an expired one', () => {
    fc.assert(
      fc.property(fc.oneof(anyTimeout, fc.double()), (ms) => {
        expect(formatGrpcTimeout(ms)).toMatch(/^[1-9][0-9]{0,7}[HMSm]$/);
      }),
      { numRuns: 5000 },
    );
  });

  it('writes again what it has written', () => {
    fc.assert(
      fc.property(anyTimeout, (ms) => {
        const text = formatGrpcTimeout(ms);
        expect(formatGrpcTimeout(parseGrpcTimeout(text)!)).toBe(text);
      }),
    );
  });

  it('keeps the order of two timeouts', () => {
    fc.assert(
      fc.property(anyTimeout, anyTimeout, (one, other) => {
        const [shorter, longer] = [Math.min(one, other), Math.max(one, other)].map((ms) =>
          parseGrpcTimeout(formatGrpcTimeout(ms))!,
        ) as [number, number];
        expect(shorter).toBeLessThanOrEqual(longer);
      }),
    );
  });
});

describe('whole milliseconds', () => {
  it.each([
    ['0', 0],
    ['1', 1],
    ['500', 500],
    ['0500', 500],
    ['999999999999999', 999_999_999_999_999],
  ])('are read of %j', (text, ms) => {
    expect(parseMilliseconds(text)).toBe(ms);
  });

  it.each(['', ' 1', '1 ', '-1', '1.5', '1e3', '0x10', '500ms', '1,000', 'Infinity', 'NaN', '1000000000000000'])(
    'are not read of %j',
    (text) => {
      expect(parseMilliseconds(text)).toBeUndefined();
    },
  );

  it.each([
    [500, '500'],
    [489.2, '490'],
    [0.0001, '1'],
    [0, '1'],
    [-1, '1'],
    [1e21, '999999999999999'],
    [Infinity, '999999999999999'],
  ])('are written of %d as %j', (ms, text) => {
    expect(formatMilliseconds(ms)).toBe(text);
  });

  it('are never shorter, and longer by less than one', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 1e14, noNaN: true }), (ms) => {
        const read = parseMilliseconds(formatMilliseconds(ms))!;
        expect(read).toBeGreaterThanOrEqual(ms);
        expect(read - ms).toBeLessThan(1);
      }),
      { numRuns: 2000 },
    );
  });
});
