import { describe, expect, it } from 'vitest';
import { InvalidEventError, InvalidRecordError } from '../../../src/errors.ts';
import {
  formatBeat,
  formatOf,
  formatVisible,
  type RecordStreamFormat,
  type StreamFormat,
} from '../../../src/internal/format/keep-alive.ts';
import { EventParser, parseEvents } from '../../support/event-parser.ts';
import { parseJsonSeq, parseNdjson } from '../../support/record-parser.ts';

const formats: StreamFormat[] = ['event-stream', 'ndjson', 'json-seq'];

describe('formatBeat', () => {
  const beats: [format: StreamFormat, padding: number, event: string | undefined, text: string][] = [
    ['event-stream', 0, undefined, ':\n'],
    ['event-stream', 1, undefined, ': \n'],
    ['event-stream', 5, undefined, ':     \n'],
    ['event-stream', 1024, undefined, `:${' '.repeat(1024)}\n`],
    ['event-stream', 1025, undefined, `:${' '.repeat(1023)}\n:\n`],
    ['event-stream', 1026, undefined, `:${' '.repeat(1024)}\n:\n`],
    ['event-stream', 1027, undefined, `:${' '.repeat(1024)}\n: \n`],
    ['event-stream', 2050, undefined, `:${' '.repeat(1024)}\n:${' '.repeat(1024)}\n`],
    ['event-stream', 0, 'heartbeat', 'event: heartbeat\ndata:\n\n'],
    ['event-stream', 3, 'heartbeat', ':   \nevent: heartbeat\ndata:\n\n'],
    ['event-stream', 1027, 'ping', `:${' '.repeat(1024)}\n: \nevent: ping\ndata:\n\n`],
    ['ndjson', 0, undefined, '\n'],
    ['ndjson', 4, undefined, '\n\n\n\n\n'],
    ['ndjson', 0, 'heartbeat', '\n'],
    ['json-seq', 0, undefined, '\u001e\n'],
    ['json-seq', 3, undefined, '\u001e   \n'],
    ['json-seq', 0, 'heartbeat', '\u001e\n'],
  ];
  it.each(beats)('of %s with %i bytes of padding and the event %s', (format, padding, event, text) => {
    expect(formatBeat(format, { padding, event })).toBe(text);
  });

  it('of an event stream has a blank line behind it where comments are blocks, and needs none of its own as an event', () => {
    expect(formatBeat('event-stream', { padding: 0, comments: 'block' })).toBe(':\n\n');
    expect(formatBeat('event-stream', { padding: 1026, comments: 'block' })).toBe(`:${' '.repeat(1024)}\n:\n\n`);
    expect(formatBeat('event-stream', { padding: 0, event: 'ping', comments: 'block' })).toBe('event: ping\ndata:\n\n');
  });

  it.each(formats)('of %s is longer by its padding, byte for byte', (format) => {
    const { length } = formatBeat(format, { padding: 0 });
    for (const padding of [0, 1, 2, 3, 1023, 1024, 1025, 1026, 2049, 2050, 2051, 2052, 2053, 4096, 65_536]) {
      expect(formatBeat(format, { padding })).toHaveLength(length + padding);
    }
  });

  it('of an event is longer by its padding and the 2 bytes of a comment line', () => {
    const { length } = formatBeat('event-stream', { padding: 0, event: 'e' });
    for (const padding of [1, 1024, 1025, 4096])
      expect(formatBeat('event-stream', { padding, event: 'e' })).toHaveLength(length + padding + 2);
  });

  it('never has a line of more than 1024 spaces', () => {
    for (const event of [undefined, 'e']) {
      const lines = formatBeat('event-stream', { padding: 10_000, event }).split('\n');
      expect(Math.max(...lines.map((line) => line.length))).toBe(1025);
    }
  });

  it('is a comment that a client skips, however long', () => {
    const parser = new EventParser().push(Buffer.from(`${formatBeat('event-stream', { padding: 5000 })}data: x\n\n`));
    expect(parser.events).toEqual([{ type: 'message', data: 'x', lastEventId: '' }]);
    expect(parser.comments.every((comment) => comment.trim() === '')).toBe(true);
  });

  it('is an event with empty data for a client that asked to see it', () => {
    for (const padding of [0, 10, 3000]) {
      expect(parseEvents(formatBeat('event-stream', { padding, event: 'alive' }))).toEqual([
        { type: 'alive', data: '', lastEventId: '' },
      ]);
    }
  });

  it.each(['a\nb', 'a\rb', 'a\0b', 5])('refuses %j for an event name', (event) => {
    expect(() => formatBeat('event-stream', { padding: 0, event: event as string })).toThrow(InvalidEventError);
  });
});

describe('formatVisible', () => {
  const value = { type: 'heartbeat', text: 'a\nb\u001e' };

  it('is a record of the stream', () => {
    expect(formatVisible('ndjson', value)).toBe('{"type":"heartbeat","text":"a\\nb\\u001e"}\n');
    expect(formatVisible('json-seq', value)).toBe('\u001e{"type":"heartbeat","text":"a\\nb\\u001e"}\n');
    expect(parseNdjson(formatVisible('ndjson', value).repeat(2))).toEqual([value, value]);
    expect(parseJsonSeq(formatVisible('json-seq', value).repeat(2))).toEqual([value, value]);
  });

  it.each<RecordStreamFormat>(['ndjson', 'json-seq'])('refuses for %s what JSON cannot hold', (format) => {
    expect(() => formatVisible(format, undefined)).toThrow(InvalidRecordError);
  });
});

describe('formatOf', () => {
  const types: [mediaType: string, format: StreamFormat | undefined][] = [
    ['text/event-stream', 'event-stream'],
    ['application/x-ndjson', 'ndjson'],
    ['application/ndjson', 'ndjson'],
    ['application/jsonl', 'ndjson'],
    ['application/x-jsonlines', 'ndjson'],
    ['application/stream+json', 'ndjson'],
    ['application/json-seq', 'json-seq'],
    ['application/json', undefined],
    ['text/plain', undefined],
    ['text/event-streams', undefined],
    ['', undefined],
    ['constructor', undefined],
    ['__proto__', undefined],
  ];
  it.each(types)('of %j is %s', (mediaType, format) => {
    expect(formatOf(mediaType)).toBe(format);
  });
});
