import type { ServerResponse } from 'node:http';
import { constants } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type BodyStyle, bodyStyles, bySse, textByPipeline, textByWrite } from '../../support/bodies.ts';
import { type CodedReading, openCoded, type Protocol, protocols } from '../../support/coded-clients.ts';
import { carrierOf, useSite } from '../../support/compress-site.ts';
import { allCodings, type Coding } from '../../support/decoders.ts';
import { deferred } from '../../support/deferred.ts';
import { noise, prose } from '../../support/texts.ts';
import { parked, settles, turns, until } from '../../support/until.ts';

/** Neither the transfer nor the coding may have come to its end. */
async function expectCut(reading: CodedReading, protocol: Protocol): Promise<void> {
  const outcome = await settles(reading.over);
  // With neither length nor chunks only the coding tells.
  if (protocol !== 'HTTP/1.0') expect(outcome).toBe('aborted');
  if (reading.coding !== 'identity') expect(() => reading.decode()).toThrow();
}

// Cheap levels: what fills the buffers of the kernel is noise.
const options = { threshold: 0, idleFlush: 5, level: 1, brotli: { params: { [constants.BROTLI_PARAM_QUALITY]: 2 } } };

/**
 * It takes a while to fill the buffers of the kernel: all ways to write where the codings differ, and some for each.
 * Below the head HTTP/1.0 is no different.
 */
function stalling(coding: Coding): readonly BodyStyle[] {
  return coding === 'gzip' || coding === 'identity' ? bodyStyles : [bySse, textByWrite, textByPipeline];
}

describe.each(protocols)('over %s', (protocol) => {
  const site = useSite(carrierOf(protocol), options);

  describe.each(allCodings)('coded with %s', (coding) => {
    it.each(bodyStyles)('a client that leaves in the middle of $name ends the source', async (style) => {
      const cleaned = deferred();
      const closed = deferred();
      let left = false;
      async function* source(): AsyncGenerator<string> {
        try {
          yield `first, ${prose(300)}`;
          // To its end, or a generator that waits would never be asked to return.
          while (!left) await new Promise((resolve) => setTimeout(resolve, 2));
          for (;;) {
            yield 'more';
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
        } finally {
          cleaned.resolve();
        }
      }
      const reading = await site.visit(
        (req, res, next) => {
          res.on('close', () => closed.resolve());
          return style.send(source())(req, res, next);
        },
        protocol,
        { accept: coding },
      );
      await until(() => reading.text.includes('first'));
      reading.destroy();
      left = true;
      await settles(closed.promise);
      await settles(cleaned.promise);
    });

    it.each(protocol === 'HTTP/1.0' ? [] : stalling(coding))(
      'a client that reads nothing of $name holds the source back, and ends it when it leaves',
      async (style) => {
        const cleaned = deferred();
        const closed = deferred();
        let made = 0;
        async function* source(): AsyncGenerator<string> {
          try {
            for (;;) {
              made++;
              yield noise(100_000, made);
            }
          } finally {
            cleaned.resolve();
          }
        }
        const reading = await site.visit(
          (req, res, next) => {
            res.on('close', () => closed.resolve());
            return style.send(source())(req, res, next);
          },
          protocol,
          { accept: coding },
        );
        expect(reading.coding).toBe(coding);
        reading.pause();
        // What the kernel, the encoder and the client hold, with room to spare.
        expect((await parked(() => made)) * 100_000).toBeLessThan(24_000_000);
        reading.destroy();
        await settles(closed.promise);
        await settles(cleaned.promise);
      },
    );

    it.each(protocol === 'HTTP/1.1' && coding === 'gzip' ? [bySse, textByWrite, textByPipeline] : [])(
      'a client that reads nothing of $name for a while gets all of it',
      async (style) => {
        let made = 0;
        async function* source(): AsyncGenerator<string> {
          while (made < 80) yield noise(100_000, made++);
        }
        const reading = await site.visit(style.send(source()), protocol, { accept: coding });
        reading.pause();
        await parked(() => made);
        reading.resume();
        expect(await settles(reading.over)).toBe('end');
        const pieces = Array.from({ length: 80 }, (_, index) => noise(100_000, index));
        expect(reading.decode() === style.expected(pieces)).toBe(true);
      },
    );

    it.each(bodyStyles)('$name whose source fails never looks complete', async (style) => {
      const gate = deferred();
      async function* source(): AsyncGenerator<string> {
        yield `first, ${prose(300)}`;
        await gate.promise;
        throw new Error('the source broke');
      }
      const reading = await site.visit(style.send(source()), protocol, { accept: coding });
      await until(() => reading.text.includes('first'));
      gate.resolve();
      await expectCut(reading, protocol);
    });

    it.each([
      ['an event stream', 'text/event-stream'],
      ['a long body', 'text/plain'],
    ])('a handler that destroys %s in the middle of its text does not make it look complete', async (_name, type) => {
      const reading = await site.visit(
        async (_req, response) => {
          const res = response as ServerResponse & { flush(callback: () => void): void };
          res.setHeader('Content-Type', type);
          res.write(prose(3000));
          await new Promise<void>((resolve) => res.flush(resolve));
          await turns();
          res.write(noise(30_000));
          res.destroy(new Error('enough'));
        },
        protocol,
        { accept: coding },
      );
      await expectCut(reading, protocol);
    });

    it('a client that leaves while a complete body is being encoded frees it', async () => {
      const closed = deferred();
      const started = deferred();
      const path = site.answer((_req, response) => {
        const res = response as ServerResponse;
        res.setHeader('Content-Type', 'text/plain');
        res.on('close', () => closed.resolve());
        res.end(prose(400_000));
        started.resolve();
      });
      const opening = openCoded(site.running, protocol, { path, accept: coding });
      opening.catch(() => undefined);
      await settles(started.promise);
      const reading = await settles(opening);
      reading.destroy();
      await settles(closed.promise);
    });
  });
});
