import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, IncomingMessage, OutgoingMessage, Server, ServerResponse } from 'node:http';
import { Http2ServerResponse } from 'node:http2';
import { connect, Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listen } from '../support/carriers.ts';
import { until } from '../support/until.ts';

// What the seam replaces, and it and `lifecycle` rely on. When Node changes one of these the seam must be read against
// the new source before the new hash is added: SLUICE_UPDATE_CANARY=1 adds it.
const replaced: Record<string, unknown> = {
  'OutgoingMessage.prototype.write': OutgoingMessage.prototype.write,
  'OutgoingMessage.prototype.end': OutgoingMessage.prototype.end,
  'OutgoingMessage.prototype.flushHeaders': OutgoingMessage.prototype.flushHeaders,
  'OutgoingMessage.prototype._send': (OutgoingMessage.prototype as unknown as Record<string, unknown>)['_send'],
  'OutgoingMessage.prototype.cork': OutgoingMessage.prototype.cork,
  'OutgoingMessage.prototype.uncork': OutgoingMessage.prototype.uncork,
  'OutgoingMessage.prototype.writableLength': getter(OutgoingMessage.prototype, 'writableLength'),
  'OutgoingMessage.prototype.writableNeedDrain': getter(OutgoingMessage.prototype, 'writableNeedDrain'),
  'OutgoingMessage.prototype.writableEnded': getter(OutgoingMessage.prototype, 'writableEnded'),
  'OutgoingMessage.prototype.writableFinished': getter(OutgoingMessage.prototype, 'writableFinished'),
  'OutgoingMessage.prototype._storeHeader': (OutgoingMessage.prototype as unknown as Record<string, unknown>)[
    '_storeHeader'
  ],
  'OutgoingMessage.prototype._flush': (OutgoingMessage.prototype as unknown as Record<string, unknown>)['_flush'],
  'Server.prototype.close': Server.prototype.close,
  'Server.prototype.closeIdleConnections': Server.prototype.closeIdleConnections,
  'ServerResponse.prototype.writeHead': ServerResponse.prototype.writeHead,
  'ServerResponse.prototype._implicitHeader': (ServerResponse.prototype as unknown as Record<string, unknown>)[
    '_implicitHeader'
  ],
  'ServerResponse.prototype.assignSocket': ServerResponse.prototype.assignSocket,
  'Http2ServerResponse.prototype.write': Http2ServerResponse.prototype.write,
  'Http2ServerResponse.prototype.end': Http2ServerResponse.prototype.end,
  'Http2ServerResponse.prototype.writeHead': Http2ServerResponse.prototype.writeHead,
  'Http2ServerResponse.prototype.flushHeaders': (Http2ServerResponse.prototype as unknown as Record<string, unknown>)[
    'flushHeaders'
  ],
  'EventEmitter.prototype.emit': EventEmitter.prototype.emit,
};

function getter(prototype: object, name: string): unknown {
  return Object.getOwnPropertyDescriptor(prototype, name)?.get;
}

const file = new URL('known-hashes.json', import.meta.url);
const major = process.versions.node.split('.')[0] ?? '';
const known = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, string[]>>;

// Other lines are not tested: what holds for them nobody has read.
const testedLines = ['20', '22', '24', '26'];

describe.runIf(testedLines.includes(major))(
  `the functions of Node ${major} that the seam replaces or relies on`,
  () => {
    for (const [name, value] of Object.entries(replaced)) {
      it(`has ${name} as it was read`, () => {
        expect(value, `${name} is not a function in Node ${process.versions.node}`).toBeTypeOf('function');
        const hash = createHash('sha256').update(String(value)).digest('hex').slice(0, 16);
        const hashes = ((known[major] ??= {})[name] ??= []);
        if (process.env['SLUICE_UPDATE_CANARY'] === '1' && !hashes.includes(hash)) {
          hashes.push(hash);
          writeFileSync(file, `${JSON.stringify(known, null, 2)}\n`);
        }
        expect(
          hashes,
          `Node ${process.versions.node} changed ${name}. Read the change against src/internal/seam/response.ts and bottom.ts, then add ${hash} to known-hashes.json`,
        ).toContain(hash);
      });
    }

    it('keeps the fields of a head where the seam takes them off again', () => {
      const res = new ServerResponse(new IncomingMessage(new Socket()));
      const key = Object.getOwnPropertySymbols(res).find(({ description }) => description === 'kOutHeaders');
      const fieldsOf = (response: object): unknown => (response as Record<symbol, unknown>)[key!];
      expect(fieldsOf(res)).toBeNull();
      res.setHeader('X-Given', '1');
      expect(fieldsOf(res)).not.toBeNull();
    });

    it('keeps on a socket what tells whether it is idle', async () => {
      type HttpSocket = Socket & { parser?: { incoming?: IncomingMessage | null } | null; _httpMessage?: unknown };
      const seen: [socket: HttpSocket, req: IncomingMessage, res: ServerResponse][] = [];
      const { port, close } = await listen(createServer((req, res) => void seen.push([req.socket, req, res])));
      onTestFinished(() => close());
      const client = connect(port, '127.0.0.1', () =>
        client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1'),
      );
      onTestFinished(() => void client.destroy());
      await until(() => seen.length > 0);
      const [socket, req, res] = seen[0]!;
      expect([socket._httpMessage, socket.parser?.incoming, req.complete]).toEqual([res, req, false]);
      res.end();
      await until(() => !socket._httpMessage);
      expect(socket.parser?.incoming?.complete).toBe(false);
      client.write('2');
      await until(() => socket.parser?.incoming?.complete !== false);
      expect(socket.parser).toBeTruthy();
    });

    it('writes with the call by which the bottom knows it for the own one of Node', () => {
      expect(OutgoingMessage.prototype.write.toString()).toMatch(/\bwrite_\(this\b/);
    });
  },
);
