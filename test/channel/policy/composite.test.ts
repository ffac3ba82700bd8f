import { describe, expect, it } from 'vitest';
import {
  fitsCursor,
  formatComposite,
  frameId,
  longestCursor,
  parseComposite,
} from '../../../src/channel/policy/composite.ts';

const wanted = new Set(['news', 'user%3A7']);

describe('a composite cursor', () => {
  it('is read as it was written, also by an id alone with what is around it', () => {
    const parts = [
      { encoded: 'a', id: undefined },
      { encoded: 'news', id: 'e-1' },
      { encoded: 'user%3A7', id: 'f-22' },
    ];
    const cursor = formatComposite(parts);
    expect(cursor).toBe('news:e-1,user%3A7:f-22');
    expect([...parseComposite(cursor, wanted)]).toEqual([
      ['news', 'e-1'],
      ['user%3A7', 'f-22'],
    ]);
    for (const index of [1, 2]) {
      const { before, after } = frameId(parts, index);
      expect(before + String(parts[index]?.id) + after).toBe(cursor);
    }
    expect(frameId(parts, 0)).toEqual({ before: 'a:', after: ',news:e-1,user%3A7:f-22' });
  });

  it.each([
    ['nothing', '', []],
    ['a plain id', 'e-1', []],
    ['keys that are not wanted', 'other:e-1,__proto__:x,constructor:y', []],
    ['a key that is not encoded', 'user:7:f-2', []],
    ['a bad percent code', 'user%3:f-2,%:x,news:e-1', ['news']],
    ['an encoding that is not ours', 'user%3a7:f-2,%6eews:e-1', []],
    ['duplicates: the first counts', 'news:e-1,news:e-2', ['news']],
    ['an empty key and empty ids', ':e-1,news:,user%3A7:f-1', ['user%3A7']],
    ['commas and colons alone', ',,,:::,', []],
    ['white space and line breaks', 'news:e 1,user%3A7:f-1\ndata: x', []],
    ['text that is not ASCII', 'news:é,user%3A7:\u0000', []],
    ['an id that is too long', `news:${'9'.repeat(129)}`, []],
    ['ten thousand parts', 'news:e-1,'.repeat(10_000), []],
    ['a huge key', `${'k'.repeat(100_000)}:e-1,news:e-1`, []],
    ['the most parts that fit', `${'x:1,'.repeat(1_700)}news:e-1`, ['news']],
  ])('is not misled by %s', (_, cursor, keys) => {
    expect([...parseComposite(cursor, wanted).keys()]).toEqual(keys);
  });

  it('has a longest length, which keys must fit into', () => {
    expect(parseComposite(`${'x'.repeat(longestCursor - 9)},news:e-1`, wanted).size).toBe(1);
    expect(parseComposite(`${'x'.repeat(longestCursor)},news:e-1`, wanted).size).toBe(0);
    expect(fitsCursor(['a', 'b'])).toBe(true);
    expect(fitsCursor(Array.from({ length: 200 }, (__, n) => `user%3A${String(n)}`))).toBe(false);
  });
});
