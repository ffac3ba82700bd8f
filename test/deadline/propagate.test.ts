import fc from 'fast-check';
import { Headers as UndiciHeaders } from 'undici';
import { describe, expect, it } from 'vitest';
import { propagate } from '../../src/deadline/propagate.ts';
import { parseGrpcTimeout, parseMilliseconds } from '../../src/deadline/policy/timeout-field.ts';
import { DeadlineExceededError, DrainingError } from '../../src/errors.ts';
import { background, Context } from '../../src/internal/context/context.ts';

/** A clock that stands still until it is moved. */
function standingClock(): { time: number; now(): number; startTimer(): () => void } {
  return {
    time: 1000,
    now() {
      return this.time;
    },
    startTimer: () => () => undefined,
  };
}

/** A context with so many milliseconds left, not one less when it is looked at. */
function contextWith(timeout: number): Context {
  return new Context(undefined, timeout, { clock: standingClock() });
}

type Fields = Record<string, string | number | string[] | null | undefined>;

describe('what is left of a deadline', () => {
  it('is written less the margin, in both default fields, and the same object is returned', () => {
    for (const headers of [{}, new Headers(), new UndiciHeaders()]) {
      expect(propagate(contextWith(500), headers)).toBe(headers);
      const fields = 'get' in headers ? Object.fromEntries(headers as Headers) : headers;
      expect(fields).toEqual({ 'grpc-timeout': '490m', 'x-request-timeout-ms': '490' });
    }
  });

  it('is the deadline less the time that has passed', () => {
    const clock = standingClock();
    const context = new Context(undefined, 500, { clock });
    clock.time += 123.4;
    expect(propagate(context, {})).toEqual({ 'grpc-timeout': '367m', 'x-request-timeout-ms': '367' });
  });

  it('is that of the parent, where that is shorter', () => {
    const child = contextWith(300).child({ timeout: '1m' });
    expect(propagate(child, {}, { margin: 0 })).toEqual({ 'grpc-timeout': '300m', 'x-request-timeout-ms': '300' });
  });

  const margins: [left: number, margin: number | string | undefined, ms: string][] = [
    [500, undefined, '490'],
    [500, 0, '500'],
    [500, 50, '450'],
    [500, '0.05s', '450'],
    // Never more than a tenth.
    [500, 200, '450'],
    [20, undefined, '18'],
    [20, '1h', '18'],
    // Rounded up, and after the margin.
    [100.5, undefined, '91'],
    [0.2, undefined, '1'],
    [0.2, 0, '1'],
  ];
  it.each(margins)('%d ms with a margin of %o is sent as %s ms', (left, margin, ms) => {
    const options = margin === undefined ? undefined : { margin };
    expect(propagate(contextWith(left), {}, options)).toEqual({ 'grpc-timeout': `${ms}m`, 'x-request-timeout-ms': ms });
  });

  it('is written into the fields that were chosen', () => {
    expect(propagate(contextWith(500), {}, { fields: ['x-envoy-expected-rq-timeout-ms'] })).toEqual({
      'x-envoy-expected-rq-timeout-ms': '490',
    });
    expect(propagate(contextWith(500), {}, { fields: [] })).toEqual({});
  });

  it('survives more hops than any call makes, always shorter, never 0', () => {
    let left = 500;
    for (let hop = 0; hop < 50; hop++) {
      const sent = parseMilliseconds(
        (propagate(contextWith(left), {}) as Record<string, string>)['x-request-timeout-ms']!,
      )!;
      expect(sent).toBeGreaterThan(0);
      expect(sent).toBeLessThanOrEqual(left);
      left = sent;
    }
  });

  it('is not written when there is no deadline: what is there stays as it is, even if it means nothing', () => {
    const headers = { 'Grpc-Timeout': 'soon', accept: '*/*' };
    expect(propagate(background, headers)).toEqual({ 'Grpc-Timeout': 'soon', accept: '*/*' });
    expect(propagate(new Context(undefined, Infinity), {})).toEqual({});
    expect([...propagate(background, new Headers())]).toEqual([]);
  });

  it('leaves all other fields alone', () => {
    expect(
      propagate(
        contextWith(500),
        { Accept: '*/*', 'X-Request-Deadline': '2030-01-01T00:00:00Z' },
        { fields: ['grpc-timeout'] },
      ),
    ).toEqual({ Accept: '*/*', 'X-Request-Deadline': '2030-01-01T00:00:00Z', 'grpc-timeout': '490m' });
  });
});

describe('a timeout of the call itself', () => {
  const cases: [name: string, given: Fields, expected: Fields][] = [
    [
      'that is shorter holds, as it was written, and for the other field too',
      { 'grpc-timeout': '100000u' },
      { 'grpc-timeout': '100000u', 'x-request-timeout-ms': '100' },
    ],
    [
      'that is shorter holds whatever the case of its name',
      { 'X-Request-Timeout-Ms': '100' },
      { 'X-Request-Timeout-Ms': '100', 'grpc-timeout': '100m' },
    ],
    [
      'that is longer is shortened, under its name',
      { 'Grpc-Timeout': '1M' },
      { 'Grpc-Timeout': '490m', 'x-request-timeout-ms': '490' },
    ],
    [
      'that cannot be read is replaced',
      { 'grpc-timeout': '5s', 'x-request-timeout-ms': 'soon' },
      { 'grpc-timeout': '490m', 'x-request-timeout-ms': '490' },
    ],
    ['that is empty is replaced', { 'grpc-timeout': '' }, { 'grpc-timeout': '490m', 'x-request-timeout-ms': '490' }],
    [
      'that is null or undefined is none',
      { 'grpc-timeout': null, 'x-request-timeout-ms': undefined },
      { 'grpc-timeout': '490m', 'x-request-timeout-ms': '490' },
    ],
    ['may be a number', { 'x-request-timeout-ms': 100 }, { 'x-request-timeout-ms': 100, 'grpc-timeout': '100m' }],
    [
      'is the shortest of several',
      { 'grpc-timeout': ['2S', '300m', 'x'] },
      { 'grpc-timeout': '300m', 'x-request-timeout-ms': '300' },
    ],
    [
      'is the shortest of several in one value',
      { 'grpc-timeout': '2S, 300m' },
      { 'grpc-timeout': '300m', 'x-request-timeout-ms': '300' },
    ],
    [
      'is the shortest of several names, and one is left',
      { 'Grpc-Timeout': '2S', 'grpc-timeout': '300m' },
      { 'Grpc-Timeout': '300m', 'x-request-timeout-ms': '300' },
    ],
    [
      'in a list of one is one',
      { 'grpc-timeout': ['300m'] },
      { 'grpc-timeout': ['300m'], 'x-request-timeout-ms': '300' },
    ],
    [
      'in a field that was not chosen is shortened all the same',
      { 'x-envoy-expected-rq-timeout-ms': '60000' },
      { 'x-envoy-expected-rq-timeout-ms': '490', 'grpc-timeout': '490m', 'x-request-timeout-ms': '490' },
    ],
    [
      'in a field that was not chosen counts',
      { 'x-envoy-expected-rq-timeout-ms': '100' },
      { 'x-envoy-expected-rq-timeout-ms': '100', 'grpc-timeout': '100m', 'x-request-timeout-ms': '100' },
    ],
    [
      'of 0 is sent on as what it is, and elsewhere as the least that can be sent',
      { 'grpc-timeout': '0m' },
      { 'grpc-timeout': '0m', 'x-request-timeout-ms': '1' },
    ],
  ];
  it.each(cases)('%s', (_name, given, expected) => {
    expect(propagate(contextWith(500), { ...given })).toEqual(expected);
  });

  it('in a Headers is treated alike', () => {
    const headers = new Headers({ 'Grpc-Timeout': '1M', 'x-request-timeout-ms': '400' });
    headers.append('x-request-timeout-ms', '300');
    expect(Object.fromEntries(propagate(contextWith(500), headers))).toEqual({
      'grpc-timeout': '300m',
      'x-request-timeout-ms': '300',
    });
  });

  it('and that of the context: no field ever says more than either', () => {
    const text = fc.oneof(
      fc
        .tuple(fc.integer({ min: 0, max: 99_999_999 }), fc.constantFrom('H', 'M', 'S', 'm', 'u', 'n'))
        .map(([count, unit]) => `${count}${unit}`),
      fc.string(),
    );
    const fields = fc.record(
      {
        'grpc-timeout': text,
        'GRPC-Timeout': text,
        'x-request-timeout-ms': fc.oneof(fc.nat().map(String), fc.string()),
      },
      { requiredKeys: [] },
    );
    const known = fc.constantFrom('grpc-timeout', 'x-request-timeout-ms', 'x-envoy-expected-rq-timeout-ms');
    fc.assert(
      fc.property(
        fields,
        fc.double({ min: 0.001, max: 1e9, noNaN: true }),
        fc.uniqueArray(known),
        (given, left, chosen) => {
          const read = (name: string, value: string): number =>
            (name === 'grpc-timeout' ? parseGrpcTimeout(value) : parseMilliseconds(value)) ?? Infinity;
          const own = Object.entries(given).flatMap(([name, value]) =>
            value.split(',').map((each) => read(name.toLowerCase(), each.trim())),
          );
          const least = Math.min(left, ...own);
          const written = propagate(contextWith(left), { ...given } as Record<string, string>, {
            fields: chosen as 'grpc-timeout'[],
          });
          for (const [name, value] of Object.entries(written)) {
            const sent = read(name.toLowerCase(), value);
            // Rounding up to a millisecond, or to a second from 10^8 of them on.
            expect(sent).toBeLessThanOrEqual(least + Math.max(1, least / 1e5));
            expect(sent).toBeGreaterThanOrEqual(Math.min(least, ...own, left * 0.9));
          }
          for (const field of chosen) expect(Object.keys(written).map((name) => name.toLowerCase())).toContain(field);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('a context that is over', () => {
  it('throws its reason, and writes nothing', () => {
    const reason = new DrainingError();
    const context = new Context(undefined, 500);
    const headers = {};
    context.abort(reason);
    expect(() => propagate(context, headers)).toThrow(reason);
    expect(() => propagate(context.child(), headers)).toThrow(reason);
    expect(headers).toEqual({});
  });

  it('throws DeadlineExceededError from the moment of its deadline, before any timer fires', () => {
    const clock = standingClock();
    const context = new Context(undefined, 500, { clock });
    clock.time += 500;
    expect(() => propagate(context, {})).toThrow(DeadlineExceededError);
    expect(() => propagate(new Context(undefined, 0), {})).toThrow(DeadlineExceededError);
  });
});

describe('an argument that is wrong', () => {
  const context = contextWith(500);
  const wrong: [option: string, call: () => unknown][] = [
    ['propagate.context', () => propagate(undefined as never, {})],
    ['propagate.context', () => propagate({ signal: new AbortController().signal } as never, {})],
    ['propagate.headers', () => propagate(context, undefined as never)],
    ['propagate.headers', () => propagate(context, null as never)],
    ['propagate.headers', () => propagate(context, 'a: b' as never)],
    ['propagate.headers', () => propagate(context, ['a', 'b'])],
    ['propagate.headers', () => propagate(context, new Set())],
    ['propagate', () => propagate(context, {}, 5 as never)],
    ['propagate.margin', () => propagate(context, {}, { margin: -1 })],
    ['propagate.margin', () => propagate(context, {}, { margin: 'little' })],
    ['propagate.fields', () => propagate(context, {}, { fields: 'grpc-timeout' as never })],
    ['propagate.fields', () => propagate(context, {}, { fields: ['x-request-deadline' as never] })],
    ['propagate.fields', () => propagate(context, {}, { fields: ['Grpc-Timeout' as never] })],
  ];
  it.each(wrong)('%s is named', (option, call) => {
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_SLUICE_OPTION_INVALID', option }) as Error);
  });
});
