import type { ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import compression from 'compression';
import type { Response } from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { HeartbeatParser, heartbeat, type HeartbeatOptions } from '../../src/heartbeat/index.ts';
import { type EventStream, jsonSeq, ndjson, pipeBody, sse } from '../../src/index.ts';
import { bare, type Carrier, carriers, h2c, http1Carriers, type Middleware } from '../support/carriers.ts';
import { type CodedReading, openCoded } from '../support/coded-clients.ts';
import { codings } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { EventParser, parseEvents } from '../support/event-parser.ts';
import { parseJsonSeq, parseNdjson } from '../support/record-parser.ts';
import { connectRaw, getRequest, parseChunked } from '../support/raw.ts';
import { serve, type Served } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

// Nobody is to be given up here, however slow the machine.
const lenient = { every: 5, readDeadline: '5m', writeDeadline: '5m', failures: 1000 };

function beats(options?: HeartbeatOptions): Middleware & { registry: ReturnType<typeof heartbeat>['registry'] } {
  return heartbeat({ ...lenient, ...options }) as Middleware & { registry: ReturnType<typeof heartbeat>['registry'] };
}

/** Answers by the path. */
function site(handlers: Readonly<Record<string, Middleware>>): Middleware {
  return (req, res, next) => (handlers[req.url ?? ''] ?? expect.unreachable(`nothing at ${req.url}`))(req, res, next);
}

/** An event stream that is silent: it has had so many heartbeats, so others could have. */
const quiet: Middleware = (_req, response) => {
  const res = response as ServerResponse;
  res.setHeader('Content-Type', 'text/event-stream');
  res.flushHeaders();
};

/** Waits until a stream beside has had some more heartbeats: then one that may have them has them too. */
async function someBeats(running: Served, count = 2): Promise<void> {
  const reading = await running.visit({ path: '/quiet' });
  await until(
    () => occurrences(reading.text, ':\n') >= count,
    () => `the quiet stream has ${JSON.stringify(reading.text)}`,
  );
  reading.destroy();
}

function occurrences(text: string, part: string): number {
  return text.split(part).length - 1;
}

/** A handler that writes by `res.write` what a test says, when it says so. */
function written(type: string, fields: Record<string, string> = {}) {
  const opened = deferred<ServerResponse>();
  const handler: Middleware = (_req, response) => {
    const res = response as ServerResponse;
    res.writeHead(200, { 'Content-Type': type, ...fields });
    res.flushHeaders();
    opened.resolve(res);
  };
  return { handler, opened: opened.promise };
}

async function coded(running: Served, carrier: Carrier, accept: string | undefined, path = '/'): Promise<CodedReading> {
  const reading = await openCoded(running, carrier.protocol === 'http2' ? 'HTTP/2' : 'HTTP/1.1', { path, accept });
  onTestFinished(() => reading.destroy());
  return reading;
}

const recordTypes = [
  [
    'application/x-ndjson',
    '\n',
    '{"a":1}\n',
    (text: string): unknown[] =>
      parseNdjson(
        text
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => `${line}\n`)
          .join(''),
      ),
  ],
  [
    'application/json-seq',
    '\u001e\n',
    '\u001e{"a":1}\n',
    (text: string): unknown[] =>
      parseJsonSeq(
        text
          .split('\u001e')
          .filter((element) => element.trim() !== '')
          .map((element) => `\u001e${element}`)
          .join(''),
      ),
  ],
] as const;

describe.each(carriers)('heartbeats on $name', (carrier) => {
  it('come on an event stream that is silent, and not into its events', async () => {
    const streams: EventStream[] = [];
    const mounted = beats();
    const running = await serve(
      carrier,
      mounted,
      sse((stream) => void streams.push(stream)),
    );
    const reading = await running.visit();
    await until(
      () => occurrences(reading.text, ':\n') >= 3,
      () => reading.text,
    );
    await streams[0]!.send({ event: 'tick', id: '1', data: 'one\ntwo' });
    await until(
      () => reading.text.includes('data: two\n\n:\n'),
      () => reading.text,
    );
    await streams[0]!.end();
    expect(await settles(reading.over)).toBe('end');
    expect(parseEvents(reading.text)).toEqual([{ type: 'tick', data: 'one\ntwo', lastEventId: '1' }]);
    expect(reading.text.replaceAll(/^:\n/gm, '')).toBe(':ok\nevent: tick\nid: 1\ndata: one\ndata: two\n\n');
    await until(() => mounted.registry.stats().connections === 0);
    expect(mounted.registry.stats().heartbeats).toBeGreaterThanOrEqual(4);
    expect(running.errors).toEqual([]);
  });

  it('come by `res.write` between events, and a handler that is stalled in the middle of one gets none', async () => {
    const { handler, opened } = written('text/event-stream; charset=utf-8');
    const running = await serve(carrier, beats(), site({ '/': handler, '/quiet': quiet }));
    const reading = await running.visit();
    const res = await opened;
    await until(() => reading.text.startsWith(':\n'.repeat(3)));
    for (const half of ['data: he', 'llo\n', 'data: world\n', ': a comment is no end\n', 'id: 7\r']) {
      res.write(half);
      await until(() => reading.text.endsWith(half));
      const before = reading.text;
      await someBeats(running);
      expect(reading.text).toBe(before);
    }
    res.write('\n\r\n');
    await until(() => /\n\r\n(:\n){2}/.test(reading.text));
    res.end('data: last\n\n');
    expect(await settles(reading.over)).toBe('end');
    expect(parseEvents(reading.text)).toEqual([
      { type: 'message', data: 'hello\nworld', lastEventId: '7' },
      { type: 'message', data: 'last', lastEventId: '7' },
    ]);
  });

  it.each(recordTypes)('come on %s between records, never inside of one', async (type, beat, record, parse) => {
    const { handler, opened } = written(type);
    const running = await serve(carrier, beats(), site({ '/': handler, '/quiet': quiet }));
    const reading = await running.visit();
    const res = await opened;
    await until(() => reading.text.startsWith(beat.repeat(3)));
    const half = record.slice(0, -3);
    res.write(half);
    await until(() => reading.text.endsWith(half));
    const before = reading.text;
    await someBeats(running);
    expect(reading.text).toBe(before);
    res.write(record.slice(-3));
    await until(() => reading.text.includes(`${record}${beat}${beat}`));
    res.end(record);
    expect(await settles(reading.over)).toBe('end');
    expect(parse(reading.text)).toEqual([{ a: 1 }, { a: 1 }]);
  });

  it.each([
    ['NDJSON', ndjson, '\n', '{"a":1}\n'],
    ['JSON sequences', jsonSeq, '\u001e\n', '\u001e{"a":1}\n'],
  ] as const)('come on %s by the library', async (_name, make, beat, record) => {
    const goOn = deferred();
    const running = await serve(
      carrier,
      beats(),
      make(async function* () {
        yield { a: 1 };
        await goOn.promise;
        yield { a: 1 };
      }),
    );
    const reading = await running.visit();
    await until(
      () => reading.text.startsWith(record + beat.repeat(3)),
      () => JSON.stringify(reading.text),
    );
    goOn.resolve();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text.endsWith(record)).toBe(true);
    expect(occurrences(reading.text, record)).toBe(2);
  });

  it.each(['text/event-stream', 'application/x-ndjson'])('come on %s that is piped', async (type) => {
    const [beat, item] = type === 'text/event-stream' ? [':\n', 'data: piped\n\n'] : ['\n', '"piped"\n'];
    const goOn = [deferred(), deferred()] as const;
    const running = await serve(
      carrier,
      beats(),
      site({
        '/quiet': quiet,
        '/': async (req, res, next) => {
          (res as ServerResponse).setHeader('Content-Type', type);
          await pipeBody(
            (async function* () {
              yield item.slice(0, 5);
              await goOn[0].promise;
              yield item.slice(5);
              await goOn[1].promise;
              yield item;
            })(),
            req,
            res,
          ).catch(next);
        },
      }),
    );
    const reading = await running.visit();
    await someBeats(running);
    expect(reading.text).toBe(item.slice(0, 5));
    goOn[0].resolve();
    await until(() => reading.text.startsWith(item + beat.repeat(3)));
    goOn[1].resolve();
    expect(await settles(reading.over)).toBe('end');
    expect(
      reading.text.replaceAll(beat, type === 'text/event-stream' ? '' : '\n').replaceAll(/\n+(?=")/g, '\n'),
    ).toContain(item);
    expect(occurrences(reading.text, item)).toBe(2);
  });

  it('come as frames on binary streams that were named: with each write, or by a length in front of each', async () => {
    const writes = written('application/x-writes');
    const lengths = written('application/x-lengths');
    const running = await serve(
      carrier,
      beats({ frames: { 'application/x-writes': 'write', 'application/x-lengths': { lengthBytes: 2 } } }),
      site({ '/writes': writes.handler, '/lengths': lengths.handler, '/quiet': quiet }),
    );
    const read = async (
      path: string,
    ): Promise<{ reading: CodedReading; parsed: () => { heartbeats: number; data: number[] } }> => {
      const reading = await coded(running, carrier, undefined, path);
      return {
        reading,
        parsed: () => {
          const parser = new HeartbeatParser();
          const { data } = parser.push(reading.content);
          return { heartbeats: parser.heartbeats, data: [...data.flatMap((piece) => [...piece]), ...parser.end()] };
        },
      };
    };
    const byWrites = await read('/writes');
    const res = await writes.opened;
    await until(() => byWrites.parsed().heartbeats >= 2);
    res.write(Buffer.of(1, 2, 3));
    await until(() => byWrites.parsed().data.length === 3);
    const beaten = byWrites.parsed().heartbeats;
    await until(() => byWrites.parsed().heartbeats >= beaten + 2);
    expect(byWrites.parsed().data).toEqual([1, 2, 3]);

    const byLengths = await read('/lengths');
    const other = await lengths.opened;
    await until(() => byLengths.parsed().heartbeats >= 2);
    other.write(Buffer.of(0));
    other.write(Buffer.of(4, 9, 9));
    await until(() => byLengths.parsed().data.length === 4);
    const before = byLengths.reading.content;
    await someBeats(running);
    expect(byLengths.reading.content.equals(before)).toBe(true);
    other.write(Buffer.of(9, 9));
    const count = byLengths.parsed().heartbeats;
    await until(() => byLengths.parsed().heartbeats >= count + 2);
    expect(byLengths.parsed().data).toEqual([0, 4, 9, 9, 9, 9]);
    res.end();
    other.end();
    expect([await settles(byWrites.reading.over), await settles(byLengths.reading.over)]).toEqual(['end', 'end']);
  });

  it('are longer, or seen, where that is asked for', async () => {
    const opened: (readonly [string, ReturnType<typeof written>])[] = [
      'text/event-stream',
      'application/x-ndjson',
      'application/json-seq',
    ].map((type) => [type, written(type)]);
    const handlers = Object.fromEntries(opened.map(([type, { handler }]) => [`/${type}`, handler]));
    const plain = await serve(carrier, beats({ padding: 1500 }), site(handlers));
    const seen = await serve(carrier, beats({ padding: 40, event: 'alive', record: { alive: true } }), site(handlers));
    const [events, lines, elements] = await Promise.all(opened.map(([type]) => plain.visit({ path: `/${type}` })));
    await until(
      () => events!.text.length >= 3 * 1503 && lines!.text.length >= 3 * 1501 && elements!.text.length >= 3 * 1502,
    );
    const { comments, events: none } = new EventParser().push(Buffer.from(events!.text));
    expect([none, comments.every((comment) => comment.trim() === '')]).toEqual([[], true]);
    expect([lines!.text.trim(), elements!.text.replaceAll('\u001e', '').trim()]).toEqual(['', '']);

    const [visible, records, sequence] = await Promise.all(opened.map(([type]) => seen.visit({ path: `/${type}` })));
    await until(
      () =>
        parseEvents(visible!.text).length >= 3 &&
        occurrences(records!.text, 'alive') >= 3 &&
        occurrences(sequence!.text, 'alive') >= 3,
    );
    expect(parseEvents(visible!.text)[0]).toEqual({ type: 'alive', data: '', lastEventId: '' });
    expect(records!.text.startsWith('{"alive":true}\n')).toBe(true);
    expect(sequence!.text.startsWith('\u001e{"alive":true}\n')).toBe(true);
  });

  it('leave a BOM that comes after them where a client strips it, and bytes that are none', async () => {
    for (const [pieces, data] of [
      [['\uFEFFdata: one\n\n'], 'one'],
      [[Buffer.of(0xef), Buffer.of(0xbb), Buffer.of(0xbf), 'data: two\n\n'], 'two'],
      [['\uFEFF', 'data: three\n\n'], 'three'],
      [[Buffer.from('data: \uFEFFfour\n\n')], '\uFEFFfour'],
    ] as const) {
      const { handler, opened } = written('text/event-stream');
      const running = await serve(carrier, beats(), handler);
      const reading = await coded(running, carrier, undefined);
      const res = await opened;
      await until(() => reading.text.startsWith(':\n'.repeat(2)));
      const called: unknown[] = [];
      for (const piece of pieces) {
        expect(res.write(piece, (error) => void called.push(error ?? 'written'))).toBe(true);
        await new Promise((resolve) => setImmediate(resolve));
      }
      // The event, then a heartbeat.
      await until(
        () => reading.text.includes(`${data}\n\n:\n`),
        () => JSON.stringify(reading.text),
      );
      expect(parseEvents(reading.text)).toMatchObject([{ data }]);
      expect(called).toEqual(pieces.map(() => 'written'));
      res.end();
      expect(await settles(reading.over)).toBe('end');
    }
  });

  it('never come in a body that is not a stream of ours to write in', async () => {
    const coded = gzipSync('data: x\n\n');
    const handlers: Record<string, Middleware> = {
      '/quiet': quiet,
      '/length': written('text/event-stream', { 'Content-Length': '20' }).handler,
      '/coded': written('text/event-stream', { 'Content-Encoding': 'gzip' }).handler,
      '/digest': written('text/event-stream', { 'Content-Digest': 'sha-256=:x:' }).handler,
      '/text': written('text/plain').handler,
      '/none': (_req, response) => {
        const res = response as ServerResponse;
        res.setHeader('Content-Type', 'text/event-stream');
        res.statusCode = 204;
        res.end();
      },
      '/whole': (_req, response) => {
        const res = response as ServerResponse;
        res.setHeader('Content-Type', 'application/x-ndjson');
        res.end('"whole"\n');
      },
      '/filtered': written('text/event-stream').handler,
    };
    // What says nothing has nothing against it.
    const mounted = beats({ filter: (req) => (req.url === '/filtered' ? false : undefined) });
    const running = await serve(carrier, mounted, site(handlers));
    const open = ['/length', '/coded', '/digest', '/text', '/filtered'];
    const silent = await Promise.all(open.map((path) => running.visit({ path })));
    const over = await Promise.all([
      running.visit({ path: '/none' }),
      running.visit({ path: '/whole' }),
      running.visit({ path: '/text', method: 'HEAD' }).then((reading) => reading),
    ]);
    await someBeats(running, 5);
    expect(silent.map(({ text }) => text)).toEqual(open.map(() => ''));
    expect(over.map(({ status, text }) => [status, text])).toEqual([
      [204, ''],
      [200, '"whole"\n'],
      [200, ''],
    ]);
    if (carrier.protocol === 'http1') expect(over[1]!.headers['content-length']).toBe('8');
    expect(mounted.registry.connections().map(({ label }) => label)).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/length|coded|digest|text|none|whole|filtered/)]),
    );
    expect(gunzipSync(coded).toString()).toBe('data: x\n\n');
  });

  it('are no business of HEAD of an event stream', async () => {
    const mounted = beats();
    const running = await serve(
      carrier,
      mounted,
      site({ '/': sse(() => expect.unreachable()) as Middleware, '/quiet': quiet }),
    );
    const reading = await running.visit({ method: 'HEAD' });
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text, mounted.registry.stats().connections]).toEqual([200, '', 0]);
  });
});

/** The codings for streams, in every order of mounting that makes a difference. */
const orders = ['heartbeat first', 'compress first'] as const;

describe.each([bare, h2c])('heartbeats and compress on $name', (carrier) => {
  describe.each(codings)('coded with %s', (coding) => {
    const stack = (order: (typeof orders)[number], options?: HeartbeatOptions): Middleware[] => {
      const both = [beats(options), compress({ threshold: 0 }) as Middleware];
      return order === 'heartbeat first' ? both : both.reverse();
    };

    it.each(orders)('arrive while the stream is open, %s', async (order) => {
      const streams: EventStream[] = [];
      const running = await serve(
        carrier,
        ...stack(order),
        sse((stream) => void streams.push(stream)),
      );
      const reading = await coded(running, carrier, coding);
      expect(reading.coding).toBe(coding);
      await until(
        () => reading.text.startsWith(`:ok\n${':\n'.repeat(3)}`),
        () => JSON.stringify(reading.text),
      );
      await streams[0]!.send('event');
      await until(
        () => reading.text.includes('data: event\n\n:\n:\n'),
        () => JSON.stringify(reading.text),
      );
      await streams[0]!.end();
      expect(await settles(reading.over)).toBe('end');
      expect(parseEvents(reading.decode())).toMatchObject([{ data: 'event' }]);
    });

    it.each(orders)('arrive between what `res.write` writes in halves, %s', async (order) => {
      const { handler, opened } = written('text/event-stream');
      const running = await serve(carrier, ...stack(order), site({ '/': handler, '/quiet': quiet }));
      const reading = await coded(running, carrier, coding);
      const res = await opened;
      await until(
        () => occurrences(reading.text, ':\n') >= 2,
        () => JSON.stringify(reading.text),
      );
      res.write('data: a ha');
      await until(
        () => reading.text.endsWith('a ha'),
        () => JSON.stringify(reading.text),
      );
      const before = reading.text;
      await someBeats(running);
      expect(reading.text).toBe(before);
      res.write('lf\n\n');
      await until(
        () => reading.text.includes('a half\n\n:\n:\n'),
        () => JSON.stringify(reading.text),
      );
      res.end();
      expect(await settles(reading.over)).toBe('end');
      expect(parseEvents(reading.decode())).toMatchObject([{ data: 'a half' }]);
    });

    it.each(recordTypes)('arrive on %s', async (type, beat, record, parse) => {
      const { handler, opened } = written(type);
      const running = await serve(carrier, ...stack('compress first'), handler);
      const reading = await coded(running, carrier, coding);
      const res = await opened;
      await until(
        () => reading.text.length >= 3 * beat.length,
        () => JSON.stringify(reading.text),
      );
      res.write(record);
      await until(
        () => reading.text.includes(record + beat.repeat(2)),
        () => JSON.stringify(reading.text),
      );
      res.end();
      expect(await settles(reading.over)).toBe('end');
      expect(parse(reading.decode())).toEqual([{ a: 1 }]);
    });
  });
});

describe.each(http1Carriers)('heartbeats and `compression` on $name', (carrier) => {
  const third = compression({ threshold: 0 }) as unknown as Middleware;

  it('arrive flushed where it is mounted first: they are under what it encodes', async () => {
    const streams: EventStream[] = [];
    const running = await serve(
      carrier,
      third,
      beats(),
      sse((stream) => void streams.push(stream), { headers: { 'Cache-Control': 'no-cache' } }),
    );
    const reading = await coded(running, carrier, 'gzip');
    expect(reading.coding).toBe('gzip');
    await until(
      () => occurrences(reading.text, ':\n') >= 3,
      () => JSON.stringify(reading.text),
    );
    await streams[0]!.send('event');
    await until(
      () => reading.text.includes('data: event\n\n:\n'),
      () => JSON.stringify(reading.text),
    );
    await streams[0]!.end();
    expect(await settles(reading.over)).toBe('end');
    expect(parseEvents(reading.decode())).toMatchObject([{ data: 'event' }]);
  });

  it('do not come where it is mounted after: they would be in the middle of its coding', async () => {
    const streams: EventStream[] = [];
    const mounted = beats();
    const stream = sse((opened) => void streams.push(opened), {
      headers: { 'Cache-Control': 'no-cache' },
    }) as Middleware;
    const running = await serve(
      carrier,
      mounted,
      site({ '/': (req, res, next) => third(req, res, () => void stream(req, res, next)), '/quiet': quiet }),
    );
    const reading = await coded(running, carrier, 'gzip');
    expect(reading.coding).toBe('gzip');
    await someBeats(running);
    await until(
      () => reading.text === ':ok\n',
      () => JSON.stringify(reading.text),
    );
    await streams[0]!.send('event');
    await streams[0]!.end();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.decode()).toBe(':ok\ndata: event\n\n');
  });
});

/** What a handler sees of its own response. */
type Trace = string[];

interface Answer {
  readonly name: string;
  readonly answer: (res: ServerResponse, trace: Trace) => unknown;
  readonly only?: 'Express';
}

const file = fileURLToPath(import.meta.url);
const big = Buffer.alloc(3_000_000, 'big ');

const answers: readonly Answer[] = [
  { name: 'res.json', only: 'Express', answer: (res) => (res as unknown as Response).json({ a: 1, text: 'grüße' }) },
  { name: 'res.send of a text', only: 'Express', answer: (res) => (res as unknown as Response).send('hello') },
  {
    name: 'res.send of bytes',
    only: 'Express',
    answer: (res) => (res as unknown as Response).type('application/octet-stream').send(big),
  },
  {
    name: 'res.sendFile',
    only: 'Express',
    answer: (res) => void (res as unknown as Response).sendFile(file, { lastModified: false }),
  },
  { name: 'res.redirect', only: 'Express', answer: (res) => (res as unknown as Response).redirect('/elsewhere') },
  { name: 'res.end alone', answer: (res) => res.end() },
  { name: 'res.end of a text', answer: (res, trace) => res.end('text', () => void trace.push('ended')) },
  {
    name: 'writes in one tick',
    answer: (res, trace) => {
      for (const part of ['one ', 'two ', 'three'])
        trace.push(`write ${String(res.write(part, () => void trace.push(`written ${part}`)))}`);
      res.end(() => void trace.push('ended'));
    },
  },
  {
    name: 'writes in several ticks',
    answer: async (res, trace) => {
      res.writeHead(201, 'Made', { 'X-Own': 'yes', 'Content-Type': 'text/plain' });
      for (const part of ['one ', 'two ']) {
        res.write(part, 'utf8', () => void trace.push(`written ${part}`));
        await new Promise((resolve) => setImmediate(resolve));
      }
      res.end(Buffer.from('three'));
    },
  },
  {
    name: 'a head as a list',
    answer: (res) => res.writeHead(200, ['X-A', '1', 'X-B', '2', 'Content-Length', '4']).end('body'),
  },
  { name: 'status 204', answer: (res) => res.writeHead(204).end() },
  { name: 'status 304', answer: (res) => res.writeHead(304, { ETag: '"x"' }).end() },
  {
    name: 'a length that was told',
    answer: async (res) => {
      res.writeHead(200, { 'Content-Length': 10, 'Content-Type': 'text/event-stream' });
      res.write('data: ');
      await new Promise((resolve) => setTimeout(resolve, 40));
      res.end('x\n\n\n');
    },
  },
  {
    name: 'trailers',
    answer: (res) => {
      res.setHeader('Trailer', 'X-Sum');
      res.write('body');
      res.addTrailers({ 'X-Sum': '1' });
      res.end();
    },
  },
  {
    name: 'an answer that waits for drain',
    answer: async (res, trace) => {
      res.setHeader('Content-Type', 'application/octet-stream');
      const full = !res.write(big);
      trace.push(`full ${String(full)} need ${String(res.writableNeedDrain)}`);
      await new Promise((resolve) => res.once('drain', resolve));
      trace.push(`drain ${res.writableLength}`);
      res.end(big, () => void trace.push('ended'));
    },
  },
  {
    name: 'calls that Node refuses',
    answer: (res, trace) => {
      for (const call of [
        () => res.write(null as never),
        () => res.writeHead(200, ['odd']),
        () => res.setHeader('X', undefined as never),
      ]) {
        try {
          call();
        } catch (error) {
          trace.push((error as NodeJS.ErrnoException).code ?? 'thrown');
        }
      }
      res.end('fine');
    },
  },
];

async function bytesOf(
  carrier: Carrier,
  before: Middleware[],
  { answer }: Answer,
  fields: Record<string, string>,
): Promise<{ bytes: string; trace: Trace }> {
  const trace: Trace = [];
  const closed = deferred();
  const running = await serve(carrier, ...before, async (_req, response) => {
    const res = response as ServerResponse;
    res.sendDate = false;
    for (const event of ['finish', 'close'] as const)
      res.on(event, () => void trace.push(`${event} ${String(res.writableEnded)} ${String(res.writableFinished)}`));
    res.on('close', () => closed.resolve());
    await answer(res, trace);
  });
  const client = await connectRaw(running.port);
  onTestFinished(() => client.destroy());
  client.send(getRequest('/', { Connection: 'close', ...fields }));
  await settles(client.closed);
  await settles(closed.promise);
  return { bytes: client.received, trace };
}

/**
 * A message with its fields in the order of their names: Node puts a length that it finds out by itself after
 * `Connection`.
 */
function sorted(bytes: string): string {
  const end = bytes.indexOf('\r\n\r\n');
  const [status, ...fields] = bytes.slice(0, end).split('\r\n');
  return [status, ...fields.sort()].join('\r\n') + bytes.slice(end);
}

describe.each(http1Carriers)('any other response on $name', (carrier) => {
  it.each(answers.filter(({ only }) => only === undefined || carrier.name.startsWith(only)))(
    'is the same with heartbeats and without: $name',
    async (each) => {
      // As one that asks for a stream, and gets something else.
      const fields = { Accept: 'text/event-stream' };
      const without = await bytesOf(carrier, [], each, fields);
      const mounted = beats();
      const withThem = await bytesOf(carrier, [mounted], each, fields);
      expect(
        sorted(withThem.bytes) === sorted(without.bytes),
        `${withThem.bytes.slice(0, 400)}\n---\n${without.bytes.slice(0, 400)}`,
      ).toBe(true);
      expect(without.bytes.length).toBeGreaterThan(20);
      expect(withThem.trace).toEqual(without.trace);
      expect(mounted.registry.stats()).toMatchObject({ connections: 0, heartbeats: 0, ended: {} });
    },
  );
});

describe('a stream', () => {
  it('of which every write is called back once, in order, with the heartbeats between', async () => {
    for (const carrier of [bare, h2c]) {
      const { handler, opened } = written('text/event-stream');
      const running = await serve(carrier, beats(), handler);
      const reading = await running.visit();
      const res = await opened;
      const called: number[] = [];
      for (let index = 0; index < 5; index++) {
        res.write(`data: ${index}\n\n`, () => void called.push(index));
        const count = occurrences(reading.text, ':\n');
        await until(() => occurrences(reading.text, ':\n') > count + 1);
      }
      res.end(() => void called.push(5));
      expect(await settles(reading.over)).toBe('end');
      await until(() => called.length === 6);
      expect(called).toEqual([0, 1, 2, 3, 4, 5]);
      expect(parseEvents(reading.text).map(({ data }) => data)).toEqual(['0', '1', '2', '3', '4']);
    }
  });

  it('is framed in whole chunks, each heartbeat in one of its own', async () => {
    const { handler, opened } = written('text/event-stream');
    const running = await serve(bare, beats(), handler);
    const client = await running.dial();
    client.send(getRequest('/'));
    const res = await opened;
    await client.waitFor((received) => received.includes('\r\n\r\n') && parseChunked(received).chunks.length >= 3);
    expect(new Set(parseChunked(client.received).chunks)).toEqual(new Set([':\n']));
    res.end();
    await client.waitFor((received) => parseChunked(received).complete);
  });

  it('that waits for its turn on a connection gets none, and none goes into the response before it', async () => {
    const first = written('text/plain');
    const second = written('text/event-stream');
    const running = await serve(
      bare,
      beats(),
      site({ '/first': first.handler, '/second': second.handler, '/quiet': quiet }),
    );
    const client = await running.dial();
    client.send(getRequest('/first') + getRequest('/second'));
    const [before, after] = [await first.opened, await second.opened];
    await someBeats(running);
    before.end('the first');
    await client.waitFor(
      (received) =>
        received.includes('0\r\n\r\n') &&
        parseChunked(received).complete &&
        parseChunked(parseChunked(received).rest).chunks.length >= 2,
    );
    const message = parseChunked(client.received);
    expect(message.chunks).toEqual(['the first']);
    expect(new Set(parseChunked(message.rest).chunks)).toEqual(new Set([':\n']));
    after.end();
    await client.waitFor((received) => parseChunked(parseChunked(received).rest).complete);
  });

  it('has one pulse however often it is mounted: the options of the one nearest to the handler hold', async () => {
    const [outer, inner] = [beats({ event: 'outer' }), beats({ event: 'inner' })];
    const running = await serve(bare, outer, inner, quiet);
    const reading = await running.visit();
    await until(() => parseEvents(reading.text).length >= 3);
    expect(new Set(parseEvents(reading.text).map(({ type }) => type))).toEqual(new Set(['inner']));
    expect([outer.registry.stats().connections, inner.registry.stats().connections]).toEqual([0, 1]);
  });

  it('mounted behind a head that has been sent is left alone', async () => {
    const mounted = beats();
    const running = await serve(
      bare,
      site({
        '/': (req, response, next) => {
          const res = response as ServerResponse;
          res.writeHead(200, { 'Content-Type': 'text/event-stream' });
          res.flushHeaders();
          void mounted(req, res, () => void next());
        },
        '/quiet': (req, res, next) => void mounted(req, res, () => void quiet(req, res, next)),
      }),
      (_req, res) => void (res as ServerResponse).end('data: x\n\n'),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.text, mounted.registry.stats().heartbeats]).toEqual(['data: x\n\n', 0]);
  });

  it('whose filter throws has none, and the error is no more than reported', async () => {
    const mounted = beats({
      filter: (req) => {
        if (req.url === '/') throw new Error('from the filter');
        return true;
      },
    });
    const { handler, opened } = written('text/event-stream');
    const running = await serve(bare, mounted, site({ '/': handler, '/quiet': quiet }));
    const reading = await running.visit();
    const res = await opened;
    await someBeats(running);
    res.end('data: x\n\n');
    expect(await settles(reading.over)).toBe('end');
    expect([reading.text, running.errors]).toEqual(['data: x\n\n', []]);
  });
});
