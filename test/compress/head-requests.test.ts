import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http, { type ServerResponse } from 'node:http';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express, { type Response } from 'express';
import { afterAll, expect, it, onTestFinished } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { bare, h2c, http1Carriers, type Middleware } from '../support/carriers.ts';
import { serve, type Served } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

const text = 'a line that repeats itself\n'.repeat(1000);
const folder = mkdtempSync(join(tmpdir(), 'sluice-head-'));
writeFileSync(join(folder, 'static.txt'), text);
afterAll(() => rmSync(folder, { recursive: true }));

const announced: Middleware = (_req, res) => {
  (res as ServerResponse).setHeader('Content-Type', 'text/plain');
  (res as ServerResponse).setHeader('Content-Length', Buffer.byteLength(text));
  res.end();
};

const byWriteHead: Middleware = (_req, res) => {
  const length = String(Buffer.byteLength(text));
  (res as ServerResponse).writeHead(200, ['Content-Type', 'text/plain', 'Content-Length', length]).end();
};

const ofExpress: readonly (readonly [string, Middleware])[] = [
  ['sendFile', (_req, res) => (res as unknown as Response).sendFile('static.txt', { root: folder })],
  ['res.json', (_req, res) => void (res as unknown as Response).json({ text })],
  ['res.send', (_req, res) => void (res as unknown as Response).type('txt').send(text)],
];

const answers: readonly (readonly [string, Middleware])[] = [
  ['a length that is set', announced],
  ['a length given to writeHead', byWriteHead],
  ['a static file', express.static(folder) as unknown as Middleware],
];

interface Head {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
}

function askHead(running: Served, agent: http.Agent): Promise<Head> {
  return new Promise((resolve, reject) => {
    const headers = { 'Accept-Encoding': 'gzip' };
    const { port } = running;
    const req = http.request({ port, host: '127.0.0.1', path: '/static.txt', method: 'HEAD', agent, headers });
    req.on('error', reject);
    req.on('response', (res) => {
      res.on('error', reject);
      // The connection is back with its agent, or closed.
      req.on('close', () => setImmediate(resolve, { status: res.statusCode, headers: res.headers }));
      res.resume();
    });
    req.end();
  });
}

const matrix = http1Carriers.flatMap((carrier) => {
  const all = carrier.name.startsWith('Express') ? [...answers, ...ofExpress] : answers;
  return all.map(([name, answer]) => ({ on: carrier.name, name, carrier, answer }));
});

it.each(matrix)('HEAD of what a GET has encoded keeps the connection: $name, on $on', async ({ carrier, answer }) => {
  const running = await serve(carrier, compress(), answer);
  let connections = 0;
  running.server.on('connection', () => (connections += 1));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  for (let index = 0; index < 5; index++) {
    const { status, headers } = await settles(askHead(running, agent));
    expect(status).toBe(200);
    // RFC 9110 8.6: the length of the plain body is not that of a GET.
    expect(headers['content-length']).toBeUndefined();
    expect(headers).toMatchObject({ 'transfer-encoding': 'chunked', connection: 'keep-alive' });
    expect(headers.vary).toBe('Accept-Encoding');
  }
  expect(connections).toBe(1);
  expect(running.errors).toEqual([]);
});

const request = (method: string, version: string, ...fields: string[]): string =>
  [`${method} /static.txt HTTP/${version}`, 'Host: test', 'Accept-Encoding: gzip', ...fields, '\r\n'].join('\r\n');

it.each(matrix)('nothing comes between the head and the next response: $name, on $on', async ({ carrier, answer }) => {
  const running = await serve(carrier, compress(), answer);
  const client = await running.dial();
  client.send(request('HEAD', '1.1') + request('HEAD', '1.1', 'Connection: close'));
  await settles(client.closed);
  const heads = client.received.split('\r\n\r\n');
  expect(heads.map((head) => head.slice(0, 15))).toEqual(['HTTP/1.1 200 OK', 'HTTP/1.1 200 OK', '']);
});

const oldClient = 'a client of HTTP/1.0 keeps its connection where it asks for it, and gets no chunks: $name, on $on';

it.each(matrix)(oldClient, async ({ carrier, answer }) => {
  const running = await serve(carrier, compress(), answer);
  const client = await running.dial();
  for (let index = 1; index <= 3; index++) {
    client.send(request('HEAD', '1.0', 'Connection: keep-alive'));
    await client.waitFor((received) => received.split('\r\n\r\n').length === index + 1);
  }
  const heads = client.received.split('\r\n\r\n').slice(0, 3);
  for (const head of heads) {
    expect(head).toContain('\r\nConnection: keep-alive');
    expect(head).not.toMatch(/transfer-encoding|content-length/i);
  }
  // And the close that any other client of HTTP/1.0 expects.
  client.send(request('HEAD', '1.0'));
  expect(await settles(client.closed)).toBe('end');
});

it('what a GET sends as it is keeps its length for HEAD', async () => {
  const compression = compress();
  const running = await serve(bare, compression, announced);
  const client = await running.dial();
  compression.switch.disable();
  client.send(request('HEAD', '1.1'));
  expect(await client.waitFor('\r\n\r\n')).toContain(`\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`);
  expect(client.received).not.toMatch(/transfer-encoding/i);
});

it('HTTP/2 has no framing to keep', async () => {
  const running = await serve(h2c, compress(), announced);
  const session = http2.connect(running.origin);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ':method': 'HEAD', 'accept-encoding': 'gzip' });
  const headers = await settles(new Promise<http2.IncomingHttpHeaders>((resolve) => stream.on('response', resolve)));
  expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(['content-length']));
  expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(['transfer-encoding']));
  expect(headers).toMatchObject({ ':status': 200, vary: 'Accept-Encoding' });
});

it.each(['1.1', '1.0'])('a refused head leaves no framing behind for the error page, over HTTP/%s', async (version) => {
  const refusing: Middleware = (_req, res, next) => {
    const target = res as ServerResponse;
    const { writeHead } = target;
    target.writeHead = ((status: number) => {
      target.writeHead = writeHead;
      throw new Error(`no ${status}`);
    }) as typeof writeHead;
    next();
  };
  const running = await serve(bare, refusing, compress(), (_req, res) => {
    const target = res as ServerResponse;
    target.setHeader('Content-Type', 'text/plain');
    target.setHeader('Content-Length', Buffer.byteLength(text));
    target.setHeader('ETag', '"one"');
    expect(() => target.end()).toThrow('no 200');
    expect(target.getHeaders()).toMatchObject({ 'content-length': Buffer.byteLength(text), etag: '"one"' });
    expect(target.hasHeader('transfer-encoding')).toBe(false);
    target.statusCode = 500;
    target.setHeader('Content-Length', 5);
    target.end('sorry');
  });
  const client = await running.dial();
  client.send(request('HEAD', version));
  await client.waitFor('\r\n\r\n');
  expect(client.received).toMatch(/^HTTP\/1.1 500 /);
  expect(client.received).toContain('\r\nContent-Length: 5\r\n');
  expect(client.received).not.toMatch(/transfer-encoding/i);
  await until(() => running.errors.length === 0);
});
