import https from 'node:https';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { type EventStream, type HttpRequest, type HttpResponse, sse } from '../../src/index.ts';
import { makeCertificate } from '../support/certificate.ts';
import { until } from '../support/until.ts';

const certificate = makeCertificate();

/** One event after the other, each when the last one has arrived; then ends or asks to come back. */
async function exchange(
  port: number,
  http1: boolean,
  streams: EventStream[],
  finish: (stream: EventStream) => Promise<void>,
): Promise<{ text: string; complete: boolean }> {
  const received: Buffer[] = [];
  const text = (): string => Buffer.concat(received).toString();
  const over = http1 ? readHttp1(port, received) : readHttp2(port, received);
  await until(() => streams.length === 1 && text().includes(':ok'));
  const [stream] = streams;
  for (const data of ['one', 'zwö 🌊', 'x'.repeat(200_000), 'four']) {
    await stream!.send(data);
    await until(() => text().includes(`data: ${data}\n\n`));
  }
  await finish(stream!);
  const complete = await over;
  return { text: text(), complete };
}

function readHttp1(port: number, received: Buffer[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    https
      .get({ port, host: '127.0.0.1', rejectUnauthorized: false, agent: false }, (res) => {
        res.on('data', (chunk: Buffer) => received.push(chunk));
        res.on('error', () => undefined);
        res.on('close', () => resolve(res.complete));
      })
      .on('error', reject);
  });
}

function readHttp2(port: number, received: Buffer[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    session.on('error', reject);
    const req = session.request({ ':path': '/' });
    req.on('data', (chunk: Buffer) => received.push(chunk));
    req.on('error', () => undefined);
    req.on('close', () => {
      session.destroy();
      resolve(req.rstCode === 0);
    });
    req.end();
  });
}

describe.skipIf(!certificate)('an event stream over TLS', () => {
  it.each([
    ['HTTP/1.1', true],
    ['HTTP/2', false],
  ])('passes every event on at once, ends whole and leaves unfinished (%s)', async (_name, http1) => {
    const streams: EventStream[] = [];
    const handler = sse((stream) => void streams.push(stream));
    const listener = (req: HttpRequest, res: HttpResponse): void => handler(req, res);
    const server = http1
      ? https.createServer(certificate!, listener)
      : http2.createSecureServer(certificate!, listener);
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;

    const ended = await exchange(port, http1, streams, (stream) => stream.end());
    expect(ended.complete).toBe(true);
    streams.length = 0;
    const left = await exchange(port, http1, streams, (stream) => stream.reconnect({ retry: 7 }));
    expect(left.complete).toBe(false);
    expect(left.text.endsWith('retry: 7\n')).toBe(true);
    expect(left.text).toBe(`${ended.text}retry: 7\n`);
    await new Promise((resolve) => server.close(resolve));
  });
});
