import type { ServerResponse } from 'node:http';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import vm from 'node:vm';
import session from 'express-session';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress, heartbeat, lifecycle, pipeBody } from '../../src/index.ts';
import { bare, carriers, h2c, http1Carriers, type Middleware } from '../support/carriers.ts';
import { makeCertificate } from '../support/certificate.ts';
import { type CodedReading, type CodedRequest, openCoded, type Protocol } from '../support/coded-clients.ts';
import { decodeStrictly } from '../support/decoders.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { serve, type Served } from '../support/serve.ts';
import { noise, prose } from '../support/texts.ts';
import { settles, turns, until } from '../support/until.ts';

// Each of these once differed from a response without the library.

const all = carriers.map((each) => [each.name, each] as const);
const overHttp1 = http1Carriers.map((each) => [each.name, each] as const);
const text = prose(80_000);

function protocolOf(name: string): Protocol {
  return name === 'node:http2' ? 'HTTP/2' : 'HTTP/1.1';
}

async function read(
  running: Served,
  protocol: Protocol,
  request: CodedRequest = { accept: 'gzip' },
): Promise<CodedReading> {
  const reading = await openCoded(running, protocol, request);
  onTestFinished(() => reading.destroy());
  await settles(reading.over);
  return reading;
}

/**
 * Runs a handler once without the library and once behind `compress`, and gives both its outcomes and both readings.
 */
async function compare<T>(
  handler: (res: ServerResponse) => T | Promise<T>,
  carrier = bare,
): Promise<readonly [{ outcome: T; reading: CodedReading }, { outcome: T; reading: CodedReading }]> {
  const play = async (...stack: Middleware[]): Promise<{ outcome: T; reading: CodedReading }> => {
    let outcome: T | undefined;
    const running = await serve(carrier, ...stack, async (_req, res) => {
      outcome = await handler(res as ServerResponse);
    });
    const reading = await read(running, protocolOf(carrier.name));
    return { outcome: outcome!, reading };
  };
  return [await play(), await play(compress({ threshold: 0 }))];
}

describe('bytes of another realm', () => {
  const foreign = (length: number): Uint8Array => {
    const bytes = vm.runInNewContext('new Uint8Array(length)', { length }) as Uint8Array;
    return bytes.fill(97);
  };

  it.each(all)('are taken as bytes by write and end on %s', async (name, carrier) => {
    const running = await serve(carrier, compress(), async (req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', req.url === '/events' ? 'text/event-stream' : 'text/plain');
      if (req.url === '/whole') return res.end(foreign(5000));
      expect(foreign(1)).not.toBeInstanceOf(Uint8Array);
      for (let count = 0; count < 40; count++) {
        if (!res.write(foreign(5000))) await new Promise<void>((resolve) => res.once('drain', () => resolve()));
      }
      return res.end(foreign(1));
    });
    for (const [path, length] of [
      ['/whole', 5000],
      ['/long', 200_001],
      ['/events', 200_001],
    ] as const) {
      const reading = await read(running, protocolOf(name), { path, accept: 'gzip' });
      expect([path, reading.coding, reading.decode().length]).toEqual([path, 'gzip', length]);
    }
  });

  it.each(all)('are passed on by pipeBody on %s', async (name, carrier) => {
    const running = await serve(carrier, compress(), (req, res) => {
      res.setHeader('Content-Type', 'text/plain');
      const buffer = vm.runInNewContext('new ArrayBuffer(2000)') as ArrayBuffer;
      return pipeBody([foreign(3000), buffer], req, res);
    });
    const reading = await read(running, protocolOf(name));
    expect(reading.decode().length).toBe(5000);
  });

  it('come from a ReadableStream of another make too, and stop by a signal of another make', async () => {
    let cancelled: unknown;
    const streamOf = (pieces: Uint8Array[], endless: boolean): ReadableStream<Uint8Array> => {
      const reader = {
        read: () =>
          pieces.length > 0
            ? Promise.resolve({ done: false, value: pieces.shift() })
            : endless
              ? new Promise(() => undefined)
              : Promise.resolve({ done: true }),
        cancel: (reason: unknown) => Promise.resolve(void (cancelled = reason)),
      };
      return { locked: false, getReader: () => reader } as unknown as ReadableStream<Uint8Array>;
    };
    const listeners = new Set<() => void>();
    const signal = {
      aborted: false,
      reason: undefined as unknown,
      addEventListener: (_type: string, listener: () => void) => void listeners.add(listener),
      removeEventListener: (_type: string, listener: () => void) => void listeners.delete(listener),
    };
    const failures: unknown[] = [];
    const running = await serve(bare, (req, res) => {
      const source = streamOf([foreign(10), foreign(20)], req.url === '/endless');
      return pipeBody(source, req, res, { signal: signal as unknown as AbortSignal }).catch((error: unknown) =>
        failures.push(error),
      );
    });
    expect((await read(running, 'HTTP/1.1')).decode()).toHaveLength(30);
    const endless = await openCoded(running, 'HTTP/1.1', { path: '/endless' });
    Object.assign(signal, { aborted: true, reason: new Error('enough') });
    for (const listener of listeners) listener();
    expect(await settles(endless.over)).toBe('aborted');
    await until(() => failures.length === 1);
    expect([failures[0], cancelled]).toEqual([signal.reason, signal.reason]);
    expect(listeners.size).toBe(0);
  });

  it('and any other view of bytes arrive over HTTP/2, where Node takes them', async () => {
    const view = new DataView(new TextEncoder().encode('xx'.repeat(2000)).buffer, 2);
    const takes = await new Promise<boolean>((resolve) => {
      try {
        new Writable({ write: (_chunk, _encoding, done) => done() }).write(view, () => resolve(true));
      } catch {
        resolve(false);
      }
    });
    const [without, behind] = await compare(async (res) => {
      res.setHeader('Content-Type', 'text/plain');
      try {
        res.write(view as never);
        res.end(new Uint16Array(Buffer.from('abcd').buffer.slice(0, 4)) as never);
        return 'taken';
      } catch (error) {
        res.end('refused');
        return (error as NodeJS.ErrnoException).code;
      }
    }, h2c);
    expect(without.outcome).toBe(takes ? 'taken' : 'ERR_INVALID_ARG_TYPE');
    expect(behind.outcome).toBe(without.outcome);
    expect(behind.reading.decode()).toBe(without.reading.decode());
  });
});

describe('a client that leaves after the end of a body', () => {
  const bodies = [
    ['whole, in another thread', 'application/json', (res: ServerResponse) => res.end(noise(2_000_000))],
    ['long', 'text/plain', (res: ServerResponse) => (res.write(noise(4_000_000)), res.end(noise(4_000_000)))],
    [
      'of events',
      'text/event-stream',
      (res: ServerResponse) => (res.write(`data: ${noise(4_000_000)}\n\n`), res.end(`data: ${noise(4_000_000)}\n\n`)),
    ],
  ] as const;

  for (const [body, type, send] of bodies) {
    it.each(overHttp1)(`has the end below called once, with a body ${body}, on %s`, async (_name, carrier) => {
      let ends = 0;
      let closed = 0;
      const compression = compress();
      const running = await serve(
        carrier,
        ((_req, res: ServerResponse, next) => {
          const { end } = res;
          res.end = function patched(this: ServerResponse, ...args: never[]) {
            ends += 1;
            return end.apply(this, args as unknown as Parameters<typeof end>);
          } as never;
          res.on('close', () => (closed += 1));
          next();
        }) as Middleware,
        compression as Middleware,
        (_req, response) => {
          const res = response as ServerResponse;
          res.setHeader('Content-Type', type);
          send(res);
        },
      );
      const client = await running.dial();
      client.socket.pause();
      client.send(getRequest('/', { 'Accept-Encoding': 'gzip' }));
      await until(() => compression.activeEncoders > 0 || ends > 0);
      await turns();
      client.destroy();
      await until(() => closed === 1);
      expect(ends).toBe(1);
      expect(compression.activeEncoders).toBe(0);
    });
  }

  it.each(overHttp1)(
    'has its session saved by express-session, mounted before compress, on %s',
    async (_name, carrier) => {
      const store = new session.MemoryStore();
      const running = await serve(
        carrier,
        session({ secret: 'test', resave: false, saveUninitialized: false, store }) as unknown as Middleware,
        compress() as Middleware,
        (req, response) => {
          const res = response as ServerResponse;
          (req as unknown as { session: Record<string, unknown> }).session['visited'] = true;
          res.setHeader('Content-Type', 'text/plain');
          res.write(noise(4_000_000));
          res.end(noise(4_000_000));
        },
      );
      const client = await running.dial();
      client.socket.pause();
      client.send(getRequest('/', { 'Accept-Encoding': 'gzip' }));
      await turns(20);
      client.destroy();
      let saved: session.SessionData[] = [];
      await until(() => {
        store.all?.((_error, sessions) => (saved = Object.values(sessions ?? {})));
        return saved.length === 1;
      });
      expect(saved[0]).toMatchObject({ visited: true });
    },
  );
});

describe('an end that Node refuses', () => {
  it.each(overHttp1)('is followed by one that counts, on %s', async (_name, carrier) => {
    const ways: [string | undefined, string | undefined, string | undefined][] = [
      ['abc', 'd', undefined],
      ['ab', undefined, 'c'],
      [undefined, undefined, 'abc'],
    ];
    for (const [written, refused, last] of ways) {
      const outcomes = await compare((res) => {
        res.strictContentLength = true;
        res.setHeader('Content-Type', 'text/plain');
        res.setHeader('Content-Length', 3);
        if (written !== undefined) res.write(written);
        try {
          res.end(refused);
          return 'ended';
        } catch (error) {
          res.end(last);
          return (error as NodeJS.ErrnoException).code;
        }
      }, carrier);
      for (const { outcome, reading } of outcomes) {
        expect(outcome).toBe('ERR_HTTP_CONTENT_LENGTH_MISMATCH');
        expect([reading.status, reading.decode()]).toEqual([200, 'abc']);
      }
    }
  });

  it('for its length is refused too where the body is encoded, and so is a write', async () => {
    for (const { outcome } of await compare((res) => {
      res.strictContentLength = true;
      res.setHeader('Content-Type', 'text/plain');
      res.setHeader('Content-Length', 2000);
      const codes: unknown[] = [];
      const attempt = (call: () => unknown): void => {
        try {
          call();
        } catch (error) {
          codes.push((error as NodeJS.ErrnoException).code);
        }
      };
      res.write('x'.repeat(1500));
      attempt(() => res.write('x'.repeat(501)));
      attempt(() => res.end('x'.repeat(499)));
      attempt(() => res.end('x'.repeat(500)));
      return codes;
    })) {
      expect(outcome).toEqual(['ERR_HTTP_CONTENT_LENGTH_MISMATCH', 'ERR_HTTP_CONTENT_LENGTH_MISMATCH']);
    }
  });

  it.each([204, 304, 205])('is none where there is no body: a length with the status %i', async (status) => {
    const [without, behind] = await compare((res) => {
      res.strictContentLength = true;
      res.setHeader('Content-Type', 'text/plain');
      res.setHeader('Content-Length', 2003);
      res.statusCode = status;
      try {
        res.end(status === 205 ? 'x'.repeat(2003) : 'x'.repeat(2000));
        return 'ended';
      } catch (error) {
        return (error as NodeJS.ErrnoException).code;
      }
    });
    expect(behind.outcome).toBe('ended');
    expect(behind.outcome).toBe(without.outcome);
    expect(behind.reading.status).toBe(status);
  });

  it('for what it is given throws at once, also behind an end that is at work', async () => {
    const [without, behind] = await compare((res) => {
      res.setHeader('Content-Type', 'text/plain');
      const thrown = (call: () => unknown): unknown => {
        try {
          call();
          return undefined;
        } catch (error) {
          return (error as NodeJS.ErrnoException).code;
        }
      };
      const first = thrown(() => res.end(5 as never));
      const errors: unknown[] = [];
      res.on('error', (error) => errors.push((error as NodeJS.ErrnoException).code));
      res.end(text);
      const later = [thrown(() => res.end(0 as never)), thrown(() => res.end([1] as never))];
      return new Promise((resolve) => res.on('close', () => resolve([first, later, errors])));
    });
    expect(behind.outcome).toEqual(without.outcome);
    expect(behind.reading.decode()).toBe(text);
  });
});

describe('a head that Node refuses', () => {
  it.each([0, 99, 1000, Number.NaN, 'abc', undefined])(
    'for its status %s leaves the status as it was, and an answer is possible',
    async (status) => {
      for (const carrier of http1Carriers) {
        const [without, behind] = await compare((res) => {
          res.setHeader('Content-Type', 'text/plain');
          let code: unknown;
          try {
            res.writeHead(status as number, { 'X-Lost': '1' });
          } catch (error) {
            code = (error as NodeJS.ErrnoException).code;
          }
          const after = [code, res.statusCode, res.headersSent, res.getHeader('x-lost')];
          res.end('sorry');
          return after;
        }, carrier);
        expect(behind.outcome).toEqual(without.outcome);
        expect([behind.reading.status, behind.reading.decode()]).toEqual([without.reading.status, 'sorry']);
      }
    },
  );
});

describe('a status given as text', () => {
  it.each([['304'], ['204'], ['206'], ['200'], ['404.9']])('%s counts as its number', async (status) => {
    for (const [, carrier] of all) {
      for (const how of ['property', 'writeHead'] as const) {
        const [without, behind] = await compare((res) => {
          res.setHeader('Content-Type', 'text/plain');
          if (how === 'property') res.statusCode = status as never;
          else res.writeHead(status as never);
          const hasBody = !['304', '204'].includes(status);
          res.end(hasBody ? text : undefined);
        }, carrier);
        const expected = status === '200' || status === '404.9' ? 'gzip' : 'identity';
        expect([carrier.name, how, behind.reading.status, behind.reading.coding]).toEqual([
          carrier.name,
          how,
          without.reading.status,
          expected,
        ]);
        expect(behind.reading.decode()).toBe(without.reading.decode());
      }
    }
  });
});

describe('a response whose body waits for its encoder', () => {
  const ways = [
    ['whole', (res: ServerResponse) => res.end(text)],
    ['long', (res: ServerResponse) => (res.write(text), res.end(text))],
  ] as const;

  it.each(ways)('says that it is finished once end was called: %s', async (_name, send) => {
    for (const [, carrier] of all) {
      const [without, behind] = await compare(async (res) => {
        res.setHeader('Content-Type', 'text/plain');
        const look = (): unknown[] => [res.finished, res.writableEnded];
        const before = look();
        const done = new Promise<unknown[]>((resolve) =>
          res.on('finish', () => resolve([look(), res.writableFinished])),
        );
        send(res);
        const between = look();
        return [before, between, await done];
      }, carrier);
      expect(without.outcome.slice(0, 2)).toEqual([
        [false, false],
        [true, true],
      ]);
      expect(behind.outcome).toEqual(without.outcome);
    }
  });

  it('says so too while it waits behind another one on its connection', async () => {
    const seen: unknown[] = [];
    const finished: string[] = [];
    let answerFirst: (() => void) | undefined;
    const running = await serve(bare, compress(), (req, response) => {
      const res = response as ServerResponse;
      for (const event of ['prefinish', 'finish']) res.on(event, () => finished.push(`${event} ${req.url ?? ''}`));
      res.setHeader('Content-Type', 'text/plain');
      if (req.url === '/first') {
        answerFirst = () => res.end('first');
        return;
      }
      res.write(text);
      res.end(text);
      seen.push([res.socket, res.finished, res.writableFinished]);
    });
    const client = await running.dial();
    client.send(getRequest('/first') + getRequest('/second', { 'Accept-Encoding': 'gzip', Connection: 'close' }));
    await until(() => seen.length === 1);
    await turns();
    answerFirst!();
    expect(await settles(client.closed)).toBe('end');
    expect(seen).toEqual([[null, true, false]]);
    // Each once. The first one's 'finish' gives the second its turn.
    expect(finished.toSorted()).toEqual(['finish /first', 'finish /second', 'prefinish /first', 'prefinish /second']);
    const second = client.received.slice(client.received.indexOf('HTTP/1.1 200', 1));
    expect(decodeStrictly('gzip', Buffer.from(parseChunked(second).chunks.join(''), 'latin1')).toString()).toBe(
      text + text,
    );
  });

  it('is not closed as idle by server.close()', async () => {
    const running = await serve(bare, compress(), (_req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', 'text/plain');
      res.end(text.repeat(20));
      running.server.close();
      expect(res.finished).toBe(true);
    });
    const reading = await read(running, 'HTTP/1.1');
    expect(reading.decode()).toBe(text.repeat(20));
  });

  it('gets its drains while it looks finished: a large body to a reader that is slow', async () => {
    const body = noise(6_000_000);
    const running = await serve(bare, compress(), (_req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', 'text/plain');
      res.write(body);
      res.end(body);
    });
    const reading = await openCoded(running, 'HTTP/1.1', { accept: 'gzip' });
    onTestFinished(() => reading.destroy());
    reading.pause();
    await turns(20);
    reading.resume();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.decode()).toBe(body + body);
  });

  it.each(ways)('reaches a client that half-closes behind its request: %s', async (_name, send) => {
    for (const carrier of http1Carriers) {
      const running = await serve(carrier, compress(), (_req, response) => {
        const res = response as ServerResponse;
        res.setHeader('Content-Type', 'text/plain');
        send(res);
      });
      const client = await running.dial();
      client.socket.end(getRequest('/', { 'Accept-Encoding': 'gzip' }), 'latin1');
      expect(await settles(client.closed)).toBe('end');
      const [head = '', content = ''] = client.received.split(/\r\n\r\n([\s\S]*)/);
      const coded = /chunked/i.test(head) ? parseChunked(client.received).chunks.join('') : content;
      expect(decodeStrictly('gzip', Buffer.from(coded, 'latin1')).toString().startsWith(text)).toBe(true);
    }
  });

  it('reaches clients that half-close, pipelined and over TLS, and leaves the server as it was', async () => {
    const compression = compress();
    const listener: http.RequestListener = (req, res) =>
      compression(req, res, () => {
        res.setHeader('Content-Type', 'text/plain');
        res.end(text);
      });
    const server = https.createServer({ ...makeCertificate() }, listener);
    onTestFinished(() => void server.close());
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const { connect } = await import('node:tls');
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    onTestFinished(() => void socket.destroy());
    const pieces: Buffer[] = [];
    socket.on('data', (piece: Buffer) => pieces.push(piece));
    const request = getRequest('/', { 'Accept-Encoding': 'gzip' });
    socket.on('secureConnect', () => socket.end(request + request));
    await settles(new Promise((resolve) => socket.on('close', resolve)));
    expect(
      Buffer.concat(pieces)
        .toString('latin1')
        .match(/HTTP\/1\.1 200/g),
    ).toHaveLength(2);
    expect((server as unknown as { httpAllowHalfOpen: unknown }).httpAllowHalfOpen).toBeFalsy();
  });
});

describe('the fields of writeHead', () => {
  const forms: [string, (res: ServerResponse) => void][] = [
    ['an object', (res) => res.writeHead(200, { 'Content-Type': 'text/plain', 'X-Given': '1' })],
    [
      'a list with a name twice',
      (res) => res.writeHead(200, ['Content-Type', 'text/plain', 'X-Given', '1', 'X-Given', '2']),
    ],
    [
      'a list of pairs',
      (res) =>
        res.writeHead(200, [
          ['Content-Type', 'text/plain'],
          ['X-Given', '1'],
          ['X-Given', '2'],
        ] as never),
    ],
    [
      'a list with a name twice, over a field that is set',
      (res) => {
        res.setHeader('X-Given', '0');
        res.writeHead(200, ['Content-Type', 'text/plain', 'X-Given', '1', 'X-Given', '2']);
      },
    ],
    [
      'an object, over a field that is set',
      (res) => {
        res.setHeader('Content-Type', 'text/plain');
        res.writeHead(200, { 'X-Given': ['1', '2'] });
      },
    ],
    [
      'pairs, over a field that is set',
      (res) => {
        res.setHeader('Content-Type', 'text/plain');
        res.writeHead(200, [
          ['X-Given', '1'],
          ['X-Other', '2'],
        ] as never);
      },
    ],
    ['an odd list', (res) => res.writeHead(200, ['Content-Type', 'text/plain', 'X-Given'])],
    ['a name that HTTP does not allow', (res) => res.writeHead(200, { 'Content-Type': 'text/plain', 'X Given': '1' })],
    [
      'a value that HTTP does not allow',
      (res) => res.writeHead(200, { 'Content-Type': 'text/plain', 'X-Given': 'a\nb' }),
    ],
  ];

  it.each(forms)('are sent, and kept, as without the library: %s', async (_name, writeHead) => {
    for (const carrier of [bare, h2c]) {
      const [without, behind] = await compare((res) => {
        const look = (): unknown[] => [
          res.getHeader('x-given'),
          res.hasHeader('content-type'),
          res.getHeaderNames().length,
        ];
        let code: unknown;
        try {
          writeHead(res);
        } catch (error) {
          code = (error as NodeJS.ErrnoException).code;
        }
        const after = [code, res.statusCode, ...look()];
        if (code !== undefined) res.setHeader('Content-Type', 'text/plain');
        res.end(text);
        return after;
      }, carrier);
      // Of what compress adds only the number is known.
      expect([carrier.name, behind.outcome.slice(0, 4)]).toEqual([carrier.name, without.outcome.slice(0, 4)]);
      expect(behind.reading.headers['x-given']).toEqual(without.reading.headers['x-given']);
      expect([behind.reading.coding, behind.reading.decode()]).toEqual(['gzip', text]);
    }
  });
});

describe('a call that comes late', () => {
  it.each(all)('of write, on a response that was destroyed, sends no head, on %s', async (_name, carrier) => {
    const outcomes: unknown[][] = [];
    for (const stack of [[], [compress({ threshold: 0 }) as Middleware]]) {
      const seen: unknown[] = [];
      const running = await serve(carrier, ...stack, (_req, response) => {
        const res = response as ServerResponse;
        res.setHeader('Content-Type', 'text/plain');
        res.destroy();
        const called = new Promise<unknown>((resolve) => {
          const answer = res.write(text, (error) =>
            resolve([(error as NodeJS.ErrnoException | null | undefined)?.code]),
          );
          seen.push([answer, res.headersSent]);
        });
        return carrier === h2c ? undefined : called.then((code) => seen.push(code));
      });
      void running.visit().catch(() => undefined);
      await until(() => seen.length >= (carrier === h2c ? 1 : 2));
      outcomes.push(seen);
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
  });

  it('of end, while the head is held, calls back, and every listener of the close hears of it', async () => {
    const [without, behind] = await compare((res) => {
      res.setHeader('Content-Type', 'text/plain');
      res.on('error', () => undefined);
      return new Promise<string>((resolve) => {
        res.on('close', () => resolve('closed'));
        res.end(text);
        res.end(() => undefined);
        res.destroy();
      });
    }).catch(() => [{ outcome: 'no head' }, { outcome: 'no head' }] as const);
    expect(behind.outcome).toBe(without.outcome);
  });
});

describe('early hints of a pipelined response', () => {
  it('come before its head, also where its body is encoded', async () => {
    let answerFirst: (() => void) | undefined;
    let seconds = 0;
    const running = await serve(bare, compress(), (req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', 'text/plain');
      if (req.url === '/first') answerFirst = () => res.end('first');
      else {
        seconds += 1;
        res.writeEarlyHints({ link: '</style.css>; rel=preload' });
        if (req.url === '/long') res.write(text);
        res.end(text);
      }
    });
    const client = await running.dial();
    const fields = { 'Accept-Encoding': 'gzip' };
    client.send(
      getRequest('/first') + getRequest('/whole', fields) + getRequest('/long', { ...fields, Connection: 'close' }),
    );
    await until(() => seconds === 2);
    await turns(20);
    answerFirst!();
    await settles(client.closed);
    expect(client.received.match(/HTTP\/1\.1 \d+/g)).toEqual([
      'HTTP/1.1 200',
      'HTTP/1.1 103',
      'HTTP/1.1 200',
      'HTTP/1.1 103',
      'HTTP/1.1 200',
    ]);
    const last = client.received.slice(client.received.lastIndexOf('HTTP/1.1 200'));
    expect(decodeStrictly('gzip', Buffer.from(parseChunked(last).chunks.join(''), 'latin1')).toString()).toBe(
      text + text,
    );
  });
});

describe('a status that is set after the end', () => {
  it('changes nothing, while the head waits for a body', async () => {
    for (const carrier of [bare, h2c]) {
      const [without, behind] = await compare(async (res) => {
        res.setHeader('Content-Type', 'text/plain');
        const closed = new Promise((resolve) => res.on('close', resolve));
        res.end(text);
        res.statusCode = 304;
        if (carrier === bare) res.statusMessage = 'Fine';
        await closed;
        return [res.statusCode, res.statusMessage];
      }, carrier);
      expect(behind.outcome).toEqual(without.outcome);
      expect([behind.reading.status, behind.reading.coding, behind.reading.decode()]).toEqual([200, 'gzip', text]);
    }
  });
});

describe('over HTTP/2', () => {
  it('a write is called back that was taken before the stream was destroyed', async () => {
    let called = 0;
    const running = await serve(h2c, compress(), (_req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', 'text/event-stream');
      res.write('data: x\n\n', () => (called += 1));
      process.nextTick(() => res.destroy());
    });
    void running.visit().catch(() => undefined);
    await until(() => called === 1);
  });

  it('a write of what is no chunk, after the end, is answered and not thrown', async () => {
    const [without, behind] = await compare(async (res) => {
      res.setHeader('Content-Type', 'text/plain');
      res.on('error', () => undefined);
      res.end(text);
      return new Promise<unknown[]>((resolve) => {
        const answer = res.write(5 as never, (error) => resolve([answer, (error as NodeJS.ErrnoException).code]));
      });
    }, h2c);
    expect(behind.outcome).toEqual(without.outcome);
    expect(behind.reading.decode()).toBe(text);
  });
});

describe('an error page', () => {
  it('after an end that was refused for its chunk arrives', async () => {
    const [without, behind] = await compare((res) => {
      res.setHeader('Content-Type', 'text/plain');
      for (const wrong of [new DataView(new ArrayBuffer(1)), {}, 5, []])
        expect(() => res.end(wrong as never)).toThrow();
      res.write(text.repeat(5));
      res.end();
    });
    expect(behind.reading.decode()).toBe(without.reading.decode());
  });

  it('is not needed for trailers that a message of HTTP/1.0 cannot carry: they are refused at the end', async () => {
    const codes: unknown[] = [];
    const running = await serve(bare, compress(), (_req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', 'text/plain');
      res.setHeader('Trailer', 'X-Sum');
      try {
        res.end(text);
      } catch (error) {
        codes.push((error as NodeJS.ErrnoException).code, res.getHeader('vary'));
        res.removeHeader('Trailer');
        res.end(text);
      }
    });
    const reading = await read(running, 'HTTP/1.0');
    expect(codes).toEqual(['ERR_HTTP_TRAILER_INVALID', undefined]);
    expect([reading.coding, reading.decode()]).toEqual(['gzip', text]);
  });
});

describe('res.flush()', () => {
  it.each(['text/event-stream', 'text/html'])('sends a head that writeHead has fixed, of %s', async (type) => {
    for (const stack of [[compress()], [lifecycle({ signals: false }), heartbeat(), compress()]]) {
      let res: ServerResponse | undefined;
      const running = await serve(bare, ...(stack as Middleware[]), (_req, response) => {
        res = response as ServerResponse;
        res.writeHead(200, { 'Content-Type': type });
        (res as ServerResponse & { flush(): void }).flush();
      });
      const client = await running.dial();
      client.send(getRequest('/', { 'Accept-Encoding': 'gzip' }));
      await client.waitFor('\r\n\r\n');
      expect(client.received).toMatch(/content-encoding: gzip/i);
      res!.end();
    }
  });
});

describe('compress(), as compression,', () => {
  it('answers a write of nothing after the end with false', async () => {
    let outcome: unknown;
    const running = await serve(bare, compress(), (_req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', 'text/plain');
      res.end(text);
      let code: unknown;
      try {
        res.write(undefined as never, () => undefined);
      } catch (error) {
        code = (error as NodeJS.ErrnoException).code;
      }
      outcome = [(res.write as () => unknown)(), code];
    });
    expect((await read(running, 'HTTP/1.1')).decode()).toBe(text);
    expect(outcome).toEqual([false, 'ERR_INVALID_ARG_TYPE']);
  });
});
