import { constants } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { checkProfile, type CompressionProfile } from '../../../src/compress/control/profile.ts';
import { InvalidOptionError } from '../../../src/errors.ts';

const gzip = { coding: 'gzip', available: true };

const full = {
  name: 'thrifty',
  codecs: [gzip, { coding: 'x-own', available: false }],
  threshold: '2kb',
  live: true,
  level: -1,
  memLevel: 9,
  chunkSize: 64,
  windowBits: 15,
  strategy: 4,
  brotli: {
    params: { [constants.BROTLI_PARAM_QUALITY]: 4, [constants.BROTLI_PARAM_LARGE_WINDOW]: false },
    chunkSize: 1024,
  },
  weigh: (coding: string) => (coding === 'gzip' ? 1 : undefined),
} satisfies CompressionProfile;

function thrownBy(call: () => unknown): InvalidOptionError {
  try {
    call();
  } catch (error) {
    if (error instanceof InvalidOptionError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('checkProfile', () => {
  it('takes a full profile, and reads the threshold as bytes', () => {
    expect(checkProfile('x', full)).toEqual({ ...full, threshold: 2048 });
  });

  it('takes an empty one, and none', () => {
    expect(checkProfile('x', {})).toEqual({});
    expect(checkProfile('x', undefined)).toEqual({});
    expect(checkProfile('x', { codecs: [] })).toEqual({ codecs: [] });
  });

  it('leaves out what is undefined, so that it does not hide the options of the middleware', () => {
    expect(
      Object.keys(checkProfile('x', { level: undefined, live: undefined, weigh: undefined, name: undefined } as never)),
    ).toEqual([]);
    expect(Object.keys(checkProfile('x', { brotli: { params: undefined } } as never).brotli ?? { none: 1 })).toEqual(
      [],
    );
  });

  it('takes Infinity as a threshold: nothing whose length is known is compressed', () => {
    expect(checkProfile('x', { threshold: Infinity }).threshold).toBe(Infinity);
  });

  it('is frozen, down to the lists', () => {
    const checked = checkProfile('x', full);
    expect(
      [checked, checked.codecs, checked.brotli, checked.brotli?.params].map((each) => Object.isFrozen(each)),
    ).toEqual([true, true, true, true]);
  });

  it('does not follow what happens to what it was given', () => {
    const given = { ...full, codecs: [gzip], brotli: { params: { 1: 4 } as Record<number, number> } };
    const checked = checkProfile('x', given);
    given.codecs.push({ coding: 'br', available: true });
    given.brotli.params[1] = 11;
    given.level = 9;
    expect(checked).toMatchObject({ level: -1, brotli: { params: { 1: 4 } } });
    expect(checked.codecs).toHaveLength(1);
  });

  it('neither copies nor freezes the codecs, whose availability may change', () => {
    const codec = { coding: 'gzip', available: false };
    const checked = checkProfile('x', { codecs: [codec] });
    expect(checked.codecs?.[0]).toBe(codec);
    codec.available = true;
    expect(checked.codecs?.[0]?.available).toBe(true);
  });

  it('is stable: a checked profile is one', () => {
    const checked = checkProfile('x', full);
    expect(checkProfile('x', checked)).toEqual(checked);
  });

  it.each(['gzip', 'br', 'x-gzip', 'aws-chunked', 'a.b_c~1', "!#$%&'*+-.^_`|~"])('takes the coding %s', (coding) => {
    expect(checkProfile('x', { codecs: [{ coding, available: true }] }).codecs).toHaveLength(1);
  });

  const made = 'a codec, made by a call: `gzip()`, `brotli()`';
  const rows: [option: string, profile: unknown, expected: string, got: string][] = [
    ['x', 'gzip', 'an object', '"gzip" (string)'],
    ['x', null, 'an object', 'null'],
    ['x', [gzip], 'an object', 'Array (object)'],
    ['x.name', { name: 5 }, 'a string', '5 (number)'],
    ['x.codecs', { codecs: 'gzip' }, 'an array of codecs', '"gzip" (string)'],
    ['x.codecs', { codecs: gzip }, 'an array of codecs', 'Object (object)'],
    ['x.codecs[0]', { codecs: ['gzip'] }, made, '"gzip" (string)'],
    ['x.codecs[1]', { codecs: [gzip, null] }, made, 'null'],
    ['x.codecs[0]', { codecs: new Array(1) }, made, 'undefined'],
    ['x.codecs[0]', { codecs: [() => gzip] }, made, 'anonymous (function)'],
    ...['', 'g zip', 'gzip,br', 'gzip;q=1', 'GZIP', 'gz\u0131p', 'gzip\n', 'identity', '*', 5, undefined].map(
      (coding): [string, unknown, string, string] => [
        'x.codecs[0].coding',
        { codecs: [{ coding, available: true }] },
        'the token of a content-coding, in lower case',
        coding === undefined ? 'undefined' : `${JSON.stringify(coding)} (${typeof coding})`,
      ],
    ),
    ['x.threshold', { threshold: '1 potato' }, 'a size: bytes or a string like "64kb", >= 0', '"1 potato" (string)'],
    ['x.threshold', { threshold: -1 }, 'a size: bytes or a string like "64kb", >= 0', '-1 (number)'],
    ['x.live', { live: 'yes' }, 'a boolean', '"yes" (string)'],
    ['x.level', { level: 10 }, 'an integer, from -1 to 9', '10 (number)'],
    ['x.level', { level: -2 }, 'an integer, from -1 to 9', '-2 (number)'],
    ['x.level', { level: '6' }, 'an integer, from -1 to 9', '"6" (string)'],
    ['x.level', { level: 1.5 }, 'an integer, from -1 to 9', '1.5 (number)'],
    ['x.level', { level: null }, 'an integer, from -1 to 9', 'null'],
    ['x.memLevel', { memLevel: 0 }, 'an integer, from 1 to 9', '0 (number)'],
    ['x.memLevel', { memLevel: 10 }, 'an integer, from 1 to 9', '10 (number)'],
    ['x.windowBits', { windowBits: 0 }, 'an integer, from 9 to 15', '0 (number)'],
    ['x.windowBits', { windowBits: 8 }, 'an integer, from 9 to 15', '8 (number)'],
    ['x.windowBits', { windowBits: 16 }, 'an integer, from 9 to 15', '16 (number)'],
    ['x.chunkSize', { chunkSize: 63 }, 'an integer, >= 64', '63 (number)'],
    ['x.chunkSize', { chunkSize: Infinity }, 'an integer, >= 64', 'Infinity (number)'],
    ['x.strategy', { strategy: 5 }, 'an integer, from 0 to 4', '5 (number)'],
    ['x.brotli', { brotli: 4 }, 'an object', '4 (number)'],
    ['x.brotli.params', { brotli: { params: [4] } }, 'an object', 'Array (object)'],
    [
      'x.brotli.params',
      { brotli: { params: { quality: 4 } } },
      'an object with keys of BROTLI_PARAM_*, 0 to 8',
      '"quality" (string)',
    ],
    [
      'x.brotli.params',
      { brotli: { params: { 9: 4 } } },
      'an object with keys of BROTLI_PARAM_*, 0 to 8',
      '"9" (string)',
    ],
    ['x.brotli.params[1]', { brotli: { params: { 1: '4' } } }, 'an integer, >= 0', '"4" (string)'],
    ['x.brotli.params[1]', { brotli: { params: { 1: NaN } } }, 'an integer, >= 0', 'NaN (number)'],
    ['x.brotli.chunkSize', { brotli: { chunkSize: 1 } }, 'an integer, >= 64', '1 (number)'],
    ['x.weigh', { weigh: 1 }, 'a function', '1 (number)'],
  ];

  it.each(rows)('refuses %s of %o', (option, profile, expected, got) => {
    const error = thrownBy(() => checkProfile('x', profile as never));
    expect([error.option, error.message]).toEqual([option, `Expected \`${option}\` to be ${expected}, got ${got}`]);
  });

  it('takes every parameter of brotli that this Node has', () => {
    const params = Object.entries(constants)
      .filter(([name]) => name.startsWith('BROTLI_PARAM_'))
      .map(([, param]) => param as number);
    expect(() =>
      checkProfile('x', { brotli: { params: Object.fromEntries(params.map((param) => [param, 1])) } }),
    ).not.toThrow();
  });
});
