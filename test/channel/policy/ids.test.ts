import { describe, expect, it } from 'vitest';
import { queryCursor } from '../../../src/channel/policy/cursor.ts';
import { formatEntryId, parseEntryId } from '../../../src/channel/policy/entry-id.ts';
import { isEventSource } from '../../../src/channel/policy/event-source.ts';

describe('an id', () => {
  it('is read as it was written', () => {
    for (const sequence of [0, 1, 42, Number.MAX_SAFE_INTEGER]) {
      const id = { epoch: 'm1k2x9ab', sequence };
      expect(parseEntryId(formatEntryId(id))).toEqual(id);
    }
  });

  it.each(['', '-', 'a', 'a-', '-1', 'a-01', 'a-1.5', 'a--1', 'a-1 ', 'A-1', 'a-1e3', 'a-9007199254740992', 'a-1-2'])(
    'is not %j',
    (text) => expect(parseEntryId(text)).toBeUndefined(),
  );

  it('is not looked for in a long text', () => {
    expect(parseEntryId(`${'a'.repeat(100)}-1`)).toBeUndefined();
  });
});

it.each([
  [undefined, undefined],
  ['/ticks', undefined],
  ['/ticks?', undefined],
  ['/ticks?lastEventId=', undefined],
  ['/ticks?lastEventId=a-1', 'a-1'],
  ['/ticks?starting_after=a-2', 'a-2'],
  ['/ticks?starting_after=a-2&lastEventId=a-1', 'a-1'],
  ['/ticks?lastEventId=&starting_after=a-2', 'a-2'],
  ['/ticks?lastEventId=a-1&lastEventId=a-3', 'a-1'],
  ['/ticks?x=lastEventId&last=%3F&lastEventId=%61-1', 'a-1'],
])('the cursor of %j is %j', (url, cursor) => {
  expect(queryCursor(url)).toBe(cursor);
});

it.each([
  ['GET', 'text/event-stream', 'no-cache', true],
  ['GET', 'text/event-stream', 'no-store, No-Cache', true],
  ['GET', 'text/event-stream', undefined, false],
  ['GET', 'text/event-stream', 'no-cacheable', false],
  ['GET', '*/*', 'no-cache', false],
  ['GET', undefined, 'no-cache', false],
  ['POST', 'text/event-stream', 'no-cache', false],
])('%s with Accept %j and Cache-Control %j comes from an EventSource: %j', (method, accept, cacheControl, expected) => {
  expect(isEventSource(method, { accept, 'cache-control': cacheControl })).toBe(expected);
});
