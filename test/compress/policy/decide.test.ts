import { describe, expect, it } from 'vitest';
import type { Codec } from '../../../src/compress/codec.ts';
import { type CompressionFacts, decideCompression, type IdentityReason } from '../../../src/compress/policy/decide.ts';
import type { NegotiationContext } from '../../../src/compress/codec.ts';

const gzip: Codec = { coding: 'gzip', available: true, encode: (body) => body };
const br: Codec = { coding: 'br', available: true, encode: (body) => body };

type Fields = Record<string, string>;

function facts(over: Partial<CompressionFacts> = {}, fields: Fields = {}): CompressionFacts {
  return {
    method: 'GET',
    status: 200,
    field: (name) => ({ 'content-type': 'text/plain', ...fields })[name],
    noTransformByWriter: false,
    length: 5000,
    threshold: 1024,
    kind: 'complete',
    filtered: false,
    enabled: true,
    tier: 0,
    acceptEncoding: 'gzip',
    codecs: [gzip, br],
    enforceEncoding: 'identity',
    family: undefined,
    hasBudget: true,
    ...over,
  };
}

const encode = { kind: 'encode', codec: gzip, coding: 'gzip', reason: 'negotiated', negotiable: true };

describe('decideCompression', () => {
  const reasons: [reason: IdentityReason, negotiable: boolean, over: Partial<CompressionFacts>, fields?: Fields][] = [
    ['status', false, { status: 100 }],
    ['status', false, { status: 103 }],
    ['status', false, { status: 204 }],
    ['status', false, { status: 205 }],
    ['filtered', false, { filtered: true }],
    ['no-transform', false, {}, { 'cache-control': 'no-transform' }],
    ['no-transform', false, {}, { 'cache-control': 'Public,NO-Transform , max-age=0' }],
    ['no-transform', false, {}, { 'cache-control': 'private="x, \\"y", no-transform' }],
    ['no-transform', false, {}, { 'cache-control': 'no-transform="x"' }],
    ['digest', false, {}, { 'content-digest': 'sha-256=:AA==:' }],
    ['digest', false, {}, { 'repr-digest': 'sha-256=:AA==:' }],
    ['digest', false, {}, { digest: 'sha-256=AA==' }],
    ['digest', false, {}, { 'content-md5': 'AA==' }],
    ['not-modified', true, { status: 304 }],
    ['partial', true, { status: 206 }],
    ['partial', true, {}, { 'content-range': 'bytes 0-9/100' }],
    ['partial', true, { status: 416 }, { 'content-range': 'bytes */100' }],
    ['partial', true, {}, { 'content-type': 'Multipart/ByteRanges; boundary=x' }],
    ['encoded', true, {}, { 'content-encoding': 'gzip' }],
    ['encoded', true, {}, { 'content-encoding': 'aws-chunked' }],
    ['encoded', true, {}, { 'content-encoding': 'identity, br' }],
    ['encoded', true, {}, { 'content-encoding': 'none' }],
    ['encoded', true, {}, { 'content-encoding': 'Identity, NONE' }],
    ['head', true, { method: 'HEAD' }],
    ['below-threshold', true, { length: 1023 }],
    ['below-threshold', true, { length: 0, threshold: 0 }],
    ['below-threshold', true, { length: 10, kind: 'long' }],
    ['switch-off', true, { enabled: false }],
    ['tier-off', true, { tier: 3 }],
    ['no-accept-encoding', true, { acceptEncoding: undefined }],
    ['not-acceptable', true, { acceptEncoding: '' }],
    ['not-acceptable', true, { acceptEncoding: 'gzip;q=0' }],
    ['identity-preferred', true, { acceptEncoding: 'gzip;q=0.5, identity' }],
    ['no-codec', true, { codecs: [] }],
    ['no-codec', true, { kind: 'event-stream' }],
    ['budget', true, { hasBudget: false }],
    ['budget', true, { hasBudget: () => false }],
  ];
  it.each(reasons)('leaves it alone, %s (Vary: %s), for %o %o', (reason, negotiable, over, fields) => {
    expect(decideCompression(facts(over, fields))).toEqual({ kind: 'identity', reason, negotiable });
  });

  const encoded: [name: string, over: Partial<CompressionFacts>, fields?: Fields][] = [
    ['a plain GET', {}],
    ['a POST', { method: 'POST' }],
    ['an error', { status: 500 }],
    ['a length as large as the threshold', { length: 1024 }],
    ['an unknown length', { length: undefined }],
    ['a threshold of 0', { length: 1, threshold: 0 }],
    ['the coding identity', {}, { 'content-encoding': 'Identity' }],
    ['an empty Content-Encoding', {}, { 'content-encoding': '' }],
    ['another directive', {}, { 'cache-control': 'no-store, no-transformation, x-no-transform' }],
    ['the directive in a quoted string', {}, { 'cache-control': 'private="a, no-transform, b", max-age=1' }],
    ['the directive in a quoted string that is not closed', {}, { 'cache-control': 'private="a, no-transform' }],
    ['the directive as an argument', {}, { 'cache-control': 'ext=no-transform' }],
    ['no-transform by our own writer', { noTransformByWriter: true }, { 'cache-control': 'no-cache, no-transform' }],
    ['another multipart type', {}, { 'content-type': 'multipart/mixed; boundary=x' }],
    ['room, when asked', { hasBudget: () => true }],
    ['tier 2', { tier: 2 }],
  ];
  it.each(encoded)('encodes with %s', (_name, over, fields) => {
    expect(decideCompression(facts(over, fields))).toEqual(encode);
  });

  it('looks for the reasons in the order that it documents, so that a response which never varies never says it does', () => {
    const order: [reason: IdentityReason, over: Partial<CompressionFacts>, fields?: Fields][] = [
      ['status', { status: 204 }],
      ['filtered', { filtered: true }],
      ['no-transform', {}, { 'cache-control': 'no-transform' }],
      ['digest', {}, { digest: 'x' }],
      ['partial', { status: 206 }],
      ['encoded', {}, { 'content-encoding': 'br' }],
      ['head', { method: 'HEAD' }],
      ['below-threshold', { length: 1 }],
      ['switch-off', { enabled: false }],
      ['tier-off', { tier: 3 }],
      ['not-acceptable', { acceptEncoding: 'zstd' }],
      ['budget', { hasBudget: false }],
    ];
    for (let at = order.length - 1, over: Partial<CompressionFacts> = {}, fields: Fields = {}; at >= 0; at--) {
      const [reason, more, moreFields] = order[at]!;
      over = { ...over, ...more };
      fields = { ...fields, ...moreFields };
      expect(decideCompression(facts(over, fields)).reason).toBe(reason);
    }
  });

  it('says of HEAD what it says of GET, as far as Vary goes', () => {
    for (const [, , over, fields] of reasons) {
      const get = decideCompression(facts(over, fields));
      const head = decideCompression(facts({ ...over, method: 'HEAD' }, fields));
      expect(head.negotiable).toBe(get.negotiable);
    }
    expect(decideCompression(facts({ method: 'HEAD' })).negotiable).toBe(decideCompression(facts()).negotiable);
  });

  describe('of a 304', () => {
    const bare = { field: () => undefined };

    it('does not blame it for the type that it need not have', () => {
      expect(decideCompression(facts({ status: 304, filtered: true, ...bare }))).toEqual({
        kind: 'identity',
        reason: 'not-modified',
        negotiable: true,
      });
    });

    it('still heeds the filter when it has a type', () => {
      expect(decideCompression(facts({ status: 304, filtered: true }, { 'content-type': 'image/png' }))).toEqual({
        kind: 'identity',
        reason: 'filtered',
        negotiable: false,
      });
    });

    it('heeds no-transform as its 200 would', () => {
      expect(decideCompression(facts({ status: 304 }, { 'cache-control': 'no-transform' })).negotiable).toBe(false);
    });

    it('is alone in that: another response without a type is filtered', () => {
      expect(decideCompression(facts({ filtered: true, ...bare })).reason).toBe('filtered');
    });
  });

  describe('of an event stream', () => {
    const blocks: Codec = {
      coding: 'gzip',
      available: true,
      createBlocks: () => ({ memory: 0, encode: (text) => text, close: () => {} }),
    };

    it.each([0, 10, undefined])('does not compare the length %s with the threshold', (length) => {
      expect(decideCompression(facts({ kind: 'event-stream', codecs: [blocks], length }))).toEqual({
        ...encode,
        codec: blocks,
      });
    });
  });

  describe('of a request without Accept-Encoding', () => {
    const absent = { acceptEncoding: undefined };

    it.each(['gzip', 'br'])('enforces %s', (enforceEncoding) => {
      expect(decideCompression(facts({ ...absent, enforceEncoding }))).toMatchObject({
        kind: 'encode',
        coding: enforceEncoding,
      });
    });

    it.each(['identity', 'zstd', 'nonsense', ''])('enforces nothing for %j', (enforceEncoding) => {
      expect(decideCompression(facts({ ...absent, enforceEncoding }))).toEqual({
        kind: 'identity',
        reason: 'no-accept-encoding',
        negotiable: true,
      });
    });

    it('does not enforce what cannot be used', () => {
      for (const codecs of [[{ ...gzip, available: false }], [{ coding: 'gzip', available: true }]]) {
        expect(decideCompression(facts({ ...absent, enforceEncoding: 'gzip', codecs })).reason).toBe(
          'no-accept-encoding',
        );
      }
    });

    it('enforces nothing on a request that has one, even an empty one', () => {
      expect(decideCompression(facts({ acceptEncoding: '', enforceEncoding: 'gzip' })).reason).toBe('not-acceptable');
      expect(decideCompression(facts({ acceptEncoding: 'zstd', enforceEncoding: 'gzip' })).reason).toBe(
        'not-acceptable',
      );
    });
  });

  it('tells the codecs what their weight may depend on, and no more', () => {
    const told: NegotiationContext[] = [];
    const curious: Codec = {
      ...gzip,
      weight: (context) => {
        told.push(context);
        return undefined;
      },
    };
    decideCompression(facts({ codecs: [curious], tier: 1, family: 'browser' }));
    expect(told).toEqual([{ kind: 'complete', tier: 1, size: 5000, family: 'browser' }]);
  });

  it('asks for room only when everything else is for it', () => {
    let asked = 0;
    const hasBudget = (): boolean => ++asked > 0;
    for (const [reason, , over, fields] of reasons)
      if (reason !== 'budget') decideCompression(facts({ hasBudget, ...over }, fields));
    expect(asked).toBe(0);
    decideCompression(facts({ hasBudget }));
    expect(asked).toBe(1);
  });

  it('reads no field of a response that has no content', () => {
    const field = (): never => {
      throw new Error('read');
    };
    expect(decideCompression(facts({ status: 204, field })).reason).toBe('status');
    expect(decideCompression(facts({ filtered: true, field })).reason).toBe('filtered');
  });
});
