import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { http1Client } from '../support/body-clients.ts';
import { bare } from '../support/carriers.ts';
import { type Coding, codings, decodeStrictly } from '../support/decoders.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

const text = 'the same text '.repeat(500);

/** Each asks for a head that Node refuses. */
const attempts: Record<string, (res: ServerResponse) => unknown> = {
  '/whole': (res) => res.setHeader('Content-Type', 'text/plain').end(text),
  '/long': (res) => res.setHeader('Content-Type', 'text/plain').write(text),
  '/events': (res) => res.setHeader('Content-Type', 'text/event-stream').write(text),
};

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
