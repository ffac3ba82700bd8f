import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DeadlineSource, deadlineSources, readTimeout } from '../../../src/deadline/policy/source.ts';

const now = Date.parse('2026-03-01T12:00:00Z');

type Row = [field: string, timeout: number];

function read(source: DeadlineSource, field: string): number {
  return readTimeout({ [source]: field }, deadlineSources, now);
}

/** What cannot be read says nothing. */
const nothing = Infinity;

describe('grpc-timeout', () => {
  it.each<Row>([
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['4m', 4],
    ['5u', 0.005],
    ['6n', 0.000006],
    // Case tells minutes from milliseconds.
    ['100M', 6_000_000],
    ['100m', 100],
    ['0m', 0],
    ['0H', 0],
    ['007S', 7000],
    ['99999999m', 99_999_999],
    ['99999999H', 99_999_999 * 3_600_000],
    [' 10m ', 10],
  ])('%j is %d ms', (field, timeout) => {
    expect(read('grpc-timeout', field)).toBe(timeout);
  });

  it.each([
    '',
    '1',
    'm',
    '100000000m',
    '1h',
    '1s',
    '1U',
    '1N',
    '1 m',
    '-1m',
    '+1m',
    '1.5S',
    '1e3m',
    '0x10m',
    '1mm',
    '1m,',
    '1m, 2m',
    '１m',
    'NaN',
    'Infinity',
    '1m\u0000',
  ])('%j says nothing', (field) => {
    expect(read('grpc-timeout', field)).toBe(nothing);
  });
});

describe.each(['x-request-timeout-ms', 'x-envoy-expected-rq-timeout-ms'] as const)('%s', (source) => {
  it.each<Row>([
    ['0', 0],
    ['1', 1],
    ['1500', 1500],
    ['0012', 12],
    [' 7\t', 7],
    ['2147483648', 2 ** 31],
    ['999999999999999', 999_999_999_999_999],
  ])('%j is %d ms', (field, timeout) => {
    expect(read(source, field)).toBe(timeout);
  });

  it.each(['', '-1', '+1', '1.5', '1e3', '0x10', '10ms', '10 ms', '1000000000000000', '1, 2', 'none', 'Infinity'])(
    '%j says nothing',
    (field) => {
      expect(read(source, field)).toBe(nothing);
    },
  );
});

describe('x-request-deadline', () => {
  it.each<Row>([
    ['2026-03-01T12:00:05Z', 5000],
    ['2026-03-01t12:00:05z', 5000],
    ['2026-03-01 12:00:05Z', 5000],
    ['2026-03-01T12:00:05.250Z', 5250],
    ['2026-03-01T12:00:05.2501239Z', 5250],
    ['2026-03-01T13:00:05+01:00', 5000],
    ['2026-03-01T07:00:05-05:00', 5000],
    [String(now / 1000 + 5), 5000],
    [`${now / 1000 + 5}.5`, 5500],
    [String(now + 5), 5],
    [`${now + 5}.5`, 5.5],
    // The past is over, and no more than that.
    ['2026-03-01T11:59:59Z', 0],
    ['1970-01-01T00:00:00Z', 0],
    [String(now / 1000 - 1), 0],
    [String(now - 1), 0],
    ['0', 0],
    ['1', 0],
    ['99999999999', (99_999_999_999 - now / 1000) * 1000],
    ['100000000000', 0],
  ])('%j is %d ms', (field, timeout) => {
    expect(read('x-request-deadline', field)).toBe(timeout);
  });

  it.each([
    '',
    'soon',
    '2026-03-01',
    '2026-03-01T12:00:05',
    '2026-03-01T12:00Z',
    '2026-13-01T12:00:05Z',
    '2026-03-01T25:00:05Z',
    '2026-03-01T12:00:05+0100',
    '20260301T120005Z',
    'Sun, 01 Mar 2026 12:00:05 GMT',
    '-5',
    '+5',
    '1e12',
    '1.',
    '.5',
    '1000000000000000',
    '2026-03-01T12:00:05Z, 2026-03-01T12:00:06Z',
    '2026-03-01T12:00:05Zx',
  ])('%j says nothing', (field) => {
    expect(read('x-request-deadline', field)).toBe(nothing);
  });
});

describe('prefer', () => {
  it.each<Row>([
    ['wait=10', 10_000],
    ['WAIT=10', 10_000],
    ['wait = 10', 10_000],
    ['wait\t=\t10', 10_000],
    ['wait="10"', 10_000],
    ['wait=0', 0],
    ['wait=9999999999', 9_999_999_999_000],
    ['respond-async, wait=10', 10_000],
    ['respond-async,wait=10', 10_000],
    ['wait=10, respond-async', 10_000],
    [' , wait=10 ,, ', 10_000],
    ['wait=10; foo', 10_000],
    ['wait=10;foo="bar"', 10_000],
    ['wait=10 ; foo=bar; baz', 10_000],
    ['return=minimal; foo="some parameter", wait=3', 3000],
    // Of one that is given twice the first counts.
    ['wait=5, wait=3', 5000],
    // Between quotation marks nothing is a preference.
    ['foo="a, wait=1, b", wait=7', 7000],
    ['foo="a\\", wait=1, b", wait=7', 7000],
    ['foo=bar; baz="x, wait=1, y", wait=7', 7000],
  ])('%j is %d ms', (field, timeout) => {
    expect(read('prefer', field)).toBe(timeout);
  });

  it.each([
    '',
    'wait',
    'wait=',
    'wait=""',
    'wait=-1',
    'wait=1.5',
    'wait=10s',
    'wait="10',
    'wait=10"',
    'wait=10000000000',
    'await=10',
    'wait-for=10',
    'x; wait=10',
    'respond-async; wait=10',
    'handling=lenient',
    'foo="a, wait=10, b"',
    'foo="wait=10"',
  ])('%j says nothing', (field) => {
    expect(read('prefer', field)).toBe(nothing);
  });

  it('is read in time that grows with its length, whatever it is', () => {
    for (const part of ['"', ',', '",', 'wait=', 'a="\\', ';', 'wait="1', ' ', '\\"']) {
      const field = part.repeat(20_000);
      const start = performance.now();
      read('prefer', field);
      // A quadratic reader takes seconds.
      expect(performance.now() - start).toBeLessThan(1000);
    }
  });
});

describe('several fields', () => {
  const fields = {
    'grpc-timeout': '4S',
    'x-request-timeout-ms': '3000',
    'x-request-deadline': '2026-03-01T12:00:05Z',
    'x-envoy-expected-rq-timeout-ms': '2000',
    prefer: 'wait=6',
  };

  it('give the shortest', () => {
    expect(readTimeout(fields, deadlineSources, now)).toBe(2000);
  });

  it('are read only where they are listed', () => {
    expect(readTimeout(fields, ['prefer', 'x-request-deadline'], now)).toBe(5000);
    expect(readTimeout(fields, [], now)).toBe(nothing);
  });

  it('give what can be read when one cannot', () => {
    expect(
      readTimeout({ ...fields, 'x-envoy-expected-rq-timeout-ms': 'soon', 'grpc-timeout': '1s' }, deadlineSources, now),
    ).toBe(3000);
  });

  it('that are absent say nothing', () => {
    expect(readTimeout({}, deadlineSources, now)).toBe(nothing);
  });
});

it('whatever a field holds, the answer is a time that is not negative', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...deadlineSources),
      fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...Array.from('0123456789HMSmun wait=,;".:-TZ')) })),
      (source, field) => {
        expect(read(source, field)).toBeGreaterThanOrEqual(0);
      },
    ),
    { numRuns: 2000 },
  );
});
