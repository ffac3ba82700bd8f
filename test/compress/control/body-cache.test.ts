import { crc32, gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Codec, Tier } from '../../../src/compress/codec.ts';
import { BodyCache, type CachedBody, type CacheUse } from '../../../src/compress/control/body-cache.ts';
import { makeCodecSet } from '../../../src/compress/control/codec-set.ts';
import { deferred } from '../../support/deferred.ts';
import { noise, prose } from '../../support/texts.ts';

const codecSet = makeCodecSet({}, {});
const codecNamed = (coding: string): Codec => codecSet.codecs.find((codec) => codec.coding === coding)!;
const gzip = codecNamed('gzip');

/** A cache, and what was encoded for it. */
function makeCache(limit = 1_000_000) {
  const cache = new BodyCache(limit);
  const encoded: Buffer[] = [];
  const send = (
    text: string | Uint8Array,
    over: Partial<CacheUse> = {},
    encode: (body: Uint8Array) => Uint8Array | Promise<Uint8Array> = gzipSync,
  ): CachedBody =>
    cache.encode({ codecSet, codec: gzip, tier: 0, ...over }, Buffer.from(text), (body) => {
      encoded.push(Buffer.from(body));
      return encode(body);
    });
  return { cache, send, encoded };
}

function textOf({ coded }: CachedBody): string {
  expect(coded).toBeInstanceOf(Uint8Array);
  return gunzipSync(coded as Uint8Array).toString();
}

const text = prose(2000);

describe('a cache of bodies', () => {
  it('keeps nothing of a body that came once, and finds one that came twice', () => {
    const { cache, send } = makeCache();
    expect([textOf(send(text)), cache.bytes]).toEqual([text, 0]);
    const second = send(text);
    expect([textOf(second), second.isCached]).toEqual([text, false]);
    const held = cache.bytes;
    expect(held).toBeGreaterThan(Buffer.byteLength(text) + (second.coded as Uint8Array).length);
    const third = send(text);
    expect([textOf(third), third.isCached, cache.bytes]).toEqual([text, true, held]);
    expect({ hits: cache.hits, misses: cache.misses }).toEqual({ hits: 1, misses: 2 });
  });

  it('compares whole: another body with the same length and CRC is another body', () => {
    const [one, other] = collision();
    expect([crc32(one), other.length]).toEqual([crc32(other), one.length]);
    const { cache, send, encoded } = makeCache();
    const sends = (body: Buffer): boolean => gunzipSync(send(body).coded as Uint8Array).equals(body);
    for (const body of [one, one, one]) expect(sends(body)).toBe(true);
    expect(cache.hits).toBe(1);
    // The latest of the two is kept.
    for (const body of [other, other]) expect(sends(body)).toBe(true);
    expect([cache.hits, encoded.length]).toEqual([2, 3]);
  });

  it('keeps its own copy: a body that is changed later does not change it', () => {
    const body = Buffer.from(text);
    const coded: Uint8Array[] = [];
    const use = { codecSet, codec: gzip, tier: 0 as Tier };
    const cache = new BodyCache(1_000_000);
    for (let time = 0; time < 2; time++) coded.push(cache.encode(use, body, gzipSync).coded as Uint8Array);
    body.fill(0x78);
    // Nor what was given out of it.
    for (const bytes of coded) bytes.fill(0);
    expect(textOf(cache.encode(use, Buffer.from(text), gzipSync))).toBe(text);
    expect(cache.encode(use, body, gzipSync).isCached).toBe(false);
  });

  it('has one copy of a body for all codecs, and an encoding for each', () => {
    const { cache, send } = makeCache();
    const br = codecNamed('br');
    for (let time = 0; time < 2; time++) send(text);
    const withOne = cache.bytes;
    expect(send(text, { codec: br }).isCached).toBe(false);
    expect(cache.bytes - withOne).toBe((send(text).coded as Uint8Array).length);
    expect([send(text, { codec: br }).isCached, send(text).isCached]).toEqual([true, true]);
  });

  it('uses what a lower tier made at a higher one, and not the other way round', () => {
    const { cache, send } = makeCache();
    const tiers: Tier[] = [2, 2, 2, 1, 2, 0, 1, 2, 0];
    expect(tiers.map((tier) => send(text, { tier }).isCached)).toEqual([
      ...[false, false, true],
      ...[false, true],
      ...[false, true, true, true],
    ]);
    expect(cache.bytes).toBeLessThan(2 * Buffer.byteLength(text));
  });

  it('forgets what the codecs of another profile made', () => {
    const { cache, send } = makeCache();
    for (let time = 0; time < 3; time++) send(text);
    expect(cache.hits).toBe(1);
    const other = makeCodecSet({ level: 1 }, {});
    expect(send(text, { codecSet: other, codec: other.codecs[2]! }).isCached).toBe(false);
    expect(send(text, { codecSet: other, codec: other.codecs[2]! }).isCached).toBe(true);
    expect(send(text).isCached).toBe(false);
  });

  it('stays within its bytes; what was not used for longest goes first', () => {
    const limit = 50_000;
    const { cache, send } = makeCache(limit);
    const texts = Array.from({ length: 40 }, (_, index) => `${index} ${prose(2000)}`);
    for (const each of texts) {
      for (let time = 0; time < 2; time++) send(each);
      expect(cache.bytes).toBeLessThanOrEqual(limit);
      // Used all the time.
      send(texts[0]!);
    }
    expect([39, 0, 1].map((index) => send(texts[index]!).isCached)).toEqual([true, true, false]);
    cache.clear();
    expect([cache.bytes, send(texts[0]!).isCached]).toEqual([0, false]);
  });

  it('keeps no body over a quarter of its bytes', () => {
    const { cache, send } = makeCache(7_000);
    for (let time = 0; time < 3; time++) expect(send(text).isCached).toBe(false);
    expect(cache.bytes).toBe(0);
  });

  it('remembers that a body gets no shorter', () => {
    const { cache, send, encoded } = makeCache();
    const random = Buffer.from(noise(2000), 'latin1');
    const longer = (body: Uint8Array): Uint8Array => Buffer.concat([body, body]);
    for (let time = 0; time < 3; time++)
      expect((send(random, {}, longer).coded as Uint8Array).length).toBeGreaterThanOrEqual(random.length);
    expect([cache.hits, encoded.length]).toEqual([1, 2]);
  });

  it('does not encode twice what another thread is encoding', async () => {
    const { cache, send, encoded } = makeCache();
    send(text);
    const coded = deferred<Uint8Array>();
    const sent = [1, 2, 3].map(() => send(text, {}, () => coded.promise));
    expect(sent.map(({ isCached }) => isCached)).toEqual([false, true, true]);
    expect(encoded).toHaveLength(2);
    coded.resolve(gzipSync(text));
    for (const { coded: bytes } of sent) expect(gunzipSync(await bytes).toString()).toBe(text);
    expect(send(text).coded).toBeInstanceOf(Uint8Array);
    expect(cache.hits).toBe(3);
  });

  it('forgets an encode that failed, and passes on its error', async () => {
    const { cache, send } = makeCache();
    send(text);
    const failure = new Error('no');
    const sent = [1, 2].map(() => send(text, {}, () => Promise.reject(failure)));
    for (const { coded } of sent) await expect(coded).rejects.toBe(failure);
    expect(cache.bytes).toBe(0);
    const refuse = (): never => {
      throw failure;
    };
    expect(() => send(text, {}, refuse)).toThrow(failure);
    expect([send(text).isCached, send(text).isCached]).toEqual([false, true]);
  });

  it('does not keep what comes from a thread after it has forgotten the body', async () => {
    const { cache, send } = makeCache();
    send(text);
    const coded = deferred<Uint8Array>();
    const { coded: promise } = send(text, {}, () => coded.promise);
    cache.clear();
    coded.resolve(gzipSync(text));
    await promise;
    expect(cache.bytes).toBe(0);
  });

  it('remembers bodies that came once only for as long as few others come', () => {
    const { cache, send } = makeCache();
    send(text);
    for (let index = 0; index < 20_000; index++) send(`${index}`, {}, (body) => body);
    expect(send(text).isCached).toBe(false);
    expect([send(text).isCached, cache.hits]).toEqual([false, 0]);
  });
});

/** Two bodies of the same length and CRC-32. */
function collision(): [Buffer, Buffer] {
  const body = Buffer.from(text);
  const other = Buffer.from(text);
  // The remainder of a division by a polynomial is the same when a multiple of it is added.
  const polynomial = [0, 1, 2, 4, 5, 7, 8, 10, 11, 12, 16, 22, 23, 26, 32];
  for (const power of polynomial) {
    const bit = 800 - power;
    other[bit >> 3]! ^= 1 << (bit & 7);
  }
  return [body, other];
}
