import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { rank } from '../../src/internal/seam/layer.ts';
import { openSeam } from '../../src/internal/seam/response.ts';
import { sse } from '../../src/sse/index.ts';
import { bare, type Middleware, type Running } from '../support/carriers.ts';
import { Watcher } from '../support/layers.ts';
import { connectRaw, getRequest, parseChunked, type RawClient } from '../support/raw.ts';
import { turns, until } from '../support/until.ts';

type Handler = (res: ServerResponse, log: string[]) => void | Promise<void>;

const watched = new WeakSet<Socket>();

/** What reaches a socket by one call of ours: a whole frame, size line and all. */
function watchFrames(socket: Socket, log: string[]): void {
  if (watched.has(socket)) return;
  watched.add(socket);
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  socket.write = ((chunk: string | Uint8Array, ...rest: unknown[]) => {
    if (/^[1-9a-f][0-9a-f]*\r\n[^]+\r\n$/.test(Buffer.from(chunk as string).toString('latin1'))) log.push('direct');
    return write(chunk, ...rest);
  }) as never;
}

interface Scene {
  readonly client: RawClient;
  /** `direct` for each frame written by us. */
  readonly log: string[];
  readonly running: Running;
}

/** Runs a handler on a response that writes directly, for a raw client. */
async function stage(
  handler: Handler,
  request: string,
  test: (scene: Scene) => Promise<void>,
  before?: (res: ServerResponse) => void,
): Promise<void> {
  const log: string[] = [];
  const running = await bare.start(((_req, res: ServerResponse) => {
    before?.(res);
    const seam = openSeam(res);
    // A layer that looks at writes, so that the handler's own pass through the seam.
    seam.add(new Watcher(rank.counting, 'counter', []));
    seam.bottom.writeDirectly();
    if (res.socket) watchFrames(res.socket, log);
    else res.once('socket', (socket: Socket) => watchFrames(socket, log));
    return handler(res, log);
  }) as Middleware);
  const client = await connectRaw(running.port);
  try {
    client.send(request);
    await test({ client, log, running });
  } finally {
    client.destroy();
    await running.close();
  }
}

/** As another library would, and notes what it sees. */
function patchWrite(res: ServerResponse, seen: unknown[]): void {
  const write = res.write.bind(res) as (...args: unknown[]) => boolean;
  res.write = ((...args: unknown[]) => {
    seen.push(args[0]);
    return write(...args);
  }) as never;
}

/** Sends the head, with a first chunk, by Node. */
async function start(res: ServerResponse): Promise<void> {
  res.write('first');
  await turns();
}

function direct(log: readonly string[]): number {
  return log.filter((entry) => entry === 'direct').length;
}

async function complete(client: RawClient): Promise<ReturnType<typeof parseChunked>> {
  await client.waitFor((text) => text.includes('\r\n\r\n') && parseChunked(text).complete);
  return parseChunked(client.received);
}

describe('direct chunk writing', () => {
  it('frames a chunk in one write once the head is out', async () => {
    await stage(
      async (res) => {
        await start(res);
        for (const chunk of ['plain', 'Grüße 🌊', Buffer.from([0, 255, 13, 10])]) {
          res.write(chunk);
          await turns();
        }
        res.end();
      },
      getRequest(),
      async ({ client, log }) => {
        expect((await complete(client)).chunks).toEqual([
          'first',
          'plain',
          Buffer.from('Grüße 🌊').toString('latin1'),
          '\0\xff\r\n',
        ]);
        expect(direct(log)).toBe(3);
      },
    );
  });

  // Each of these makes one condition false for the second chunk: Node writes it, and the bytes are right.
  const byNode: [string, (res: ServerResponse) => void | Promise<void>, string[]][] = [
    ['the head is not out yet', (res) => void (res.write('a'), res.write('b')), ['ab']],
    [
      'the head was written and not sent',
      (res) => {
        res.writeHead(200);
        res.write('a');
      },
      ['a'],
    ],
    [
      'the response is corked',
      async (res) => {
        await start(res);
        res.cork();
        res.write('held');
        await turns();
        res.uncork();
      },
      ['first', 'held'],
    ],
    [
      'the socket is corked',
      async (res) => {
        await start(res);
        res.socket?.cork();
        res.write('held');
        await turns();
        res.socket?.uncork();
      },
      ['first', 'held'],
    ],
    [
      'Node holds a write of this tick back',
      async (res) => {
        await start(res);
        res.write('6162', 'hex');
        res.write('cd');
        await turns();
      },
      ['first', 'ab', 'cd'],
    ],
    [
      'the chunk is in another encoding',
      async (res) => {
        await start(res);
        res.write('6162', 'hex');
        await turns();
      },
      ['first', 'ab'],
    ],
    [
      'the chunk is empty',
      async (res) => {
        await start(res);
        res.write('');
        await turns();
      },
      ['first'],
    ],
  ];
  it.each(byNode)('leaves the chunk to Node when %s', async (_name, act, chunks) => {
    await stage(
      async (res) => {
        await act(res);
        res.end();
      },
      getRequest(),
      async ({ client, log }) => {
        const message = await complete(client);
        expect(message.chunks.join('')).toBe(chunks.join(''));
        expect(direct(log)).toBe(0);
      },
    );
  });

  it('leaves a chunk that would fill the queue of the socket to Node, whose drain follows', async () => {
    const big = 'x'.repeat(300_000);
    await stage(
      async (res, log) => {
        await start(res);
        res.on('drain', () => log.push('drain'));
        log.push(String(res.write(big)), String(res.writableNeedDrain));
        await until(() => log.includes('drain'));
        log.push(String(res.write('after')));
        await turns();
        res.end();
      },
      getRequest(),
      async ({ client, log }) => {
        expect((await complete(client)).chunks).toEqual(['first', big, 'after']);
        expect(log).toEqual(['false', 'true', 'drain', 'direct', 'true']);
      },
    );
  });

  it('waits its turn behind a pipelined response', async () => {
    const waiting: ServerResponse[] = [];
    await stage(
      async (res) => {
        waiting.push(res);
        if (waiting.length === 1) return;
        // No socket yet: everything is queued in the response.
        res.write('second-a');
        await turns();
        res.write('second-b');
        waiting[0]?.write('one');
        await turns();
        waiting[0]?.end();
        await turns();
        await until(() => res.socket !== null);
        res.write('second-c');
        await turns();
        res.end();
      },
      getRequest('/1') + getRequest('/2'),
      async ({ client, log }) => {
        await client.waitFor(
          (text) =>
            text.includes('\r\n\r\n') && parseChunked(text).complete && parseChunked(text).rest.includes('0\r\n\r\n'),
        );
        const first = parseChunked(client.received);
        expect(first.chunks.join('')).toBe('one');
        expect(parseChunked(first.rest).chunks.join('')).toBe('second-asecond-bsecond-c');
        expect(direct(log)).toBe(1);
      },
    );
  });

  it('ends, sends trailers and keeps the connection for the next request', async () => {
    let count = 0;
    await stage(
      async (res) => {
        count += 1;
        res.setHeader('Trailer', 'X-Sum');
        await start(res);
        res.write(`direct ${count}`);
        res.addTrailers({ 'X-Sum': String(count) });
        res.end('last');
      },
      getRequest(),
      async ({ client, log }) => {
        await client.waitFor('X-Sum: 1\r\n\r\n');
        client.send(getRequest());
        await client.waitFor('X-Sum: 2\r\n\r\n');
        const first = parseChunked(client.received);
        expect(first.chunks).toEqual(['first', 'direct 1', 'last']);
        expect(client.received).toContain('8\r\ndirect 2\r\n4\r\nlast\r\n0\r\nX-Sum: 2\r\n\r\n');
        expect(direct(log)).toBe(2);
      },
    );
  });

  it('calls back once for each chunk, also when the connection goes with it', async () => {
    await stage(
      async (res, log) => {
        await start(res);
        res.write('one', (error) => log.push(error ? 'failed' : 'called back'));
        await turns(20);
        res.write('two', () => log.push('called back or failed'));
        res.socket?.destroy();
      },
      getRequest(),
      async ({ client, log }) => {
        await client.closed;
        await until(() => log.includes('called back or failed'));
        await turns();
        expect(log).toEqual(['direct', 'called back', 'direct', 'called back or failed']);
      },
    );
  });

  const unframed: [string, (res: ServerResponse) => void, string, string][] = [
    ['a body with a length', (res) => void res.setHeader('Content-Length', 10), getRequest(), 'firstplain'],
    ['HTTP/1.0', () => undefined, getRequest('/', {}, '1.0'), 'firstplain'],
    ['HEAD', (res) => void res.setHeader('Transfer-Encoding', 'chunked'), getRequest().replace('GET', 'HEAD'), ''],
    ['204', (res) => void (res.statusCode = 204), getRequest(), ''],
    [
      '304 with chunked coding by hand',
      (res) => void (res.setHeader('Transfer-Encoding', 'chunked').statusCode = 304),
      getRequest(),
      '',
    ],
  ];
  it.each(unframed)('never frames chunks for %s', async (_name, prepare, request, body) => {
    await stage(
      async (res) => {
        prepare(res);
        await start(res);
        res.write('plain');
        await turns();
        res.end();
        await turns();
        res.socket?.end();
      },
      request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'),
      async ({ client, log }) => {
        await client.closed;
        expect(client.received.slice(client.received.indexOf('\r\n\r\n') + 4)).toBe(body);
        expect(direct(log)).toBe(0);
      },
    );
  });

  it('stays away from a write that was patched below', async () => {
    const seen: unknown[] = [];
    await stage(
      async (res) => {
        await start(res);
        res.write('plain');
        await turns();
        res.end();
      },
      getRequest(),
      async ({ client, log }) => {
        expect((await complete(client)).chunks).toEqual(['first', 'plain']);
        expect(seen).toEqual(['first', 'plain']);
        expect(direct(log)).toBe(0);
      },
      (res) => patchWrite(res, seen),
    );
  });

  it('is seen by a write that was patched above', async () => {
    const seen: unknown[] = [];
    await stage(
      async (res) => {
        patchWrite(res, seen);
        await start(res);
        res.write('plain');
        await turns();
        res.end();
      },
      getRequest(),
      async ({ client, log }) => {
        expect((await complete(client)).chunks).toEqual(['first', 'plain']);
        expect(seen).toEqual(['first', 'plain']);
        expect(direct(log)).toBe(1);
      },
    );
  });

  it.each([true, false])(
    'is what an event stream does unless it is told not to (directChunks: %s)',
    async (directChunks) => {
      const log: string[] = [];
      const running = await bare.start(
        ((_req, res: ServerResponse, next) => {
          watchFrames(res.socket!, log);
          next();
        }) as Middleware,
        sse(
          async (stream) => {
            for (const data of ['a', 'b', 'c']) {
              await stream.send(data);
              await turns();
            }
          },
          { directChunks },
        ),
      );
      const client = await connectRaw(running.port);
      client.send(getRequest());
      expect((await complete(client)).chunks.join('')).toBe(':ok\ndata: a\n\ndata: b\n\ndata: c\n\n');
      expect(direct(log)).toBe(directChunks ? 2 : 0);
      client.destroy();
      await running.close();
    },
  );
});
