import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import http, { type ServerResponse } from 'node:http';
import { Transform } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import { expect, it, onTestFinished } from 'vitest';
import { type BlockEncoder, type Codec, compress, gzip, sse } from '../../src/index.ts';
import { express5, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const text = 'a line that repeats itself\n'.repeat(400);
const large = text.repeat(10);

const answers: Readonly<Record<string, { readonly body: string; readonly middleware: Middleware }>> = {
  '/small': { body: text, middleware: (_req, res) => send(res as ServerResponse, (each) => each.end(text)) },
  '/large': { body: large, middleware: (_req, res) => send(res as ServerResponse, (each) => each.end(large)) },
  '/long': {
    body: text + text,
    middleware: (_req, res) =>
      send(res as ServerResponse, async (each) => {
        each.write(text);
        await turns(2);
        each.end(text);
      }),
  },
  '/joined': {
    body: `${text}the end`,
    middleware: (_req, res) =>
      send(res as ServerResponse, (each) => {
        each.write(text);
        each.end('the end');
      }),
  },
  '/events': {
    body: 'data: one\n\ndata: two\n\n',
    middleware: sse(async function* () {
      yield 'one';
      await turns(2);
      yield 'two';
    }),
  },
};

function send(res: ServerResponse, act: (res: ServerResponse) => unknown): unknown {
  res.setHeader('Content-Type', 'text/plain');
  return act(res);
}

/** A member works as often as a swap tries it, and fails from then on. */
function later(member: 'encode' | 'createStream' | 'createBlocks', fail: () => unknown): () => Codec {
  return () => {
    const codec = gzip();
    const works = codec[member] as (...args: unknown[]) => unknown;
    let calls = 0;
    return { ...codec, [member]: (...args: unknown[]) => ((calls += 1) <= 4 ? works(...args) : fail()) };
  };
}

function blocksThat(encode: () => never | Promise<never>): BlockEncoder {
  return { memory: 1, encode, close: () => undefined };
}

const boom = (): never => {
  throw new Error('mine');
};
const rejects = (): Promise<never> => Promise.reject(new Error('mine'));
const { encode } = gzip() as Required<Codec>;

const codecs: Readonly<Record<string, readonly [outcome: 'refused' | 'taken', make: () => Codec]>> = {
  'load throws': ['refused', () => ({ ...gzip(), load: boom })],
  'load rejects': ['refused', () => ({ ...gzip(), load: rejects })],
  'load is slow': ['taken', () => ({ ...gzip(), load: () => turns(20) })],
  'encode rejects': ['refused', () => ({ ...gzip(), encode: rejects })],
  'encode is slow': ['taken', () => ({ ...gzip(), encode: async (...args) => turns(10).then(() => encode(...args)) })],
  'createStream throws': ['refused', () => ({ ...gzip(), createStream: boom })],
  'createBlocks throws': ['refused', () => ({ ...gzip(), createBlocks: boom })],
  'blocks reject': ['refused', () => ({ ...gzip(), createBlocks: () => blocksThat(rejects) })],
  'encode throws later': ['taken', later('encode', boom)],
  'encode rejects later': ['taken', later('encode', rejects)],
  'createStream throws later': ['taken', later('createStream', boom)],
  'streams fail later': ['taken', later('createStream', failingStream)],
  'createBlocks throws later': ['taken', later('createBlocks', boom)],
  'blocks throw later': ['taken', later('createBlocks', () => blocksThat(boom))],
};

function failingStream(): ReturnType<NonNullable<Codec['createStream']>> {
  const transform = new Transform({ transform: (_chunk, _encoding, callback) => callback(new Error('mine')) });
  return { transform, memory: 1, flush: (callback) => callback() };
}

/** `whole` for the body as it was meant, coded or not; `cut` for one that was not ended. */
function ask(port: number, agent: http.Agent, path: string): Promise<string> {
  return new Promise((resolve) => {
    const req = http.get({ port, host: '127.0.0.1', path, agent, headers: { 'Accept-Encoding': 'gzip' } }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('error', () => resolve('cut'));
      res.on('end', () => {
        const bytes = Buffer.concat(chunks);
        const body = String(res.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes);
        resolve(body.replace(/^:ok\n+/, '') === answers[path]?.body ? 'whole' : `other: ${body.slice(0, 40)}`);
      });
    });
    req.on('error', () => resolve('cut'));
  });
}

const title = 'every request gets its answer while a codec is swapped in of which %s';

it.each(Object.entries(codecs))(title, async (_fault, [outcome, make]) => {
  const errors: unknown[] = [];
  const note = (message: unknown): void => void errors.push(message);
  subscribe('sluice:compress:error', note);
  onTestFinished(() => void unsubscribe('sluice:compress:error', note));
  const compression = compress();
  const byPath: Middleware = (req, res, next) => answers[req.url ?? '']?.middleware(req, res, next);
  const running = await serve(express5, compression, byPath);
  const agent = new http.Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const seen: string[] = [];
  let isOver = false;
  const clients = Array.from({ length: 10 }, async (_each, index) => {
    const paths = Object.keys(answers);
    for (let at = index; !isOver; at++) seen.push(await ask(running.port, agent, paths[at % paths.length]!));
  });
  await until(() => seen.length > 10);
  expect(seen).toEqual(seen.map(() => 'whole'));

  const { profile } = compression.switch;
  const swapped = await settles(
    compression.switch.swap({ codecs: [make()] }).then(
      () => 'taken',
      () => 'refused',
    ),
  );
  expect(swapped).toBe(outcome);
  const asked = seen.length;
  await until(() => seen.length > asked + 30);
  // A body that could not be encoded is cut where its head was out, and plain where it was not.
  expect(seen.filter((each) => each !== 'whole' && (outcome === 'refused' || each !== 'cut'))).toEqual([]);
  if (outcome === 'refused') expect(compression.switch.profile).toBe(profile);

  await settles(compression.switch.swap({}));
  isOver = true;
  await settles(Promise.all(clients));
  expect(await settles(ask(running.port, agent, '/small'))).toBe('whole');
  await until(() => compression.activeEncoders === 0 && compression.encoderBytes === 0);
  expect(running.errors).toEqual([]);
});
