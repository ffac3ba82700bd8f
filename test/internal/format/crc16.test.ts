import { describe, expect, it } from 'vitest';
import { crc16 } from '../../../src/internal/format/frame.ts';

describe('crc16', () => {
  // The first is the check value of the catalogue of CRCs; the others were computed with
  // `binascii.crc_hqx(bytes, 0xffff)` of Python.
  const values: [name: string, bytes: Uint8Array, crc: number][] = [
    ['the check text', Buffer.from('123456789'), 0x29b1],
    ['nothing', new Uint8Array(0), 0xffff],
    ['a zero', Uint8Array.of(0), 0xe1f0],
    ['ones only', Uint8Array.of(0xff, 0xff), 0x0000],
    ['a letter', Buffer.from('A'), 0xb915],
    ['each byte once', Uint8Array.from({ length: 256 }, (_, byte) => byte), 0x3fbd],
    ['the start of a heartbeat', Uint8Array.of(0xaa, 0x01, 0x00, 0x00), 0x312d],
  ];
  it.each(values)('is right for %s', (_name, bytes, crc) => {
    expect(crc16(bytes)).toBe(crc);
  });

  it('looks only at the bytes between the two places', () => {
    const around = Buffer.from('xx123456789xxx');
    expect(crc16(around, 2, 11)).toBe(0x29b1);
    expect(crc16(around, 2)).toBe(crc16(around.subarray(2)));
    expect(crc16(around, 5, 5)).toBe(0xffff);
  });

  it('is zero over a text and its own checksum', () => {
    const text = Buffer.from('any text\0\0');
    text.writeUInt16BE(crc16(text, 0, 8), 8);
    expect(crc16(text)).toBe(0);
  });

  it('sees every error of a single bit', () => {
    const text = Buffer.from('123456789');
    for (let bit = 0; bit < text.length * 8; bit++) {
      const damaged = Buffer.from(text);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(crc16(damaged)).not.toBe(0x29b1);
    }
  });
});
