import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { zstd } from '../../../src/compress/index.ts';
import { textByPipe, textByPipeline, textByWrite } from '../../support/bodies.ts';
import { protocols } from '../../support/coded-clients.ts';
import { carrierOf, useSite } from '../../support/compress-site.ts';
import { deferred } from '../../support/deferred.ts';
import { noise, prose } from '../../support/texts.ts';
import { settles, until } from '../../support/until.ts';
import { importZstdAddon, lacksZstdAddon } from '../../support/zstd-addon.ts';

const styles = [textByWrite, textByPipeline, textByPipe];

describe.skipIf(lacksZstdAddon('bodies by the zstd addon')).each(protocols)('zstd by the addon over %s', (protocol) => {
  // Loaded when the first request comes, at the latest.
  const site = useSite(carrierOf(protocol), { codecs: [zstd({ addon: importZstdAddon })], threshold: 0, idleFlush: 5 });

  it.each(styles)('delivers each piece of $name before the next is made', async (style) => {
    const pieces = ['first', `second, ${prose(200)}`, 'third, grüße 🌊'];
    const gates = pieces.map(() => deferred());
    async function* source(): AsyncGenerator<string> {
      for (const [index, piece] of pieces.entries()) {
        yield piece;
        await gates[index]!.promise;
      }
    }
    const reading = await site.visit(style.send(source()), protocol, { accept: 'zstd' });
    expect(reading.coding).toBe('zstd');
    for (const [index, gate] of gates.entries()) {
      const soFar = style.expected(pieces.slice(0, index + 1));
      await until(
        () => reading.text === soFar,
        () => JSON.stringify(reading.text),
      );
      gate.resolve();
    }
    expect(await settles(reading.over)).toBe('end');
    expect(reading.decode()).toBe(style.expected(pieces));
  });

  it.each(
    styles.flatMap((style) => [
      [style.name, 'many pieces', style, Array.from({ length: 100 }, (_, index) => `piece ${index}, grüße`)] as const,
      [style.name, '1-byte pieces', style, [...Buffer.from(prose(300))].map((byte) => Uint8Array.of(byte))] as const,
      [style.name, 'large pieces', style, [prose(65_537), noise(65_537), prose(300_000)]] as const,
    ]),
  )('delivers %s of %s', async (_style, _name, style, pieces) => {
    const reading = await site.visit(style.burst(pieces), protocol, { accept: 'zstd' });
    expect(await settles(reading.over)).toBe('end');
    const text = style.expected(pieces);
    expect([reading.coding, reading.decode() === text]).toEqual(['zstd', true]);
    // By a decoder that gets it piece by piece too.
    await until(() => reading.text === text);
  });

  it.each([1500, 30_000, 300_000])('a complete body of %i characters arrives with its length', async (size) => {
    const reading = await site.visit(
      (_req, response) => {
        const res = response as ServerResponse;
        res.setHeader('Content-Type', 'text/plain; charset=utf-8');
        res.end(prose(size));
      },
      protocol,
      { accept: 'zstd' },
    );
    expect(await settles(reading.over)).toBe('end');
    expect([reading.coding, reading.headers['content-length']]).toEqual(['zstd', String(reading.content.length)]);
    expect(reading.decode() === prose(size)).toBe(true);
  });

  it('an event stream is encoded too, without the addon', async () => {
    const reading = await site.visit(
      (_req, response) => {
        const res = response as ServerResponse;
        res.setHeader('Content-Type', 'text/event-stream');
        res.write('data: one\n\n');
        setTimeout(() => res.end(), 5);
      },
      protocol,
      { accept: 'zstd' },
    );
    expect(await settles(reading.over)).toBe('end');
    expect([reading.coding, reading.decode()]).toEqual(['zstd', 'data: one\n\n']);
  });

  it('a client that leaves, and a source that fails, free the encoder', async () => {
    const closed = deferred();
    async function* endless(): AsyncGenerator<string> {
      for (let seed = 0; ; seed++) yield noise(40_000, seed);
    }
    const left = await site.visit(
      (req, res, next) => {
        res.on('close', () => closed.resolve());
        return textByWrite.send(endless())(req, res, next);
      },
      protocol,
      { accept: 'zstd' },
    );
    left.pause();
    left.destroy();
    await settles(closed.promise);
    const gate = deferred();
    async function* failing(): AsyncGenerator<string> {
      yield prose(5000);
      await gate.promise;
      throw new Error('the source broke');
    }
    const cut = await site.visit(textByWrite.send(failing()), protocol, { accept: 'zstd' });
    gate.resolve();
    const outcome = await settles(cut.over);
    if (protocol !== 'HTTP/1.0') expect(outcome).toBe('aborted');
    expect(() => cut.decode()).toThrow();
  });
});
