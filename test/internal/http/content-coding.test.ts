import { describe, expect, it } from 'vitest';
import { readBodyCoding } from '../../../src/internal/http/body-rules.ts';

const plain = [undefined, '', ' ', ',', 'identity', ' Identity ', 'identity, identity', ',identity,,'];
const keptPlain = ['none', 'None', ' NONE ', 'identity, none', 'none,identity', ', none ,'];
const registered = ['gzip', 'br', 'deflate', 'zstd', 'none, gzip', 'gzip, none', 'identity, gzip', ',,GZIP'];
const others = ['x-own', 'aws-chunked', 'nonesuch', 'no ne', 'identity;q=1'];

describe('a Content-Encoding field', () => {
  it.each(plain)('of %j says that the body is plain', (field) => {
    expect(readBodyCoding(field)).toBe('plain');
  });

  it.each(keptPlain)('of %j asks to keep the body plain', (field) => {
    expect(readBodyCoding(field)).toBe('kept-plain');
  });

  it.each([...registered, ...others])('of %j names a coding', (field) => {
    expect(readBodyCoding(field)).toBe('encoded');
  });
});
