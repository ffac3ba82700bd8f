import http from 'node:http';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { getRequest } from '../../../support/raw.ts';
import { parked } from '../../../support/until.ts';
import { readAnswers, statusOf, valuesOf } from '../messages.ts';
import type { Check, Site } from '../site.ts';
import { ok, unlessFound, wrong } from '../verdict.ts';

const chunkedHead = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n';

/** Bytes that no chain of kernel buffers on one machine holds. */
const muchData = 48 * 1024 * 1024;

const streaming: Check[] = [
  {
    name: 'Headers before the first byte of the body',
    scenario: 'The upstream sends its headers, and its body once the client has them. The client has them at once.',
    async run(site) {
      const { upstream, client } = await site.open('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n');
      client.send(getRequest());
      const connection = await site.connectionOf(upstream);
      const sentAt = Date.now();
      const isEarly = await site.sees(() => client.received.includes('\r\n\r\n'));
      connection.send('ok');
      await site.sees(() => client.received.endsWith('\r\n\r\nok'));
      return isEarly ? ok : wrong(`late ${Date.now() - sentAt} ms`);
    },
  },
  {
    name: 'Each chunk at once',
    scenario:
      'The upstream sends a chunk when the client has the one before: an event stream, plain text without a length, ' +
      'and a body with one. None is held back.',
    async run(site) {
      const heads = {
        'an event stream': `${chunkedHead}Content-Type: text/event-stream; charset=utf-8\r\n\r\n`,
        'plain text': `${chunkedHead}Content-Type: text/plain\r\n\r\n`,
        'a length': 'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n',
      };
      const held = await Promise.all(
        Object.entries(heads).map(async ([name, head]) => {
          const { upstream, client } = await site.open(head);
          client.send(getRequest());
          const connection = await site.connectionOf(upstream);
          for (const text of ['one\n', 'two\n', 'six\n']) {
            connection.send(head.includes('chunked') ? `4\r\n${text}\r\n` : text);
            if (!(await site.sees(() => client.received.includes(text)))) return [name];
          }
          return [];
        }),
      );
      return unlessFound('holds back', held.flat());
    },
  },
  {
    name: 'An upload passes at once',
    scenario: 'The client sends each part of its body when the upstream has the one before.',
    async run(site) {
      const held = await Promise.all(
        ['Transfer-Encoding: chunked', 'Content-Length: 12'].map(async (framing) => {
          const { upstream, client } = await site.open(() => undefined);
          client.send(`POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`);
          for (const text of ['one\n', 'two\n', 'six\n']) {
            client.send(framing.endsWith('chunked') ? `4\r\n${text}\r\n` : text);
            if (!(await site.sees(() => upstream.connections[0]?.received.includes(text) === true))) return [framing];
          }
          return [];
        }),
      );
      return unlessFound('holds back', held.flat());
    },
  },
  {
    name: 'Back-pressure of a slow client',
    scenario: 'The client reads nothing. The proxy stops reading from the upstream.',
    async run(site) {
      let sent = 0;
      const origin = await serveMuch(site, () => (sent += 64 * 1024));
      const client = await site.dial(await site.proxyTo(origin));
      client.socket.pause();
      client.send(getRequest());
      const pulled = await parked(() => sent);
      return pulled < muchData / 2 ? ok : wrong(`pulls ${Math.round(pulled / 1024 / 1024)} MB`);
    },
  },
  {
    name: 'Back-pressure of a slow upstream',
    scenario: 'The upstream reads nothing of an upload. The proxy stops reading from the client.',
    async run(site) {
      const server = net.createServer((socket) => {
        socket.pause();
        socket.on('error', () => undefined);
        site.owns(() => socket.destroy());
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      site.owns(() => void server.close());
      const { port } = server.address() as AddressInfo;
      const client = await site.dial(await site.proxyTo(`http://127.0.0.1:${port}`));
      client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${muchData}\r\n\r\n`);
      let sent = 0;
      const chunk = Buffer.alloc(64 * 1024);
      const more = (): void => {
        while (sent < muchData) {
          sent += chunk.length;
          if (!client.socket.write(chunk)) return void client.socket.once('drain', more);
        }
      };
      more();
      const taken = await parked(() => sent);
      return taken < muchData / 2 ? ok : wrong(`takes ${Math.round(taken / 1024 / 1024)} MB`);
    },
  },
  {
    name: 'Trailers',
    scenario:
      'The client asks for trailers (`TE: trailers`), the upstream announces and sends one. The client gets it.',
    async run(site) {
      const { client } = await site.open(`${chunkedHead}Trailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n`);
      client.send(getRequest('/', { TE: 'trailers', Connection: 'TE' }));
      const [answer] = await site.answersOf(client);
      if (answer?.trailers.some(([name, value]) => name.toLowerCase() === 'x-sum' && value === '9')) return ok;
      return wrong(answer && valuesOf(answer, 'trailer').length > 0 ? 'dropped, still announced' : 'dropped');
    },
  },
  {
    name: '103 Early Hints',
    scenario: 'The upstream sends 103 with links before its answer. The client gets it, before the answer.',
    async run(site) {
      const { client } = await site.open(
        'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n' +
          'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
      );
      client.send(getRequest());
      await site.answersOf(client);
      const statuses = readAnswers(client.received).map(statusOf);
      return statuses[0] === 103 ? ok : wrong('dropped');
    },
  },
  {
    name: 'Client of HTTP/1.0',
    scenario:
      'The upstream sends 103, then a chunked body. A client of HTTP/1.0 gets neither the 103 nor chunks; the end of ' +
      'the connection ends its body.',
    async run(site) {
      const { client } = await site.open(
        `HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n${chunkedHead}\r\n2\r\nok\r\n0\r\n\r\n`,
      );
      client.send(getRequest('/', {}, '1.0'));
      let isClosed = false;
      void client.closed.then(() => (isClosed = true));
      if (!(await site.sees(() => isClosed))) return wrong('hangs');
      if (/transfer-encoding/i.test(client.received)) return wrong('sends chunks');
      if (client.received.includes(' 103 ')) return wrong('sends 103');
      return client.received.endsWith('\r\n\r\nok') ? ok : wrong('no answer');
    },
  },
  {
    name: 'Expect: 100-continue',
    scenario: 'The client waits for 100 before it sends its body. It gets one, and then the answer.',
    async run(site) {
      const { upstream, client } = await site.open((connection) => {
        if (/expect/i.test(connection.received)) connection.send('HTTP/1.1 100 Continue\r\n\r\n');
        void site
          .sees(() => connection.received.endsWith('body'))
          .then((isThere) => {
            if (isThere) connection.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
          });
      });
      client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
      if (!(await site.sees(() => client.received.startsWith('HTTP/1.1 100 ')))) return wrong('no 100');
      client.send('body');
      await site.answersOf(client);
      const statuses = readAnswers(client.received).map(statusOf);
      if (upstream.connections.length > 1) return wrong('sends twice');
      return statuses.join() === '100,200' ? ok : wrong(statuses.join(', '));
    },
  },
];

async function serveMuch(site: Site, onChunk: () => void): Promise<string> {
  const server = http.createServer((_req, res) => {
    res.writeHead(200, { 'Content-Length': String(muchData) });
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    const more = (): void => {
      while (sent < muchData) {
        sent += chunk.length;
        onChunk();
        if (!res.write(chunk)) return void res.once('drain', more);
      }
      res.end();
    };
    more();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  site.owns(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export default streaming;
