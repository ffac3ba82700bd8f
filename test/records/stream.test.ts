import { describe, expect, it, vi } from 'vitest';
import {
  jsonSeq,
  ndjson,
  openJsonSeq,
  openNdjson,
  type RecordHandler,
  type RecordStream,
  ResponseStartedError,
} from '../../src/index.ts';
import { bare, carriers } from '../support/carriers.ts';
import type { RequestInput } from '../support/clients.ts';
import { deferred } from '../support/deferred.ts';
import { parseJsonSeq, parseNdjson } from '../support/record-parser.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const kinds = [
  { kind: 'ndjson', make: ndjson, open: openNdjson, type: 'application/x-ndjson', rs: '', parse: parseNdjson },
  {
    kind: 'jsonSeq',
    make: jsonSeq,
    open: openJsonSeq,
    type: 'application/json-seq',
    rs: '\u001e',
    parse: parseJsonSeq,
  },
] as const;

const values = [
  { n: 1 },
  'text\u2028\u2029',
  ['\u001e', '\n'],
  null,
  0,
  false,
  '🌊 ключ',
  '\ud800',
  { deep: [[[[{ é: 'ß' }]]]] },
];

const forms: [string, RecordHandler][] = [
  [
    'an async generator',
    async function* () {
      for (const value of values) {
        await turns(1);
        yield value;
      }
    },
  ],
  [
    'a sync generator',
    function* () {
      yield* values;
    },
  ],
  [
    'an async function',
    async (stream) => {
      for (const value of values) await stream.send(value);
    },
  ],
  ['a piped source', async (stream) => stream.pipe(values)],
  [
    'a ReadableStream',
    () =>
      new ReadableStream<unknown>({
        start(controller) {
          for (const value of values) controller.enqueue(value);
          controller.close();
        },
      }),
  ],
];

const matrix = carriers.flatMap((carrier) => kinds.map((kind) => ({ ...kind, carrier, on: carrier.name })));

describe.each(matrix)('$kind on $on', ({ carrier, make, open, type, rs, parse }) => {
  it.each(forms)('sends the records of %s, readable by a strict parser', async (_name, handler) => {
    const running = await serve(carrier, make(handler));
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe(values.map((value) => `${rs}${JSON.stringify(value)}\n`).join(''));
    expect(parse(reading.text)).toEqual(values);
    expect(reading.headers).toMatchObject({
      'content-type': type,
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
  });

  it('sends the head before the first record, and a record before the next', async () => {
    const gates = [deferred(), deferred(), deferred()] as const;
    const running = await serve(
      carrier,
      make(async function* () {
        for (const [index, gate] of gates.entries()) {
          await gate.promise;
          yield index;
        }
      }),
    );
    const reading = await running.visit();
    expect([reading.status, reading.text]).toEqual([200, '']);
    for (const [index, gate] of gates.entries()) {
      gate.resolve();
      await until(() => reading.text.endsWith(`${rs}${index}\n`));
    }
    expect(await settles(reading.over)).toBe('end');
  });

  it('leaves out what JSON cannot hold and goes on', async () => {
    const codes: unknown[] = [];
    const running = await serve(
      carrier,
      make(async (stream) => {
        for (const each of [undefined, 1n, () => 1, Symbol('s')])
          await stream.send(each).catch((error: unknown) => codes.push((error as { code: string }).code));
        void stream.send(undefined);
        await stream.send('good');
      }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect(parse(reading.text)).toEqual(['good']);
    expect(codes).toEqual(Array(4).fill('ERR_SLUICE_RECORD_INVALID'));
  });

  it('hands an error to next before the head and cuts the body after it', async () => {
    const onError = vi.fn();
    const early = Object.assign(new Error('early'), { status: 422 });
    const late = new Error('late');
    const running = await serve(
      carrier,
      make(
        (_stream, req) => {
          if (req.url === '/early') throw early;
          return (async function* () {
            yield 1;
            await turns();
            throw late;
          })();
        },
        { onError },
      ),
    );
    const refused = await running.visit({ path: '/early' });
    expect([refused.status, refused.headers['content-type'], refused.headers['cache-control']]).toEqual([
      422,
      'text/plain',
      undefined,
    ]);
    expect(running.errors).toEqual([early]);
    const cut = await running.visit({ path: '/late' });
    expect(await settles(cut.over)).toBe('aborted');
    expect(parse(cut.text)).toEqual([1]);
    expect(onError).toHaveBeenCalledExactlyOnceWith(late, expect.anything());
  });

  it('ends its source when the client leaves', async () => {
    const cleaned = deferred();
    const running = await serve(
      carrier,
      make(async function* (stream) {
        try {
          yield 1;
          await new Promise((resolve) => stream.signal.addEventListener('abort', resolve));
          yield 2;
        } finally {
          cleaned.resolve();
        }
      }),
    );
    const reading = await running.visit();
    await until(() => reading.text !== '');
    reading.destroy();
    await settles(cleaned.promise);
    expect(running.errors).toEqual([]);
  });

  it('opens outside of a handler, once', async () => {
    const running = await serve(carrier, async (req, res) => {
      const stream = open(req, res);
      if (stream.state === 'closed') return;
      expect(() => open(req, res)).toThrow(ResponseStartedError);
      await stream.send(1);
      await stream.end();
    });
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.headers['content-type'], parse(reading.text)]).toEqual([type, [1]]);
    const other = await running.visit({ headers: { accept: 'text/html' } });
    expect([other.status, other.headers['content-type']]).toEqual([200, type]);
  });

  it('answers HEAD and ends an empty stream without a byte', async () => {
    const running = await serve(
      carrier,
      make(function* () {}),
    );
    for (const method of ['HEAD', 'GET']) {
      const reading = await running.visit({ method });
      expect(await settles(reading.over)).toBe('end');
      expect([reading.status, reading.headers['content-type'], reading.text]).toEqual([200, type, '']);
    }
  });
});

describe('Accept for records', () => {
  const table: [make: 'ndjson' | 'jsonSeq', accept: string | undefined, type: string, acceptable: boolean][] = [
    ['ndjson', undefined, 'application/x-ndjson', true],
    ['ndjson', '*/*', 'application/x-ndjson', true],
    ['ndjson', 'application/*', 'application/x-ndjson', true],
    ['ndjson', 'application/x-ndjson', 'application/x-ndjson', true],
    ['ndjson', 'application/ndjson', 'application/ndjson', true],
    ['ndjson', 'application/jsonl', 'application/jsonl', true],
    ['ndjson', 'application/jsonl, application/ndjson', 'application/ndjson', true],
    ['ndjson', 'application/jsonl, application/ndjson;q=0.5', 'application/jsonl', true],
    ['ndjson', 'application/x-ndjson;q=0.1, application/jsonl;q=0.2', 'application/jsonl', true],
    ['ndjson', 'application/x-ndjson;q=0, */*', 'application/ndjson', true],
    ['ndjson', 'application/json', 'application/x-ndjson', false],
    ['ndjson', 'application/json-seq', 'application/x-ndjson', false],
    ['ndjson', '*/*;q=0', 'application/x-ndjson', false],
    ['jsonSeq', undefined, 'application/json-seq', true],
    ['jsonSeq', 'application/json-seq;q=0.3, text/html', 'application/json-seq', true],
    ['jsonSeq', 'application/x-ndjson', 'application/json-seq', false],
  ];
  const accepting = (accept: string | undefined): RequestInput => (accept === undefined ? {} : { headers: { accept } });

  it.each(table)('of %s chooses for %j the type %j, and refuses nothing', async (kind, accept, type) => {
    const running = await serve(
      bare,
      (kind === 'ndjson' ? ndjson : jsonSeq)(function* () {
        yield 1;
      }),
    );
    const reading = await running.visit(accepting(accept));
    await settles(reading.over);
    expect([reading.status, reading.headers['content-type'], reading.headers['vary']]).toEqual([
      200,
      type,
      kind === 'ndjson' ? 'Accept' : undefined,
    ]);
  });

  it.each(table)(
    'of %s refuses what excludes its types where it is strict: %j',
    async (kind, accept, type, acceptable) => {
      const running = await serve(
        bare,
        (kind === 'ndjson' ? ndjson : jsonSeq)(
          function* () {
            yield 1;
          },
          { negotiate: 'strict' },
        ),
      );
      const reading = await running.visit(accepting(accept));
      await settles(reading.over);
      expect([reading.status, reading.headers['vary']]).toEqual([acceptable ? 200 : 406, 'Accept']);
      if (acceptable) expect(reading.headers['content-type']).toBe(type);
      else
        expect(reading.text).toContain(
          kind === 'ndjson' ? 'application/x-ndjson, application/ndjson, application/jsonl' : 'application/json-seq',
        );
    },
  );

  it('lets two kinds share a route', async () => {
    const running = await serve(
      bare,
      ndjson(
        function* () {
          yield 'lines';
        },
        { negotiate: 'next' },
      ),
      jsonSeq(function* () {
        yield 'sequence';
      }),
    );
    for (const [accept, text] of [
      ['application/jsonl', '"lines"\n'],
      ['application/json-seq', '\u001e"sequence"\n'],
    ] as const) {
      const reading = await running.visit({ headers: { accept } });
      await settles(reading.over);
      expect(reading.text).toBe(text);
    }
  });
});

describe('records', () => {
  it('of one tick leave in one chunk', async () => {
    const kept = deferred<RecordStream>();
    const running = await serve(
      bare,
      ndjson((stream) => kept.resolve(stream)),
    );
    const client = await running.dial();
    client.send(getRequest());
    const stream = await settles(kept.promise);
    await client.waitFor('\r\n\r\n');
    void stream.send(1);
    await stream.send(2);
    void stream.send(3);
    await client.waitFor('3\n\r\n');
    expect(parseChunked(client.received).chunks).toEqual(['1\n2\n3\n']);
  });

  it('are not stopped by the id of an event stream', async () => {
    const running = await serve(
      bare,
      ndjson(function* () {
        yield 1;
      }),
    );
    const reading = await running.visit({ headers: { 'last-event-id': 'sluice.stop' } });
    expect(reading.status).toBe(200);
  });

  it('survive a patch of writeHead that throws: the stream fails, and the process does not', async () => {
    const onError = vi.fn();
    const patch = new Error('patched');
    const uncaught = vi.fn();
    process.on('uncaughtException', uncaught);
    try {
      const running = await serve(
        bare,
        (_req, res, next) => {
          (res as { writeHead: unknown }).writeHead = () => {
            throw patch;
          };
          next();
        },
        ndjson(
          async function* () {
            await turns(5);
            yield 1;
          },
          { onError },
        ),
      );
      await expect(running.visit()).rejects.toThrow();
      await until(() => onError.mock.calls.length > 0);
      expect(onError.mock.calls[0]![0]).toBe(patch);
      expect(uncaught).not.toHaveBeenCalled();
    } finally {
      process.off('uncaughtException', uncaught);
    }
  });
});
