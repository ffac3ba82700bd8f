import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc16, encodeHeartbeat, HeartbeatParser } from '../../src/internal/format/frame.ts';

const heartbeat = Buffer.from(encodeHeartbeat());

/** A frame of version 1, right or wrong. */
function frameOf(reserved: number, difference: number): Buffer {
  const frame = Buffer.from([0xaa, 0x01, reserved >> 8, reserved & 0xff, 0, 0]);
  frame.writeUInt16BE(checksum(frame.subarray(0, 4)) ^ difference, 4);
  return frame;
}

/** The definition, bit by bit, and so nothing of the table. */
function checksum(bytes: Uint8Array): number {
  let register = 0xffff;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const isSet = ((register >> 15) ^ (byte >> bit)) & 1;
      register = ((register << 1) ^ (isSet === 1 ? 0x1021 : 0)) & 0xffff;
    }
  }
  return register;
}

interface Reading {
  heartbeats: number;
  crcErrors: number;
  data: string;
}

/** What a parser must make of a whole stream, said with all of it at hand. */
function model(bytes: Buffer): Reading {
  const reading = { heartbeats: 0, crcErrors: 0 };
  const data: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const isCandidate = bytes[at] === 0xaa && bytes[at + 1] === 0x01 && at + 6 <= bytes.length;
    const isHeartbeat = isCandidate && checksum(bytes.subarray(at, at + 4)) === bytes.readUInt16BE(at + 4);
    if (isHeartbeat) reading.heartbeats++;
    else data.push(bytes[at]!);
    if (isCandidate && !isHeartbeat) reading.crcErrors++;
    at += isHeartbeat ? 6 : 1;
  }
  return { ...reading, data: Buffer.from(data).toString('hex') };
}

/** What a parser makes of a stream in pieces of the given sizes, in turn. */
function parseInPieces(bytes: Buffer, sizes: readonly number[]): Reading {
  const parser = new HeartbeatParser();
  const data: Uint8Array[] = [];
  let ended = 0;
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    const chunk = Buffer.from(bytes.subarray(at, at + size));
    const parsed = parser.push(chunk);
    data.push(...parsed.data.map((piece) => Buffer.from(piece)));
    // The chunk is the caller's, who may use it again.
    chunk.fill(0xaa);
    ended += parsed.heartbeats;
    at += size;
    expect(parsed.data.every((piece) => piece.length > 0)).toBe(true);
    expect(6 * parser.heartbeats + parser.skippedBytes + parser.pendingBytes).toBe(Math.min(at, bytes.length));
    expect(parser.pendingBytes).toBeLessThan(6);
  }
  data.push(parser.end());
  expect([parser.heartbeats, parser.skippedBytes]).toEqual([ended, Buffer.concat(data).length]);
  return { heartbeats: ended, crcErrors: parser.crcErrors, data: Buffer.concat(data).toString('hex') };
}

/** Bytes that look like heartbeats in unlikely density. */
const garbage: fc.Arbitrary<Buffer> = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
      fc
        .constantFrom([0xaa], [0xaa, 0xaa], [0xaa, 0x01], [0xaa, 0x02], [0x01], [0x00], [0x31, 0x2d])
        .map((bytes) => Buffer.from(bytes)),
      fc.integer({ min: 1, max: 5 }).map((length) => heartbeat.subarray(0, length)),
      fc.integer({ min: 1, max: 5 }).map((from) => heartbeat.subarray(from)),
      fc
        .tuple(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 1, max: 0xffff }))
        .map(([reserved, difference]) => frameOf(reserved, difference)),
    ),
    { maxLength: 6 },
  )
  .map((parts) => Buffer.concat(parts));

/** Heartbeats as senders of today and of later send them. */
const beat = fc.oneof(
  fc.constant(heartbeat),
  fc.integer({ min: 0, max: 0xffff }).map((reserved) => frameOf(reserved, 0)),
);

const pieces = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 });

describe('crc16', () => {
  it('is what the definition gives, bit by bit', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(crc16(bytes)).toBe(checksum(bytes));
      }),
      { numRuns: 500 },
    );
  });
});

describe('HeartbeatParser', () => {
  it('reads any bytes as the definition has them, however they are cut into pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(garbage, beat), { maxLength: 10 }), pieces, (parts, sizes) => {
        const bytes = Buffer.concat(parts);
        expect(parseInPieces(bytes, sizes)).toEqual(model(bytes));
      }),
      { numRuns: 1200 },
    );
  });

  it('finds every heartbeat between any data, and gives the data back byte for byte', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(garbage, beat), { minLength: 1, maxLength: 6 }),
        garbage,
        pieces,
        (parts, last, sizes) => {
          const bytes = Buffer.concat([...parts.flat(), last]);
          const data = Buffer.concat([...parts.map(([before]) => before), last]).toString('hex');
          // Data that happens to be a heartbeat, alone or with what follows it, cannot be told from one.
          fc.pre(model(bytes).data === data && model(bytes).heartbeats === parts.length);
          expect(parseInPieces(bytes, sizes)).toMatchObject({ heartbeats: parts.length, data });
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('finds a heartbeat after any garbage of one, two or three kinds of bytes', () => {
    const byte = fc.constantFrom(0xaa, 0x01, 0x00);
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 60 }), pieces, (noise, sizes) => {
        const bytes = Buffer.concat([Buffer.from(noise), heartbeat]);
        expect(parseInPieces(bytes, sizes)).toEqual(model(bytes));
        expect(model(bytes).heartbeats).toBe(1);
      }),
      { numRuns: 600 },
    );
  });
});
