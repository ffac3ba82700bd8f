import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { type BodyStyle, bodyStyles, bySse, eventsByWrite, textByWrite } from '../../support/bodies.ts';
import { type CodedReading, protocols } from '../../support/coded-clients.ts';
import { carrierOf, useSite } from '../../support/compress-site.ts';
import { allCodings, type Coding } from '../../support/decoders.ts';
import { deferred } from '../../support/deferred.ts';
import { noise, prose } from '../../support/texts.ts';
import { settles, until } from '../../support/until.ts';

const chunkEdge = 65_537;

/** What arrives is what was sent, in the coding that was asked for, to the last byte. */
async function expectWhole(reading: CodedReading, coding: Coding, text: string): Promise<void> {
  expect(await settles(reading.over)).toBe('end');
  expect([reading.status, reading.coding]).toEqual([200, coding]);
  expect(reading.headers['vary']).toBe('Accept-Encoding');
  const decoded = reading.decode();
  // Compared as a whole: a matcher would show all of it.
  expect([decoded.length, decoded === text]).toEqual([text.length, true]);
  // By a decoder that gets it piece by piece too.
  await until(() => reading.text === text);
}

/** Pieces of which each is only made when the client has decoded the one before. */
async function* stepwise(pieces: readonly string[], gates: readonly Promise<void>[]): AsyncGenerator<string> {
  for (const [index, piece] of pieces.entries()) {
    yield piece;
    await gates[index];
  }
}

const sources: readonly (readonly [string, (style: BodyStyle) => readonly (string | Uint8Array)[]])[] = [
  [
    'a hundred pieces in one turn',
    () => Array.from({ length: 100 }, (_, index) => `piece ${index}, ${index % 7} of 7, grüße`),
  ],
  [
    '1-byte pieces',
    (style) =>
      style === bySse
        ? Array.from(prose(300))
        : [...Buffer.from(`data: ${prose(300)}\n\n`)].map((byte) => Uint8Array.of(byte)),
  ],
  ['64 KiB and 1', () => [prose(chunkEdge), 'x', noise(chunkEdge)]],
];

describe.each(protocols)('over %s', (protocol) => {
  const site = useSite(carrierOf(protocol), { threshold: 0, idleFlush: 5 });

  describe.each(allCodings)('coded with %s', (coding) => {
    it.each(bodyStyles)('$name delivers each piece before the next is made', async (style) => {
      const pieces = ['first', `second, ${prose(200)}`, 'third, grüße 🌊'];
      const gates = pieces.map(() => deferred());
      const reading = await site.visit(
        style.send(
          stepwise(
            pieces,
            gates.map(({ promise }) => promise),
          ),
        ),
        protocol,
        { accept: coding },
      );
      for (const [index, gate] of gates.entries()) {
        const soFar = style.expected(pieces.slice(0, index + 1));
        await until(
          () => reading.text === soFar,
          () => JSON.stringify(reading.text),
        );
        gate.resolve();
      }
      await expectWhole(reading, coding, style.expected(pieces));
    });

    it.each(bodyStyles.flatMap((style) => sources.map(([name, make]) => [style.name, name, style, make] as const)))(
      '%s delivers %s',
      async (_style, _name, style, make) => {
        const pieces = make(style);
        const reading = await site.visit(style.burst(pieces), protocol, { accept: coding });
        await expectWhole(reading, coding, style.expected(pieces));
      },
    );

    it.each(bodyStyles)('$name delivers nothing as nothing', async (style) => {
      const reading = await site.visit(style.burst([]), protocol, { accept: coding });
      // An event stream has a first comment, and a body that is known to be empty is not encoded.
      await expectWhole(reading, style === bySse ? coding : 'identity', style.expected([]));
    });

    it.each([eventsByWrite, textByWrite])('$name delivers a last piece that comes with the end', async (style) => {
      const reading = await site.visit(
        (_req, response) => {
          const res = response as ServerResponse;
          res.setHeader('Content-Type', style.isEventStream ? 'text/event-stream' : 'text/plain');
          res.write('one, ');
          res.end('two');
        },
        protocol,
        { accept: coding },
      );
      await expectWhole(reading, coding, 'one, two');
    });

    it.each([
      ['small', 2000],
      // Above the sizes from which the thread pool encodes it.
      ['large', 300_000],
    ])('a %s complete body arrives with its length', async (_name, size) => {
      const body = prose(size);
      const reading = await site.visit(
        (_req, response) => {
          const res = response as ServerResponse;
          res.setHeader('Content-Type', 'text/plain; charset=utf-8');
          res.end(body);
        },
        protocol,
        { accept: coding },
      );
      await expectWhole(reading, coding, body);
      // node:http tells a client of HTTP/1.0 no length by itself, and node:http2 nobody.
      if (coding !== 'identity' || protocol === 'HTTP/1.1')
        expect(reading.headers['content-length']).toBe(String(reading.content.length));
    });

    it('a body that comes with the end alone arrives, whatever its type', async () => {
      const reading = await site.visit(
        (_req, response) => {
          const res = response as ServerResponse;
          res.setHeader('Content-Type', 'text/event-stream');
          res.end('data: all there is, all there is, all there is, all there is\n\n');
        },
        protocol,
        { accept: coding },
      );
      await expectWhole(reading, coding, 'data: all there is, all there is, all there is, all there is\n\n');
    });
  });
});
