import { describe, expect, it } from 'vitest';
import { parseAcceptEncoding } from '../../src/compress/policy/accept-encoding.ts';
import { type CompressionFacts, decideCompression } from '../../src/compress/policy/decide.ts';
import { encodedEtag, matchedEtag, plainConditions } from '../../src/compress/policy/etag.ts';
import { fingerprint } from '../../src/compress/policy/fingerprint.ts';
import { type DeadlineSource, readTimeout } from '../../src/deadline/policy/source.ts';
import { watchSocket } from '../../src/heartbeat/index.ts';
import { createRegistry } from '../../src/internal/health/registry.ts';
import { acceptWeight, mediaTypeOf } from '../../src/internal/http/accept.ts';
import { readBodyCoding } from '../../src/internal/http/body-rules.ts';
import { readSize } from '../../src/internal/option.ts';
import { decodeLastEventId } from '../../src/sse/stream.ts';
import { Duplex } from 'node:stream';

// Where work grows with the square of the length, a million characters are a trillion steps: no test would see their
// end.
const million = 1_000_000;

function many(text: string): string {
  return text.repeat(million / text.length);
}

function reasonFor(fields: Record<string, string>): string {
  const facts: CompressionFacts = {
    method: 'GET',
    status: 200,
    field: (name) => fields[name],
    noTransformByWriter: false,
    length: undefined,
    threshold: 0,
    kind: 'long',
    filtered: false,
    enabled: true,
    tier: 0,
    acceptEncoding: undefined,
    codecs: [],
    enforceEncoding: 'identity',
    family: undefined,
    hasBudget: true,
  };
  return decideCompression(facts).reason;
}

const timeoutOf = (source: DeadlineSource, field: string): number => readTimeout({ [source]: field }, [source]);

describe('a text of a million characters is read in one pass, or not at all:', () => {
  it('an id for `evict`', () => {
    const registry = createRegistry();
    const undo = watchSocket(new Duplex(), { registry });
    const { id } = registry.connections()[0]!;
    const digits = many('9');
    const texts = [`${digits}x`, digits, `socket-${digits}x`, `socket-${digits}`, many('-'), `${digits}-1`];
    for (const text of texts) expect(registry.evict(text)).toBe(false);
    expect(registry.evict(id)).toBe(true);
    undo();
  });

  it.each(['9', ' ', '"', '\\"', 'a=b;', 'no-transform'])('Cache-Control, of %j', (part) => {
    const open = part === '"' || part === '\\"';
    expect(reasonFor({ 'cache-control': `no-transform, a="${many(part)}` })).toBe('no-transform');
    const other = `x${many(part)}, ${open ? '' : 'x'}no-transformed`;
    expect(reasonFor({ 'cache-control': other })).toBe('no-accept-encoding');
  });

  it('the type and the coding of a response', () => {
    expect(reasonFor({ 'content-type': `${many(' ')}multipart/byterangesx` })).toBe('no-accept-encoding');
    expect(mediaTypeOf(`${many(' ')}text/plain${many(' ')};${many('=')}`)).toBe('text/plain');
    expect(readBodyCoding(many(' , identity'))).toBe('plain');
  });

  it('Accept', () => {
    expect(acceptWeight(`${many('text/x;q=0.5,')}text/event-stream;q=0.3`, 'text/event-stream')).toBe(0.3);
    expect(acceptWeight(`text/event-stream${many(' ')};${many(' ')}q=0.3`, 'text/event-stream')).toBe(0.3);
    expect(acceptWeight(`text/event-stream;q=0.${many('0')}`, 'text/event-stream')).toBe(0);
  });

  it('Accept-Encoding', () => {
    expect(parseAcceptEncoding(`gzip;q${many(' ')}=1`).get('gzip')).toBe(0);
    expect(parseAcceptEncoding(`${many('x;q=0,')}gzip`).get('gzip')).toBe(1);
    expect(fingerprint({ headers: { 'accept-encoding': `gzip,${many(' ')}br` } }).family).toBe('other');
  });

  it('entity tags', () => {
    const fields = [`${many('"')}, "a-gzip"`, `"${many('-gzip')}"`];
    for (const field of fields) expect(plainConditions(field, ['gzip']).field).toBe(field);
    expect(matchedEtag('"a"', { ifNoneMatch: `${many('W/')}"a"`, codings: ['gzip'], mode: 'suffix' })).toBe('"a"');
    expect(encodedEtag(`"${many('a')}`, 'gzip', 'suffix')).toHaveLength(million + 1);
  });

  it.each([
    ['grpc-timeout', many('9'), Infinity],
    ['x-request-timeout-ms', `${many('0')}x`, Infinity],
    ['x-request-deadline', `2026-01-01T00:00:00.${many('0')}`, Infinity],
    ['x-request-deadline', many('1'), Infinity],
    ['prefer', `wait${many(' ')}=5`, 5000],
    ['prefer', `wait=${many(' ')}x`, Infinity],
    ['prefer', `a="${many('\\"')}", wait=5`, 5000],
    ['prefer', `${many('"')}, wait=5`, 5000],
    ['prefer', `${many('a,')}wait=5`, 5000],
    ['prefer', `${many('\\')}, wait=5`, 5000],
  ] as const)('%s', (source, field, timeout) => {
    expect(timeoutOf(source, field)).toBe(timeout);
  });

  it('Last-Event-ID', () => {
    expect(decodeLastEventId(many('a'))).toHaveLength(million);
    expect(decodeLastEventId(many('Ã©'))).toBe('é'.repeat(million / 2));
  });

  it('an option of bytes', () => {
    expect(() => readSize('x', `${many('1')}.${many('1')}${many(' ')}x`)).toThrow('a size');
  });
});
