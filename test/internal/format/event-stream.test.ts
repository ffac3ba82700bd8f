import { describe, expect, it } from 'vitest';
import { InvalidEventError } from '../../../src/errors.ts';
import { type EventInput, formatEvent } from '../../../src/internal/format/event-stream.ts';

describe('formatEvent', () => {
  const framings: [string, EventInput | string, string][] = [
    ['a string as data', 'hi', 'data: hi\n\n'],
    ['an empty string as an empty line of data', '', 'data: \n\n'],
    ['an object as JSON', { data: { a: [1] } }, 'data: {"a":[1]}\n\n'],
    ['null as JSON', { data: null }, 'data: null\n\n'],
    ['lines broken by CRLF, CR and LF', 'a\r\nb\rc\nd', 'data: a\ndata: b\ndata: c\ndata: d\n\n'],
    [
      'all fields in a fixed order',
      { data: 'd', retry: 5, id: '7', event: 'e', comment: 'c' },
      ':c\nevent: e\nid: 7\nretry: 5\ndata: d\n\n',
    ],
    ['an id alone', { id: '7' }, 'id: 7\n\n'],
    ['an empty id', { id: '', data: 'x' }, 'id: \ndata: x\n\n'],
    ['an event name alone with empty data, so that it is dispatched', { event: 'done' }, 'event: done\ndata:\n\n'],
    ['an id and a retry hint', { id: '7', retry: 5 }, 'id: 7\nretry: 5\n\n'],
    ['a comment of several lines, without a blank line', { comment: 'a\nb' }, ':a\n:b\n'],
    ['an empty comment', { comment: '' }, ':\n'],
    ['a retry hint alone, without a blank line', { retry: 5 }, 'retry: 5\n'],
    ['a comment and a retry hint, without a blank line', { comment: 'c', retry: 5 }, ':c\nretry: 5\n'],
    ['a comment before an event in the block of that', { comment: 'c', event: 'e' }, ':c\nevent: e\ndata:\n\n'],
    [
      'absent fields given as undefined',
      { data: 'x', id: undefined, event: undefined } as unknown as EventInput,
      'data: x\n\n',
    ],
    [
      'an id that an untyped caller gives as a number',
      { id: 7, data: 'x' } as unknown as EventInput,
      'id: 7\ndata: x\n\n',
    ],
  ];
  it.each(framings)('frames %s', (_name, input, bytes) => {
    expect(formatEvent(input)).toBe(bytes);
  });

  const blocks: [string, EventInput | string, string][] = [
    ['a comment', { comment: 'a\nb' }, ':a\n:b\n\n'],
    ['a retry hint', { retry: 5 }, 'retry: 5\n\n'],
    ['both', { comment: 'c', retry: 5 }, ':c\nretry: 5\n\n'],
    ['an event', { comment: 'c', data: 'd' }, ':c\ndata: d\n\n'],
    ['an id', { id: '7' }, 'id: 7\n\n'],
    ['a string', 'd', 'data: d\n\n'],
  ];
  it.each(blocks)('ends %s with a blank line where comments are blocks', (_name, input, bytes) => {
    expect(formatEvent(input, 'block')).toBe(bytes);
  });

  const breaks = [
    '\n',
    '\r',
    '\r\n',
    '\n\r',
    '\r\r\n',
    'a\r\nb\rc\n\nd\r',
    '\n\r\n\r',
    '\r\n\r\n',
    '\u2028\u2029\u0085\n',
  ];
  it.each(breaks)('splits data and comments at every line break of %j and nowhere else', (text) => {
    const lines = text.split(/\r\n|\r|\n/);
    expect(formatEvent(text)).toBe(`${lines.map((line) => `data: ${line}\n`).join('')}\n`);
    expect(formatEvent({ comment: text })).toBe(lines.map((line) => `:${line}\n`).join(''));
  });

  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  const refusals: [string, unknown, string][] = [
    ['LF in an event name', { event: 'a\nb', data: 1 }, 'event'],
    ['CR in an event name', { event: 'a\rb', data: 1 }, 'event'],
    ['NUL in an event name', { event: 'a\0b', data: 1 }, 'event'],
    ['LF in an id', { id: 'a\nb', data: 1 }, 'id'],
    ['CR in an id', { id: 'a\rb', data: 1 }, 'id'],
    ['NUL in an id', { id: 'a\0b', data: 1 }, 'id'],
    ['an id that is an object', { id: {}, data: 1 }, 'id'],
    ['a fractional retry', { retry: 1.5 }, 'retry'],
    ['a negative retry', { retry: -1 }, 'retry'],
    ['a retry that is a string', { retry: '5' }, 'retry'],
    ['an infinite retry', { retry: Infinity }, 'retry'],
    ['circular data', { data: circular }, 'data'],
    ['a BigInt as data', { data: 1n }, 'data'],
    ['a function as data', { data: () => 1 }, 'data'],
    ['undefined data', { data: undefined }, 'data'],
    ['undefined data beside an event name', { event: 'x', data: undefined }, 'data'],
    ['a comment that is no string', { comment: 5 }, 'comment'],
    ['an event without fields', {}, 'event'],
    ['null', null, 'event'],
    ['undefined', undefined, 'event'],
    ['a number', 5, 'event'],
    ['bytes', new Uint8Array(3), 'event'],
  ];
  it.each(refusals)('refuses %s', (_name, input, field) => {
    const attempt = (): string => formatEvent(input as EventInput);
    expect(attempt).toThrow(InvalidEventError);
    expect(attempt).toThrow(expect.objectContaining({ code: 'ERR_SLUICE_EVENT_INVALID', field }));
  });

  it('keeps what JSON said as the cause', () => {
    expect(() => formatEvent({ data: circular })).toThrow(expect.objectContaining({ cause: expect.any(TypeError) }));
  });
});
