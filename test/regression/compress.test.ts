import http, { type ServerResponse } from 'node:http';
import zlib from 'node:zlib';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Codec, compress, createSwitch, InvalidOptionError, sse } from '../../src/index.ts';
import { listen } from '../support/carriers.ts';

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
    http.get(running.origin, { headers: { 'Accept-Encoding': 'gzip' }, agent: false }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => {
        const bytes = Buffer.concat(chunks);
        const coding = res.headers['content-encoding'];
        resolve({ status: res.statusCode, coding, trailers: res.trailers, body: (coding === 'gzip' ? zlib.gunzipSync(bytes) : bytes).toString() });
      });
    }).on('error', reject);
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
    each.use(compress({ filter: () => { throw new Error('no user'); } }));
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
  ['a promise of another make', () => ({ then: (resolve: (bytes: Uint8Array) => void) => resolve(zlib.gzipSync(text)) }), 'gzip'],
  ['no bytes', () => 'text', undefined],
  ['a promise of no bytes', () => Promise.resolve(undefined), undefined],
])('a codec that gives %s has its body sent as what it is', async (_what, encode, coding) => {
  const compression = compress({ codecs: [{ coding: 'gzip', available: true, encode } as unknown as Codec] });
  const answer = await ask((req, res) => compression(req, res, () => {
    res.setHeader('Content-Type', 'text/plain');
    res.end(text);
  }));
  expect(answer).toMatchObject({ status: 200, coding, body: text });
});

it('a small body with trailers keeps them', async () => {
  const compression = compress();
  const answer = await ask((req, res) => compression(req, res, () => {
    res.setHeader('Trailer', 'X-Sum');
    res.addTrailers({ 'X-Sum': '1' });
    res.end('hello');
  }));
  expect(answer).toMatchObject({ body: 'hello', trailers: { 'x-sum': '1' } });
});

it.each([1000.5, 0.5])('a history of %d bytes is refused', (history) => {
  expect(() => compress({ streams: { history } })).toThrow(InvalidOptionError);
});

it("somebody's own setHeader sees the fields of a body for the thread pool too, and stays", async () => {
  const compression = compress();
  const seen: string[] = [];
  let stays = false;
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
  expect([seen, stays]).toEqual([['Content-Type', 'Vary', 'Content-Encoding', 'Content-Length'], true]);
});

it('a slow drip of a long body is on its way before it ends', async () => {
  const compression = compress({ idleFlush: 20 });
  const running = await listen(http.createServer((req, res) => compression(req, res, () => {
    res.setHeader('Content-Type', 'text/plain');
    const timer = setInterval(() => res.write('drop\n'), 10);
    res.on('close', () => clearInterval(timer));
  })));
  onTestFinished(running.close);
  const first = await new Promise<string>((resolve, reject) => {
    http.get(running.origin, { headers: { 'Accept-Encoding': 'gzip' }, agent: false }, (res) => {
      res.pipe(zlib.createGunzip()).once('data', (bytes: Buffer) => {
        resolve(bytes.toString());
        res.destroy();
      }).on('error', () => undefined);
    }).on('error', reject);
  });
  expect(first).toMatch(/^(drop\n)+$/);
});
