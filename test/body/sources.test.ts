import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type BodyOptions, type BodySource, pipeBody } from '../../src/index.ts';
import { bare, carriers, type Middleware } from '../support/carriers.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const parts = ['one ', 'zwö ', '🌊'];
const whole = parts.join('');
const bytes = parts.map((part) => Buffer.from(part));

async function* later<T>(items: readonly T[]): AsyncGenerator<T> {
  for (const item of items) {
    await turns(1);
    yield item;
  }
}

function webStream<T>(items: readonly T[], type?: 'bytes'): ReadableStream<T> {
  const rest = [...items];
  const source: object = {
    ...(type && { type }),
    pull(controller: { enqueue(item: T): void; close(): void }) {
      const item = rest.shift();
      if (item === undefined) controller.close();
      else controller.enqueue(item);
    },
  };
  return new ReadableStream<T>(source);
}

const sources: [string, () => BodySource][] = [
  ['a Readable of bytes', () => Readable.from(bytes)],
  ['a Readable of strings', () => Readable.from(parts)],
  ['a Readable with an encoding', () => Readable.from(bytes, { objectMode: false }).setEncoding('utf8')],
  [
    'a PassThrough',
    () => {
      const through = new PassThrough();
      for (const part of bytes) through.write(part);
      return through.end();
    },
  ],
  ['an async generator', () => later(bytes)],
  ['an async iterable', () => ({ [Symbol.asyncIterator]: () => later(parts) })],
  ['an array of strings', () => parts],
  ['an array of bytes', () => bytes],
  ['a Set', () => new Set(parts)],
  [
    'a sync generator',
    () =>
      (function* () {
        yield* parts;
      })(),
  ],
  ['a mixture of strings and bytes', () => [parts[0]!, bytes[1]!, new Uint8Array(bytes[2]!)]],
  ['chunks that are empty', () => ['', parts[0]!, new Uint8Array(0), parts[1]!, '', parts[2]!, '']],
  [
    'other views of bytes',
    () => [
      new DataView(new Uint8Array(Buffer.from('one ')).buffer),
      new Uint8Array(bytes[1]!).buffer,
      new Uint8Array([0, ...bytes[2]!, 0]).subarray(1, -1),
    ],
  ],
  ['a ReadableStream of bytes', () => webStream(bytes)],
  ['a ReadableStream of strings', () => webStream(parts)],
  [
    'a byte stream',
    () =>
      webStream(
        bytes.map((part) => new Uint8Array(part)),
        'bytes',
      ),
  ],
  ['a Blob', () => new Blob(parts)],
  ['a File', () => new File(parts, 'name.txt')],
  ['a Response', () => new Response(whole)],
];

const sending =
  (make: () => BodySource, options?: BodyOptions): Middleware =>
  (req, res) =>
    pipeBody(make(), req, res, options);

describe.each(carriers)('pipeBody on $name', (carrier) => {
  it.each(sources)('sends %s', async (_name, make) => {
    const running = await serve(carrier, sending(make));
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text]).toEqual([200, whole]);
    expect(running.errors).toEqual([]);
  });

  it('sends a big file byte by byte as it is', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'body-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    const path = join(directory, 'big');
    const content = Buffer.alloc(
      12_345_678,
      (() => {
        const block = Buffer.alloc(65_537);
        for (let at = 0; at < block.length; at++) block[at] = (at * at * 31 + (at >> 3)) & 0x7f;
        return block;
      })(),
    );
    await writeFile(path, content);
    const running = await serve(
      carrier,
      sending(() => createReadStream(path)),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect(createHash('sha256').update(reading.text).digest('hex')).toBe(
      createHash('sha256').update(content).digest('hex'),
    );
  });

  it('sends nothing for an empty source', async () => {
    const running = await serve(
      carrier,
      sending(() => []),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text]).toEqual([200, '']);
  });

  it('sets status and fields with the first chunk, over what the application set', async () => {
    const running = await serve(carrier, (req, res) => {
      res.statusCode = 201;
      res.setHeader('X-Mine', 'app');
      res.setHeader('X-Kept', 'app');
      return pipeBody(later(parts), req, res, {
        status: 202,
        headers: { 'x-mine': 'option', 'Content-Type': 'text/x-parts' },
      });
    });
    const reading = await running.visit();
    await settles(reading.over);
    expect([reading.status, reading.text]).toEqual([202, whole]);
    expect(reading.headers).toMatchObject({ 'x-mine': 'option', 'x-kept': 'app', 'content-type': 'text/x-parts' });
  });

  it('answers HEAD with the fields alone and cancels the source', async () => {
    const source = Readable.from(bytes);
    const running = await serve(
      carrier,
      sending(() => source, { headers: { 'Content-Length': 13 } }),
    );
    const reading = await running.visit({ method: 'HEAD' });
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.headers['content-length'], reading.text]).toEqual([200, '13', '']);
    await until(() => source.destroyed);
    expect(running.errors).toEqual([]);
  });

  it.each([204, 205, 304])('sends no body with %s and cancels the source', async (status) => {
    const source = Readable.from(bytes);
    const running = await serve(
      carrier,
      sending(() => source, { status }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text]).toEqual([status, '']);
    await until(() => source.destroyed);
    expect(running.errors).toEqual([]);
  });

  // RFC 9110 8.6 and 15.3.6.
  it.each([
    [204, undefined],
    [205, '0'],
    [304, '3'],
  ])('with %s announces a length of %s, whatever the source would have', async (status, length) => {
    const running = await serve(
      carrier,
      sending(() => new Blob(['abc'], { type: 'text/plain' }), { status }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text, reading.headers['content-length']]).toEqual([status, '', length]);
    expect(running.errors).toEqual([]);
  });

  it('sends a chunk before it pulls the next', async () => {
    let pulled = 0;
    let release: (() => void) | undefined;
    const running = await serve(
      carrier,
      sending(() =>
        (async function* () {
          for (const part of parts) {
            pulled++;
            yield part;
            await new Promise<void>((resolve) => (release = resolve));
          }
        })(),
      ),
    );
    const reading = await running.visit();
    for (let count = 1; count <= parts.length; count++) {
      await until(() => reading.text === parts.slice(0, count).join('') && release !== undefined);
      expect(pulled).toBe(count);
      release!();
      release = undefined;
    }
    expect(await settles(reading.over)).toBe('end');
  });
});

describe('pipeBody', () => {
  it('keeps a Content-Length that the source fits', async () => {
    const running = await serve(
      bare,
      sending(() => parts, { headers: { 'Content-Length': Buffer.byteLength(whole) } }),
    );
    const client = await running.dial();
    client.send(getRequest());
    const received = await client.waitFor('\r\n\r\none');
    expect(received).toMatch(/content-length: 13\r\n/i);
    expect(received).not.toMatch(/transfer-encoding/i);
  });

  it('frames by chunks without one, and leaves the connection for the next request', async () => {
    const running = await serve(
      bare,
      sending(() => later(parts)),
    );
    const client = await running.dial();
    client.send(getRequest());
    const first = parseChunked(await client.waitFor('0\r\n\r\n'));
    expect(Buffer.from(first.chunks.join(''), 'latin1').toString()).toBe(whole);
    client.send(getRequest());
    await client.waitFor((received) => received.split('0\r\n\r\n').length === 3);
  });

  it('gives a Blob its length and type, unless there are others', async () => {
    const running = await serve(bare, (req, res) => {
      if (req.url === '/own') res.setHeader('Content-Type', 'x/own');
      return pipeBody(new Blob(parts, { type: 'x/blob' }), req, res);
    });
    for (const [path, type] of [
      ['/', 'x/blob'],
      ['/own', 'x/own'],
    ]) {
      const reading = await running.visit({ path: path! });
      expect(reading.headers).toMatchObject({ 'content-type': type, 'content-length': '13' });
    }
  });

  it('continues a body that the application began', async () => {
    const running = await serve(bare, async (req, res) => {
      (res as import('node:http').ServerResponse).write('begun ');
      await pipeBody(parts, req, res, { status: 500, headers: { 'X-Late': 'x' } });
    });
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.headers['x-late'], reading.text]).toEqual([200, undefined, `begun ${whole}`]);
  });

  const refused: [string, unknown][] = [
    ['a string', 'text'],
    ['a Buffer', Buffer.from('text')],
    ['a Uint8Array', new Uint8Array(4)],
    ['an ArrayBuffer', new ArrayBuffer(4)],
    ['null', null],
    ['undefined', undefined],
    ['a number', 7],
    ['an object', {}],
    ['a function', () => parts],
    ['an error Response', Response.error()],
  ];
  it.each(refused)('refuses %s as a source and leaves the response alone', async (_name, source) => {
    const running = await serve(bare, async (req, res) => {
      const error: unknown = await pipeBody(source as BodySource, req, res).catch((failure: unknown) => failure);
      res.end((error as { code: string }).code);
    });
    const reading = await running.visit();
    await settles(reading.over);
    expect([reading.status, reading.text]).toEqual([200, 'ERR_SLUICE_SOURCE_INVALID']);
  });

  it('refuses a locked stream, a used Response and a Response whose body is read', async () => {
    const locked = webStream(parts);
    locked.getReader();
    const used = new Response(whole);
    await used.text();
    const read = new Response(whole);
    read.body!.getReader();
    const codes: unknown[] = [];
    const running = await serve(bare, async (req, res) => {
      for (const source of [locked, used, read])
        await pipeBody(source, req, res).catch((error: unknown) => codes.push((error as { code: string }).code));
      res.end('untouched');
    });
    const reading = await running.visit();
    await settles(reading.over);
    expect([codes, reading.text]).toEqual([Array(3).fill('ERR_SLUICE_SOURCE_INVALID'), 'untouched']);
  });

  it('refuses a response that has ended', async () => {
    const rejections: unknown[] = [];
    const running = await serve(bare, async (req, res) => {
      res.end('mine');
      await pipeBody(parts, req, res).catch((error: unknown) => rejections.push(error));
    });
    const reading = await running.visit();
    await settles(reading.over);
    await until(() => rejections.length === 1);
    expect(rejections[0]).toMatchObject({ code: 'ERR_SLUICE_RESPONSE_STARTED' });
    expect(reading.text).toBe('mine');
  });
});
