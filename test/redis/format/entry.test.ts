import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeEntries, encodeEntry, parseMessage } from '../../../src/redis/format/entry.ts';

const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
const text = fc.string({ unit: 'binary' });

const entry = fc.record({
  event: optional(text),
  data: optional(text),
  key: optional(text),
  isJson: fc.boolean(),
  isEnd: fc.boolean(),
});

describe('entries as text', () => {
  it('are the same after the way through Redis', () => {
    fc.assert(
      fc.property(fc.array(entry), fc.integer({ min: 1, max: 2 ** 50 }), (entries, sequence) => {
        const message = `e1-${String(sequence)}\n${entries.map(encodeEntry).join('')}`;
        const { first, text: rest } = parseMessage(Buffer.from(message).toString())!;
        expect(first).toEqual({ epoch: 'e1', sequence });
        expect(decodeEntries(rest, first)).toEqual(
          entries.map((each, index) => ({ ...each, id: `e1-${String(sequence + index)}` })),
        );
      }),
    );
  });

  it('keep their place where half a surrogate pair is replaced', () => {
    const entries = [{ data: 'a\ud800b' }, { data: '\udc00' }, { data: 'end' }];
    const way = Buffer.from(entries.map(encodeEntry).join('')).toString();
    expect(decodeEntries(way, { epoch: 'e', sequence: 1 }).map(({ data }) => data)).toEqual([
      'a\ufffdb',
      '\ufffd',
      'end',
    ]);
  });

  it('begin with their size, which the scripts read', () => {
    expect(encodeEntry({ event: 'ä', data: '名' })).toMatch(/^\[5,/);
    expect(encodeEntry({})).toBe('[0,-1,0,null,null]\n');
  });

  it('are no message of another kind', () => {
    for (const other of ['', 'hello', 'e1-5', 'E-5\n[0,-1,0,null,null]\n', '\n'])
      expect(parseMessage(other)).toBeUndefined();
  });
});
