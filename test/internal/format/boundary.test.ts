import { describe, expect, it } from 'vitest';
import { InvalidOptionError } from '../../../src/errors.ts';
import {
  type BoundaryTracker,
  EventBoundary,
  LineBoundary,
  SequenceBoundary,
  WriteBoundary,
} from '../../../src/internal/format/boundary.ts';
import { LengthPrefixBoundary, type LengthPrefixOptions } from '../../../src/internal/format/length-prefix-boundary.ts';

type Chunk = string | Uint8Array;

function atBoundaryAfter(tracker: BoundaryTracker, chunks: readonly Chunk[]): boolean {
  for (const chunk of chunks) tracker.push(chunk);
  return tracker.atBoundary;
}

/**
 * A text in every way that a handler could write it: whole, in single characters and bytes, and in two pieces of either
 * kind.
 */
function waysToWrite(text: string): Chunk[][] {
  const bytes = Buffer.from(text);
  const ways: Chunk[][] = [
    [text],
    [bytes],
    [new Uint8Array(bytes)],
    Array.from(text),
    Array.from(bytes, (byte) => Uint8Array.of(byte)),
    [text, ''],
    ['', text, new Uint8Array(0)],
  ];
  for (let at = 1; at < bytes.length; at++) ways.push([bytes.subarray(0, at), bytes.subarray(at)]);
  for (let at = 1; at < text.length; at++) ways.push([text.slice(0, at), Buffer.from(text.slice(at))]);
  return ways;
}

/** A chunk that counts how often it is looked into. */
function counted(text: string): { chunk: Uint8Array; looks: () => number } {
  let looks = 0;
  const chunk = new Proxy(new Uint8Array(Buffer.from(text)), {
    get(bytes, key) {
      if (key === 'length') return bytes.length;
      looks++;
      return bytes[Number(key)];
    },
  });
  return { chunk, looks: () => looks };
}

describe('EventBoundary', () => {
  const streams: [text: string, atBoundary: boolean][] = [
    ['', true],
    ['\n', true],
    ['\r\n', true],
    ['\n\n', true],
    ['data: x', false],
    ['data: x\n', false],
    ['data: x\r', false],
    ['data: x\r\n', false],
    ['data: x\n\n', true],
    ['data: x\r\r', true],
    ['data: x\r\n\r\n', true],
    ['data: x\r\r\n', true],
    ['data: x\n\r\n', true],
    ['data: x\r\n\n', true],
    ['data: x\n\n\n', true],
    ['data: x\n\ndata', false],
    ['data: x\n\ndata: y\n', false],
    ['data: x\r\rdata: y\r\n', false],
    ['data: x\n \n', false],
    ['data: x\n\n ', false],
    ['data: x\n\n\0\n', false],
    ['event: x\n', false],
    ['id: x\n', false],
    ['id\n', false],
    ['unknown: x\n', false],
    ['data: 🌊\u2028\n\n', true],
    ['data: \u0a0d\u0d0a', false],
    ['data: x\n\n\u0a0d', false],
    // Comments and retry hints need no blank line.
    [':', false],
    [': hi', false],
    [':\n', true],
    [':ok\r\n', true],
    [':ok\r\r', true],
    [':\n\n', true],
    [': a\n: b\n', true],
    ['retry: 5\n', true],
    ['retry: 5\r\n', true],
    ['retry:5\n', true],
    ['retry\n', true],
    ['retry', false],
    ['retry:', false],
    [':ok\nretry: 5\n', true],
    ['data: x\n\n:ok\nretry: 5\n', true],
    ['data: x\r\n\r\n:ok\r\nretry: 5\r\n', true],
    // What only begins like a retry hint is another field.
    ['retr\n', false],
    ['retry \n', false],
    ['retryy: 5\n', false],
    ['retry5\n', false],
    [' retry: 5\n', false],
    ['Retry: 5\n', false],
    [' : hi\n', false],
    // An event that they stand in goes on.
    ['data: x\n:\n', false],
    ['data: x\nretry: 5\n', false],
    ['data: x\r\n: hi\r\nretry: 5\r\n', false],
    ['id: 1\n:\n:\n:\n', false],
    [':\ndata: x\n', false],
    ['retry: 5\nid: 1\n', false],
    [':\nid: 1\n\n', true],
    ['id: 1\n:\n\n', true],
    ['data: x\n\n:\nevent: y\n', false],
    // After one CR an LF may still come, which would end a line of its own behind a heartbeat.
    ['\r', false],
    [':\r', false],
    ['data: x\r\n\r', false],
    ['data: x\n\r', false],
    ['data: x\n\n\r\n\r', false],
    ['data: x\r\r\r', true],
    ['data: x\r\r:\r', false],
    // With a BOM the first line counts as a field.
    ['\uFEFF', false],
    ['\uFEFF\n', false],
    ['\uFEFF:\n', false],
    ['\uFEFFretry: 5\n', false],
    ['\uFEFF\n\n', true],
    ['\uFEFF:\n\n', true],
    ['\uFEFFdata: x\n\n', true],
    ['\uFEFFdata: x\n\n:\n', true],
  ];
  it.each(streams)('after %j is %s, however it is written', (text, atBoundary) => {
    for (const chunks of waysToWrite(text)) expect(atBoundaryAfter(new EventBoundary(), chunks)).toBe(atBoundary);
  });

  it('takes CR and LF in two writes for one line end', () => {
    const tracker = new EventBoundary();
    const states = ['data: x\r', '\n', '\r', '\n', 'data: y\r', '', '\n', '\n', ':\r', '\n'].map((chunk) =>
      atBoundaryAfter(tracker, [chunk]),
    );
    expect(states).toEqual([false, false, false, true, false, false, false, true, false, true]);
  });

  const costs: [text: string, most: number][] = [
    [`${'data: x\n'.repeat(10_000)}\n`, 6],
    [`${'data: x\r\n'.repeat(10_000)}\r\n`, 10],
    ['data: x\n'.repeat(10_000), 30],
    [`${'data: x\n'.repeat(10_000)}data`, 30],
    [`${'data: x\n'.repeat(10_000)}\n:ok\nretry: 5\n`, 60],
  ];
  it.each(costs)('looks at the end of a chunk only, up to the line that decides', (text, most) => {
    const { chunk, looks } = counted(text);
    atBoundaryAfter(new EventBoundary(), [chunk]);
    expect(looks()).toBeLessThanOrEqual(most);
  });

  it('keeps no more of a line than it needs, in however many pieces that comes', () => {
    const tracker = new EventBoundary();
    for (let piece = 0; piece < 100_000; piece++) tracker.push(piece === 0 ? 're' : 'x');
    expect(tracker.atBoundary).toBe(false);
    expect(atBoundaryAfter(tracker, ['\n'])).toBe(false);
    expect(atBoundaryAfter(tracker, ['\n'])).toBe(true);
  });
});

describe('LineBoundary', () => {
  const streams: [text: string, atBoundary: boolean][] = [
    ['', true],
    ['\n', true],
    ['{"a":1}', false],
    ['{"a":1}\n', true],
    ['{"a":1}\r\n', true],
    ['{"a":1}\r', false],
    ['{"a":1}\n{', false],
    ['{"a":"\\n', false],
    ['{"a":1}\n\n', true],
    ['"🌊"\n', true],
    ['1\n\u0a0a', false],
  ];
  it.each(streams)('after %j is %s, however it is written', (text, atBoundary) => {
    for (const chunks of waysToWrite(text)) expect(atBoundaryAfter(new LineBoundary(), chunks)).toBe(atBoundary);
  });

  it('looks at the last byte of a chunk only', () => {
    const { chunk, looks } = counted('{"a":1}\n'.repeat(10_000));
    expect(atBoundaryAfter(new LineBoundary(), [chunk])).toBe(true);
    expect(looks()).toBe(1);
  });
});

describe('SequenceBoundary', () => {
  const rs = '\u001e';
  const streams: [text: string, atBoundary: boolean][] = [
    ['', true],
    [rs, false],
    [`${rs}\n`, false],
    [`${rs} \r\n\t\n`, false],
    [`${rs}{"a":1}`, false],
    [`${rs}{"a":1}\n`, true],
    [`${rs}{"a":1}\r\n`, true],
    [`${rs}{"a":1} \n`, true],
    [`${rs}{"a":1}\n\n`, true],
    [`${rs}{"a":1}\n `, false],
    [`${rs}{"a":1}\n \n`, true],
    [`${rs}\n{"a":1}\n`, true],
    [`${rs}{\n`, false],
    [`${rs}{\n  "a": [\n    1\n  ]\n`, false],
    [`${rs}{\n  "a": [\n    1\n  ]\n}`, false],
    [`${rs}{\n  "a": [\n    1\n  ]\n}\n`, true],
    [`${rs}[[],{}]\n`, true],
    [`${rs}[[]\n`, false],
    [`${rs}12\n`, true],
    [`${rs}-1.5e3\n`, true],
    [`${rs}true\n`, true],
    [`${rs}null\n`, true],
    [`${rs}"x"\n`, true],
    [`${rs}""\n`, true],
    [`${rs}"x\n`, false],
    [`${rs}"x\\"\n`, false],
    [`${rs}"x\\\\"\n`, true],
    [`${rs}"x\\\\\\"\n`, false],
    [`${rs}"}"\n`, true],
    [`${rs}{"]}":"[{"}\n`, true],
    [`${rs}{"a":"}"\n`, false],
    [`${rs}{"a":"\\"}"\n`, false],
    [`${rs}{"a":"\\u001e"}\n`, true],
    [`${rs}"🌊é"\n`, true],
    [`${rs}"\u0a22"\n`, true],
    [`${rs}"\u2200\n`, false],
    [`${rs}[\u5d5d\n`, false],
    [`${rs}1\n${rs}`, false],
    [`${rs}1\n${rs}2`, false],
    [`${rs}1\n${rs}2\n`, true],
    [`${rs}1\n${rs}\n`, false],
    [`${rs}${rs}1\n`, true],
    // RFC 7464 2.1: an element that was cut off is one broken element, and the next RS begins another.
    [`${rs}{"a":"b${rs}{"c":1}\n`, true],
    [`${rs}{"a":[${rs}1\n`, true],
    [`${rs}"\\${rs}1\n`, true],
    [`${rs}"\\${rs}"1\n`, false],
    [`${rs}1${rs}\n`, false],
    [`${rs}]\n`, false],
    [`${rs}]\n${rs}1\n`, true],
  ];
  it.each(streams)('after %j is %s, however it is written', (text, atBoundary) => {
    for (const chunks of waysToWrite(text)) expect(atBoundaryAfter(new SequenceBoundary(), chunks)).toBe(atBoundary);
  });
});

describe('WriteBoundary', () => {
  it('is everywhere', () => {
    const tracker: BoundaryTracker = new WriteBoundary();
    expect(tracker.atBoundary).toBe(true);
    for (const chunk of ['', '{', '"', Uint8Array.of(0xaa)]) expect(atBoundaryAfter(tracker, [chunk])).toBe(true);
  });
});

describe('LengthPrefixBoundary', () => {
  const streams: [hex: string, options: LengthPrefixOptions, atBoundary: boolean][] = [
    ['', { lengthBytes: 1 }, true],
    ['00', { lengthBytes: 1 }, true],
    ['01', { lengthBytes: 1 }, false],
    ['0107', { lengthBytes: 1 }, true],
    ['0107 02', { lengthBytes: 1 }, false],
    ['0107 02aa', { lengthBytes: 1 }, false],
    ['0107 02aabb', { lengthBytes: 1 }, true],
    ['0107 00 00 02aabb', { lengthBytes: 1 }, true],
    ['0002', { lengthBytes: 2 }, false],
    ['0002aabb', { lengthBytes: 2 }, true],
    ['0200aabb', { lengthBytes: 2 }, false],
    ['0200aabb', { lengthBytes: 2, littleEndian: true }, true],
    ['00', { lengthBytes: 2 }, false],
    ['000000', { lengthBytes: 4 }, false],
    ['00000000', { lengthBytes: 4 }, true],
    ['00000003010203', { lengthBytes: 4 }, true],
    ['03000000010203', { lengthBytes: 4, littleEndian: true }, true],
    ['ffffffff00', { lengthBytes: 4 }, false],
    ['000000000000000101', { lengthBytes: 8 }, true],
    ['010000000000000001', { lengthBytes: 8, littleEndian: true }, true],
    ['000000010000000001', { lengthBytes: 8 }, false],
    ['ffffffffffffffff01', { lengthBytes: 8 }, false],
    // gRPC: a flag of one byte before the length.
    ['0000000002aabb', { lengthBytes: 4, offset: 1 }, true],
    ['01', { lengthBytes: 4, offset: 1 }, false],
    ['0100000002aabb 0000000000', { lengthBytes: 4, offset: 1 }, true],
    ['0004aabb', { lengthBytes: 2, includesHeader: true }, true],
    ['0002', { lengthBytes: 2, includesHeader: true }, true],
    ['0002 0003cc', { lengthBytes: 2, includesHeader: true }, true],
    ['0003', { lengthBytes: 2, includesHeader: true }, false],
    ['ff ff 05 00 aa', { lengthBytes: 2, offset: 2, includesHeader: true, littleEndian: true }, true],
    // Less than the header it counts.
    ['0001', { lengthBytes: 2, includesHeader: true }, false],
    ['0001 0002', { lengthBytes: 2, includesHeader: true }, false],
    ['0001 0003cc', { lengthBytes: 2, includesHeader: true }, false],
    ['0000', { lengthBytes: 2, includesHeader: true }, false],
  ];
  it.each(streams)('after %s with %o is %s, in pieces of any size', (hex, options, atBoundary) => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    for (let size = 1; size <= bytes.length + 1; size++) {
      const tracker = new LengthPrefixBoundary(options);
      for (let at = 0; at < bytes.length; at += size) tracker.push(bytes.subarray(at, at + size));
      tracker.push(new Uint8Array(0));
      expect(tracker.atBoundary).toBe(atBoundary);
    }
  });

  it('measures strings in UTF-8', () => {
    const tracker = new LengthPrefixBoundary({ lengthBytes: 1 });
    expect(atBoundaryAfter(tracker, ['\u0004🌊'])).toBe(true);
    expect(atBoundaryAfter(tracker, ['\u0003', 'é'])).toBe(false);
    expect(atBoundaryAfter(tracker, ['x'])).toBe(true);
    // Half of a pair is written as U+FFFD.
    expect(atBoundaryAfter(tracker, ['\u0003\ud83c'])).toBe(true);
  });

  it('counts a frame of 2³² bytes exactly', () => {
    const tracker = new LengthPrefixBoundary({ lengthBytes: 8 });
    const piece = new Uint8Array(1 << 26);
    tracker.push(Buffer.from('0000000100000000', 'hex'));
    for (let sent = 0; sent < 63; sent++) tracker.push(piece);
    tracker.push(piece.subarray(1));
    expect(tracker.atBoundary).toBe(false);
    tracker.push(piece.subarray(0, 1));
    expect(tracker.atBoundary).toBe(true);
  });

  const refusals: [options: unknown, option: string][] = [
    [{}, 'lengthBytes'],
    [{ lengthBytes: 3 }, 'lengthBytes'],
    [{ lengthBytes: '4' }, 'lengthBytes'],
    [{ lengthBytes: 4, offset: -1 }, 'offset'],
    [{ lengthBytes: 4, offset: 1.5 }, 'offset'],
    [{ lengthBytes: 4, includesHeader: 1 }, 'includesHeader'],
    [{ lengthBytes: 4, littleEndian: 'yes' }, 'littleEndian'],
    [undefined, 'lengthBytes'],
  ];
  it.each(refusals)('refuses the options %o', (options, option) => {
    const attempt = (): unknown => new LengthPrefixBoundary(options as LengthPrefixOptions);
    expect(attempt).toThrow(InvalidOptionError);
    expect(attempt).toThrow(expect.objectContaining({ option: `LengthPrefixBoundary.${option}` }));
  });
});
