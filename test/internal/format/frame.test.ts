import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { InvalidChunkError, InvalidOptionError } from '../../../src/errors.ts';
import { encodeHeartbeat, HeartbeatParser } from '../../../src/internal/format/frame.ts';

const heartbeat = 'aa010000312d';

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

function hexOf(pieces: readonly Uint8Array[]): string {
  return Buffer.concat(pieces).toString('hex');
}

/** What a parser makes of bytes in pieces of one size, the last of which may be shorter. */
function parse(
  bytes: Uint8Array,
  size: number = bytes.length,
): { heartbeats: number; crcErrors: number; data: string; held: string } {
  const parser = new HeartbeatParser();
  const data: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) data.push(...parser.push(bytes.subarray(at, at + size)).data);
  const { heartbeats, crcErrors } = parser;
  return { heartbeats, crcErrors, data: hexOf(data), held: hexOf([parser.end()]) };
}

describe('encodeHeartbeat', () => {
  it('is the magic, the version, two zeros and their checksum in big endian', () => {
    expect(hexOf([encodeHeartbeat()])).toBe(heartbeat);
  });

  it('gives each caller bytes of its own', () => {
    encodeHeartbeat().fill(0);
    expect(hexOf([encodeHeartbeat()])).toBe(heartbeat);
    expect(encodeHeartbeat().buffer.byteLength).toBe(6);
  });
});

describe('HeartbeatParser', () => {
  interface Expected {
    heartbeats?: number;
    crcErrors?: number;
    data?: string;
    held?: string;
  }
  const streams: [name: string, hex: string, expected: Expected][] = [
    ['nothing', '', {}],
    ['a heartbeat', heartbeat, { heartbeats: 1 }],
    ['heartbeats in a row', heartbeat.repeat(3), { heartbeats: 3 }],
    ['a heartbeat between data', `0102 ${heartbeat} 0304`, { heartbeats: 1, data: '01020304' }],
    ['data alone', '000102fffe', { data: '000102fffe' }],
    ['a heartbeat with reserved bytes that are not zero', 'aa01ffff2c22 aa010102225e', { heartbeats: 2 }],
    ['another version, with its right checksum', 'aa020000687d', { data: 'aa020000687d' }],
    ['the start of another version, which is nothing to wait for', 'aa02', { data: 'aa02' }],
    ['a heartbeat after another version', `aa02 ${heartbeat}`, { heartbeats: 1, data: 'aa02' }],
    ['a wrong checksum', 'aa010000312c', { crcErrors: 1, data: 'aa010000312c' }],
    ['a checksum in little endian', 'aa0100002d31', { crcErrors: 1, data: 'aa0100002d31' }],
    ['a damaged reserved byte', 'aa010001312d', { crcErrors: 1, data: 'aa010001312d' }],
    ['a heartbeat after 1 byte of one', `aa ${heartbeat}`, { heartbeats: 1, data: 'aa' }],
    ['a heartbeat after 2 bytes of one', `aa01 ${heartbeat}`, { heartbeats: 1, crcErrors: 1, data: 'aa01' }],
    ['a heartbeat after 3 bytes of one', `aa0100 ${heartbeat}`, { heartbeats: 1, crcErrors: 1, data: 'aa0100' }],
    ['a heartbeat after 4 bytes of one', `aa010000 ${heartbeat}`, { heartbeats: 1, crcErrors: 1, data: 'aa010000' }],
    [
      'a heartbeat after 5 bytes of one',
      `aa01000031 ${heartbeat}`,
      { heartbeats: 1, crcErrors: 1, data: 'aa01000031' },
    ],
    [
      'a heartbeat after several false starts',
      `aaaaaa01aa01aa ${heartbeat} aa`,
      { heartbeats: 1, crcErrors: 2, data: 'aaaaaa01aa01aa', held: 'aa' },
    ],
    [
      'a heartbeat of which a byte went missing',
      `aa0100312d ${heartbeat}`,
      { heartbeats: 1, crcErrors: 1, data: 'aa0100312d' },
    ],
    ['the start of one at the end', '05aa01000031', { data: '05', held: 'aa01000031' }],
    ['a false start and the start of one at the end', 'aa01aa0100', { held: 'aa01aa0100' }],
    [
      'a false candidate that ends in the start of one',
      'aa01aa010007',
      { crcErrors: 1, data: 'aa01', held: 'aa010007' },
    ],
    // 0x8657 is chosen so that its checksum is how a heartbeat begins. Nothing can tell these bytes from one.
    ['data that is a heartbeat with what follows it', `aa018657 ${heartbeat}`, { heartbeats: 1, data: '0000312d' }],
  ];
  it.each(streams)('reads %s, in pieces of any size', (_name, hex, expected) => {
    const bytes = bytesOf(hex);
    for (let size = 1; size <= bytes.length + 1; size++) {
      expect(parse(bytes, size)).toEqual({ heartbeats: 0, crcErrors: 0, data: '', held: '', ...expected });
    }
  });

  it('tells each chunk the heartbeats that ended in it', () => {
    const parser = new HeartbeatParser();
    expect(parser.push(bytesOf('01aa0100'))).toEqual({ heartbeats: 0, data: [bytesOf('01')] });
    expect(parser.pendingBytes).toBe(3);
    expect(parser.push(bytesOf(`00312d 02 ${heartbeat} 03aa`))).toEqual({
      heartbeats: 2,
      data: [bytesOf('02'), bytesOf('03')],
    });
    expect(parser.push(new Uint8Array(0))).toEqual({ heartbeats: 0, data: [] });
    expect(parser).toMatchObject({ heartbeats: 2, crcErrors: 0, skippedBytes: 3, pendingBytes: 1 });
  });

  it('gives data back as views of the chunk, and what was held back before them', () => {
    const parser = new HeartbeatParser();
    parser.push(bytesOf('aa0100'));
    const chunk = bytesOf(`05060708 ${heartbeat} 09`);
    const { data } = parser.push(chunk);
    expect(data.map((piece) => hexOf([piece]))).toEqual(['aa0100', '05060708', '09']);
    expect(data.slice(1).map((piece) => [piece.buffer === chunk.buffer, piece.byteOffset - chunk.byteOffset])).toEqual([
      [true, 0],
      [true, 10],
    ]);
  });

  it('keeps what it holds back when the caller uses its buffer again', () => {
    for (const chunk of [bytesOf('07aa01'), new Uint8Array(bytesOf('07aa01'))]) {
      const parser = new HeartbeatParser();
      parser.push(chunk);
      chunk.fill(0);
      parser.push(chunk.subarray(0, 2));
      expect(parser.push(bytesOf('312d')).heartbeats).toBe(1);
    }
  });

  it('gives back what it holds at the end, and goes on with nothing', () => {
    const parser = new HeartbeatParser();
    parser.push(bytesOf('aa010000'));
    expect(hexOf([parser.end()])).toBe('aa010000');
    expect(parser).toMatchObject({ heartbeats: 0, crcErrors: 0, skippedBytes: 4, pendingBytes: 0 });
    expect(parser.end()).toHaveLength(0);
    expect(parser.push(bytesOf('312d')).heartbeats).toBe(0);
    expect(parser.push(encodeHeartbeat()).heartbeats).toBe(1);
  });

  it('calls onHeartbeat for each, when the chunk is taken', () => {
    const seen: number[][] = [];
    const parser = new HeartbeatParser({ onHeartbeat: () => seen.push([parser.heartbeats, parser.skippedBytes]) });
    parser.push(bytesOf(`01 ${heartbeat} 02 ${heartbeat} 03`));
    expect(seen).toEqual([
      [2, 3],
      [2, 3],
    ]);
  });

  it('is ready for the next chunk when onHeartbeat throws', () => {
    const parser = new HeartbeatParser({
      onHeartbeat: () => {
        throw new Error('mine');
      },
    });
    expect(() => parser.push(bytesOf(`${heartbeat} aa01`))).toThrow('mine');
    expect(parser).toMatchObject({ heartbeats: 1, pendingBytes: 2 });
    expect(() => parser.push(bytesOf('0000312d'))).toThrow('mine');
    expect(parser.heartbeats).toBe(2);
  });

  it('refuses an onHeartbeat that is no function', () => {
    expect(() => new HeartbeatParser({ onHeartbeat: 5 as unknown as () => void })).toThrow(InvalidOptionError);
  });

  const noBytes: [name: string, chunk: unknown, kind: string][] = [
    ['a string', 'aa', 'string'],
    ['null', null, 'Null'],
    ['undefined', undefined, 'undefined'],
    ['a number', 5, 'number'],
    ['an array of numbers', [0xaa], 'Array'],
    ['an ArrayBuffer', new ArrayBuffer(6), 'ArrayBuffer'],
    ['a DataView', new DataView(new ArrayBuffer(6)), 'DataView'],
    ['wider numbers', new Uint16Array(3), 'Uint16Array'],
    ['an object with the tag of bytes', { [Symbol.toStringTag]: 'Uint8Array', length: 6 }, 'Uint8Array'],
  ];
  it.each(noBytes)('refuses %s and is as it was', (_name, chunk, kind) => {
    const parser = new HeartbeatParser();
    parser.push(bytesOf('01aa01'));
    const attempt = (): unknown => parser.push(chunk as Uint8Array);
    expect(attempt).toThrow(InvalidChunkError);
    expect(attempt).toThrow(`must be a Uint8Array, not ${kind}`);
    expect(parser).toMatchObject({ heartbeats: 0, crcErrors: 0, skippedBytes: 1, pendingBytes: 2 });
    expect(parser.push(bytesOf('0000312d')).heartbeats).toBe(1);
  });

  it('takes the bytes of another realm', () => {
    const foreign = runInNewContext('Uint8Array.of(0xaa, 1, 0, 0, 0x31, 0x2d)') as Uint8Array;
    expect(foreign instanceof Uint8Array).toBe(false);
    expect(new HeartbeatParser().push(foreign).heartbeats).toBe(1);
  });

  it('misses no heartbeat that a single wrong bit does not hit, and finds none that it hits outside the reserved bytes', () => {
    for (let bit = 0; bit < 48; bit++) {
      const damaged = bytesOf(`${heartbeat} ${heartbeat}`);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(parse(damaged)).toMatchObject({ heartbeats: 1, data: damaged.subarray(0, 6).toString('hex') });
    }
  });
});

describe('HeartbeatParser in garbage', () => {
  const garbage: [name: string, pattern: string][] = [
    ['magic bytes only', 'aa'],
    ['starts of heartbeats', 'aa01'],
    ['false heartbeats', 'aa0100003130'],
    ['other versions', 'aa02'],
    ['zeros', '00'],
  ];
  const pieces: [size: number, total: number][] = [
    [1, 1 << 16],
    [7, 1 << 18],
    [65_536, 1 << 20],
    [Infinity, 1 << 20],
  ];

  // Some twenty times what they take on a slow machine; in quadratic time, a megabyte takes hours.
  it.each(garbage)('takes a megabyte of %s in linear time and finds the heartbeat after it', (_name, pattern) => {
    for (const [size, total] of pieces) {
      const bytes = Buffer.concat([Buffer.alloc(total, bytesOf(pattern)), encodeHeartbeat()]);
      const parser = new HeartbeatParser();
      const start = process.cpuUsage();
      for (let at = 0; at < bytes.length; at += size) parser.push(bytes.subarray(at, at + size));
      const { user } = process.cpuUsage(start);
      expect(parser).toMatchObject({ heartbeats: 1, skippedBytes: total, pendingBytes: 0 });
      expect(user / 1e6).toBeLessThan(5);
    }
  });

  it('gives garbage back in one piece', () => {
    const bytes = Buffer.alloc(100_000, bytesOf('aa02aa0100003130'));
    expect(new HeartbeatParser().push(bytes).data).toEqual([bytes]);
  });
});
