import { getRequest, type RawClient } from '../../../support/raw.ts';
import type { RawUpstream } from '../../../support/raw-upstream.ts';
import { readAnswers, readRequests, statusOf, valuesOf } from '../messages.ts';
import type { Check, Site } from '../site.ts';
import { ok, unlessFound, type Verdict, wrong } from '../verdict.ts';

// Of RFC 6455 1.3.
const key = 'dGhlIHNhbXBsZSBub25jZQ==';
const accept = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

const handshake =
  'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  `Sec-WebSocket-Key: ${key}\r\n\r\n`;
const agreed =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  `Sec-WebSocket-Accept: ${accept}\r\n\r\n`;

async function joined(site: Site): Promise<{ upstream: RawUpstream; client: RawClient } | undefined> {
  const { upstream, client } = await site.open(agreed);
  client.send(handshake);
  return (await site.sees(() => client.received.includes('\r\n\r\n'))) ? { upstream, client } : undefined;
}

/** One side of a WebSocket goes. The other side is closed. */
async function goes(site: Site, side: 'client' | 'upstream', how: 'FIN' | 'RST'): Promise<string[]> {
  const pair = await joined(site);
  if (!pair) return ['no handshake'];
  const connection = await site.connectionOf(pair.upstream);
  const socket = side === 'client' ? pair.client.socket : connection.socket;
  let isClosed = false;
  void pair.client.closed.then(() => (isClosed = true));
  if (how === 'FIN') socket.destroy();
  else socket.resetAndDestroy();
  const isSeen = await site.sees(() => (side === 'client' ? connection.isClosed : isClosed));
  return isSeen ? [] : [`${how} of the ${side}`];
}

const upgrade: Check[] = [
  {
    name: 'WebSocket',
    scenario:
      'Each side sends right behind its handshake, in the same packet, and more later. All arrives, unchanged, and the ' +
      'handshake has its key.',
    needs: 'upgrade',
    async run(site) {
      const early = '\x81\x85\0\0\0\0early';
      const { upstream, client } = await site.open(`${agreed}\x81\x05hello`);
      client.send(handshake + early);
      const connection = await site.connectionOf(upstream);
      const isThere = (): boolean => client.received.endsWith('hello') && connection.received.endsWith(early);
      if (!(await site.sees(isThere))) return wrong('loses what is sent at once');
      client.send('\x88\x80\0\0\0\0');
      connection.send('\x88\x00');
      const isLater = (): boolean =>
        client.received.endsWith('\x88\x00') && connection.received.endsWith('\x88\x80\0\0\0\0');
      if (!(await site.sees(isLater))) return wrong('loses what is sent later');
      const [request] = readRequests(connection.received.slice(0, connection.received.indexOf('\r\n\r\n') + 4));
      const [answer] = readAnswers(client.received.slice(0, client.received.indexOf('\r\n\r\n') + 4));
      if (!request || valuesOf(request, 'sec-websocket-key').join() !== key) return wrong('another key');
      return answer && valuesOf(answer, 'sec-websocket-accept').join() === accept ? ok : wrong('another answer');
    },
  },
  {
    name: 'A WebSocket that the upstream refuses',
    scenario: 'It answers 404 with a body. The client gets that.',
    needs: 'upgrade',
    async run(site) {
      const { client } = await site.open('HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone');
      client.send(handshake);
      const [answer] = await site.answersOf(client);
      if (!answer) return wrong('hangs');
      return statusOf(answer) === 404 && answer.body === 'none' ? ok : wrong(`answers ${statusOf(answer)}`);
    },
  },
  {
    name: 'A WebSocket right behind another request',
    scenario: 'A GET and a handshake come in one packet. The process lives, and what is answered is HTTP.',
    needs: 'upgrade',
    async run(site) {
      const { port, client } = await site.open((connection) => {
        connection.send(/upgrade/i.test(connection.received) ? agreed : 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      });
      client.send(getRequest() + handshake);
      let isClosed = false;
      void client.closed.then(() => (isClosed = true));
      await site.sees(() => isClosed || client.received.includes('\r\n\r\n'));
      client.socket.end();
      await site.sees(() => isClosed);
      readAnswers(client.received);
      const after = await site.dial(port);
      after.send(getRequest());
      const [next] = await site.answersOf(after);
      return next && statusOf(next) === 200 ? ok : wrong('no answer');
    },
  },
  {
    name: 'A WebSocket without an upstream',
    scenario: 'The connection is refused. The client gets 502, or its connection is closed.',
    needs: 'upgrade',
    async run(site): Promise<Verdict> {
      const upstream = await site.upstream('');
      await upstream.close();
      const client = await site.dial(await site.proxyTo(upstream.origin));
      client.send(handshake);
      let isClosed = false;
      void client.closed.then(() => (isClosed = true));
      return (await site.sees(() => isClosed)) ? ok : wrong('hangs');
    },
  },
  {
    name: 'One side of a WebSocket goes',
    scenario: 'By FIN and by RST. The connection to the other side is closed.',
    needs: 'upgrade',
    async run(site) {
      const left = await Promise.all(
        (['client', 'upstream'] as const).flatMap((side) =>
          (['FIN', 'RST'] as const).map((how) => goes(site, side, how)),
        ),
      );
      return unlessFound('leaks after', left.flat());
    },
  },
  {
    name: 'An upstream that switches to another protocol',
    scenario: 'It answers 101 with `Upgrade: h2c` to a WebSocket. The client is not told that it switched to that.',
    needs: 'upgrade',
    async run(site) {
      const { client } = await site.open(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
      );
      client.send(handshake);
      let isClosed = false;
      void client.closed.then(() => (isClosed = true));
      await site.sees(() => isClosed || client.received.includes('\r\n\r\n'));
      return client.received.startsWith('HTTP/1.1 101') ? wrong('passes it on') : ok;
    },
  },
];

export default upgrade;
