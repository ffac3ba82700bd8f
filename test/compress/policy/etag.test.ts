import { describe, expect, it } from 'vitest';
import { encodedEtag, type EtagMode, matchedEtag, plainConditions } from '../../../src/compress/policy/etag.ts';

const modes: EtagMode[] = ['weak', 'suffix', 'drop', 'keep'];
// An ETag of no more than this is still one, and one with a space or a comma is common enough.
const malformed = ['abc', '"abc', 'abc"', 'W/abc', 'w/"abc"', 'W/ "abc"', '"a"b"', '', '"', ' "abc"', '"a", "b"'];

describe('encodedEtag', () => {
  const cases: [etag: string, mode: EtagMode, encoded: string | undefined][] = [
    ['"abc"', 'weak', 'W/"abc"'],
    ['W/"abc"', 'weak', 'W/"abc"'],
    ['""', 'weak', 'W/""'],
    ['"a, b"', 'weak', 'W/"a, b"'],
    ['"abc"', 'suffix', '"abc-gzip"'],
    ['W/"abc"', 'suffix', 'W/"abc-gzip"'],
    ['""', 'suffix', '"-gzip"'],
    ['"abc-gzip"', 'suffix', '"abc-gzip-gzip"'],
    ['"abc"', 'drop', undefined],
    ['W/"abc"', 'drop', undefined],
    ['"abc"', 'keep', '"abc"'],
    ['W/"abc"', 'keep', 'W/"abc"'],
  ];
  it.each(cases)('makes of %s, in mode %s, %s', (etag, mode, encoded) => {
    expect(encodedEtag(etag, 'gzip', mode)).toBe(encoded);
  });

  it.each(malformed)('leaves alone what is no entity-tag: %j', (etag) => {
    for (const mode of ['weak', 'suffix', 'keep'] as const) expect(encodedEtag(etag, 'gzip', mode)).toBe(etag);
    expect(encodedEtag(etag, 'gzip', 'drop')).toBeUndefined();
  });

  it('leaves the tag of a body without a coding alone', () => {
    for (const mode of modes) expect(encodedEtag('"abc"', 'identity', mode)).toBe('"abc"');
  });
});

describe('plainConditions', () => {
  const cases: [field: string, plain: string, codings: string[]][] = [
    ['"abc-gzip"', '"abc"', ['gzip']],
    ['W/"abc-gzip"', 'W/"abc"', ['gzip']],
    ['"a-gzip", W/"b-br" ,"c"', '"a", W/"b" ,"c"', ['gzip', 'br']],
    ['"a-br","b-br"', '"a","b"', ['br']],
    ['"abc"', '"abc"', []],
    ['*', '*', []],
    ['', '', []],
    ['"a, b-gzip", "c-gzip,d"', '"a, b", "c-gzip,d"', ['gzip']],
    ['"abc-gzip-gzip"', '"abc-gzip"', ['gzip']],
    ['"abc-gzip-br"', '"abc-gzip"', ['br']],
    ['"-gzip"', '""', ['gzip']],
    ['"gzip"', '"gzip"', []],
    ['"abcgzip"', '"abcgzip"', []],
    ['"abc-GZIP"', '"abc-GZIP"', []],
    // zstd is not among those that the request accepts.
    ['"abc-zstd", "abc-gzip"', '"abc-zstd", "abc"', ['gzip']],
    ['abc-gzip', 'abc-gzip', []],
    ['"abc-gzip', '"abc-gzip', []],
  ];
  it.each(cases)('makes of %s %s', (field, plain, codings) => {
    expect(plainConditions(field, ['br', 'gzip'])).toEqual({ field: plain, codings });
  });

  it('gives the handler back what it had set', () => {
    for (const etag of ['"abc"', 'W/"abc"', '""', '"abc-gzip"', '"a, b"', '"\u00e9"']) {
      for (const coding of ['gzip', 'br', 'x-foo']) {
        const encoded = encodedEtag(etag, coding, 'suffix') ?? '';
        expect(plainConditions(encoded, ['gzip', 'br', 'x-foo'])).toEqual({ field: etag, codings: [coding] });
        expect(plainConditions(`"other", ${encoded}`, ['gzip', 'br', 'x-foo']).field).toBe(`"other", ${etag}`);
      }
    }
  });
});

describe('matchedEtag', () => {
  const cases: [mode: EtagMode, etag: string, ifNoneMatch: string, matched: string][] = [
    ['weak', '"abc"', 'W/"abc"', 'W/"abc"'],
    ['weak', '"abc"', '"old", W/"abc"', 'W/"abc"'],
    ['weak', '"abc"', '"abc"', '"abc"'],
    ['weak', '"abc"', 'W/"abc", "abc"', '"abc"'],
    ['weak', 'W/"abc"', '"abc"', 'W/"abc"'],
    ['weak', '"abc"', 'W/"abcd"', '"abc"'],
    ['weak', '"abc"', '*', '"abc"'],
    ['weak', '"abc"', '', '"abc"'],
    ['weak', '"a,b"', '"x",W/"a,b"', 'W/"a,b"'],
    ['suffix', '"abc"', '"abc-gzip"', '"abc-gzip"'],
    ['suffix', '"abc"', '"abc-gzip", "abc-br"', '"abc-br"'],
    ['suffix', '"abc"', '"abc-gzip", "abc"', '"abc"'],
    ['suffix', 'W/"abc"', 'W/"abc-gzip"', 'W/"abc-gzip"'],
    ['suffix', '"abc"', '"abc-zstd"', '"abc"'],
    ['suffix', '"abc"', '*', '"abc"'],
    ['suffix', 'junk', '"junk-gzip"', 'junk'],
    ['drop', '"abc"', '"abc"', '"abc"'],
    ['keep', '"abc"', 'W/"abc"', '"abc"'],
  ];
  it.each(cases)('in mode %s answers, for %s, a client that holds %s with %s', (mode, etag, ifNoneMatch, matched) => {
    expect(matchedEtag(etag, { ifNoneMatch, codings: ['br', 'gzip'], mode })).toBe(matched);
  });

  it('knows a weak tag whatever the client accepts by now', () => {
    expect(matchedEtag('"abc"', { ifNoneMatch: 'W/"abc"', codings: [], mode: 'weak' })).toBe('W/"abc"');
  });
});

it('a condition of more than 4,096 characters is left alone', () => {
  const tags = `"abc-gzip"${', "x-gzip"'.repeat(400)}`;
  expect(tags.length).toBeLessThan(4096);
  expect(plainConditions(tags, ['gzip']).codings).toEqual(['gzip']);
  expect(matchedEtag('"abc"', { ifNoneMatch: tags, codings: ['gzip'], mode: 'suffix' })).toBe('"abc-gzip"');
  const more = tags.repeat(2);
  expect(plainConditions(more, ['gzip'])).toEqual({ field: more, codings: [] });
  expect(matchedEtag('"abc"', { ifNoneMatch: more, codings: ['gzip'], mode: 'suffix' })).toBe('"abc"');
});
