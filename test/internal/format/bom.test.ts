import { describe, expect, it } from 'vitest';
import { BomFilter } from '../../../src/internal/format/bom.ts';

type Chunk = string | readonly number[];

const bom = [0xef, 0xbb, 0xbf] as const;

function filterAll(chunks: readonly Chunk[]): { text: string; held: number; done: boolean } {
  const filter = new BomFilter();
  const written = chunks.map((chunk) => filter.filter(typeof chunk === 'string' ? chunk : Uint8Array.from(chunk)));
  const { done } = filter;
  const held = filter.flush();
  return {
    text: Buffer.concat([...written, held].map((chunk) => Buffer.from(chunk as string))).toString('latin1'),
    held: held.length,
    done,
  };
}

describe('BomFilter', () => {
  const bodies: [name: string, chunks: Chunk[], text: string, held?: number][] = [
    ['takes a BOM off a string', ['\uFEFFab'], 'ab'],
    ['takes a string that is a BOM', ['\uFEFF', 'ab'], 'ab'],
    ['takes a BOM off bytes', [[...bom, 0x61]], 'a'],
    ['takes bytes that are a BOM', [[...bom], 'ab'], 'ab'],
    ['takes a BOM cut after its first byte', [[0xef], [0xbb, 0xbf, 0x61]], 'a'],
    [
      'takes a BOM cut after its second byte',
      [
        [0xef, 0xbb],
        [0xbf, 0x61],
      ],
      'a',
    ],
    ['takes a BOM in single bytes', [[0xef], [0xbb], [0xbf], [0x61]], 'a'],
    ['takes a BOM with empty chunks around its bytes', ['', [], [0xef], [], '', [0xbb, 0xbf], 'a'], 'a'],
    ['leaves a second BOM', ['\uFEFF\uFEFFa'], '\xef\xbb\xbfa'],
    ['leaves a second BOM in bytes', [[...bom, ...bom]], '\xef\xbb\xbf'],
    ['leaves a second BOM in a chunk of its own', ['\uFEFF', '\uFEFF', [...bom]], '\xef\xbb\xbf\xef\xbb\xbf'],
    ['leaves a later BOM', ['a', '\uFEFF', [...bom]], 'a\xef\xbb\xbf\xef\xbb\xbf'],
    ['leaves a body without a BOM', ['data: x\n\n', [0x61]], 'data: x\n\na'],
    ['leaves a BOM of UTF-16', [[0xfe, 0xff, 0x61]], '\xfe\xffa'],
    ['leaves a character that begins like a BOM', [[0xef], [0xbb, 0xbe]], '\xef\xbb\xbe'],
    ['leaves a character that begins like a BOM, in one chunk', [[0xef, 0xbb, 0xbe]], '\xef\xbb\xbe'],
    ['leaves bytes that begin a BOM twice', [[0xef], [...bom]], '\xef\xef\xbb\xbf'],
    ['leaves two bytes of a BOM before a string', [[0xef, 0xbb], 'a'], '\xef\xbba'],
    ['leaves a BOM in a string after a byte', [[0xef], '\uFEFF'], '\xef\xef\xbb\xbf'],
    ['gives back one byte at the end', [[0xef]], '\xef', 1],
    ['gives back two bytes at the end', [[0xef], [0xbb]], '\xef\xbb', 2],
  ];
  it.each(bodies)('%s', (_name, chunks, text, held = 0) => {
    expect(filterAll(chunks)).toEqual({ text, held, done: held === 0 });
  });

  it('is open while the start is', () => {
    const filter = new BomFilter();
    expect(filter.done).toBe(false);
    expect(filter.filter('')).toBe('');
    expect(filter.filter(Uint8Array.of(0xef))).toHaveLength(0);
    expect(filter.done).toBe(false);
    expect(filter.filter(Uint8Array.of(0xbb, 0xbf))).toHaveLength(0);
    expect(filter.done).toBe(true);
  });

  it('passes the very chunk on when there is nothing to take', () => {
    const filter = new BomFilter();
    const chunks = [Buffer.from('ab'), Buffer.from('\uFEFF'), new Uint8Array(0)];
    expect(chunks.map((chunk) => filter.filter(chunk) === chunk)).toEqual([true, true, true]);
  });

  it('gives nothing back after the start, and takes nothing after a flush', () => {
    const filter = new BomFilter();
    expect(filter.flush()).toHaveLength(0);
    expect(filter.done).toBe(true);
    expect(filter.filter('\uFEFFa')).toBe('\uFEFFa');
    expect(filter.flush()).toHaveLength(0);
  });

  it('takes bytes off without a copy and leaves them as they were', () => {
    const chunk = Buffer.from('\uFEFFab');
    const rest = new BomFilter().filter(chunk) as Uint8Array;
    expect(rest.buffer).toBe(chunk.buffer);
    expect(chunk.toString()).toBe('\uFEFFab');
  });
});
