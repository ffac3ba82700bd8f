import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBeat, formatVisible, type StreamFormat } from '../../src/internal/format/keep-alive.ts';
import { BomFilter } from '../../src/internal/format/bom.ts';
import {
  type BoundaryTracker,
  EventBoundary,
  LineBoundary,
  SequenceBoundary,
} from '../../src/internal/format/boundary.ts';
import { encodeHeartbeat, HeartbeatParser } from '../../src/internal/format/frame.ts';
import { LengthPrefixBoundary, type LengthPrefixOptions } from '../../src/internal/format/length-prefix-boundary.ts';
import { EventParser } from '../support/event-parser.ts';
import { parseJsonSeq, parseNdjson } from '../support/record-parser.ts';

type Chunk = string | Uint8Array;

/** How a handler writes a stream: in pieces of these sizes, in turn, as bytes or as strings. */
interface Writing {
  readonly sizes: readonly number[];
  readonly asText: boolean;
}

const writing: fc.Arbitrary<Writing> = fc.record({
  sizes: fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 8 }),
  asText: fc.boolean(),
});

function cut(text: string, { sizes, asText }: Writing): Chunk[] {
  // No writer of strings sends half of a surrogate pair.
  const whole: readonly unknown[] | Buffer = asText ? Array.from(text) : Buffer.from(text);
  const chunks: Chunk[] = [];
  for (let at = 0, turn = 0; at < whole.length; turn++) {
    const piece = whole.slice(at, at + sizes[turn % sizes.length]!);
    chunks.push(Buffer.isBuffer(piece) ? piece : piece.join(''));
    at += piece.length;
  }
  return chunks;
}

/** What is sent when a heartbeat is written at every boundary: before each chunk, and at the end. */
function withBeats(tracker: BoundaryTracker, chunks: readonly Chunk[], beat: Chunk): { bytes: Buffer; beats: number } {
  const sent: Buffer[] = [];
  let beats = 0;
  for (const chunk of [...chunks, '']) {
    if (tracker.atBoundary) {
      sent.push(Buffer.from(beat as string));
      beats++;
    }
    tracker.push(chunk);
    sent.push(Buffer.from(chunk as string));
  }
  return { bytes: Buffer.concat(sent), beats };
}

/** What a tracker says after each character of a text, pushed one by one. */
function verdicts(tracker: BoundaryTracker, text: string): boolean[] {
  return Array.from(text, (char) => {
    tracker.push(char);
    return tracker.atBoundary;
  });
}

/** What a definition says after each character of a text. */
function expected(text: string, isBoundary: (prefix: string) => boolean): boolean[] {
  const chars = Array.from(text);
  return chars.map((_, at) => isBoundary(chars.slice(0, at + 1).join('')));
}

const padding = fc.constantFrom(0, 1, 30, 1500);

describe('EventBoundary', () => {
  const lineEnd = fc.constantFrom('\n', '\r', '\r\n');
  const value = fc
    .oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.constantFrom('x', '', ' ', '🌊', '\u0a0d', ':'))
    .map((text) =>
      Buffer.from(text)
        .toString()
        .replace(/[\r\n]/g, ''),
    );
  const line = fc
    .tuple(fc.constantFrom('data: ', 'data:', 'event: ', 'id: ', ':', 'retry: 1', 'data', ''), value, lineEnd)
    .map((parts) => parts.join(''));
  const event = fc
    .tuple(fc.array(line, { minLength: 1, maxLength: 4 }), lineEnd)
    .map(([lines, end]) => lines.join('') + end);
  const stream = fc
    .tuple(fc.boolean(), fc.array(event, { maxLength: 6 }))
    .map(([bom, events]) => (bom ? '\uFEFF' : '') + events.join(''));

  /** As a gateway does it: once a heartbeat was first, a BOM no longer is. */
  function throughBomFilter(chunks: readonly Chunk[]): Chunk[] {
    const filter = new BomFilter();
    return [...chunks.map((chunk) => filter.filter(chunk)), filter.flush()];
  }

  function read(bytes: Uint8Array): Pick<EventParser, 'events' | 'retries' | 'lastEventId' | 'comments'> {
    const { events, retries, lastEventId, comments } = new EventParser().push(bytes);
    return { events, retries, lastEventId, comments: comments.filter((comment) => comment.trim() !== '') };
  }

  it('lets heartbeats in at every boundary, and clients see the same events', () => {
    fc.assert(
      fc.property(stream, writing, padding, (text, how, spaces) => {
        const beat = formatBeat('event-stream', { padding: spaces });
        const { bytes, beats } = withBeats(new EventBoundary(), throughBomFilter(cut(text, how)), beat);
        expect(beats).toBeGreaterThan(0);
        expect(read(bytes)).toEqual(read(Buffer.from(text)));
      }),
      { numRuns: 800 },
    );
  });

  it('adds no blank line by a heartbeat: some clients take each for a message', () => {
    const blankLines = (bytes: Uint8Array): number =>
      Buffer.from(bytes)
        .toString('latin1')
        .split(/\r\n|\r|\n/)
        .slice(0, -1)
        .filter((each) => each === '').length;
    fc.assert(
      fc.property(stream, lineEnd, writing, padding, (text, end, how, spaces) => {
        // A handler ends its lines in one way.
        const written = text.replace(/\r\n|\r|\n/g, end);
        const { bytes } = withBeats(
          new EventBoundary(),
          throughBomFilter(cut(written, how)),
          formatBeat('event-stream', { padding: spaces }),
        );
        const [bare] = throughBomFilter([Buffer.from(written)]);
        expect(blankLines(bytes)).toBe(blankLines(Buffer.from(bare as string)));
      }),
      { numRuns: 600 },
    );
  });

  it('lets heartbeats in after the first chunk, with a BOM where it was', () => {
    fc.assert(
      fc.property(stream, writing, (text, how) => {
        const [first = '', ...others] = cut(text, how);
        const tracker = new EventBoundary();
        tracker.push(first);
        const { bytes } = withBeats(tracker, others, formatBeat('event-stream', { padding: 0 }));
        // Nothing was written yet, and no heartbeat either: this is not the case at hand.
        fc.pre(first.length > 0);
        expect(read(Buffer.concat([Buffer.from(first as string), bytes]))).toEqual(read(Buffer.from(text)));
      }),
      { numRuns: 600 },
    );
  });

  it('lets events in that clients see, and they see them whole beside the others', () => {
    fc.assert(
      fc.property(stream, writing, padding, (text, how, spaces) => {
        const beat = formatBeat('event-stream', { padding: spaces, event: 'alive-and-well' });
        const { bytes, beats } = withBeats(new EventBoundary(), throughBomFilter(cut(text, how)), beat);
        const { events, ...others } = read(bytes);
        const seen = events.filter(({ type }) => type === 'alive-and-well');
        expect(seen.map(({ data }) => data)).toEqual(Array<string>(beats).fill(''));
        expect({ events: events.filter(({ type }) => type !== 'alive-and-well'), ...others }).toEqual(
          read(Buffer.from(text)),
        );
      }),
      { numRuns: 600 },
    );
  });

  it('is where a line begins and no field is pending since the last empty line', () => {
    const soup = fc
      .array(
        fc.oneof(lineEnd, fc.constantFrom('\n', '\r', 'x', ':', ' ', '🌊', 'data: ', 'retry', 'retry: 1', 'ret', 'ry')),
        { maxLength: 25 },
      )
      .map((parts) => parts.join(''));
    /** By the letter of WHATWG HTML 9.2.5 and 9.2.6. One CR at the end may be half of a line end. */
    const isBoundary = (prefix: string): boolean => {
      if (prefix.endsWith('\r') && !prefix.endsWith('\r\r')) return false;
      const lines = prefix.split(/\r\n|\r|\n/);
      const pending = lines.slice(lines.slice(0, -1).lastIndexOf('') + 1, -1);
      return lines.at(-1) === '' && pending.every((each) => /^(:|retry$|retry:)/.test(each));
    };
    fc.assert(
      fc.property(fc.oneof(soup, stream), writing, (text, how) => {
        expect(verdicts(new EventBoundary(), text)).toEqual(expected(text, isBoundary));
        const tracker = new EventBoundary();
        let written = '';
        for (const chunk of cut(text, { ...how, asText: true })) {
          tracker.push(chunk);
          written += chunk as string;
          expect(tracker.atBoundary).toBe(isBoundary(written));
        }
      }),
      { numRuns: 700 },
    );
  });
});

/** JSON values whose text holds what a scanner could trip over. */
const json = fc.oneof(
  fc.jsonValue(),
  fc
    .array(fc.constantFrom('{', '}', '[', ']', '"', '\\', '\n', '\u001e', ',', '🌊', '\u0a22'), { maxLength: 8 })
    .map((parts) => parts.join('')),
  fc.array(
    fc.dictionary(
      fc.constantFrom('"', '{', ']', '\\', '\\"', 'a'),
      fc.constantFrom<unknown>('}', '[', '\\', '"\n', 1, [], {}, null),
      { maxKeys: 3 },
    ),
    { maxLength: 3 },
  ),
);

const visibleBeat = { alive: 'in these tests alone' };

function isVisibleBeat(value: unknown): boolean {
  return JSON.stringify(value) === JSON.stringify(visibleBeat);
}

describe('LineBoundary', () => {
  const record = fc.tuple(json, fc.constantFrom('', ' ')).map(([value, space]) => `${JSON.stringify(value)}${space}\n`);

  it('lets heartbeats in at every boundary, and readers that skip empty lines see the same records', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 6 }), writing, padding, (records, how, more) => {
        const text = records.join('');
        const { bytes, beats } = withBeats(new LineBoundary(), cut(text, how), formatBeat('ndjson', { padding: more }));
        expect(beats).toBeGreaterThan(0);
        const lines = bytes
          .toString()
          .split('\n')
          .slice(0, -1)
          .filter((line) => line !== '');
        expect(parseNdjson(lines.map((line) => `${line}\n`).join(''))).toEqual(parseNdjson(text));
      }),
      { numRuns: 700 },
    );
  });

  it('lets records in that readers see', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 6 }), writing, (records, how) => {
        const { bytes, beats } = withBeats(
          new LineBoundary(),
          cut(records.join(''), how),
          formatVisible('ndjson', visibleBeat),
        );
        const read = parseNdjson(bytes.toString());
        expect(read.filter(isVisibleBeat)).toHaveLength(beats);
        expect(read.filter((value) => !isVisibleBeat(value))).toEqual(parseNdjson(records.join('')));
      }),
      { numRuns: 500 },
    );
  });
});

describe('SequenceBoundary', () => {
  // White space of any kind is an indentation to `JSON.stringify`.
  const indent = fc.constantFrom(undefined, 1, 2, '\t', ' \n', '\n\n');
  const element = fc
    .tuple(fc.constantFrom('', '\n', ' '), json, indent, fc.constantFrom('\n', '\r\n', '\n\n', ' \n'))
    .map(([before, value, space, after]) => `\u001e${before}${JSON.stringify(value, null, space)}${after}`);
  const sequence = fc.array(element, { maxLength: 5 }).map((elements) => elements.join(''));

  /** RFC 7464 2.1: what follows RS and is no JSON text is skipped. The heartbeats are that: white space alone. */
  function read(bytes: Buffer): { values: unknown[]; empty: number } {
    const elements = bytes.toString().split('\u001e').slice(1);
    const full = elements.filter((text) => text.trim() !== '');
    return { values: parseJsonSeq(full.map((text) => `\u001e${text}`).join('')), empty: elements.length - full.length };
  }

  it('lets heartbeats in at every boundary, and readers see the same elements', () => {
    fc.assert(
      fc.property(sequence, writing, padding, (text, how, more) => {
        const { bytes, beats } = withBeats(
          new SequenceBoundary(),
          cut(text, how),
          formatBeat('json-seq', { padding: more }),
        );
        expect(beats).toBeGreaterThan(0);
        expect(read(bytes)).toEqual({ values: parseJsonSeq(text), empty: beats });
      }),
      { numRuns: 700 },
    );
  });

  it('lets records in that readers see', () => {
    fc.assert(
      fc.property(sequence, writing, (text, how) => {
        const { bytes, beats } = withBeats(
          new SequenceBoundary(),
          cut(text, how),
          formatVisible('json-seq', visibleBeat),
        );
        const values = parseJsonSeq(bytes.toString());
        expect(values.filter(isVisibleBeat)).toHaveLength(beats);
        expect(values.filter((value) => !isVisibleBeat(value))).toEqual(parseJsonSeq(text));
      }),
      { numRuns: 500 },
    );
  });

  it('is where the last element is a whole JSON text and LF', () => {
    const isBoundary = (prefix: string): boolean => {
      const last = prefix.slice(prefix.lastIndexOf('\u001e') + 1);
      try {
        JSON.parse(last);
        return last.endsWith('\n');
      } catch {
        return false;
      }
    };
    fc.assert(
      fc.property(sequence, (text) => {
        expect(verdicts(new SequenceBoundary(), text)).toEqual(expected(text, isBoundary));
      }),
      { numRuns: 500 },
    );
  });

  it('finds its way back at the next element after any that was cut off', () => {
    fc.assert(
      fc.property(sequence, fc.nat(), element, (text, length, next) => {
        const tracker = new SequenceBoundary();
        tracker.push(text.slice(0, length % (text.length + 1)));
        tracker.push(next.slice(0, -1));
        expect(tracker.atBoundary).toBe(next.endsWith('\n\n'));
        tracker.push('\n');
        expect(tracker.atBoundary).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

type Frame = { [Name in keyof LengthPrefixOptions]-?: Exclude<LengthPrefixOptions[Name], undefined> };

describe('LengthPrefixBoundary', () => {
  const options: fc.Arbitrary<Frame> = fc.record({
    lengthBytes: fc.constantFrom(1, 2, 4, 8),
    offset: fc.nat({ max: 5 }),
    includesHeader: fc.boolean(),
    littleEndian: fc.boolean(),
  });

  function frameOf(payload: Uint8Array, { lengthBytes, offset, includesHeader, littleEndian }: Frame): Buffer {
    const length = payload.length + (includesHeader ? offset + lengthBytes : 0);
    const field = Buffer.alloc(8);
    field.writeBigUInt64BE(BigInt(length));
    const bytes = field.subarray(8 - lengthBytes);
    return Buffer.concat([Buffer.alloc(offset, 0xaa), littleEndian ? bytes.reverse() : bytes, payload]);
  }

  const payloads = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 });

  function cutBytes(bytes: Buffer, lengths: readonly number[]): Buffer[] {
    const chunks: Buffer[] = [];
    for (let at = 0, turn = 0; at < bytes.length; turn++) {
      chunks.push(bytes.subarray(at, at + lengths[turn % lengths.length]!));
      at += chunks.at(-1)!.length;
    }
    return chunks;
  }

  it('is where a frame ends and nowhere else', () => {
    fc.assert(
      fc.property(payloads, options, sizes, (contents, how, lengths) => {
        const ends = new Set([0]);
        const frames = contents.map((payload) => frameOf(payload, how));
        frames.reduce((end, frame) => {
          ends.add(end + frame.length);
          return end + frame.length;
        }, 0);
        const tracker = new LengthPrefixBoundary(how);
        let written = 0;
        expect(tracker.atBoundary).toBe(true);
        for (const chunk of cutBytes(Buffer.concat(frames), lengths)) {
          tracker.push(chunk);
          written += chunk.length;
          expect(tracker.atBoundary).toBe(ends.has(written));
        }
      }),
      { numRuns: 700 },
    );
  });

  it('lets heartbeats in that a parser takes out again, with every frame whole', () => {
    fc.assert(
      fc.property(payloads, options, sizes, (contents, how, lengths) => {
        const bytes = Buffer.concat(contents.map((payload) => frameOf(payload, how)));
        const sent = withBeats(new LengthPrefixBoundary(how), cutBytes(bytes, lengths), encodeHeartbeat());
        const parser = new HeartbeatParser();
        const { data } = parser.push(sent.bytes);
        expect(Buffer.concat([...data, parser.end()])).toEqual(bytes);
        expect(parser.heartbeats).toBe(sent.beats);
      }),
      { numRuns: 700 },
    );
  });

  it('measures text in UTF-8', () => {
    const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 12 }), { maxLength: 6 });
    fc.assert(
      fc.property(texts, (contents) => {
        const tracker = new LengthPrefixBoundary({ lengthBytes: 1 });
        for (const content of contents) {
          const length = Buffer.byteLength(content);
          fc.pre(length < 0x80);
          tracker.push(String.fromCharCode(length));
          expect(tracker.atBoundary).toBe(length === 0);
          tracker.push(content);
          expect(tracker.atBoundary).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('BomFilter', () => {
  it('writes a body without its one leading BOM, however it is written', () => {
    const start = fc
      .array(fc.constantFrom(0xef, 0xbb, 0xbf, 0x61), { maxLength: 8 })
      .map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(start, fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 5 }), (bytes, lengths) => {
        fc.pre(lengths.some((length) => length > 0));
        const filter = new BomFilter();
        const written: Chunk[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const piece = bytes.subarray(at, at + lengths[turn % lengths.length]!);
          written.push(filter.filter(piece));
          at += piece.length;
        }
        written.push(filter.flush());
        const hasBom = bytes.subarray(0, 3).equals(Buffer.from('\uFEFF'));
        expect(Buffer.concat(written.map((chunk) => Buffer.from(chunk as string)))).toEqual(
          bytes.subarray(hasBom ? 3 : 0),
        );
      }),
      { numRuns: 700 },
    );
  });
});

const formats: StreamFormat[] = ['event-stream', 'ndjson', 'json-seq'];
const trackers: Record<StreamFormat, () => BoundaryTracker> = {
  'event-stream': () => new EventBoundary(),
  ndjson: () => new LineBoundary(),
  'json-seq': () => new SequenceBoundary(),
};

describe('formatBeat', () => {
  it.each(formats)('of %s can follow itself: it leaves a boundary where it was', (format) => {
    fc.assert(
      fc.property(fc.nat({ max: 3000 }), (spaces) => {
        const beat = formatBeat(format, { padding: spaces });
        // RS LF alone is the start of an element to the tracker, which is why heartbeats are not pushed.
        const tracker = trackers[format]();
        tracker.push(format === 'json-seq' ? beat.replace('\n', '1\n') : beat);
        expect(tracker.atBoundary).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});
