import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { IncomingMessage, OutgoingMessage, Server, ServerResponse } from 'node:http';
import { Http2ServerResponse } from 'node:http2';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';

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

const isUpdate = process.env['SLUICE_UPDATE_CANARY'] === '1';

it(`knows the line of Node ${major}`, () => {
  const steps = [
    `The functions of Node ${major} that the library replaces or relies on were never read.`,
    'Read those that this file lists, in lib/_http_outgoing.js, _http_server.js, internal/http2/compat.js and events.js',
    'of Node, against src/internal/seam and src/lifecycle/http-socket.ts.',
    'See that test/upstream/relied-on.test.ts and the rest of the suite pass.',
    'Then run this file with SLUICE_UPDATE_CANARY=1, and add the line to .ci/run.',
  ];
  expect(isUpdate || major in known, steps.join(' ')).toBe(true);
});

describe.runIf(isUpdate || major in known)(`the functions of Node ${major} that the seam replaces or relies on`, () => {
  for (const [name, value] of Object.entries(replaced)) {
    it(`has ${name} as it was read`, () => {
      expect(value, `${name} is not a function in Node ${process.versions.node}`).toBeTypeOf('function');
      const hash = createHash('sha256').update(String(value)).digest('hex').slice(0, 16);
      const hashes = ((known[major] ??= {})[name] ??= []);
      if (isUpdate && !hashes.includes(hash)) {
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

  it('writes with the call by which the bottom knows it for the own one of Node', () => {
    expect(OutgoingMessage.prototype.write.toString()).toMatch(/\bwrite_\(this\b/);
  });
});
