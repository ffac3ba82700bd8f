export type HeadForm = keyof typeof headForms;
export type StatusValue = keyof typeof statusValues;
export type FieldValue = keyof typeof fieldValues;
export type FieldSetForm = keyof typeof fieldSets;
export type TrailerForm = keyof typeof trailers;

/** Arguments of `writeHead`: what Node takes, and what it refuses. */
export const headForms = {
  status: () => [201],
  '204': () => [204],
  '304': () => [304],
  '206': () => [206],
  'status as string': () => ['202'],
  '204 as string': () => ['204'],
  '304 as string': () => ['304'],
  fraction: () => [200.9],
  reason: () => [200, 'Fine'],
  'empty reason': () => [200, ''],
  object: () => [202, { 'X-Given': 'object', 'X-List': ['a', 'b'] }],
  'object with type': () => [
    200,
    { 'Content-Type': 'text/html; charset=utf-8', ETag: '"abc"', 'Accept-Ranges': 'bytes' },
  ],
  'object in lower case': () => [200, { 'content-type': 'application/json', 'x-one': 'given' }],
  'reason, object': () => [200, 'Fine', { 'X-Given': 'text' }],
  'undefined, object': () => [200, undefined, { 'X-Given': 'third' }],
  null: () => [200, null],
  'reason, null': () => [200, 'Fine', null],
  'empty object': () => [200, {}],
  'empty list': () => [200, []],
  list: () => [203, ['X-Given', 'one', 'X-Also', 'two']],
  'list with repeated names': () => [203, ['X-Given', 'one', 'X-Given', 'two', 'x-one', 'three']],
  'list with type': () => [200, ['Content-Type', 'text/html', 'X-Given', 'list']],
  'reason, list': () => [203, 'Listed', ['X-Given', 'one', 'X-Also', 'two']],
  pairs: () => [
    200,
    [
      ['X-Given', 'tuple'],
      ['X-Also', 'two'],
    ],
  ],
  'pairs with repeated names': () => [
    200,
    [
      ['X-Given', 'tuple'],
      ['X-Given', 'again'],
      ['X-One', 'third'],
    ],
  ],
  'numbers as values': () => [200, { 'X-Number': 5, 'X-Zero': 0 }],
  'undefined status': () => [undefined],
  zero: () => [0],
  '99': () => [99],
  '1000': () => [1000],
  NaN: () => [NaN],
  'no number': () => ['abc'],
  none: () => [],
  'bad reason': () => [200, 'a\nb'],
  'bad name': () => [200, { 'bad name': 'x' }],
  'bad value': () => [200, { 'X-Given': 'good', 'X-Bad': 'a\nb' }],
  'undefined value': () => [200, { 'X-Given': 'good', 'X-Undefined': undefined }],
  'odd list': () => [200, ['X-Given', 'one', 'X-Odd']],
  'bad name in list': () => [200, ['X-Given', 'one', 'bad name', 'x']],
  'bad value in list': () => [200, ['X-Given', 'one', 'X-Bad', 'a\nb']],
  'connection close': () => [200, { Connection: 'close' }],
  continue: () => [100],
} as const satisfies Record<string, () => unknown[]>;

export const statusValues = {
  '200': 200,
  '201': 201,
  '204': 204,
  '205': 205,
  '206': 206,
  '304': 304,
  '404': 404,
  '500': 500,
  "'204'": '204',
  "'206'": '206',
  "'304'": '304',
  "'404'": '404',
  '200.5': 200.5,
  '0': 0,
  '99': 99,
  '1000': 1000,
  NaN: NaN,
  "'abc'": 'abc',
  undefined: undefined,
  '101': 101,
} as const;

export const fieldNames = [
  'X-One',
  'x-one',
  'X-Two',
  'Content-Type',
  'ETag',
  'Vary',
  'Accept-Ranges',
  'Cache-Control',
  'Content-Encoding',
  'Content-Length',
  'Connection',
  'Trailer',
  'Transfer-Encoding',
  'Set-Cookie',
  'Content-Range',
  'Date',
  'bad name',
  '',
] as const;

export const fieldValues = {
  text: 'a',
  other: 'b',
  number: 7,
  list: ['a', 'b'],
  'empty list': [],
  empty: '',
  wide: 'a€',
  latin: 'é',
  'line feed': 'a\nb',
  undefined: undefined,
  json: 'application/json',
  html: 'text/html; charset=utf-8',
  image: 'image/png',
  'event stream': 'text/event-stream',
  tag: '"abc"',
  'weak tag': 'W/"abc"',
  bytes: 'bytes',
  close: 'close',
  'keep-alive': 'keep-alive',
  identity: 'identity',
  none: 'none',
  chunked: 'chunked',
  'no-transform': 'no-transform',
  'x-checksum': 'X-Checksum',
  'accept-encoding': 'Accept-Encoding',
  star: '*',
  cookie: 'a=1; Path=/',
} as const;

/** Fields that mean something. */
export const meaningfulFields: readonly (readonly [string, FieldValue])[] = [
  ['Content-Type', 'json'],
  ['Content-Type', 'html'],
  ['Content-Type', 'image'],
  ['Content-Type', 'event stream'],
  ['ETag', 'tag'],
  ['ETag', 'weak tag'],
  ['Vary', 'star'],
  ['Vary', 'accept-encoding'],
  ['Vary', 'text'],
  ['Accept-Ranges', 'bytes'],
  ['Cache-Control', 'no-transform'],
  ['Content-Encoding', 'identity'],
  ['Content-Encoding', 'none'],
  ['Connection', 'close'],
  ['Connection', 'keep-alive'],
  ['Trailer', 'x-checksum'],
  ['Transfer-Encoding', 'chunked'],
  ['Set-Cookie', 'cookie'],
];

export const fieldSets = {
  map: () =>
    new Map<string, string | string[]>([
      ['X-Map', 'a'],
      ['X-One', 'b'],
      ['Set-Cookie', 'c=1'],
    ]),
  headers: () =>
    new Headers([
      ['X-Headers', 'a'],
      ['Set-Cookie', 'c=1'],
      ['Set-Cookie', 'd=2'],
    ]),
  'bad value': () =>
    new Map([
      ['X-Map', 'a'],
      ['X-Bad', 'a\nb'],
    ]),
  object: () => ({ 'X-Map': 'a' }),
} as const;

export const trailers = {
  object: { 'X-Checksum': 'abc' },
  pairs: [
    ['X-Checksum', 'abc'],
    ['X-Other', 'def'],
  ],
  'bad name': { 'bad name': 'x' },
  'bad value': { 'X-Checksum': 'a\nb' },
} as const;
