import { Transform, type TransformCallback } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type Codec, compress } from '../../src/compress/index.ts';
import { InvalidOptionError } from '../../src/errors.ts';
import { bare } from '../support/carriers.ts';
import { type FlushingResponse, streamed } from '../support/compress-responses.ts';
import { useSite } from '../support/compress-site.ts';
import { codings } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { noise } from '../support/texts.ts';
import { settles, turns, until } from '../support/until.ts';

describe('res.flush', () => {
  const site = useSite(bare, { threshold: 0, idleFlush: Infinity });

  it.each(codings.flatMap((coding) => streamed.map((engine) => [coding, engine.name, engine] as const)))(
    'of %s for %s delivers what was written before, and then is called back, each time once',
    async (coding, _name, { type }) => {
      const gates = [deferred(), deferred(), deferred()];
      const calls: string[] = [];
      const reading = await site.visit(
        async (_req, response) => {
          const res = response as FlushingResponse;
          res.setHeader('Content-Type', type);
          for (const [index, gate] of gates.entries()) {
            res.write(`${index} ${noise(500, index)}, `);
            res.flush(() => calls.push(`flush ${index}`));
            res.flush(() => calls.push(`again ${index}`));
            res.flush();
            await gate.promise;
          }
          res.end(() => calls.push('end'));
          res.flush(() => calls.push('after the end'));
          res.on('close', () => res.flush(() => calls.push('after the close')));
        },
        'HTTP/1.1',
        { accept: coding },
      );
      for (const [index, gate] of gates.entries()) {
        await until(() => reading.text.split(', ').length === index + 2);
        await until(() => calls.length === 2 * index + 2);
        gate.resolve();
      }
      expect(await settles(reading.over)).toBe('end');
      await until(() => calls.includes('after the close'));
      expect(calls.toSorted()).toEqual([
        'after the close',
        'after the end',
        'again 0',
        'again 1',
        'again 2',
        'end',
        'flush 0',
        'flush 1',
        'flush 2',
      ]);
    },
  );

  it('is not called back before the text before it is encoded', async () => {
    // Encodes when the test says so, as itself in brackets.
    const encodes: ((bytes: Uint8Array) => void)[] = [];
    const texts: string[] = [];
    const codec: Codec = {
      coding: 'x-brackets',
      available: true,
      createBlocks: () => ({
        memory: 0,
        encode: (text) =>
          new Promise((resolve) => {
            texts.push(Buffer.from(text).toString());
            encodes.push(() => resolve(Buffer.from(`[${Buffer.from(text).toString()}]`)));
          }),
        close: () => undefined,
      }),
    };
    const calls: string[] = [];
    const running = await serve(bare, compress({ codecs: [codec] }), async (_req, response) => {
      const res = response as FlushingResponse;
      res.setHeader('Content-Type', 'text/event-stream');
      res.write('one', () => calls.push('one'));
      await until(() => encodes.length === 1);
      res.write('', () => calls.push('empty'));
      res.write('two', () => calls.push('two'));
      res.flush(() => calls.push('flush'));
      expect(res.writableLength).toBeGreaterThan(0);
      encodes[0]!(new Uint8Array());
      await until(() => encodes.length === 2);
      await until(() => calls.length > 0);
      await turns();
      expect(calls).toEqual(['one']);
      encodes[1]!(new Uint8Array());
      await until(() => calls.length === 4);
      expect(calls).toEqual(['one', 'empty', 'two', 'flush']);
      res.write('three');
      await until(() => encodes.length === 3);
      // Nothing after it, and the block is in the making.
      res.write('', () => calls.push('late empty'));
      expect(res.writableLength).toBeGreaterThan(0);
      encodes[2]!(new Uint8Array());
      await until(() => calls.includes('late empty'));
      res.end();
      await until(() => encodes.length === 4);
      encodes[3]!(new Uint8Array());
    });
    const client = await running.dial();
    client.send(getRequest('/', { 'Accept-Encoding': 'x-brackets' }));
    await until(() => client.received.endsWith('\r\n0\r\n\r\n') || running.errors.length > 0);
    expect(running.errors).toEqual([]);
    expect(parseChunked(client.received).chunks.join('')).toBe('[one][two][three][]');
    expect(texts).toEqual(['one', 'two', 'three', '']);
  });
});

/** Passes text on in brackets when the test says so; a flush is a bar. */
class Brackets extends Transform {
  readonly steps: (() => void)[] = [];

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.steps.push(() => callback(null, chunk.length === 0 ? '|' : `[${chunk.toString()}]`));
  }
}

it('a flush of a long body is not called back before the text before it is encoded', async () => {
  const transform = new Brackets();
  const codec: Codec = {
    coding: 'x-brackets',
    available: true,
    createStream: () => ({ transform, memory: 0, flush: (callback) => void transform.write('', () => callback()) }),
  };
  const calls: string[] = [];
  const compression = compress({ codecs: [codec], idleFlush: Infinity });
  const running = await serve(bare, compression, async (_req, response) => {
    const res = response as FlushingResponse;
    res.setHeader('Content-Type', 'text/plain');
    res.write('one');
    res.flush(() => calls.push('first flush'));
    res.flush(() => calls.push('again'));
    res.write('two');
    res.flush(() => calls.push('second flush'));
    await until(() => transform.steps.length === 1);
    await turns();
    expect(calls).toEqual([]);
    transform.steps[0]!();
    await until(() => transform.steps.length > 1);
    await turns();
    expect(calls).toEqual([]);
    transform.steps[1]!();
    await until(() => calls.length > 1);
    await turns();
    expect(calls).toEqual(['first flush', 'again']);
    await until(() => transform.steps.length > 2);
    transform.steps[2]!();
    await turns();
    expect(calls).toEqual(['first flush', 'again']);
    await until(() => transform.steps.length > 3);
    transform.steps[3]!();
    await until(() => calls.length === 3);
    res.end();
  });
  const client = await running.dial();
  client.send(getRequest('/', { 'Accept-Encoding': 'x-brackets' }));
  await until(() => client.received.endsWith('\r\n0\r\n\r\n') || running.errors.length > 0);
  expect(running.errors).toEqual([]);
  expect(parseChunked(client.received).chunks.join('')).toBe('[one]|[two]|');
});

describe('idleFlush', () => {
  // Node's timers take it for 1 ms.
  it.each([2 ** 31, '25d', -1])('is refused where no timer lasts so long: %s', (idleFlush) => {
    expect(() => compress({ idleFlush })).toThrow(InvalidOptionError);
  });

  it.each([0, 2 ** 31 - 1, '24d', Infinity])('may be %s', (idleFlush) => {
    expect(() => compress({ idleFlush })).not.toThrow();
  });
});
