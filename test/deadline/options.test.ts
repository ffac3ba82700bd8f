import { describe, expect, it } from 'vitest';
import { backgroundContext, deadline, type DeadlineSource, InvalidOptionError, runInContext } from '../../src/index.ts';
import { resolveDeadlineOptions } from '../../src/deadline/options.ts';

const duration = 'a duration: milliseconds or a string like "30s", >= 1';
const sources =
  'an array of "grpc-timeout", "x-request-timeout-ms", "x-request-deadline", "x-envoy-expected-rq-timeout-ms", "prefer"';

const refused: [option: string, value: unknown, expected: string, got: string][] = [
  ...(['default', 'max', 'idle'] as const).flatMap((option): typeof refused => [
    [option, 0, duration, '0 (number)'],
    [option, -1, duration, '-1 (number)'],
    [option, 0.5, duration, '0.5 (number)'],
    [option, NaN, duration, 'NaN (number)'],
    [option, -Infinity, duration, '-Infinity (number)'],
    [option, '0s', duration, '"0s" (string)'],
    [option, '', duration, '"" (string)'],
    [option, 'soon', duration, '"soon" (string)'],
    [option, 'Infinity', duration, '"Infinity" (string)'],
    [option, null, duration, 'null'],
    [option, false, duration, 'false (boolean)'],
    [option, 5n, duration, '5 (bigint)'],
    [option, [5], duration, 'Array (object)'],
    [option, new Date(0), duration, 'Date (object)'],
  ]),
  ['sources', 'prefer', sources, '"prefer" (string)'],
  ['sources', ['prefer', 'x-timeout'], sources, 'Array (object)'],
  ['sources', ['Prefer'], sources, 'Array (object)'],
  ['sources', [undefined], sources, 'Array (object)'],
  ['sources', new Set(['prefer']), sources, 'Set (object)'],
  ['sources', true, sources, 'true (boolean)'],
  ['trust', 'loopback', 'a boolean', '"loopback" (string)'],
  ['trust', 1, 'a boolean', '1 (number)'],
  ['status', '504', 'an integer, from 400 to 599', '"504" (string)'],
  ['status', 200, 'an integer, from 400 to 599', '200 (number)'],
  ['status', 399, 'an integer, from 400 to 599', '399 (number)'],
  ['status', 600, 'an integer, from 400 to 599', '600 (number)'],
  ['status', 503.5, 'an integer, from 400 to 599', '503.5 (number)'],
  ['status', NaN, 'an integer, from 400 to 599', 'NaN (number)'],
  ['onExpired', 504, 'a function', '504 (number)'],
  ['onExpired', null, 'a function', 'null'],
  ['asyncContext', 0, 'a boolean', '0 (number)'],
  ['asyncContext', 'no', 'a boolean', '"no" (string)'],
];

describe('deadline', () => {
  it.each(refused)('refuses %s of %o', (option, value, expected, got) => {
    const make = (): unknown => deadline({ [option]: value });
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(`Expected \`deadline.${option}\` to be ${expected}, got ${got}`);
  });

  it.each([
    [null, 'null'],
    [5, '5 (number)'],
    ['30s', '"30s" (string)'],
    [[], 'Array (object)'],
  ])('refuses %o in place of options', (value, got) => {
    expect(() => deadline(value as never)).toThrow(
      `Expected \`deadline\` to be an object, as in \`deadline({ default: … })\`, got ${got}`,
    );
  });

  it('fills in defaults', () => {
    const { trusts, ...rest } = resolveDeadlineOptions(undefined);
    expect(rest).toEqual({
      default: Infinity,
      max: Infinity,
      idle: Infinity,
      sources: [
        'grpc-timeout',
        'x-request-timeout-ms',
        'x-request-deadline',
        'x-envoy-expected-rq-timeout-ms',
        'prefer',
      ],
      status: 504,
      onExpired: undefined,
      asyncContext: true,
    });
    expect(trusts({} as never)).toBe(true);
  });

  it('reads durations', () => {
    expect(resolveDeadlineOptions({ default: '30s', max: '5m', idle: 1500 })).toMatchObject({
      default: 30_000,
      max: 300_000,
      idle: 1500,
    });
    expect(resolveDeadlineOptions({ default: Infinity, max: Infinity, idle: Infinity })).toMatchObject({
      default: Infinity,
      max: Infinity,
      idle: Infinity,
    });
    expect(resolveDeadlineOptions({ max: '90 days' })).toMatchObject({ max: 90 * 86_400_000 });
  });

  it('keeps its list of sources when that of the caller changes', () => {
    const sources: DeadlineSource[] = ['prefer'];
    const resolved = resolveDeadlineOptions({ sources });
    sources.length = 0;
    expect(resolved.sources).toEqual(['prefer']);
  });

  it('takes undefined for an option that is not there', () => {
    expect(() =>
      deadline({ default: undefined, sources: undefined, trust: undefined, onExpired: undefined } as never),
    ).not.toThrow();
  });

  it('makes a middleware that says what it is', () => {
    const middleware = deadline();
    expect(middleware.name).toBe('deadline');
    expect(middleware).toHaveLength(3);
    expect(middleware.lateCalls).toBe(0);
    expect(() => Object.assign(middleware as object, { lateCalls: 5 })).toThrow(TypeError);
  });
});

describe('runInContext', () => {
  it.each([[undefined], [null], [{}], [{ signal: new AbortController().signal }]])(
    'refuses %o in place of a context',
    (value) => {
      expect(() => runInContext(value as never, () => 1)).toThrow(InvalidOptionError);
    },
  );

  it.each([[undefined], ['call'], [Promise.resolve()]])('refuses %o in place of a function', (value) => {
    expect(() => runInContext(backgroundContext, value as never)).toThrow(
      'Expected `runInContext.call` to be a function',
    );
  });

  it('gives back what the function does', async () => {
    expect(runInContext(backgroundContext, () => 5)).toBe(5);
    await expect(runInContext(backgroundContext, () => Promise.resolve(6))).resolves.toBe(6);
    expect(() =>
      runInContext(backgroundContext, () => {
        throw new RangeError('mine');
      }),
    ).toThrow('mine');
  });
});
