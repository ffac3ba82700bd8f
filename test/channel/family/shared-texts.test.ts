import { expect, it } from 'vitest';
import { ChannelTexts } from '../../../src/channel/delivery/channel-text.ts';
import { Segment } from '../../../src/channel/delivery/segment.ts';
import { SharedTexts } from '../../../src/channel/family/shared-texts.ts';

it('gives clients on the same channels at the same places one buffer', () => {
  const texts = new SharedTexts();
  const [one, two] = [texts.acquire('sse a,b'), texts.acquire('sse a,b')];
  expect(two.text).toBe(one.text);
  const entry = { id: 'e-1', data: 'x' };
  const segment = new Segment(entry, [{ id: 'e-2', data: 'y' }], new ChannelTexts());
  const here = { before: 'a:', after: ',b:f-1' };
  const bytes = segment.compositeBytes('sse', one.text, here);
  expect(bytes.toString()).toBe('id: a:e-1,b:f-1\ndata: x\n\nid: a:e-2,b:f-1\ndata: y\n\n');
  expect(segment.compositeBytes('sse', two.text, { ...here })).toBe(bytes);
  expect(segment.compositeBytes('sse', two.text, { ...here, after: ',b:f-2' })).not.toBe(bytes);
  expect(segment.compositeBytes('ndjson', two.text, here)).not.toBe(bytes);
});

it('frees a text with its last user', () => {
  const texts = new SharedTexts();
  const one = texts.acquire('sse a,b');
  const two = texts.acquire('sse a,b');
  one.release();
  expect(texts.acquire('sse a,b').text).toBe(two.text);
  two.release();
  two.release();
  expect(texts.acquire('sse a,b').text).not.toBe(two.text);
});
