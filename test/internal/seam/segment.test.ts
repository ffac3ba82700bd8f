import { describe, expect, it } from 'vitest';
import { chunkOf } from '../../../src/internal/seam/framed-bytes.ts';
import { type Segment, segmentOf, SharedText } from '../../../src/internal/seam/segment.ts';

function append(source: SharedText, text: string): Segment {
  return segmentOf(source.append(text))!;
}

describe('a shared text', () => {
  it('makes chunks of plain text that carry their frame', () => {
    const bytes = new SharedText().append('data: é🌊\n\n');
    expect(bytes.toString()).toBe('data: é🌊\n\n');
    expect(chunkOf(bytes)!.toString()).toBe('e\r\ndata: é🌊\n\n\r\n');
  });

  it('numbers its segments, which know the end of the text before them', () => {
    const source = new SharedText();
    const segments = ['a'.repeat(1000), 'b'.repeat(100), 'c'.repeat(2000)].map((text) => append(source, text));
    expect(segments.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(source.length).toBe(3);
    expect(segments.map(({ tail }) => tail.toString())).toEqual([
      '',
      'a'.repeat(1000),
      'a'.repeat(924) + 'b'.repeat(100),
    ]);
    expect(source.tail.toString()).toBe('c'.repeat(1024));
  });

  it('remembers more once it is asked to', () => {
    const source = new SharedText();
    append(source, 'a'.repeat(5000));
    source.remember(4096);
    source.remember(2048);
    append(source, 'b'.repeat(3000));
    expect(source.tail.toString()).toBe('a'.repeat(1024) + 'b'.repeat(3000));
    append(source, 'c'.repeat(200));
    expect(source.tail.length).toBe(4096);
  });

  it('makes what its readers share once for each key', () => {
    const segment = append(new SharedText(), 'text');
    const made: number[] = [];
    const make = (): number => made.push(0);
    expect([segment.once('a', make), segment.once('a', make), segment.once('b', make)]).toEqual([1, 1, 2]);
  });

  it('is not recognised in a part or a copy of its segments', () => {
    const bytes = new SharedText().append('text');
    expect(segmentOf(bytes)?.text).toBe(bytes);
    expect([segmentOf(bytes.subarray(0)), segmentOf(Buffer.from(bytes))]).toEqual([undefined, undefined]);
  });
});
