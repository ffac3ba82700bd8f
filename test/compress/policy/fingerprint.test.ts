import type { IncomingMessage } from 'node:http';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { type ClientFamily, fingerprint } from '../../../src/compress/policy/fingerprint.ts';
import type { HttpRequest } from '../../../src/internal/http/message.ts';

function of(field: string | undefined): ReturnType<typeof fingerprint> {
  return fingerprint({ headers: field === undefined ? {} : { 'accept-encoding': field } });
}

describe('fingerprint', () => {
  // As recorded from each client, spaces and all.
  const clients: [client: string, field: string | undefined, family: ClientFamily][] = [
    ['curl 7.88', undefined, 'none'],
    ['undici 7 request', undefined, 'none'],
    ['Wget', 'identity', 'identity'],
    ['Python urllib', 'identity', 'identity'],
    ['Chromium, https or localhost', 'gzip, deflate, br, zstd', 'browser'],
    ['Chromium, plain http', 'gzip, deflate', 'insecure-browser'],
    ['fetch of Node 20, 22, 24 and 26, plain http', 'gzip, deflate', 'insecure-browser'],
    ['requests', 'gzip, deflate', 'insecure-browser'],
    ['curl 7.88 --compressed', 'deflate, gzip, br, zstd', 'curl'],
    ['curl --compressed, less built in', 'deflate, gzip', 'curl'],
    ['fetch of Node 20, 22 and 24, https', 'br, gzip, deflate', 'undici'],
    ['fetch of Node 26, https', 'br, gzip, deflate, zstd', 'undici'],
    ['axios 1.21', 'gzip, compress, deflate, br', 'axios'],
    ['node-fetch 3, got 14', 'gzip, deflate, br', 'browser-no-zstd'],
    ['Net::HTTP of Ruby', 'gzip;q=1.0,deflate;q=0.6,identity;q=0.3', 'ruby'],
    ['net/http of Go', 'gzip', 'go'],
    ['CloudFront', 'br,gzip', 'cdn'],
    ['Cloudflare', 'gzip, br', 'cdn'],
    ['any', '*', 'any'],
    ['none wanted', '', 'identity'],
    ['unknown', 'zstd', 'other'],
    ['unknown', 'gzip;q=0.9', 'other'],
    ['unknown', 'gzip, deflate, br, zstd, dcb, dcz', 'other'],
    ['hostile', '__proto__', 'other'],
  ];
  it.each(clients)('of %s, %j, says %s', (_client, field, family) => {
    expect(of(field).family).toBe(family);
  });

  const signatures: [field: string | undefined, signature: string][] = [
    [undefined, ''],
    ['', ''],
    ['gzip,deflate,br', 'gzip, deflate, br'],
    ['  GZIP ,\tBr;Q=0.5', 'gzip, br;q=0.5'],
    ['gzip ; q=0.5', 'gzip;q=0.5'],
    ['br;q=1.0, gzip;q=0.80', 'br;q=1.0, gzip;q=0.80'],
    [',gzip,,', 'gzip'],
    ['x-gzip', 'x-gzip'],
  ];
  it.each(signatures)('normalises %j to %j', (field, signature) => {
    expect(of(field).signature).toBe(signature);
    expect(of(signature).signature).toBe(signature);
  });

  const accepted: [field: string | undefined, codings: string[]][] = [
    [undefined, []],
    ['', []],
    ['gzip, deflate, br', ['gzip', 'deflate', 'br']],
    ['br;q=0.1, gzip', ['br', 'gzip']],
    ['br;q=0, GZIP, zstd;q=junk', ['gzip']],
    ['x-gzip, *;q=0.5, identity', ['gzip', '*', 'identity']],
    ['*;q=0', []],
  ];
  it.each(accepted)('finds that %j accepts %j', (field, codings) => {
    expect(of(field).codings).toEqual(codings);
  });

  it('joins a field that came in several lines', () => {
    expect(fingerprint({ headers: { 'accept-encoding': ['gzip', 'deflate, br'] } }).family).toBe('browser-no-zstd');
  });

  it('reads nothing of a field that is longer than 1,024 characters', () => {
    expect(of(`gzip, ${'a'.repeat(1018)}`).codings).toHaveLength(2);
    expect(of(`gzip, ${'a'.repeat(1019)}`)).toEqual({ family: 'other', signature: '', codings: [] });
  });

  it('gives out what nobody can change', () => {
    for (const field of [undefined, 'gzip']) {
      expect(of(field)).toBe(of(field));
      expect(Object.isFrozen(of(field))).toBe(true);
      expect(Object.isFrozen(of(field).codings)).toBe(true);
    }
  });

  it('takes requests of both protocols', () => {
    expectTypeOf<HttpRequest>().toExtend<Parameters<typeof fingerprint>[0]>();
    expectTypeOf<IncomingMessage>().toExtend<Parameters<typeof fingerprint>[0]>();
  });
});
