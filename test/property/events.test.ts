import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CommentStyle,
  commentStyles,
  type EventInput,
  formatEvent,
} from '../../src/internal/format/event-stream.ts';
import { EventParser, parseEvents } from '../support/event-parser.ts';

/** Text with what a framing could trip over in unlikely density. */
const text = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 6 }),
      fc.constantFrom(
        '\r',
        '\n',
        '\r\n',
        '\0',
        '\uFEFF',
        '\u2028',
        ':',
        ' ',
        'data: forged',
        'event: forged',
        'id: forged',
        'retry: 1',
        '\n\n',
        '🌊',
      ),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));

const line = text.map((value) => value.replace(/[\r\n\0]/g, ''));

const event: fc.Arbitrary<EventInput> = fc
  .record(
    {
      event: line,
      id: line,
      data: fc.oneof(text, fc.jsonValue(), fc.integer(), fc.constant(null)),
      retry: fc.nat(),
      comment: text,
    },
    { requiredKeys: [] },
  )
  .filter((fields) => Object.keys(fields).length > 0) as fc.Arbitrary<EventInput>;

/** All line ends are one to a client, and what is no Unicode is U+FFFD on the wire. */
function asRead(value: string): string {
  return Buffer.from(value.split(/\r\n|\r|\n/).join('\n')).toString();
}

/** What a client must make of events, said without looking at their bytes. */
function model(events: readonly EventInput[]): Pick<EventParser, 'events' | 'comments' | 'retries' | 'lastEventId'> {
  const read: {
    events: { type: string; data: string; lastEventId: string }[];
    comments: string[];
    retries: number[];
    lastEventId: string;
  } = { events: [], comments: [], retries: [], lastEventId: '' };
  for (const input of events) {
    if (input.comment !== undefined) read.comments.push(...asRead(input.comment).split('\n'));
    if (input.retry !== undefined) read.retries.push(input.retry);
    if (input.id !== undefined) read.lastEventId = asRead(input.id);
    const isDispatched = 'data' in input || input.event !== undefined;
    const data = typeof input.data === 'string' ? asRead(input.data) : JSON.stringify(input.data);
    if (isDispatched)
      read.events.push({
        type: asRead(input.event ?? '') || 'message',
        data: 'data' in input ? data! : '',
        lastEventId: read.lastEventId,
      });
  }
  return read;
}

/** Feeds bytes in pieces of the given sizes, in turn. */
function parseInPieces(bytes: Buffer, sizes: readonly number[]): EventParser {
  const parser = new EventParser();
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? bytes.length;
    parser.push(bytes.subarray(at, at + size));
    at += size;
  }
  return parser;
}

const style: fc.Arbitrary<CommentStyle> = fc.constantFrom(...commentStyles);

const pieces = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 });

describe('formatEvent', () => {
  it('is read back by a strict parser, whatever the event and however it is cut into pieces', () => {
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 5 }), style, pieces, (events, comments, sizes) => {
        const bytes = Buffer.from(events.map((each) => formatEvent(each, comments)).join(''));
        expect(parseInPieces(bytes, sizes)).toMatchObject(model(events));
      }),
      { numRuns: 1500 },
    );
  });

  it('is read the same with a BOM before and with any line ends', () => {
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 1, maxLength: 4 }),
        fc.constantFrom('\n', '\r', '\r\n'),
        fc.boolean(),
        pieces,
        (events, lineEnd, bom, sizes) => {
          const framed = events.map((each) => formatEvent(each)).join('');
          // The only line breaks that are there are those of the framing.
          const bytes = Buffer.from((bom ? '\uFEFF' : '') + framed.replaceAll('\n', lineEnd));
          expect(parseInPieces(bytes, sizes)).toMatchObject(model(events));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('ends every event: what follows is never taken for a part of it', () => {
    fc.assert(
      fc.property(event, style, (input, comments) => {
        const framed = formatEvent(input, comments);
        const after = parseEvents(`${framed}data: after\n\n`).at(-1)!;
        expect([after.type, after.data]).toEqual(['message', 'after']);
      }),
    );
  });

  it('writes one blank line for each event, and none for what is no event, unless that is to be a block', () => {
    fc.assert(
      fc.property(event, style, (input, comments) => {
        const framed = formatEvent(input, comments);
        const blankLines = framed
          .split('\n')
          .slice(0, -1)
          .filter((each) => each === '').length;
        const isEvent = 'data' in input || 'event' in input || 'id' in input;
        expect(blankLines).toBe(isEvent || comments === 'block' ? 1 : 0);
        expect(framed.endsWith(blankLines === 1 ? '\n\n' : '\n')).toBe(true);
      }),
    );
  });

  it('refuses every line break and NUL in an event name and an id', () => {
    fc.assert(
      fc.property(
        line,
        fc.constantFrom('\r', '\n', '\r\n', '\0'),
        line,
        fc.constantFrom('event', 'id'),
        (before, breaker, after, field) => {
          expect(() => formatEvent({ [field]: before + breaker + after, data: 1 })).toThrow(
            expect.objectContaining({ field }),
          );
        },
      ),
    );
  });

  it('refuses every retry that a client would not obey', () => {
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.string(), fc.constantFrom(-1, 1e21, NaN)), (retry) => {
        fc.pre(!(Number.isSafeInteger(retry) && (retry as number) >= 0));
        expect(() => formatEvent({ retry: retry as number })).toThrow(expect.objectContaining({ field: 'retry' }));
      }),
    );
  });
});

describe('the parser of these tests', () => {
  const examples: [name: string, stream: string, expected: object][] = [
    [
      'dispatches at a blank line',
      'data: YHOO\ndata: +2\ndata: 10\n\n',
      { events: [{ type: 'message', data: 'YHOO\n+2\n10', lastEventId: '' }] },
    ],
    [
      'keeps and resets ids',
      ': test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n',
      {
        comments: [' test stream'],
        events: [
          { type: 'message', data: 'first event', lastEventId: '1' },
          { type: 'message', data: 'second event', lastEventId: '' },
          { type: 'message', data: ' third event', lastEventId: '' },
        ],
      },
    ],
    [
      'drops an event that does not end',
      'data\n\ndata\ndata\n\ndata:',
      {
        events: [
          { type: 'message', data: '', lastEventId: '' },
          { type: 'message', data: '\n', lastEventId: '' },
        ],
      },
    ],
    [
      'strips one space',
      'data:test\n\ndata: test\n\n',
      {
        events: [
          { type: 'message', data: 'test', lastEventId: '' },
          { type: 'message', data: 'test', lastEventId: '' },
        ],
      },
    ],
    ['ignores an id with NUL', 'id: a\0b\ndata: x\n\n', { events: [{ type: 'message', data: 'x', lastEventId: '' }] }],
    ['ignores a retry that is no number', 'retry: 1.5\nretry: -1\nretry: 12\n\n', { retries: [12], events: [] }],
    [
      'forgets the type of an event that has no data',
      'event: a\n\ndata: b\n\n',
      { events: [{ type: 'message', data: 'b', lastEventId: '' }] },
    ],
    [
      'takes CR, LF and CRLF for one line end each',
      'data: a\rdata: b\r\ndata: c\n\r\n',
      { events: [{ type: 'message', data: 'a\nb\nc', lastEventId: '' }] },
    ],
  ];
  // The first four are the examples of WHATWG HTML 9.2.6.
  it.each(examples)('%s', (_name, stream, expected) => {
    for (const size of [1, 2, 3, 1000]) expect(parseInPieces(Buffer.from(stream), [size])).toMatchObject(expected);
  });
});
