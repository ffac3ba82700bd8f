import { describe, expect, it } from 'vitest';
import { EventTap } from '../../../src/proxy/exchange/tap.ts';

/** The data of the events that a tap tells of. */
function dataOf(chunks: Iterable<string>): string[] {
  const told: string[] = [];
  const tap = new EventTap((event) => told.push(event.data));
  for (const chunk of chunks) tap.push(Buffer.from(chunk));
  return told;
}

const long = 'x'.repeat(1 << 20);

describe('the tap', () => {
  it.each(['\n', '\r\n', '\r'])('reads lines that end with %j, however they are cut', (end) => {
    const text = ['data: a', 'data: b', '', 'data: c', '', ': d', ''].join(end);
    expect(dataOf(text)).toEqual(['a\nb', 'c']);
    expect(dataOf([text])).toEqual(['a\nb', 'c']);
  });

  it.each([
    ['a line', [`data: ${long}`, 'more', '\r', '\ndata: rest\r\n\r\n']],
    ['many lines', [`data: ${long.slice(9)}\ndata: much\ndata: more`, '\n', 'data: rest\n\n']],
  ])('tells nothing of an event with too much in %s, and goes on with the next', (_what, chunks) => {
    expect(dataOf([...chunks, 'data: next\n\n'])).toEqual(['next']);
  });
});
