import { once } from 'node:events';
import { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { brotli, compress, gzip, zstd } from '../../src/compress/index.ts';
import { jsonSeq, ndjson, pipeBody, sse } from '../../src/index.ts';
import type { Middleware } from '../support/carriers.ts';
import type { FlushingResponse } from '../support/compress-responses.ts';
import { serve } from '../support/serve.ts';
import { noise, prose } from '../support/texts.ts';
import { settles } from '../support/until.ts';
import { callerOf, crowdSize, Meeting, type Trigger } from './crowd.ts';
import { signed, watchedCodec } from './watched-codec.ts';
import { mounted, overHttp1, ownerOf, places, type Row, Witness } from './witness.ts';

const whoEnds = 'Node emits it for a stream of HTTP/2 in the context of its session';

const rows: Readonly<Record<string, Row>> = {
  'res prefinish': { sees: 'own', only: 'http1' },
  'res finish': { sees: overHttp1, because: whoEnds },
  'res close': { sees: overHttp1, because: whoEnds },
  'res drain': { sees: 'own' },
  'write below': { sees: 'own' },
  'callback of write': { sees: 'own' },
  'callback of end': { sees: 'own' },
  'callback of flush': { sees: 'own' },
  'compress filter': { sees: 'own' },
  'codec.encode': { sees: 'own' },
  'codec.createStream': { sees: 'own' },
  'codec stream: transform': { sees: 'own' },
  'codec stream: flush': { sees: 'own' },
  'codec stream: last flush': { sees: 'own' },
  'codec stream: destroy': { sees: 'own' },
  'codec.createBlocks': { sees: 'own' },
  'codec blocks: encode': { sees: 'own' },
  'codec blocks: close': { sees: 'own' },
  'generator: step': { sees: 'own' },
  'generator: finally': { sees: 'own' },
  'source: read': { sees: 'own' },
  'source: close': { sees: 'own' },
  'after await send': { sees: 'own' },
  'after await pipeBody': { sees: 'own' },
  'stream.onClose': { sees: 'own' },
  'stream.signal': { sees: 'own' },
  'sluice:compress:decision': { sees: 'own' },
  'sluice:stream:close': { sees: 'own' },
};

/** One request, seen by its handler. */
interface Visit {
  readonly res: FlushingResponse;
  readonly owner: string;
  /** Waits for the others of its crowd. */
  readonly point: (number: number) => Promise<void>;
  readonly see: (callback: string) => void;
  readonly watch: (callback: string) => () => void;
}

type Body = (
  visit: Visit,
  middleware: { readonly req: Parameters<Middleware>[0]; readonly next: Parameters<Middleware>[2] },
) => unknown;

const short = 'a piece that is short. ';
const long = noise(80_000);

async function writeLong(res: FlushingResponse, text: string, callback: () => void): Promise<void> {
  if (!res.write(text, callback)) await once(res, 'drain');
}

async function* produce({ point, see, owner }: Visit, make: (text: string) => unknown): AsyncGenerator {
  try {
    for (const [number, text] of [short, short, long, short].entries()) {
      await point(number);
      see('generator: step');
      yield make(signed(owner, text));
    }
    see('generator: step');
  } finally {
    see('generator: finally');
  }
}

interface OpenStream {
  send(item: unknown): Promise<void>;
  onClose(listener: () => void): unknown;
  readonly signal: AbortSignal;
}

function streamBody(make: (handler: (stream: OpenStream) => AsyncGenerator<never>) => unknown): Body {
  return (visit, { req, next }) => {
    const middleware = make(async function* (stream) {
      stream.onClose(visit.watch('stream.onClose'));
      stream.signal.addEventListener('abort', visit.watch('stream.signal'));
      await stream.send({ data: short });
      visit.see('after await send');
      yield* produce(visit, (text) => ({ data: text })) as AsyncGenerator<never>;
    }) as Middleware;
    middleware(req, visit.res, next);
  };
}

function pipedBody(open: (visit: Visit) => Parameters<typeof pipeBody>[0]): Body {
  return async (visit, { req }) => {
    visit.res.setHeader('Content-Type', 'text/plain');
    await visit.point(9);
    await pipeBody(open(visit), req, visit.res);
    visit.see('after await pipeBody');
  };
}

const asText = (text: string): string => text;

const bodies: Readonly<Record<string, Body>> = {
  async 'short pieces'({ res, owner, point, watch }) {
    res.setHeader('Content-Type', 'text/plain');
    await point(0);
    res.write(signed(owner, short), watch('callback of write'));
    res.flush(watch('callback of flush'));
    await point(1);
    res.write(short, watch('callback of write'));
    res.end(short, watch('callback of end'));
  },
  async 'short pieces of one tick'({ res, owner, point, watch }) {
    res.setHeader('Content-Type', 'text/plain');
    await point(0);
    res.write(signed(owner, short), watch('callback of write'));
    res.end(short, watch('callback of end'));
  },
  async 'long pieces'({ res, owner, point, watch }) {
    res.setHeader('Content-Type', 'text/plain');
    await point(0);
    await writeLong(res, signed(owner, long), watch('callback of write'));
    await point(1);
    await writeLong(res, long, watch('callback of write'));
    res.flush(watch('callback of flush'));
    res.end(short, watch('callback of end'));
  },
  async 'whole body'({ res, owner, point, watch }) {
    res.setHeader('Content-Type', 'text/plain');
    await point(0);
    res.end(signed(owner, prose(4000)), watch('callback of end'));
  },
  async 'whole body in the thread pool'({ res, owner, point, watch }) {
    res.setHeader('Content-Type', 'text/plain');
    await point(0);
    res.end(signed(owner, prose(100_000)), watch('callback of end'));
  },
  async 'events by hand'({ res, owner, point, watch }) {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    await point(0);
    res.write(`data: ${signed(owner, short)}\n\n`, watch('callback of write'));
    await point(1);
    res.write(`data: ${short}\n\n`, watch('callback of write'));
    res.flush(watch('callback of flush'));
    await point(2);
    const written = writeLong(res, `data: ${long}\n\n`, watch('callback of write'));
    // It waits for the client, too.
    res.write(`data: ${short}\n\n`, watch('callback of write'));
    await written;
    await point(3);
    res.write(`data: ${short}\n\n`, watch('callback of write'));
    res.end(`data: ${short}\n\n`, watch('callback of end'));
  },
  sse: streamBody((handler) => sse(handler as never)),
  ndjson: streamBody((handler) => ndjson(handler as never)),
  jsonSeq: streamBody((handler) => jsonSeq(handler as never)),
  'pipeBody of a generator': pipedBody((visit) => produce(visit, asText) as AsyncGenerator<string>),
  'pipeBody of a Readable': pipedBody((visit) => {
    let pieces = 0;
    return new Readable({
      read() {
        visit.see('source: read');
        const piece = [signed(visit.owner, short), long, short][pieces++] ?? null;
        setImmediate(() => this.push(piece));
      },
      destroy(error, callback) {
        visit.see('source: close');
        callback(error);
      },
    });
  }),
  'pipeBody of a web stream': pipedBody((visit) => {
    let pieces = 0;
    return new ReadableStream<string>({
      pull(controller) {
        visit.see('source: read');
        const piece = [signed(visit.owner, short), long, short][pieces++];
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
    });
  }),
};

const zstdThere = 'createZstdCompress' in zlib;
const codings = ['identity', 'gzip', 'br', ...(zstdThere ? ['zstd'] : []), 'x-watched'];
const triggers: readonly Trigger[] = ['shared promise', 'equal timers'];

describe.each(places)('$carrier, stores set $mount the middlewares', (place) => {
  it('runs every callback of a response in the context of its own request', async () => {
    const witness = new Witness(rows);
    const meetings = new Map<string, Meeting>();
    const handler: Middleware = (req, response, next) => {
      const res = response as FlushingResponse;
      const owner = ownerOf(req);
      const [situation, name, trigger] = JSON.parse(decodeURIComponent(req.url!.slice(1))) as [string, string, Trigger];
      const meeting = meetings.get(situation) ?? new Meeting(trigger);
      meetings.set(situation, meeting);
      const watch = (callback: string): (() => void) => witness.watch(callback, owner);
      for (const event of ['prefinish', 'finish', 'close', 'drain']) res.on(event, watch(`res ${event}`));
      return bodies[name]!(
        { res, owner, point: (number) => meeting.at(number), see: (callback) => witness.see(callback, owner), watch },
        { req, next },
      );
    };
    const compression = compress({
      threshold: 0,
      codecs: [zstd(), brotli(), gzip(), watchedCodec(witness)],
      filter(req, res) {
        witness.see('compress filter', ownerOf(req));
        return compress.filter(req, res);
      },
    });
    witness.follow('sluice:compress:decision', () => true);
    witness.follow('sluice:stream:close', () => true);
    // As agents that trace requests do. Of every other request, since it keeps chunks from being written directly.
    const below: Middleware = (req, res, next) => {
      const owner = ownerOf(req);
      const { write } = res as FlushingResponse;
      const patched = (...args: unknown[]): boolean => {
        witness.see('write below', owner);
        return write.apply(res as FlushingResponse, args as never);
      };
      if (/[13]$/.test(owner)) Object.assign(res, { write: patched });
      next();
    };
    const running = await serve(place.make, ...mounted(place.mount, below, compression as Middleware), handler);
    const caller = callerOf(running, place.protocol);
    const calls: Promise<unknown>[] = [];
    for (const name of Object.keys(bodies)) {
      for (const coding of codings) {
        for (const trigger of coding === 'br' || coding === 'zstd' ? triggers.slice(0, 1) : triggers) {
          const situation = `${name}, ${coding}, ${trigger}`;
          const path = `/${encodeURIComponent(JSON.stringify([situation, name, trigger]))}`;
          for (let number = 1; number <= crowdSize; number++) {
            calls.push(
              caller.call(`${situation}, request ${number}`, path, { 'accept-encoding': coding }).then(async (call) => {
                expect([situation, call.status, await call.over]).toEqual([situation, 200, 'end']);
                expect([situation, call.coding]).toEqual([situation, coding]);
              }),
            );
          }
        }
      }
    }
    await settles(Promise.all(calls));
    expect(running.errors).toEqual([]);
    expect(witness.faults(place)).toEqual([]);
    expect(witness.unseen(place)).toEqual([]);
  });
});
