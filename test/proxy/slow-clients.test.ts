import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import type { Proxy } from '../../src/proxy/index.ts';
import { connectRaw, getRequest, type RawClient } from '../support/raw.ts';
import { settles } from '../support/until.ts';
import { rawUpstream, testProxy } from './upstreams.ts';

async function dialerOf(middleware: Proxy): Promise<() => Promise<RawClient>> {
  const server = http.createServer(middleware);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return async () => {
    const client = await connectRaw((server.address() as AddressInfo).port);
    onTestFinished(() => client.destroy());
    return client;
  };
}

const upload = 'PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\nfirst';

it('a client that is silent in the middle of its body is no failure of the upstream', async () => {
  const upstream = await rawUpstream(({ send, received, socket }) => {
    if (received.startsWith('GET')) return;
    socket.on('data', (data) => {
      if (String(data).endsWith('next.')) send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  const middleware = testProxy({ target: upstream.origin, retry: false, timeouts: { head: 100 } });
  const dial = await dialerOf(middleware);
  const slow = await dial();
  slow.send(upload);
  // Its clock starts later, and has run out.
  for (let round = 0; round < 2; round += 1) {
    const other = await dial();
    other.send(getRequest());
    await other.waitFor('504');
  }
  expect([slow.received, middleware.upstreams()[0]?.failures]).toEqual(['', 2]);
  slow.send('next.');
  await settles(slow.closed);
  expect(slow.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
});

it('such a client does not hold the upstream for longer than `idle`, however long `connect` is', async () => {
  const upstream = await rawUpstream(() => undefined);
  const middleware = testProxy({
    target: upstream.origin,
    retry: false,
    timeouts: { connect: '1h', head: 50, idle: 100 },
  });
  const slow = await (await dialerOf(middleware))();
  slow.send(upload);
  await settles(slow.closed);
  expect(slow.received).toMatch(/^HTTP\/1\.1 504 /);
  expect(middleware.upstreams()[0]?.failures).toBe(0);
});
