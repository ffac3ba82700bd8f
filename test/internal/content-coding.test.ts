import { describe, expect, it } from 'vitest';
import { readBodyCoding } from '../../src/internal/content-coding.ts';

describe('a Content-Encoding field', () => {
  it.each([undefined, '', ' ', ',', 'identity', ' Identity ', 'identity, identity', ',identity,,'])('of %j says that the body is plain', (field) => {
    expect(readBodyCoding(field)).toBe('plain');
  });

  it.each(['none', 'None', ' NONE ', 'identity, none', 'none,identity', ', none ,'])('of %j asks to keep the body plain', (field) => {
    expect(readBodyCoding(field)).toBe('kept-plain');
  });

  it.each(['gzip', 'br', 'deflate', 'zstd', 'x-own', 'aws-chunked', 'none, gzip', 'gzip, none', 'identity, gzip', ',,GZIP', 'nonesuch', 'no ne', 'identity;q=1'])('of %j names a coding', (field) => {
    expect(readBodyCoding(field)).toBe('encoded');
  });
});
