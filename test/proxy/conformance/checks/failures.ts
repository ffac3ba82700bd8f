import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { makeCertificate } from '../../../support/certificate.ts';
import { getRequest } from '../../../support/raw.ts';
import { readAnswers, readRequests, statusOf } from '../messages.ts';
import type { Check } from '../site.ts';
import { ok, right, unlessFound, type Verdict, wrong } from '../verdict.ts';

const empty = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

/** Least time between two requests, in ms: timers of Node may be early by one. */
const retryAfter = 990;

const failures: Check[] = [
  {
    name: '`Trailer` on a GET',
    scenario: '`GET` with `Trailer: foo` and no body. It is answered, and the process lives.',
    async run(site) {
      const { port, client } = await site.open(empty);
      client.send(getRequest('/', { Trailer: 'foo' }));
      const [answer] = await site.answersOf(client);
      const after = await site.dial(port);
      after.send(getRequest());
      const [next] = await site.answersOf(after);
      if (!answer || !next || statusOf(next) !== 200) return wrong('no answer');
      return [200, 400].includes(statusOf(answer)) ? ok : wrong(`answers ${statusOf(answer)}`);
    },
  },
  {
    name: 'A status text that is not ASCII',
    scenario: 'The upstream answers `200 Größe`, in UTF-8 and in Latin-1. The client gets the answer.',
    async run(site) {
      const found = await Promise.all(
        (['utf8', 'latin1'] as const).map(async (coding) => {
          const text = Buffer.from('Größe', coding).toString('latin1');
          const { client } = await site.open(`HTTP/1.1 200 ${text}\r\nContent-Length: 0\r\n\r\n`);
          client.send(getRequest());
          const [answer] = await site.answersOf(client);
          if (!answer) return ['hangs'];
          return statusOf(answer) === 200 ? [] : [`answers ${statusOf(answer)}`];
        }),
      );
      return unlessFound('', found.flat());
    },
  },
  {
    name: 'No upstream',
    scenario: 'The connection is refused. The client gets 502.',
    async run(site) {
      const upstream = await site.upstream('');
      await upstream.close();
      const client = await site.dial(await site.proxyTo(upstream.origin));
      client.send(getRequest());
      return answers502(await site.answersOf(client));
    },
  },
  {
    name: 'The upstream closes without an answer',
    scenario: 'To each request. The client gets 502.',
    async run(site) {
      const { client } = await site.open(({ socket }) => void socket.end());
      client.send(getRequest());
      return answers502(await site.answersOf(client));
    },
  },
  {
    name: 'The upstream sends no HTTP',
    scenario:
      'It speaks another protocol, breaks off in its headers, or sends a broken status line. The client gets 502.',
    async run(site) {
      const found = await Promise.all(
        ['SSH-2.0-OpenSSH_9.2\r\n', 'HTTP/1.1 200 OK\r\nContent-Le', 'HTTP/1.1 abc\r\n\r\n', '\0\0\0'].map(
          async (bytes) => {
            const { client } = await site.open(({ socket }) => void socket.end(bytes));
            client.send(getRequest());
            const { kind, text } = answers502(await site.answersOf(client));
            return kind === 'right' ? [] : [text];
          },
        ),
      );
      return unlessFound('', found.flat());
    },
  },
  {
    name: 'A POST that the upstream has read',
    scenario: 'It closes without an answer. A proxy must not send the POST again (RFC 9110 9.2.2).',
    async run(site) {
      const { upstream, client } = await site.open((connection) => {
        void site.sees(() => connection.received.endsWith('body')).then(() => connection.socket.end());
      });
      client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody');
      const verdict = answers502(await site.answersOf(client));
      const sent = upstream.connections.flatMap(({ received }) => readRequests(received)).length;
      return sent > 1 ? wrong(`sends it ${sent} times`) : verdict;
    },
  },
  {
    name: '503 with `Retry-After: 1`',
    scenario: 'The client gets the 503; or the proxy asks again, but not before that second is over.',
    async run(site) {
      let first: number | undefined;
      let soon = 0;
      const { client } = await site.open(({ send }) => {
        const now = performance.now();
        const isFirst = first === undefined;
        const isDue = now - (first ??= now) >= retryAfter;
        if (!isFirst && !isDue) soon += 1;
        send(isDue ? empty : 'HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n');
      });
      client.send(getRequest());
      await site.answersOf(client);
      return soon === 0 ? ok : wrong(`asks ${soon} times too soon`);
    },
  },
  {
    name: 'Self-signed certificate of the upstream',
    scenario: 'Without any option. The proxy refuses it: the upstream gets no request.',
    async run(site) {
      const certificate = makeCertificate();
      if (!certificate) return { kind: 'none', text: 'no openssl' };
      let asked = 0;
      const server = tls.createServer(certificate, (socket) => {
        site.owns(() => socket.destroy());
        socket.on('error', () => undefined);
        socket.on('data', () => {
          asked += 1;
          socket.write(empty);
        });
      });
      server.on('tlsClientError', () => undefined);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      site.owns(() => void server.close());
      const origin = `https://localhost:${(server.address() as AddressInfo).port}`;
      const client = await site.dial(await site.proxyTo(origin));
      client.send(getRequest());
      const [answer] = await site.answersOf(client);
      if (asked > 0) return wrong('accepted');
      return answer ? right('refused') : wrong('hangs');
    },
  },
  {
    name: 'A flood of interim answers',
    scenario: 'The upstream sends a thousand of 102, 103 and 199 before its answer. The client gets that answer.',
    async run(site) {
      const interim = ['102 Processing', '103 Early Hints\r\nLink: </a>; rel=preload', '199 Odd'];
      const flood = interim
        .map((each) => `HTTP/1.1 ${each}\r\n\r\n`)
        .join('')
        .repeat(333);
      const { client } = await site.open(({ send }) => send(flood + empty));
      client.send(getRequest());
      const [answer] = await site.answersOf(client);
      return answer && statusOf(answer) === 200 ? ok : wrong(answer ? `answers ${statusOf(answer)}` : 'no answer');
    },
  },
  {
    name: 'Answers that HTTP/2 does not have, to a client of it',
    scenario: 'A status of 999, and a 103 with Content-Length. The client gets an answer: its stream does not break.',
    front: 'h2c',
    async run(site) {
      const hint = 'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nContent-Length: 9\r\n\r\n';
      const found = await Promise.all(
        [
          ['HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n', 502],
          [hint + empty, 200],
        ].map(async ([bytes, expected]) => {
          const upstream = await site.upstream(String(bytes));
          const session = http2.connect(`http://127.0.0.1:${await site.proxyTo(upstream.origin)}`);
          session.on('error', () => undefined);
          site.owns(() => session.destroy());
          const stream = session.request({ ':path': '/' });
          let got = 'no answer';
          stream.on('response', (head) => (got = `answers ${head[':status'] ?? ''}`)).resume();
          stream.on('error', () => (got = 'breaks'));
          let isClosed = false;
          stream.on('close', () => (isClosed = true));
          await site.sees(() => isClosed);
          return got === `answers ${expected}` ? [] : [got];
        }),
      );
      return unlessFound('', found.flat());
    },
  },
  {
    name: '100 Continue that was not asked for',
    scenario: 'The upstream sends it before its answer. The client gets the answer (RFC 9110 15.2).',
    async run(site) {
      const { client } = await site.open(`HTTP/1.1 100 Continue\r\n\r\n${empty}`);
      client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody');
      const [answer] = await site.answersOf(client);
      return answer && statusOf(answer) === 200 ? ok : wrong(answer ? `answers ${statusOf(answer)}` : 'no answer');
    },
  },
  {
    name: 'A connection that the upstream closes when idle',
    scenario: 'It closes while it gets the next request, as servers with a keep-alive timeout do. A GET is sent again.',
    async run(site) {
      const { client } = await site.open((connection) => {
        const { received, send, socket } = connection;
        const isSecond = readRequests(received).length > 1;
        if (isSecond) socket.resetAndDestroy();
        else send(empty);
      });
      client.send(getRequest('/one'));
      await site.answersOf(client);
      // The proxy may open a new connection for it: then there is nothing to be seen.
      client.send(getRequest('/two'));
      const [, second] = await site.answersOf(client, ['GET', 'GET']);
      return second && statusOf(second) === 200 ? ok : wrong(second ? `answers ${statusOf(second)}` : 'no answer');
    },
  },
];

function answers502(messages: ReturnType<typeof readAnswers>): Verdict {
  const [answer] = messages;
  if (!answer) return wrong('hangs');
  return statusOf(answer) === 502 ? ok : wrong(`answers ${statusOf(answer)}`);
}

export default failures;
