import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { http1Client, http2Client } from '../support/body-clients.ts';
import { bare, type Carrier, h2c } from '../support/carriers.ts';
import { type Coding, codings, decodeStrictly } from '../support/decoders.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

const text = 'the same text '.repeat(500);

/** Each asks for a head that is refused. */
const attempts: Record<string, (res: ServerResponse) => unknown> = {
  '/whole': (res) => typed(res, 'text/plain').end(text),
  '/long': (res) => typed(res, 'text/plain').write(text),
  '/events': (res) => typed(res, 'text/event-stream').write(text),
};

function typed(res: ServerResponse, type: string): ServerResponse {
  // Over HTTP/2 it returns nothing.
  res.setHeader('Content-Type', type);
  return res;
}

/** What a handler of errors does with the fields that are there, and what it answers with. */
const cleanups: [string, (res: ServerResponse) => void][] = [
  ['leaves the fields', () => undefined],
  [
    'removes all fields',
    (res) => {
      for (const name of res.getHeaderNames()) res.removeHeader(name);
    },
  ],
  ['removes Content-Encoding', (res) => res.removeHeader('Content-Encoding')],
];
const answers: [string, string][] = [
  ['a short body', 'Internal Server Error'],
  ['a body that is worth it', `<p>${text}</p>`],
];

const table = Object.keys(attempts).flatMap((path) =>
  cleanups.flatMap(([cleanup, clean]) => answers.map(([name, answer]) => ({ path, cleanup, clean, name, answer }))),
);

// HTTP/2 refuses the status where it is set.
describe('when Node refuses the head', () => {
  describe.each(codings)('%s', (coding: Coding) => {
    it.each(table)(
      'of $path and a handler of errors $cleanup, it answers with $name',
      async ({ path, clean, answer }) => {
        const compression = compress();
        const running = await serve(bare, compression, (request, response) => {
          const [req, res] = [request as IncomingMessage, response as ServerResponse];
          res.statusCode = 1000;
          res.setHeader('ETag', '"one"');
          res.setHeader('Content-Length', 12_345);
          try {
            attempts[req.url!]!(res);
            expect.unreachable();
          } catch {
            clean(res);
            res.statusCode = 500;
            res.setHeader('Content-Type', 'text/html');
            res.setHeader('Content-Length', Buffer.byteLength(answer));
            res.end(answer);
          }
        });
        const reading = await settles(http1Client(running).get(path, coding));
        expect(reading.status).toBe(500);
        expect(await settles(reading.over)).toBe('end');
        expect(reading.coding).toBe(answer.length > 1024 ? coding : 'identity');
        expect(decodeStrictly(reading.coding, reading.bytes).toString()).toBe(answer);
        expect(reading.headers['content-length']).toBe(String(reading.bytes.length));
        await until(() => compression.activeEncoders === 0 && compression.encoderBytes === 0);
      },
    );
  });
});

/** Refuses the first head from below, as a patch that checks headers would. */
function refuseOnce(res: ServerResponse): void {
  const { writeHead } = res;
  res.writeHead = function (this: ServerResponse): never {
    res.writeHead = writeHead;
    throw new RangeError('refused');
  } as never;
}

describe.each([bare, h2c])('when a patch below refuses the head, over $name', (carrier: Carrier) => {
  it.each(Object.keys(attempts))('no encoder of %s stays open, and the fields are as they were', async (path) => {
    const compression = compress({ serverTiming: true });
    const left: number[][] = [];
    const given = { etag: '"one"', 'accept-ranges': 'bytes', 'server-timing': 'mine' };
    const found: unknown[] = [];
    const running = await serve(
      carrier,
      (_req, res, next) => {
        refuseOnce(res as ServerResponse);
        compression(_req, res, next);
      },
      (request, response) => {
        const [req, res] = [request as IncomingMessage, response as ServerResponse];
        for (const [name, value] of Object.entries(given)) res.setHeader(name, value);
        try {
          attempts[req.url!]!(res);
          expect.unreachable();
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
          found.push({ ...res.getHeaders() });
          left.push([compression.activeEncoders, compression.encoderBytes]);
          res.statusCode = 500;
          res.setHeader('Content-Type', 'text/html');
          res.end('Internal Server Error');
        }
      },
    );
    const client = carrier.protocol === 'http1' ? http1Client(running) : http2Client(running);
    onTestFinished(() => client.close());
    for (let count = 0; count < 3; count++) {
      const reading = await settles(client.get(path, 'gzip'));
      expect([reading.status, reading.coding]).toEqual([500, 'identity']);
      expect(await settles(reading.over)).toBe('end');
      expect(reading.bytes.toString()).toBe('Internal Server Error');
    }
    for (const [index, each] of left.entries()) {
      expect(each).toEqual([0, 0]);
      expect(found[index]).toMatchObject(given);
      expect(found[index]).not.toHaveProperty('content-encoding');
    }
    expect(left).toHaveLength(3);
  });
});

// One that fails on the way leaves nothing behind either: the body goes out as it is.
it.each(Object.keys(attempts))('a coding of %s that fails half way leaves the fields as they were', async (path) => {
  const compression = compress();
  const running = await serve(
    bare,
    (_req, res, next) => {
      const { setHeader } = res as ServerResponse;
      (res as ServerResponse).setHeader = function (this: ServerResponse, name: string, value: string) {
        if (name === 'ETag' && value !== '"one"') {
          setHeader.call(this, name, value);
          throw new RangeError('refused');
        }
        return setHeader.call(this, name, value);
      } as never;
      next();
    },
    compression,
    (request, response) => {
      const [req, res] = [request as IncomingMessage, response as ServerResponse];
      res.setHeader('ETag', '"one"');
      res.setHeader('Accept-Ranges', 'bytes');
      attempts[req.url!]!(res);
      res.end();
    },
  );
  const reading = await settles(http1Client(running).get(path, 'gzip'));
  expect(await settles(reading.over)).toBe('end');
  expect([reading.coding, reading.bytes.toString()]).toEqual(['identity', text]);
  expect(reading.headers).toMatchObject({ etag: '"one"', 'accept-ranges': 'bytes' });
  expect(compression.activeEncoders).toBe(0);
});
