import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { needsDrain } from '../../src/internal/http/message.ts';
import { type CodedReading, openCoded, type Protocol } from '../support/coded-clients.ts';
import { both, type FlushingResponse, large, small, streamed } from '../support/compress-responses.ts';
import { type CompressSite, useSite, useStack } from '../support/compress-site.ts';
import { allCodings, codings } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { settles, turns, until } from '../support/until.ts';

type Handler = (res: FlushingResponse, log: (line: string) => void) => unknown;

interface Outcome {
  readonly reading: CodedReading;
  readonly log: readonly string[];
}

/** Runs a handler to its end. */
async function play(site: CompressSite, protocol: Protocol, accept: string, handler: Handler): Promise<Outcome> {
  const log: string[] = [];
  const closed = deferred();
  const handled = deferred();
  const reading = await site.visit(
    async (_req, response) => {
      const res = response as FlushingResponse;
      res.on('close', () => closed.resolve());
      try {
        await handler(res, (line) => void log.push(line));
        handled.resolve();
      } catch (error) {
        handled.reject(error);
        res.destroy();
      }
    },
    protocol,
    { accept },
  );
  await settles(reading.over);
  await settles(handled.promise);
  await settles(closed.promise);
  await turns();
  return { reading, log };
}

/** Ways to give a head with the status 201, a type and some length. What node:http2 lacks is for HTTP/1.1 only. */
const heads: readonly (readonly [
  name: string,
  writeHead: (res: FlushingResponse, type: string) => void,
  only?: Protocol,
])[] = [
  [
    'a status',
    (res, type) => {
      res.setHeader('Content-Type', type);
      res.setHeader('Content-Length', 5);
      res.writeHead(201);
    },
  ],
  [
    'a status text',
    (res, type) => {
      res.setHeader('Content-Type', type);
      res.writeHead(201, 'Made Up');
    },
    'HTTP/1.1',
  ],
  [
    'an object',
    (res, type) => res.writeHead(201, { 'Content-Type': type, 'Content-Length': 5, 'X-Given': ['a', 'b'] }),
  ],
  [
    'a status text and an object',
    (res, type) => res.writeHead(201, 'Made Up', { 'content-type': type, 'content-length': '5' }),
  ],
  ['a flat list', (res, type) => res.writeHead(201, ['Content-Type', type, 'CONTENT-LENGTH', '5', 'X-Given', 'a'])],
  [
    'a status text and a flat list',
    (res, type) => res.writeHead(201, 'Made Up', ['Content-Type', type, 'Content-Length', '5']),
    'HTTP/1.1',
  ],
  [
    'fields over those that are set',
    (res, type) => {
      res.setHeader('Content-Length', 7);
      res.setHeader('Content-Type', 'image/png');
      res.writeHead(201, { 'Content-Type': type });
    },
  ],
];

const noted =
  (log: (line: string) => void, name: string) =>
  (error?: Error | null): void =>
    log(error ? `${name}: ${(error as NodeJS.ErrnoException).code ?? error.message}` : name);

describe.each(both)('over %s, as without it,', (protocol, carrier) => {
  const site = useSite(carrier, { threshold: 0, idleFlush: 5 });
  const plain = useStack(carrier, []);

  /** The log of a handler must be the same behind `compress` as without it, and what a client reads too. */
  async function expectSame(handler: Handler, { accept = codings, text = true } = {}): Promise<readonly string[]> {
    const expected = await play(plain, protocol, 'identity', handler);
    for (const coding of accept) {
      const { reading, log } = await play(site, protocol, coding, handler);
      expect([coding, ...log]).toEqual([coding, ...expected.log]);
      expect([reading.coding, reading.status]).toEqual([coding, expected.reading.status]);
      if (text) expect(reading.decode() === expected.reading.decode()).toBe(true);
    }
    return expected.log;
  }

  describe.each(streamed)('of $name', ({ type }) => {
    it('every callback is called once, in the order of the calls, whatever the arguments', async () => {
      const log = await expectSame((res, note) => {
        res.setHeader('Content-Type', type);
        res.write('one ', noted(note, 'write(chunk, cb)'));
        res.write('746f77206d6f726520', 'hex', noted(note, 'write(chunk, encoding, cb)'));
        res.write('gr\u00fc\u00dfe ', 'latin1', noted(note, 'latin1'));
        res.write('YmFzZTY0IA==', 'base64', noted(note, 'base64'));
        res.write(new Uint8Array([66, 121, 116, 101, 32]), noted(note, 'Uint8Array'));
        res.write(Buffer.from('Buffer '), noted(note, 'Buffer'));
        res.end('end', 'utf8', noted(note, 'end'));
        note(`returned ${res.writableEnded}`);
      });
      expect(log).toEqual([
        'returned true',
        'write(chunk, cb)',
        'write(chunk, encoding, cb)',
        'latin1',
        'base64',
        'Uint8Array',
        'Buffer',
        'end',
      ]);
    });

    it.each<[string, Handler]>([
      ['end()', (res) => res.end()],
      ['end(cb)', (res, note) => res.end(noted(note, 'end'))],
      ['end(chunk)', (res) => res.end('last')],
      ['end(chunk, cb)', (res, note) => res.end('last', noted(note, 'end'))],
      ['end(chunk, encoding)', (res) => res.end('6c617374', 'hex')],
      ['end(chunk, encoding, cb)', (res, note) => res.end('6c617374', 'hex', noted(note, 'end'))],
      ['end(bytes, cb)', (res, note) => res.end(new Uint8Array([108, 97]), noted(note, 'end'))],
    ])('%s after a write ends it, and is called back once', async (_name, end) => {
      const log = await expectSame((res, note) => {
        res.setHeader('Content-Type', type);
        res.write('first, ', noted(note, 'write'));
        res.on('finish', () => note('finish'));
        res.on('close', () => note('close'));
        end(res, note);
        note(`ended ${res.writableEnded}, head ${res.headersSent}`);
      });
      expect(log.slice(0, 2)).toEqual(['ended true, head true', 'write']);
    });

    it('refuses what Node refuses', async () => {
      const log = await expectSame((res, note) => {
        res.setHeader('Content-Type', type);
        res.write('first, ');
        for (const chunk of [null, 5, true, undefined]) {
          for (const verb of ['write', 'end'] as const) {
            if (verb === 'end' && chunk == null) continue;
            try {
              (res[verb] as (chunk: unknown) => void).call(res, chunk);
              note(`${verb} ${String(chunk)} passed`);
            } catch (error) {
              note(`${verb} ${String(chunk)}: ${(error as NodeJS.ErrnoException).code}`);
            }
          }
        }
        for (const act of [() => res.setHeader('X-Late', '1'), () => res.writeHead(500)]) {
          try {
            act();
            note('passed');
          } catch (error) {
            note((error as NodeJS.ErrnoException).code ?? 'no code');
          }
        }
        res.end('second');
      });
      expect(log).not.toContain('passed');
    });

    it('the second end is that of Node, with its callback', async () => {
      await expectSame(async (res, note) => {
        res.setHeader('Content-Type', type);
        res.on('error', noted(note, 'error event'));
        res.write('first, ');
        res.end('second', noted(note, 'first end'));
        res.end(noted(note, 'second end'));
        await once(res, 'finish');
        await turns();
        res.end(noted(note, 'third end'));
      });
    });

    it('a write after the end is an error of the response', async () => {
      const log = await expectSame(
        async (res, note) => {
          res.setHeader('Content-Type', type);
          const failed = protocol === 'HTTP/2' ? Promise.resolve([]) : once(res, 'error');
          failed.then(
            ([error]) => {
              if (error) noted(note, 'error event')(error as Error);
            },
            () => undefined,
          );
          res.write('first, ');
          res.end('second');
          note(`write ${res.write('late', noted(note, 'late write'))}`);
          // To a stream of HTTP/2 that write may be the end.
        },
        { text: protocol === 'HTTP/1.1' },
      );
      expect(log).toContain('late write: ERR_STREAM_WRITE_AFTER_END');
    });

    it('finish comes once, before close, and with everything settled', async () => {
      await expectSame((res, note) => {
        res.setHeader('Content-Type', type);
        for (const event of ['prefinish', 'finish', 'close'] as const) {
          res.on(event, () =>
            note(
              `${event}: ended ${res.writableEnded}, finished ${res.writableFinished}, length ${res.writableLength}, drain ${needsDrain(res)}`,
            ),
          );
        }
        res.write('first, ');
        res.end('second');
      });
    });

    it('cork and uncork hold nothing back for good and lose nothing', async () => {
      const log = await expectSame(async (res, note) => {
        res.setHeader('Content-Type', type);
        res.cork();
        res.cork();
        note(`corked ${res.writableCorked}`);
        res.write('one, ');
        const taken = new Promise((resolve) => res.write('two, ', resolve));
        res.uncork();
        await turns();
        res.uncork();
        note(`corked ${res.writableCorked}`);
        await taken;
        // Not corked at the end: Node 22 and 24 then send the last chunk before what is corked.
        res.cork();
        res.write('three, ');
        process.nextTick(() => res.uncork());
        await turns();
        res.end('four');
      });
      expect(log[0]).toBe('corked 2');
    });

    it.each(['flushHeaders', 'flush'] as const)('%s before the first write sends the head, once', async (verb) => {
      await expectSame(async (res, note) => {
        res.setHeader('Content-Type', type);
        if (verb === 'flush') res.flush?.();
        if (!res.headersSent) res.flushHeaders();
        note(`sent ${res.headersSent}`);
        res.flushHeaders();
        await turns();
        res.end('after');
      });
    });

    it.each(
      heads
        .filter(([, , only]) => only === undefined || only === protocol)
        .map(([name, writeHead]) => [name, writeHead] as const),
    )(
      'writeHead with %s keeps its fields, but for Content-Length',
      async (_name, writeHead: (res: FlushingResponse, type: string) => void) => {
        for (const coding of codings) {
          const { reading } = await play(site, protocol, coding, (res) => {
            writeHead(res, type);
            res.write('hel');
            res.end('lo');
          });
          expect([reading.status, reading.coding, reading.decode()]).toEqual([201, coding, 'hello']);
          expect(reading.headers).toMatchObject({ 'content-type': type, 'content-encoding': coding });
          expect(reading.headers).not.toHaveProperty('content-length');
        }
      },
    );

    it('a second writeHead is refused as by Node', async () => {
      await expectSame((res, note) => {
        res.writeHead(200, { 'Content-Type': type });
        try {
          res.writeHead(500, { 'X-Late': '1' });
          note('passed');
        } catch (error) {
          note((error as NodeJS.ErrnoException).code ?? '');
        }
        res.write('body');
        res.end();
      });
    });

    it('trailers arrive', async () => {
      for (const coding of codings) {
        const { reading } = await play(site, protocol, coding, (res) => {
          res.setHeader('Content-Type', type);
          if (protocol === 'HTTP/1.1') res.setHeader('Trailer', 'X-Sum');
          res.write('body');
          res.addTrailers({ 'X-Sum': '42' });
          res.end();
        });
        expect([reading.coding, reading.decode(), reading.trailers['x-sum']]).toEqual([coding, 'body', '42']);
      }
    });
  });

  describe.each([
    ['a complete body', small],
    ['a complete body for the thread pool', large],
  ])('of %s', (_kind, body) => {
    const type = 'application/json';

    it.each<[string, Handler]>([
      ['end(chunk)', (res) => res.end(body)],
      ['end(chunk, cb)', (res, note) => res.end(body, noted(note, 'end'))],
      ['end(chunk, encoding)', (res) => res.end(Buffer.from(body).toString('base64'), 'base64')],
      [
        'end(chunk, encoding, cb)',
        (res, note) => res.end(Buffer.from(body).toString('hex'), 'hex', noted(note, 'end')),
      ],
      ['end(bytes, cb)', (res, note) => res.end(new Uint8Array(Buffer.from(body)), noted(note, 'end'))],
    ])('%s ends it at once to its handler, and is called back once', async (_name, end) => {
      const log = await expectSame((res, note) => {
        res.setHeader('Content-Type', type);
        res.on('finish', () =>
          note(`finish: ended ${res.writableEnded}, finished ${res.writableFinished}, length ${res.writableLength}`),
        );
        res.on('close', () => note('close'));
        note(`returned the response ${end(res, note) === res}`);
        note(`ended ${res.writableEnded}, head ${res.headersSent}, drain ${needsDrain(res)}`);
      });
      expect(log.slice(0, 2)).toEqual(['returned the response true', 'ended true, head true, drain false']);
    });

    it('fields and heads that come after the end are refused as by Node', async () => {
      const log = await expectSame((res, note) => {
        res.setHeader('Content-Type', type);
        res.end(body);
        const late: [string, () => unknown][] = [
          ['setHeader', () => res.setHeader('X-Late', '1')],
          ['appendHeader', () => res.appendHeader('X-Late', '1')],
          ['removeHeader', () => res.removeHeader('Content-Type')],
          ['writeHead', () => res.writeHead(500)],
          ['flushHeaders', () => res.flushHeaders()],
        ];
        for (const [name, act] of late) {
          try {
            act();
            note(`${name} passed`);
          } catch (error) {
            note(`${name} ${(error as NodeJS.ErrnoException).code}`);
          }
        }
      });
      if (protocol === 'HTTP/1.1') expect(log[0]).toBe('setHeader ERR_HTTP_HEADERS_SENT');
    });

    it('a write after the end is an error of the response, and a second end is none', async () => {
      await expectSame(
        (res, note) => {
          res.setHeader('Content-Type', type);
          res.on('error', noted(note, 'error event'));
          res.end(body, noted(note, 'first end'));
          res.write('late', noted(note, 'late write'));
          res.end(noted(note, 'second end'));
          // To a stream of HTTP/2 that write may be the end.
        },
        { text: protocol === 'HTTP/1.1' },
      );
    });

    it('its status text and fields stay, and its length is that of the coding', async () => {
      for (const coding of codings) {
        const { reading } = await play(site, protocol, coding, (res) => {
          res.writeHead(203, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body), 'X-Given': 'yes' });
          res.end(body);
        });
        expect(reading).toMatchObject({ status: 203, coding });
        expect(reading.headers).toMatchObject({ 'x-given': 'yes' });
        // The head is fixed by `writeHead`, before the body is there.
        expect(reading.headers['content-length']).toBeUndefined();
        expect(reading.decode() === body).toBe(true);
      }
    });

    it('trailers arrive, in chunks', async () => {
      for (const coding of allCodings) {
        const { reading } = await play(site, protocol, coding, (res) => {
          res.setHeader('Content-Type', type);
          if (protocol === 'HTTP/1.1') res.setHeader('Trailer', 'X-Sum');
          res.addTrailers({ 'X-Sum': '42' });
          res.end(body);
        });
        expect([reading.coding, reading.decode() === body, reading.trailers['x-sum']]).toEqual([coding, true, '42']);
        if (protocol === 'HTTP/1.1') expect(reading.headers['content-length']).toBeUndefined();
      }
    });
  });

  it('a complete body that is being encoded when its response is destroyed is never sent', async () => {
    for (const coding of codings) {
      const log: string[] = [];
      const path = site.answer((_req, response) => {
        const res = response as FlushingResponse;
        res.setHeader('Content-Type', 'application/json');
        res.on('close', () => log.push('close'));
        res.end(large, () => log.push('end'));
        res.destroy(new Error('enough'));
      });
      const outcome = openCoded(site.running, protocol, { path, accept: coding }).then(
        (reading) => settles(reading.over),
        () => 'refused',
      );
      expect(await settles(outcome)).not.toBe('end');
      await until(() => log.includes('close'));
      expect(log).toEqual(['close']);
    }
  });
});
