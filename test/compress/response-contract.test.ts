import { once } from 'node:events';
import http, { type ServerResponse } from 'node:http';
import { Transform, type TransformCallback } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Codec, compress } from '../../src/compress/index.ts';
import { needsDrain } from '../../src/internal/message.ts';
import { bare, type Carrier, h2c, listen, type Middleware } from '../support/carriers.ts';
import { type CodedReading, openCoded, type Protocol } from '../support/coded-clients.ts';
import { type CompressSite, useSite, useStack } from '../support/compress-site.ts';
import { allCodings, type Coding, codings, decodeStrictly } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { attend, serve } from '../support/serve.ts';
import { noise, prose } from '../support/texts.ts';
import { settles, turns, until } from '../support/until.ts';

type Response = ServerResponse & { flush(callback?: () => void): void };
type Handler = (res: Response, log: (line: string) => void) => unknown;

/** How a body is made, and with it which of the engines is at work. */
interface Engine {
  readonly name: string;
  readonly type: string;
}

const events: Engine = { name: 'an event stream', type: 'text/event-stream' };
const long: Engine = { name: 'a long body', type: 'text/plain; charset=utf-8' };
const streamed = [events, long];

/** Complete bodies below and above what the thread pool gets. */
const small = prose(4000);
const large = prose(300_000);

interface Outcome {
  readonly reading: CodedReading;
  readonly log: readonly string[];
}

/** Runs a handler to its end. */
async function play(site: CompressSite, protocol: Protocol, accept: string, handler: Handler): Promise<Outcome> {
  const log: string[] = [];
  const closed = deferred();
  const handled = deferred();
  const reading = await site.visit(async (_req, response) => {
    const res = response as Response;
    res.on('close', () => closed.resolve());
    try {
      await handler(res, (line) => void log.push(line));
      handled.resolve();
    } catch (error) {
      handled.reject(error);
      res.destroy();
    }
  }, protocol, { accept });
  await settles(reading.over);
  await settles(handled.promise);
  await settles(closed.promise);
  await turns();
  return { reading, log };
}

/** Ways to give a head with the status 201, a type and some length. What node:http2 lacks is for HTTP/1.1 only. */
const heads: readonly (readonly [name: string, writeHead: (res: Response, type: string) => void, only?: Protocol])[] = [
  ['a status', (res, type) => {
    res.setHeader('Content-Type', type);
    res.setHeader('Content-Length', 5);
    res.writeHead(201);
  }],
  ['a status text', (res, type) => {
    res.setHeader('Content-Type', type);
    res.writeHead(201, 'Made Up');
  }, 'HTTP/1.1'],
  ['an object', (res, type) => res.writeHead(201, { 'Content-Type': type, 'Content-Length': 5, 'X-Given': ['a', 'b'] })],
  ['a status text and an object', (res, type) => res.writeHead(201, 'Made Up', { 'content-type': type, 'content-length': '5' })],
  ['a flat list', (res, type) => res.writeHead(201, ['Content-Type', type, 'CONTENT-LENGTH', '5', 'X-Given', 'a'])],
  ['a status text and a flat list', (res, type) => res.writeHead(201, 'Made Up', ['Content-Type', type, 'Content-Length', '5']), 'HTTP/1.1'],
  ['fields over those that are set', (res, type) => {
    res.setHeader('Content-Length', 7);
    res.setHeader('Content-Type', 'image/png');
    res.writeHead(201, { 'Content-Type': type });
  }],
];

const noted = (log: (line: string) => void, name: string) => (error?: Error | null): void => log(error ? `${name}: ${(error as NodeJS.ErrnoException).code ?? error.message}` : name);

const both = [
  ['HTTP/1.1', bare],
  ['HTTP/2', h2c],
] as const satisfies readonly (readonly [Protocol, Carrier])[];

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
      expect(log).toEqual(['returned true', 'write(chunk, cb)', 'write(chunk, encoding, cb)', 'latin1', 'base64', 'Uint8Array', 'Buffer', 'end']);
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
      const log = await expectSame(async (res, note) => {
        res.setHeader('Content-Type', type);
        const failed = protocol === 'HTTP/2' ? Promise.resolve([]) : once(res, 'error');
        failed.then(([error]) => {
          if (error) noted(note, 'error event')(error as Error);
        }, () => undefined);
        res.write('first, ');
        res.end('second');
        note(`write ${res.write('late', noted(note, 'late write'))}`);
        // To a stream of HTTP/2 that write may be the end.
      }, { text: protocol === 'HTTP/1.1' });
      expect(log).toContain('late write: ERR_STREAM_WRITE_AFTER_END');
    });

    it('finish comes once, before close, and with everything settled', async () => {
      await expectSame((res, note) => {
        res.setHeader('Content-Type', type);
        for (const event of ['prefinish', 'finish', 'close'] as const) {
          res.on(event, () => note(`${event}: ended ${res.writableEnded}, finished ${res.writableFinished}, length ${res.writableLength}, drain ${needsDrain(res)}`));
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

    it.each(heads.filter(([, , only]) => only === undefined || only === protocol).map(([name, writeHead]) => [name, writeHead] as const))('writeHead with %s keeps its fields, but for Content-Length', async (_name, writeHead: (res: Response, type: string) => void) => {
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
    });

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
      ['end(chunk, encoding, cb)', (res, note) => res.end(Buffer.from(body).toString('hex'), 'hex', noted(note, 'end'))],
      ['end(bytes, cb)', (res, note) => res.end(new Uint8Array(Buffer.from(body)), noted(note, 'end'))],
    ])('%s ends it at once to its handler, and is called back once', async (_name, end) => {
      const log = await expectSame((res, note) => {
        res.setHeader('Content-Type', type);
        res.on('finish', () => note(`finish: ended ${res.writableEnded}, finished ${res.writableFinished}, length ${res.writableLength}`));
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
      await expectSame((res, note) => {
        res.setHeader('Content-Type', type);
        res.on('error', noted(note, 'error event'));
        res.end(body, noted(note, 'first end'));
        res.write('late', noted(note, 'late write'));
        res.end(noted(note, 'second end'));
        // To a stream of HTTP/2 that write may be the end.
      }, { text: protocol === 'HTTP/1.1' });
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
        const res = response as Response;
        res.setHeader('Content-Type', 'application/json');
        res.on('close', () => log.push('close'));
        res.end(large, () => log.push('end'));
        res.destroy(new Error('enough'));
      });
      const outcome = openCoded(site.running, protocol, { path, accept: coding }).then((reading) => settles(reading.over), () => 'refused');
      expect(await settles(outcome)).not.toBe('end');
      await until(() => log.includes('close'));
      expect(log).toEqual(['close']);
    }
  });
});

/** A client that does not read until it is told to. */
async function stalled(site: CompressSite, protocol: Protocol, coding: string, handler: Middleware): Promise<CodedReading> {
  const reading = await site.visit((req, res, next) => {
    // The head, so that there is somebody to pause.
    (res as Response).flush();
    return handler(req, res, next);
  }, protocol, { accept: coding });
  reading.pause();
  return reading;
}

const listenings = ['on', 'once', 'prependListener', 'prependOnceListener', 'addListener'] as const;

/** Resolves with `false` when it does not drain for a while: the client reads nothing. */
function drains(res: Response, patience: number): Promise<boolean> {
  return Promise.race([once(res, 'drain').then(() => true), new Promise<boolean>((resolve) => setTimeout(resolve, patience, false))]);
}

/** Writes until nothing is taken any more, then once it is again, to the end. Resolves with all text. */
async function fillAndDrain(res: Response, onFull: () => void): Promise<string> {
  const pieces: string[] = [];
  const write = (): boolean => {
    // Small ones first, to be full by many; then to be done with the buffers of the kernel.
    pieces.push(noise(pieces.length < 60 ? 8000 : 60_000, pieces.length));
    return res.write(pieces.at(-1)!);
  };
  const log: string[] = [];
  const listen = (each: (typeof listenings)[number]): unknown => res[each]('drain', () => log.push(each));
  const expectFull = (): void => expect({ needDrain: needsDrain(res), holds: res.writableLength > 0, drains: log }).toEqual({ needDrain: true, holds: true, drains: [] });
  const expectDrained = (): void => expect({ needDrain: needsDrain(res), drains: log.toSorted() }).toEqual({ needDrain: false, drains: listenings.toSorted() });

  res.flush();
  expect(needsDrain(res)).toBe(false);
  expect(res.writableHighWaterMark).toBeGreaterThanOrEqual(16_384);
  for (const each of listenings) listen(each);
  const removed = (): void => void log.push('removed');
  res.on('drain', removed);
  res.off('drain', removed);
  // For the client to stop reading.
  await new Promise((resolve) => setTimeout(resolve, 30));
  for (;;) {
    while (write()) await turns(1);
    expectFull();
    if (!(await drains(res, 50))) break;
    expectDrained();
    log.length = 0;
    for (const each of ['once', 'prependOnceListener'] as const) listen(each);
  }
  expectFull();
  onFull();
  await once(res, 'drain');
  expectDrained();
  pieces.push('the end');
  res.end('the end');
  return pieces.join('');
}

describe.each(both)('with a client that does not read, over %s', (protocol, carrier) => {
  const site = useSite(carrier, { threshold: 0, level: 1, idleFlush: 5 });

  describe.each(streamed)('$name', ({ type }) => {
    it.each(codings)('of %s tells the truth about its buffers, and drains once for each time that it was full', async (coding) => {
      const full = deferred();
      const done = deferred();
      let written = '';
      const reading = await site.visit((_req, response) => {
        const res = response as Response;
        res.setHeader('Content-Type', type);
        fillAndDrain(res, full.resolve).then((text) => {
          written = text;
          done.resolve();
        }, done.reject);
      }, protocol, { accept: coding });
      reading.pause();
      await settles(Promise.race([full.promise, done.promise]));
      await turns();
      reading.resume();
      await settles(done.promise);
      expect(await settles(reading.over)).toBe('end');
      expect(reading.decode() === written).toBe(true);
    });

    it.each(codings)('of %s never lets a handler wait that asks writableNeedDrain, and nothing else', async (coding) => {
      const done = deferred<string>();
      async function answer(res: Response): Promise<string> {
        res.setHeader('Content-Type', type);
        let written = '';
        for (let index = 0; index < 150; index++) {
          // Meanwhile the encoder goes on by itself.
          await turns(index % 4);
          if (needsDrain(res)) await once(res, 'drain');
          const text = noise(4000 + 300 * (index % 50), index);
          written += text;
          res.write(text);
        }
        res.end();
        return written;
      }
      const reading = await site.visit((_req, res) => void answer(res as Response).then(done.resolve, done.reject), protocol, { accept: coding });
      let over = false;
      void reading.over.then(() => (over = true));
      for (let times = 0; !over && times < 1000; times++) {
        reading.pause();
        await new Promise((resolve) => setTimeout(resolve, 2));
        reading.resume();
        await turns(1);
      }
      const written = await settles(done.promise);
      expect(await settles(reading.over)).toBe('end');
      expect(reading.decode() === written).toBe(true);
    });

    it.each(codings)('of %s calls a write back when its bytes are taken, not before', async (coding) => {
      const called: number[] = [];
      const full = deferred();
      const reading = await stalled(site, protocol, coding, async (_req, response) => {
        const res = response as Response;
        let index = 0;
        for (;;) {
          const own = index++;
          if (res.write(noise(60_000, own), () => called.push(own))) {
            await turns(1);
            continue;
          }
          if (!(await drains(res, 200))) break;
        }
        full.resolve();
        res.write('last', () => called.push(index));
        res.end(() => called.push(index + 1));
      });
      await settles(full.promise);
      await new Promise((resolve) => setTimeout(resolve, 30));
      const before = called.length;
      reading.resume();
      expect(await settles(reading.over)).toBe('end');
      await until(() => called.length > 0 && called.at(-1)! === called.length - 1);
      expect(called).toEqual(Array.from(called, (_, index) => index));
      // The last, its end, and at least the one that found it full.
      expect(called.length - before).toBeGreaterThanOrEqual(3);
    });

    it.each(codings)('of %s calls every write and flush back once, with an error, when the client leaves', async (coding) => {
      const calls = new Map<string, (string | undefined)[]>();
      const full = deferred();
      const closed = deferred();
      let made = 0;
      const reading = await stalled(site, protocol, coding, async (_req, response) => {
        const res = response as Response;
        res.on('close', () => closed.resolve());
        const call = (name: string) => (error?: Error | null): void => void calls.set(name, [...(calls.get(name) ?? []), error?.name]);
        for (;;) {
          if (res.write(noise(60_000, made), call(`write ${made++}`))) {
            await turns(1);
            continue;
          }
          if (!(await drains(res, 200))) break;
        }
        for (let i = 0; i < 3; i++) res.write('more', call(`write ${made++}`));
        res.flush(call('flush'));
        full.resolve();
      });
      await settles(full.promise);
      reading.destroy();
      await settles(closed.promise);
      await until(() => calls.size === made + 1, () => `${calls.size} of ${made + 1} called`);
      await turns();
      for (const [name, errors] of calls) expect([name, errors.length]).toEqual([name, 1]);
      // Of the last nothing can have been sent.
      expect(calls.get(`write ${made - 1}`)).toEqual([expect.any(String)]);
    });
  });
});

describe('with a small high-water mark', () => {
  it.each(codings.flatMap((coding) => streamed.map((engine) => [coding, engine.name, engine] as const)))('%s of %s drains whenever it was full', async (coding, _name, { type }) => {
    const compression = compress({ threshold: 0, level: 1, idleFlush: 5 });
    const drained = deferred();
    async function answer(res: Response): Promise<void> {
      res.setHeader('Content-Type', type);
      let index = 0;
      for (let times = 0; times < 30; times++) {
        while (res.write(noise(700 + 400 * (index % 30), index++)));
        if (times % 3 === 0) res.flush();
        await once(res, 'drain');
      }
      drained.resolve();
      res.end();
    }
    const server = http.createServer({ highWaterMark: 1024 }, (req, res) => compression(req, res, () => void answer(res as Response)));
    const running = attend(await listen(server));
    const reading = await openCoded(running, 'HTTP/1.1', { accept: coding });
    onTestFinished(() => reading.destroy());
    // As a client does that has other things to do.
    for (let times = 0; times < 20; times++) {
      reading.pause();
      await turns(2);
      reading.resume();
      await turns(2);
    }
    await settles(drained.promise);
    expect(await settles(reading.over)).toBe('end');
    expect(() => reading.decode()).not.toThrow();
    expect(compression.activeEncoders).toBe(0);
  });
});

describe('res.flush', () => {
  const site = useSite(bare, { threshold: 0, idleFlush: Infinity });

  it.each(codings.flatMap((coding) => streamed.map((engine) => [coding, engine.name, engine] as const)))('of %s for %s delivers what was written before, and then is called back, each time once', async (coding, _name, { type }) => {
    const gates = [deferred(), deferred(), deferred()];
    const calls: string[] = [];
    const reading = await site.visit(async (_req, response) => {
      const res = response as Response;
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
    }, 'HTTP/1.1', { accept: coding });
    for (const [index, gate] of gates.entries()) {
      await until(() => reading.text.split(', ').length === index + 2);
      await until(() => calls.length === 2 * index + 2);
      gate.resolve();
    }
    expect(await settles(reading.over)).toBe('end');
    await until(() => calls.includes('after the close'));
    expect(calls.toSorted()).toEqual(['after the close', 'after the end', 'again 0', 'again 1', 'again 2', 'end', 'flush 0', 'flush 1', 'flush 2']);
  });

  it('is not called back before the text before it is encoded', async () => {
    // Encodes when the test says so, as itself in brackets.
    const encodes: ((bytes: Uint8Array) => void)[] = [];
    const texts: string[] = [];
    const codec: Codec = {
      coding: 'x-brackets',
      available: true,
      createBlocks: () => ({
        memory: 0,
        encode: (text) => new Promise((resolve) => {
          texts.push(Buffer.from(text).toString());
          encodes.push(() => resolve(Buffer.from(`[${Buffer.from(text).toString()}]`)));
        }),
        close: () => undefined,
      }),
    };
    const calls: string[] = [];
    const running = await serve(bare, compress({ codecs: [codec] }), async (_req, response) => {
      const res = response as Response;
      res.setHeader('Content-Type', 'text/event-stream');
      res.write('one', () => calls.push('one'));
      await until(() => encodes.length === 1);
      res.write('', () => calls.push('empty'));
      res.write('two', () => calls.push('two'));
      res.flush(() => calls.push('flush'));
      expect(res.writableLength).toBeGreaterThan(0);
      encodes[0]!(new Uint8Array());
      await until(() => encodes.length === 2);
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
    const res = response as Response;
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
    await turns();
    expect(calls).toEqual([]);
    transform.steps[1]!();
    await until(() => calls.length > 0);
    await turns();
    expect(calls).toEqual(['first flush', 'again']);
    transform.steps[2]!();
    await turns();
    expect(calls).toEqual(['first flush', 'again']);
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

/** Every way to answer, by path. */
const answers: Record<string, (res: Response) => void> = {
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
const texts: Record<string, string> = { '/small': small, '/large': large, '/long': `${small}the end`, '/events': 'data: one\n\ndata: two\n\n', '/tiny': 'tiny', '/none': '' };
const order = ['/large', '/small', '/long', '/none', '/events', '/tiny', '/large', '/events', '/long', '/small'];

const answerByPath: Middleware = (req, response) => {
  const res = response as Response;
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

const codingOf = (head: string): Coding => (/^content-encoding: (.+)$/im.exec(head)?.[1] ?? 'identity') as Coding;

describe('on one connection of HTTP/1.1', () => {
  it.each(codings)('all kinds of %s follow each other, each asked for when the one before is read', async (coding) => {
    const running = await serve(bare, compress(), answerByPath);
    const client = await running.dial();
    let read = 0;
    for (const path of order) {
      client.send(getRequest(path, { 'Accept-Encoding': coding }));
      await client.waitFor((received) => {
        try {
          return received.length > read && readMessage(received.slice(read)).rest === '';
        } catch {
          return false;
        }
      });
      const { head, content } = readMessage(client.received.slice(read));
      expect([path, codingOf(head)]).toEqual([path, ['/tiny', '/none'].includes(path) ? 'identity' : coding]);
      expect(decodeStrictly(codingOf(head), content).toString() === texts[path]).toBe(true);
      read = client.received.length;
    }
  });

  it.each(codings)('all kinds of %s, asked for at once, come in the order of the requests', async (coding) => {
    const running = await serve(bare, compress(), answerByPath);
    const client = await running.dial();
    client.send(order.map((path, index) => getRequest(path, { 'Accept-Encoding': coding, ...(index === order.length - 1 && { Connection: 'close' }) })).join(''));
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
    const compression = compress();
    let closed = 0;
    const gate = deferred();
    const running = await serve(bare, compression, async (req, res, next) => {
      res.on('close', () => closed++);
      if (req.url === '/first') await gate.promise;
      else answerByPath(req, res, next);
    });
    const client = await running.dial();
    client.send(['/first', '/long', '/events', '/large'].map((path) => getRequest(path, { 'Accept-Encoding': coding })).join(''));
    await until(() => compression.activeEncoders >= 1);
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
      const isComplete = ['/small', '/large', '/tiny', '/none'].includes(path);
      if (keeps && isComplete) await client.waitFor((received) => /\r\n\r\n/.test(received) && readMessage(received).content.length >= 0 && received.includes('\r\n\r\n'));
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
    const running = await serve(bare, compress({ threshold: 0 }), (req, response) => {
      const res = response as Response;
      res.writeHead(200, { 'Content-Type': 'text/plain', 'Transfer-Encoding': 'chunked' });
      if (req.url === '/long') res.write('first, ');
      res.end(req.url === '/small' ? small : large);
    }, () => undefined);
    const implicit = await serve(bare, compress({ threshold: 0 }), (req, response) => {
      const res = response as Response;
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
      const res = response as Response;
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
    expect(heads.slice(0, 4).map((head) => head.split('\r\n')[0])).toEqual(['HTTP/1.1 100 Continue', 'HTTP/1.1 102 Processing', 'HTTP/1.1 103 Early Hints', 'HTTP/1.1 200 OK']);
    const { head, content } = readMessage(client.received.slice(client.received.indexOf('HTTP/1.1 200')));
    expect([codingOf(head), decodeStrictly('gzip', content).toString() === small]).toEqual(['gzip', true]);
  });

  it.each<[string, (res: Response) => void]>([
    ['a flat list', (res) => res.writeHead(200, 'Very Well', ['Content-Type', 'text/plain', 'Content-Length', '2', 'X-Twice', 'a', 'X-Twice', 'b'])],
    ['a list of pairs', (res) => res.writeHead(200, 'Very Well', [['Content-Type', 'text/plain'], ['Content-Length', '2'], ['X-Twice', 'a'], ['X-Twice', 'b']] as never)],
    ['an object', (res) => res.writeHead(200, 'Very Well', { 'Content-Type': 'text/plain', 'Content-Length': 2, 'X-Twice': ['a', 'b'] })],
    ['a list over fields that are set', (res) => {
      res.setHeader('X-Twice', 'c');
      res.setHeader('Content-Length', 9);
      res.writeHead(200, 'Very Well', ['content-type', 'text/plain', 'x-twice', 'a', 'x-twice', 'b']);
    }],
  ])('the status text and the fields of writeHead with %s arrive', async (_name, writeHead) => {
    const running = await serve(bare, compress({ threshold: 0 }), (_req, response) => {
      const res = response as Response;
      writeHead(res);
      res.end('ok');
    });
    const client = await running.dial();
    client.send(getRequest('/', { 'Accept-Encoding': 'gzip' }));
    await client.waitFor('\r\n0\r\n\r\n');
    const { head, content } = readMessage(client.received);
    expect(head.split('\r\n')[0]).toBe('HTTP/1.1 200 Very Well');
    expect(head.match(/^x-twice: .*$/gim)).toEqual([expect.stringMatching(/: a$/), expect.stringMatching(/: b$/)]);
    expect(decodeStrictly('gzip', content).toString()).toBe('ok');
  });
});
