import http, { type ServerResponse } from 'node:http';
import zlib from 'node:zlib';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  brotli,
  type Codec,
  compress,
  type CompressOptions,
  createSwitch,
  gzip,
  InvalidOptionError,
  sse,
  zstd,
} from '../../src/index.ts';
import { listen } from '../support/carriers.ts';
import { until } from '../support/until.ts';
import { parseZstdFrames } from '../support/zstd-addon.ts';

const text = 'a line that repeats itself\n'.repeat(200);

interface Answer {
  readonly status: number | undefined;
  readonly coding: string | undefined;
  readonly trailers: NodeJS.Dict<string>;
  readonly body: string;
}

async function ask(app: http.RequestListener): Promise<Answer> {
  const running = await listen(http.createServer(app));
  onTestFinished(running.close);
  return new Promise((resolve, reject) => {
    http
      .get(running.origin, { headers: { 'Accept-Encoding': 'gzip' }, agent: false }, (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('error', reject);
        res.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const coding = res.headers['content-encoding'];
          resolve({
            status: res.statusCode,
            coding,
            trailers: res.trailers,
            body: (coding === 'gzip' ? zlib.gunzipSync(bytes) : bytes).toString(),
          });
        });
      })
      .on('error', reject);
  });
}

function expressApp(setUp: (app: express.Express) => void): http.RequestListener {
  const app = express();
  setUp(app);
  app.use(((_error, _req, res, _next) => {
    res.statusMessage = 'Failed';
    res.status(500).type('text').send(text);
  }) satisfies express.ErrorRequestHandler);
  return app as unknown as http.RequestListener;
}

describe('a head that Node refuses leaves nothing behind for the error page', () => {
  it.each<[string, express.RequestHandler]>([
    ['a complete body', (_req, res) => void res.type('text').send(text)],
    ['a body for the thread pool', (_req, res) => void res.type('text').send(text.repeat(60))],
    ['a long body', (_req, res) => void res.type('text').write(text)],
  ])('of %s', async (_kind, handler) => {
    const app = expressApp((each) => {
      each.use(compress());
      each.use((_req, res, next) => {
        res.statusMessage = 'bad\nmessage';
        next();
      });
      each.get('/', handler);
    });
    expect(await ask(app)).toMatchObject({ status: 500, coding: 'gzip', body: text });
  });

  it('where somebody below refuses it', async () => {
    let refused = false;
    const app = expressApp((each) => {
      each.use((_req, res, next) => {
        const { writeHead } = res;
        res.writeHead = ((...args: [number]) => {
          if (!refused) {
            refused = true;
            throw new Error('refused');
          }
          return writeHead.apply(res, args);
        }) as typeof res.writeHead;
        next();
      });
      each.use(compress());
      each.get('/', (_req, res) => void res.type('text').set('ETag', '"abc"').send(text));
    });
    expect(await ask(app)).toMatchObject({ status: 500, coding: 'gzip', body: text });
  });
});

it('a patch of res.write that forgets its answer does not stall a stream', async () => {
  const compression = compress();
  const events = sse(async function* () {
    for (let index = 0; index < 30; index++) yield { data: index };
  });
  const answer = await ask((req, res) => {
    const write = res.write.bind(res) as (...args: unknown[]) => boolean;
    res.write = ((...args: unknown[]) => void write(...args)) as unknown as typeof res.write;
    compression(req, res, () => events(req, res));
  });
  expect(answer.body.match(/^data: /gm)).toHaveLength(30);
});

it('a filter that always throws fails the request once, and not the error page', async () => {
  const app = expressApp((each) => {
    each.use(
      compress({
        filter: () => {
          throw new Error('no user');
        },
      }),
    );
    each.get('/', (_req, res) => void res.type('text').send('never'));
  });
  expect(await ask(app)).toMatchObject({ status: 500, coding: undefined, body: text });
});

it('a profile whose codecs cannot be made is refused by the switch, which stays as it is', async () => {
  const toggle = createSwitch();
  const profile = { brotli: { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 20 } } };
  await expect(toggle.swap(profile)).rejects.toBeInstanceOf(InvalidOptionError);
  expect(toggle.version).toBe(0);
  expect(() => createSwitch(profile)).toThrow(InvalidOptionError);
});

it.each<[string, () => unknown, string | undefined]>([
  [
    'a promise of another make',
    () => ({ then: (resolve: (bytes: Uint8Array) => void) => resolve(zlib.gzipSync(text)) }),
    'gzip',
  ],
  ['no bytes', () => 'text', undefined],
  ['a promise of no bytes', () => Promise.resolve(undefined), undefined],
])('a codec that gives %s has its body sent as what it is', async (_what, encode, coding) => {
  const compression = compress({ codecs: [{ coding: 'gzip', available: true, encode } as unknown as Codec] });
  const answer = await ask((req, res) =>
    compression(req, res, () => {
      res.setHeader('Content-Type', 'text/plain');
      res.end(text);
    }),
  );
  expect(answer).toMatchObject({ status: 200, coding, body: text });
});

it('a small body with trailers keeps them', async () => {
  const compression = compress();
  const answer = await ask((req, res) =>
    compression(req, res, () => {
      res.setHeader('Trailer', 'X-Sum');
      res.addTrailers({ 'X-Sum': '1' });
      res.end('hello');
    }),
  );
  expect(answer).toMatchObject({ body: 'hello', trailers: { 'x-sum': '1' } });
});

it.each([1000.5, 0.5])('a history of %d bytes is refused', (history) => {
  expect(() => compress({ streams: { history } })).toThrow(InvalidOptionError);
});

it("somebody's own setHeader sees the fields of a body for the thread pool too, and stays", async () => {
  const compression = compress();
  const seen: string[] = [];
  let stays: boolean | undefined;
  await ask((req, res) => {
    const setHeader = res.setHeader.bind(res);
    const own = ((name: string, value: string) => {
      seen.push(name);
      return setHeader(name, value);
    }) as ServerResponse['setHeader'];
    res.setHeader = own;
    res.on('finish', () => {
      stays = res.setHeader === own;
    });
    compression(req, res, () => {
      res.setHeader('Content-Type', 'text/plain');
      res.end(text.repeat(60));
    });
  });
  await until(() => stays !== undefined);
  expect([seen, stays]).toEqual([['Content-Type', 'Vary', 'Content-Encoding', 'Content-Length'], true]);
});

it('a slow drip of a long body is on its way before it ends', async () => {
  const compression = compress({ idleFlush: 20 });
  const running = await listen(
    http.createServer((req, res) =>
      compression(req, res, () => {
        res.setHeader('Content-Type', 'text/plain');
        const timer = setInterval(() => res.write('drop\n'), 10);
        res.on('close', () => clearInterval(timer));
      }),
    ),
  );
  onTestFinished(running.close);
  const first = await new Promise<string>((resolve, reject) => {
    http
      .get(running.origin, { headers: { 'Accept-Encoding': 'gzip' }, agent: false }, (res) => {
        res
          .pipe(zlib.createGunzip())
          .once('data', (bytes: Buffer) => {
            resolve(bytes.toString());
            res.destroy();
          })
          .on('error', () => undefined);
      })
      .on('error', reject);
  });
  expect(first).toMatch(/^(drop\n)+$/);
});

describe('params that the encoder does not take', () => {
  // A flag: 0 or 1.
  const params = { [zlib.constants.BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING]: 2 };

  it.each<[string, () => unknown]>([
    ['compress', () => compress({ brotli: { params } })],
    ['brotli', () => brotli({ params })],
    ['createSwitch', () => createSwitch({ brotli: { params } })],
    ...('zstdCompressSync' in zlib
      ? (
          [
            ['zstd', () => zstd({ params: { 9999: 1 } })],
            ['a window of zstd', () => zstd({ params: { 101: 5 } })],
          ] as const
        ).map(([name, make]) => [name, make] as [string, () => unknown])
      : []),
  ])('are refused by %s, and not at the first long body', (_name, make) => {
    expect(make).toThrow(InvalidOptionError);
  });

  it('are refused by swap, and nothing changes', async () => {
    const compression = compress();
    await expect(compression.switch.swap({ brotli: { params } })).rejects.toBeInstanceOf(InvalidOptionError);
    expect(compression.switch.version).toBe(0);
  });
});

describe('the codecs of a profile that has none of its own', () => {
  function slowCodec(): { codec: Codec; calls: string[]; loaded: () => void } {
    const calls: string[] = [];
    let [available, loaded] = [false, () => undefined as void];
    const promise = new Promise<void>((resolve) => (loaded = resolve));
    const codec: Codec = {
      coding: 'gzip',
      get available() {
        return available;
      },
      async load() {
        calls.push('load');
        await promise;
        available = true;
      },
      encode(body) {
        calls.push('encode');
        return zlib.gzipSync(body);
      },
    };
    return { codec, calls, loaded };
  }

  it('are those of the middleware, loaded once and tried before the profile is used', async () => {
    const { codec, calls, loaded } = slowCodec();
    const compression = compress({ codecs: [codec] });
    const swapped = compression.switch.swap({ threshold: 0 });
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect([compression.switch.version, calls]).toEqual([0, ['load']]);
    loaded();
    await swapped;
    await compression.switch.swap({ threshold: 1 });
    expect([compression.switch.version, calls]).toEqual([2, ['load', 'encode', 'encode']]);
  });

  it('of a middleware that is closed are its own business', async () => {
    const { codec, calls } = slowCodec();
    const compression = compress({ codecs: [codec] });
    compression.close();
    await compression.switch.swap({ threshold: 0 });
    expect([compression.switch.version, calls]).toEqual([1, ['load']]);
  });
});

it('a codec whose load gives no promise, or throws, is no failure of compress', () => {
  const codec = { ...gzip(), load: () => undefined };
  expect(() => compress({ codecs: [codec as unknown as Codec] })).not.toThrow();
  const throwing = {
    ...gzip(),
    load: () => {
      throw new Error('at once');
    },
  };
  expect(() => compress({ codecs: [throwing as unknown as Codec] })).not.toThrow();
});

it('a codec that does not say what it holds counts for nothing, and spoils nothing', async () => {
  const codec: Codec = {
    ...gzip(),
    createStream: (settings) => ({ ...gzip().createStream!(settings), memory: undefined as unknown as number }),
    encode: undefined as never,
  };
  const compression = compress({ codecs: [codec], threshold: 0 });
  const app = expressApp((each) => {
    each.use(compression);
    each.get('/', (_req, res) => {
      res.type('text').write('one');
      setTimeout(() => res.end('two'), 5);
    });
  });
  for (let round = 0; round < 2; round++) expect(await ask(app)).toMatchObject({ coding: 'gzip', body: 'onetwo' });
  await until(
    () => compression.activeEncoders === 0 && compression.encoderBytes === 0,
    () => `${compression.activeEncoders} encoders, ${compression.encoderBytes} bytes`,
  );
});

it.each(['text/event-stream', 'text/plain'])(
  'a patch of setHeader that throws leaves no encoder of %s open',
  async (type) => {
    const compression = compress({ threshold: 0 });
    const app = expressApp((each) => {
      each.use((_req, res, next) => {
        const { setHeader } = res;
        res.setHeader = ((name: string, value: string) => {
          if (value === 'gzip') throw new Error('not this one');
          return setHeader.call(res, name, value);
        }) as typeof res.setHeader;
        next();
      });
      each.use(compression);
      each.get('/', (_req, res) => {
        res.setHeader('Content-Type', type);
        res.write('one');
        setTimeout(() => res.end('two'), 5);
      });
    });
    expect(await ask(app)).toMatchObject({ status: 200, coding: undefined, body: 'onetwo' });
    await until(
      () => compression.activeEncoders === 0 && compression.encoderBytes === 0,
      () => `${compression.activeEncoders} encoders, ${compression.encoderBytes} bytes`,
    );
  },
);

describe('HEAD', () => {
  async function tagsOf(
    options: CompressOptions,
    accept: string,
    type: string,
  ): Promise<{ head: string | undefined; get: string | undefined; length: string | undefined }> {
    const app = expressApp((each) => {
      each.use(compress(options));
      each.get('/', (req, res) => {
        res.setHeader('Content-Type', type);
        res.setHeader('Content-Length', text.length);
        res.setHeader('ETag', '"abc"');
        if (req.method === 'HEAD') {
          res.end();
          return;
        }
        res.write(text.slice(0, 100));
        setTimeout(() => res.end(text.slice(100)), 5);
      });
    });
    const running = await listen(http.createServer(app));
    onTestFinished(running.close);
    const [head, get] = await Promise.all(
      ['HEAD', 'GET'].map(
        (method) =>
          new Promise<http.IncomingHttpHeaders>((resolve, reject) => {
            http
              .request(running.origin, { method, headers: { 'Accept-Encoding': accept }, agent: false }, (res) => {
                res.resume();
                resolve(res.headers);
              })
              .on('error', reject)
              .end();
          }),
      ),
    );
    return { head: head!.etag, get: get!.etag, length: head!['content-length'] };
  }

  it('has the tag of its GET where all kinds of bodies would have the same', async () => {
    expect(await tagsOf({ etag: 'suffix' }, 'gzip', 'text/plain')).toEqual({
      head: '"abc-gzip"',
      get: '"abc-gzip"',
      length: undefined,
    });
    expect(await tagsOf({}, 'gzip, br', 'text/plain')).toEqual({ head: 'W/"abc"', get: 'W/"abc"', length: undefined });
  });

  it('has no tag rather than one that its GET may not have', async () => {
    // Pieces get brotli, a whole gets gzip.
    const weigh = (coding: string, { kind }: { kind?: string }): number =>
      coding === (kind === 'complete' ? 'gzip' : 'br') ? 1 : 0.5;
    expect(await tagsOf({ etag: 'suffix', weigh }, 'gzip, br', 'text/plain')).toEqual({
      head: undefined,
      get: '"abc-br"',
      length: undefined,
    });
  });
});

it('a Server-Timing of a head that was refused does not stay for the error page', async () => {
  let timing: unknown;
  let finished = false;
  const app = expressApp((each) => {
    each.use(compress({ serverTiming: true }));
    each.use((_req, res, next) => {
      res.on('finish', () => {
        timing = res.getHeader('server-timing');
        finished = true;
      });
      res.statusMessage = 'bad\nmessage';
      next();
    });
    // Refused by Node, and not compressed for its type.
    each.get('/', (_req, res) => void res.type('image/png').send(Buffer.alloc(2000)));
  });
  expect(await ask(app)).toMatchObject({ status: 500, coding: 'gzip' });
  await until(() => finished);
  expect(timing).toBe('compress;desc="gzip"');
});

if ('zstdCompressSync' in zlib) {
  it('long-distance matching of zstd keeps to a window of 8 MB (RFC 9659)', async () => {
    const { transform } = zstd({ params: { 160: 1 } }).createStream!({ tier: 0, size: undefined, padding: 0 });
    transform.end(text);
    const bytes = Buffer.concat((await transform.toArray()) as Buffer[]);
    expect(parseZstdFrames(bytes).map(({ windowSize }) => windowSize)).toEqual([2 ** 23]);
  });
}
