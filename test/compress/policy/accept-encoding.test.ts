import { describe, expect, it } from 'vitest';
import {
  codingWeight,
  parseAcceptEncoding,
  readAcceptEncoding,
  rememberByField,
} from '../../../src/compress/policy/accept-encoding.ts';

describe('parseAcceptEncoding', () => {
  const fields: [field: string, parsed: [coding: string, q: number][]][] = [
    ['', []],
    [' ', []],
    ['gzip', [['gzip', 1]]],
    // The examples of RFC 9110 12.5.3.
    [
      'compress, gzip',
      [
        ['compress', 1],
        ['gzip', 1],
      ],
    ],
    ['*', [['*', 1]]],
    [
      'compress;q=0.5, gzip;q=1.0',
      [
        ['compress', 0.5],
        ['gzip', 1],
      ],
    ],
    [
      'gzip;q=1.0, identity; q=0.5, *;q=0',
      [
        ['gzip', 1],
        ['identity', 0.5],
        ['*', 0],
      ],
    ],
    // Case, and optional white space.
    ['GZip;Q=0.5', [['gzip', 0.5]]],
    [
      'gzip,br',
      [
        ['gzip', 1],
        ['br', 1],
      ],
    ],
    [
      ' gzip\t;\tq=0.25 ,\tbr ',
      [
        ['gzip', 0.25],
        ['br', 1],
      ],
    ],
    // Old names.
    ['x-gzip', [['gzip', 1]]],
    ['X-Compress;q=0.1', [['compress', 0.1]]],
    [
      'x-deflate, x-foo',
      [
        ['x-deflate', 1],
        ['x-foo', 1],
      ],
    ],
    // Weights.
    [
      'a;q=0, b;q=0., c;q=0.0, d;q=0.000',
      [
        ['a', 0],
        ['b', 0],
        ['c', 0],
        ['d', 0],
      ],
    ],
    [
      'a;q=1, b;q=1., c;q=1.000, d;q=0.123',
      [
        ['a', 1],
        ['b', 1],
        ['c', 1],
        ['d', 0.123],
      ],
    ],
    // Empty elements are allowed (RFC 9110 5.6.1.2), and what is no token is not a coding.
    [',, gzip,,', [['gzip', 1]]],
    ['gz ip, "gzip", gzip=1, ;q=1, br', [['br', 1]]],
    ['gzip/1, (br), é, zstd', [['zstd', 1]]],
    [
      '__proto__, constructor;q=0.5',
      [
        ['__proto__', 1],
        ['constructor', 0.5],
      ],
    ],
    // Parameters that are no weight.
    ['gzip;', [['gzip', 1]]],
    ['gzip;level=6', [['gzip', 1]]],
    ['gzip;level=6;q=0', [['gzip', 0]]],
    ['gzip;q=0.5;level=6', [['gzip', 0.5]]],
    ['gzip;qs=0.5', [['gzip', 1]]],
  ];
  it.each(fields)('reads %j', (field, parsed) => {
    expect([...parseAcceptEncoding(field)]).toEqual(parsed);
  });

  const malformed = [
    'q',
    'q=',
    'q=x',
    'q=-1',
    'q=+1',
    'q=2',
    'q=1.001',
    'q=1.0000',
    'q=0.1234',
    'q=.5',
    'q=0,5',
    'q=1e0',
    'q=Infinity',
    'q=NaN',
    'q=1foo',
    'q="1"',
    'q =1',
    'q= 1',
    'q = 1',
  ];
  it.each(malformed)('takes a weight that it cannot read, %j, for a refusal', (weight) => {
    expect(parseAcceptEncoding(`gzip;${weight}, br`).get('gzip')).toBe(0);
    expect(codingWeight(parseAcceptEncoding(`gzip;${weight}, *`), 'gzip')).toBe(0);
  });

  const twice: [field: string, q: number][] = [
    ['gzip, gzip;q=0.5', 0.5],
    ['gzip;q=0.5, gzip', 0.5],
    ['gzip, x-gzip;q=0.2', 0.2],
    ['gzip;q=0, gzip', 0],
    ['gzip, gzip;q=nonsense', 0],
  ];
  it.each(twice)('takes the lower of two weights for one coding: %j', (field, q) => {
    expect(parseAcceptEncoding(field)).toEqual(new Map([['gzip', q]]));
  });
});

describe('codingWeight', () => {
  const weights: [field: string, coding: string, q: number][] = [
    ['gzip;q=0.5', 'gzip', 0.5],
    ['gzip;q=0.5', 'GZIP', 0.5],
    ['gzip;q=0.5', 'x-gzip', 0.5],
    ['x-gzip;q=0.5', 'gzip', 0.5],
    ['gzip;q=0.5', 'br', 0],
    ['gzip;q=0.5, *;q=0.2', 'br', 0.2],
    ['gzip;q=0.5, *;q=0.2', 'gzip', 0.5],
    ['gzip;q=0, *', 'gzip', 0],
    ['gzip;q=0, *', 'br', 1],
    ['gzip, *;q=0', 'gzip', 1],
    ['gzip, *;q=0', 'br', 0],
    ['', 'gzip', 0],
    // RFC 9110 12.5.3, rule 2: acceptable unless excluded by `identity;q=0` or `*;q=0` without an entry of its own.
    ['', 'identity', 1],
    ['gzip', 'identity', 1],
    ['gzip, *;q=0.5', 'identity', 1],
    ['*;q=0', 'identity', 0],
    ['identity;q=0', 'identity', 0],
    ['identity;q=0.5, *;q=0', 'identity', 0.5],
  ];
  it.each(weights)('in %j gives %s the weight %d', (field, coding, q) => {
    expect(codingWeight(parseAcceptEncoding(field), coding)).toBe(q);
  });
});

describe('rememberByField', () => {
  it('computes a field once', () => {
    let calls = 0;
    const read = rememberByField((field) => ({ field, call: ++calls }));
    expect(read('gzip')).toBe(read('gzip'));
    expect(read('br')).toEqual({ field: 'br', call: 2 });
  });

  it('forgets everything when it is full, and goes on', () => {
    let calls = 0;
    const read = rememberByField((field) => ({ field, call: ++calls }));
    for (let at = 0; at < 100; at++) read(`x-${at}`);
    expect(read('x-0').call).toBe(1);
    expect(read('one more').call).toBe(101);
    expect(read('x-0').call).toBe(102);
    expect(read('one more').call).toBe(101);
  });

  it('keeps of the long fields only the last', () => {
    let calls = 0;
    const read = rememberByField(() => ({ call: ++calls }));
    read('x'.repeat(200));
    read('x'.repeat(200));
    expect(calls).toBe(1);
    const [one, other] = ['x'.repeat(201), 'y'.repeat(201)];
    expect(read(one)).toBe(read(one));
    expect(calls).toBe(2);
    read(other);
    read(one);
    expect(calls).toBe(4);
  });
});

it('readAcceptEncoding reads up to 1,024 characters; a longer field accepts nothing', () => {
  const longest = `gzip, ${'a'.repeat(1018)}`;
  expect(longest.length).toBe(1024);
  expect(codingWeight(readAcceptEncoding(longest), 'gzip')).toBe(1);
  expect(readAcceptEncoding(longest)).toBe(readAcceptEncoding(longest));
  const longer = readAcceptEncoding(`${longest}a`);
  expect([longer.size, codingWeight(longer, 'gzip'), codingWeight(longer, 'identity')]).toEqual([0, 0, 1]);
});

it('readAcceptEncoding shares what it parsed', () => {
  expect(readAcceptEncoding('gzip, br;q=0.5')).toEqual(parseAcceptEncoding('gzip, br;q=0.5'));
  expect(readAcceptEncoding('gzip, br;q=0.5')).toBe(readAcceptEncoding('gzip, br;q=0.5'));
});
