import { describe, expect, it } from 'vitest';
import { brotli, type Codec, compress, deflate, gzip, zstd } from '../../src/compress/index.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { type FlushingResponse, large, small } from '../support/compress-responses.ts';
import { type Coding, codings, decodeStrictly } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

/** Every way to answer, by path. */
const answers: Record<string, (res: FlushingResponse) => void> = {
  '/small': (res) => void res.end(small),
  '/large': (res) => void res.end(large),
  '/long': (res) => {
    res.write(small);
    setTimeout(() => res.end('the end'), 5);
  },
  '/events': (res) => {
    res.setHeader('Content-Type', 'text/event-stream');
    res.write('data: one\n\n');
    setTimeout(() => res.end('data: two\n\n'), 5);
  },
  '/tiny': (res) => void res.end('tiny'),
  '/none': (res) => void res.writeHead(204).end(),
};
const texts: Record<string, string> = {
  '/small': small,
  '/large': large,
  '/long': `${small}the end`,
  '/events': 'data: one\n\ndata: two\n\n',
  '/tiny': 'tiny',
  '/none': '',
};
const order = ['/large', '/small', '/long', '/none', '/events', '/tiny', '/large', '/events', '/long', '/small'];

const answerByPath: Middleware = (req, response) => {
  const res = response as FlushingResponse;
  res.setHeader('Content-Type', 'text/plain; charset=utf-8');
  answers[req.url!]!(res);
};

/** The first message of what came: its head, its content and what is behind it. */
function readMessage(received: string): { head: string; content: Buffer; rest: string } {
  const headEnd = received.indexOf('\r\n\r\n');
  const head = received.slice(0, headEnd);
  const length = /^content-length: (\d+)$/im.exec(head)?.[1];
  if (/^transfer-encoding: chunked$/im.test(head)) {
    if (length !== undefined) throw new Error('a length and chunks');
    const message = parseChunked(received);
    if (!message.complete) throw new Error('not complete');
    return { head, content: Buffer.from(message.chunks.join(''), 'latin1'), rest: message.rest };
  }
  const end = headEnd + 4 + Number(length ?? 0);
  if (received.length < end) throw new Error('not complete');
  return { head, content: Buffer.from(received.slice(headEnd + 4, end), 'latin1'), rest: received.slice(end) };
}

/** Whether the bytes are one message, to its end. */
function isWhole(received: string): boolean {
  try {
    return received.includes('\r\n\r\n') && readMessage(received).rest === '';
  } catch {
    return false;
  }
}

const codingOf = (head: string): Coding => (/^content-encoding: (.+)$/im.exec(head)?.[1] ?? 'identity') as Coding;

describe('on one connection of HTTP/1.1', () => {
  it.each(codings)('all kinds of %s follow each other, each asked for when the one before is read', async (coding) => {
    const running = await serve(bare, compress(), answerByPath);
    const client = await running.dial();
    let read = 0;
    for (const path of order) {
      client.send(getRequest(path, { 'Accept-Encoding': coding }));
      await client.waitFor((received) => isWhole(received.slice(read)));
      const { head, content } = readMessage(client.received.slice(read));
      expect([path, codingOf(head)]).toEqual([path, ['/tiny', '/none'].includes(path) ? 'identity' : coding]);
      expect(decodeStrictly(codingOf(head), content).toString() === texts[path]).toBe(true);
      read = client.received.length;
    }
  });

  it.each(codings)('all kinds of %s, asked for at once, come in the order of the requests', async (coding) => {
    const running = await serve(bare, compress(), answerByPath);
    const client = await running.dial();
    client.send(
      order
        .map((path, index) =>
          getRequest(path, { 'Accept-Encoding': coding, ...(index === order.length - 1 && { Connection: 'close' }) }),
        )
        .join(''),
    );
    expect(await settles(client.closed)).toBe('end');
    let { received } = client;
    for (const path of order) {
      const { head, content, rest } = readMessage(received);
      expect(decodeStrictly(codingOf(head), content).toString() === texts[path]).toBe(true);
      received = rest;
    }
    expect(received).toBe('');
  });

  it.each(codings)('requests for %s whose turn never comes free their encoders', async (coding) => {
    let opened = 0;
    const count = (codec: Codec): Codec => ({
      ...codec,
      createStream(settings) {
        opened += 1;
        return codec.createStream!(settings);
      },
    });
    const compression = compress({ codecs: [gzip(), deflate(), brotli(), zstd()].map(count) });
    const gate = deferred();
    const running = await serve(bare, compression, async (req, res, next) => {
      if (req.url === '/first') await gate.promise;
      else answerByPath(req, res, next);
    });
    const client = await running.dial();
    client.send(
      ['/first', '/long', '/events', '/large'].map((path) => getRequest(path, { 'Accept-Encoding': coding })).join(''),
    );
    await until(() => opened >= 1);
    client.destroy();
    await until(() => compression.activeEncoders === 0);
    gate.resolve();
  });

  it.each([
    ['HTTP/1.0', {}, false],
    ['HTTP/1.0 that wants to keep the connection', { Connection: 'keep-alive' }, true],
  ])('a client of %s gets bodies by their length or to the close', async (_name, fields, keeps) => {
    const running = await serve(bare, compress(), answerByPath);
    for (const path of order) {
      const client = await running.dial();
      client.send(getRequest(path, { 'Accept-Encoding': 'gzip', ...fields }, '1.0'));
      await client.waitFor('\r\n\r\n');
      if (keeps && (path === '/none' || /^content-length: /im.test(client.received))) await client.waitFor(isWhole);
      else await settles(client.closed);
      const [head = ''] = client.received.split('\r\n\r\n', 1);
      expect(head).not.toMatch(/^transfer-encoding/im);
      const content = Buffer.from(client.received.slice(head.length + 4), 'latin1');
      expect([path, decodeStrictly(codingOf(head), content).toString() === texts[path]]).toEqual([path, true]);
      const length = /^content-length: (\d+)$/im.exec(head)?.[1];
      expect([path, Number(length ?? content.length)]).toEqual([path, content.length]);
      client.destroy();
    }
  });

  it.each(codings)('chunks that a handler asks for by hand stay chunks, for %s', async (coding) => {
    const running = await serve(
      bare,
      compress({ threshold: 0 }),
      (req, response) => {
        const res = response as FlushingResponse;
        res.writeHead(200, { 'Content-Type': 'text/plain', 'Transfer-Encoding': 'chunked' });
        if (req.url === '/long') res.write('first, ');
        res.end(req.url === '/small' ? small : large);
      },
      () => undefined,
    );
    const implicit = await serve(bare, compress({ threshold: 0 }), (req, response) => {
      const res = response as FlushingResponse;
      res.setHeader('Content-Type', 'text/plain');
      res.setHeader('Transfer-Encoding', 'chunked');
      res.end(req.url === '/small' ? small : large);
    });
    for (const server of [running, implicit]) {
      for (const path of ['/small', '/large']) {
        const client = await server.dial();
        client.send(getRequest(path, { 'Accept-Encoding': coding, Connection: 'close' }));
        await settles(client.closed);
        const { head, content, rest } = readMessage(client.received);
        expect(head).toMatch(/^transfer-encoding: chunked$/im);
        expect([codingOf(head), rest]).toEqual([coding, '']);
        expect(decodeStrictly(coding, content).toString() === (path === '/small' ? small : large)).toBe(true);
      }
    }
  });

  it('100 Continue, 102 and 103 pass', async () => {
    const running = await serve(bare, compress({ threshold: 0 }), (_req, response) => {
      const res = response as FlushingResponse;
      res.writeProcessing();
      res.writeEarlyHints({ link: '</style.css>; rel=preload' });
      expect(res.headersSent).toBe(false);
      res.setHeader('Content-Type', 'text/plain');
      res.end(small);
    });
    const client = await running.dial();
    client.send(getRequest('/', { 'Accept-Encoding': 'gzip', Expect: '100-continue', Connection: 'close' }));
    await settles(client.closed);
    const heads = client.received.split('\r\n\r\n');
    expect(heads.slice(0, 4).map((head) => head.split('\r\n')[0])).toEqual([
      'HTTP/1.1 100 Continue',
      'HTTP/1.1 102 Processing',
      'HTTP/1.1 103 Early Hints',
      'HTTP/1.1 200 OK',
    ]);
    const { head, content } = readMessage(client.received.slice(client.received.indexOf('HTTP/1.1 200')));
    expect([codingOf(head), decodeStrictly('gzip', content).toString() === small]).toEqual(['gzip', true]);
  });

  it.each<[string, (res: FlushingResponse) => void]>([
    [
      'a flat list',
      (res) =>
        res.writeHead(200, 'Very Well', [
          'Content-Type',
          'text/plain',
          'Content-Length',
          '2',
          'X-Twice',
          'a',
          'X-Twice',
          'b',
        ]),
    ],
    [
      'a list of pairs',
      (res) =>
        res.writeHead(200, 'Very Well', [
          ['Content-Type', 'text/plain'],
          ['Content-Length', '2'],
          ['X-Twice', 'a'],
          ['X-Twice', 'b'],
        ] as never),
    ],
    [
      'an object',
      (res) =>
        res.writeHead(200, 'Very Well', { 'Content-Type': 'text/plain', 'Content-Length': 2, 'X-Twice': ['a', 'b'] }),
    ],
    [
      'a list over fields that are set',
      (res) => {
        res.setHeader('X-Twice', 'c');
        res.setHeader('Content-Length', 9);
        res.writeHead(200, 'Very Well', ['content-type', 'text/plain', 'x-twice', 'a', 'x-twice', 'b']);
      },
    ],
  ])('the status text and the fields of writeHead with %s arrive', async (name, writeHead) => {
    const running = await serve(bare, compress({ threshold: 0 }), (_req, response) => {
      const res = response as FlushingResponse;
      writeHead(res);
      res.end('ok');
    });
    const client = await running.dial();
    client.send(getRequest('/', { 'Accept-Encoding': 'gzip' }));
    await client.waitFor('\r\n0\r\n\r\n');
    const { head, content } = readMessage(client.received);
    expect(head.split('\r\n')[0]).toBe('HTTP/1.1 200 Very Well');
    // Up to Node 20 a list over fields that are set sends the last of them only.
    const twice = name === 'a list over fields that are set' && process.version.startsWith('v20.') ? ['b'] : ['a', 'b'];
    expect(head.match(/^x-twice: .*$/gim)?.map((line) => line.slice(-1))).toEqual(twice);
    expect(decodeStrictly('gzip', content).toString()).toBe('ok');
  });
});
