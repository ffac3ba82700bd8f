import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { flood, readByHand, type Service, serveIn, streamByHand } from './hand-readers.ts';

async function staysFor(service: Service, ms: number, look?: () => void): Promise<void> {
  const end = performance.now() + ms;
  await until(
    () => {
      look?.();
      return performance.now() > end || service.ends.length > 0;
    },
    undefined,
    ms + 20_000,
  );
  expect(service.ends).toEqual([]);
}

describe.concurrent('a reader that is slow, and goes on', () => {
  it('is never given up over HTTP/1.1, though Node sees nothing of it', async (context) => {
    const service = await serveIn(context, 'http1', flood, { grace: 4000 });
    const reader = readByHand(context, service.running.port);
    await until(() => service.buffered() > 0);
    reader.drip(10_000, 50);
    // Of the kernel's megabytes a part must be free before it takes the next: until then the queue stands still.
    let [buffered, since, longest] = [0, performance.now(), 0];
    await staysFor(service, 10_000, () => {
      if (service.buffered() !== buffered) [buffered, since] = [service.buffered(), performance.now()];
      longest = Math.max(longest, performance.now() - since);
    });
    // Both deadlines: without the kernel's word it would have been given up.
    context.expect(longest).toBeGreaterThan(5000);
    context.expect(reader.bytes).toBeGreaterThan(500_000);
  });

  it('is given up where no acknowledgements are read, and the queue stands still', async (context) => {
    const service = await serveIn(context, 'http1', flood, { grace: 2000, ackProbe: false });
    const reader = readByHand(context, service.running.port);
    await until(() => service.buffered() > 0);
    reader.drip(8000, 50);
    await until(() => service.ends.length > 0, undefined, 40_000);
    context.expect(service.ends).toEqual(['slow-consumer']);
  });

  it('is never given up over HTTP/2', async (context) => {
    const service = await serveIn(context, 'http2', flood, { grace: 3000 });
    const reader = await streamByHand(context, service.running);
    await until(() => service.buffered() > 0);
    // The window is opened when half of it was read: every 400 ms.
    reader.drip(8000, 100);
    const { bytes } = reader;
    await staysFor(service, 6000);
    context.expect(reader.bytes).toBeGreaterThan(bytes + 100_000);
  });

  it.for(['http1', 'http2'] as const)('may take its time for one big write, over %s', async (protocol, context) => {
    const text = 'x'.repeat(10 * 1024 * 1024);
    const service = await serveIn(
      context,
      protocol,
      (_req, res) => {
        (res as ServerResponse).writeHead(200, { 'content-type': 'text/event-stream' });
        (res as ServerResponse).write(`data: ${text}\n\n`);
      },
      { grace: 3000 },
    );
    const reader =
      protocol === 'http1' ? readByHand(context, service.running.port) : await streamByHand(context, service.running);
    reader.drip(40_000, 50);
    await staysFor(service, 5000);
    context.expect(reader.bytes).toBeLessThan(text.length);
    reader.readOn();
    await until(() => reader.bytes >= text.length);
    // What comes after it is a heartbeat.
    const { heartbeats } = service.registry.stats();
    await until(() => service.registry.stats().heartbeats > heartbeats);
    context.expect(service.ends).toEqual([]);
  });

  it('of a stream of HTTP/2 may take a part of one big write only', async (context) => {
    const service = await serveIn(
      context,
      'http2',
      (_req, res) => {
        (res as ServerResponse).writeHead(200, { 'content-type': 'text/event-stream' });
        (res as ServerResponse).write(`data: ${'x'.repeat(1024 * 1024)}\n\n`);
      },
      { grace: 3000 },
    );
    const reader = await streamByHand(context, service.running);
    reader.drip(8000, 100);
    await staysFor(service, 6000);
  });

  it('is given up by `minRate` where it drips', async (context) => {
    const service = await serveIn(context, 'http1', flood, { minRate: '500kb', grace: 4000 });
    const reader = readByHand(context, service.running.port);
    reader.drip(2000, 50);
    await until(() => service.ends.length > 0, undefined, 40_000);
    context.expect(service.ends).toEqual(['slow-consumer']);
  });

  it.for(['http1', 'http2'] as const)('is kept over %s by a `minRate` that it reaches', async (protocol, context) => {
    const service = await serveIn(context, protocol, flood, { minRate: '20kb', grace: 4000 });
    const reader =
      protocol === 'http1' ? readByHand(context, service.running.port) : await streamByHand(context, service.running);
    await until(() => service.buffered() > 0);
    reader.drip(16_000, 50);
    await staysFor(service, 5000);
  });
});
