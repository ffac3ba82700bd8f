import http from 'node:http';
import { describe, expect, it } from 'vitest';
import { describesContent, endsWithHead, mayHaveContent } from '../../../src/internal/http/body-rules.ts';
import { serve } from '../../support/serve.ts';
import { bare } from '../../support/carriers.ts';
import { getRequest } from '../../support/raw.ts';

const statuses = [200, 201, 204, 205, 206, 301, 304, 404, 503];

describe('a response', () => {
  it.each([
    ['GET', 100, true, false, false],
    ['GET', 103, true, false, false],
    ['GET', 200, false, true, true],
    ['POST', 201, false, true, true],
    ['GET', 204, true, false, false],
    ['GET', 205, false, false, false],
    ['GET', 206, false, true, true],
    ['GET', 304, true, false, true],
    ['GET', 404, false, true, true],
    ['HEAD', 200, true, false, true],
    ['HEAD', 204, true, false, false],
    ['HEAD', 205, true, false, false],
    ['HEAD', 304, true, false, true],
    [undefined, 200, false, true, true],
  ])(
    'to %s with %s: ends with its head %s, may have content %s, describes content %s',
    (method, status, ends, content, describes) => {
      expect([endsWithHead(method, status), mayHaveContent(method, status), describesContent(status)]).toEqual([
        ends,
        content,
        describes,
      ]);
    },
  );
});

describe('Node', () => {
  it.each(['GET', 'HEAD'])(
    'drops what is written after the head of an answer to %s exactly where the message ends there',
    async (method) => {
      const running = await serve(bare, (req, res) => {
        res.statusCode = Number(req.url!.slice(1));
        (res as http.ServerResponse).write('abc');
        res.end();
      });
      for (const status of statuses) {
        const client = await running.dial();
        client.send(getRequest(`/${status}`, { Connection: 'close' }).replace('GET', method));
        await client.closed;
        const body = client.received.slice(client.received.indexOf('\r\n\r\n') + 4);
        expect([status, body === '']).toEqual([status, endsWithHead(method, status)]);
      }
    },
  );
});
