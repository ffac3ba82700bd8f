import { getRequest } from '../../../support/raw.ts';
import { FramingError, readAnswers, readRequests, type RawMessage, statusOf, valuesOf } from '../messages.ts';
import type { Check, Site } from '../site.ts';
import { ok, unlessFound, wrong } from '../verdict.ts';

const empty = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

/** A request hidden in the body of another: a proxy that frames the body in another way sends two. */
const hidden = 'GET /hidden HTTP/1.1\r\nHost: a\r\nX-Rest: ';

/** What is wrong with what the upstream got of one request of a client. */
async function smuggled(site: Site, request: string): Promise<string[]> {
  const { upstream, client } = await site.open(empty);
  client.send(request);
  let isClosed = false;
  void client.closed.then(() => (isClosed = true));
  // A strict reader waits for more of some: the end of the client's side ends that.
  await site.sees(() => isClosed || client.received.includes('\r\n\r\n'));
  client.socket.end();
  await site.sees(() => isClosed);
  return upstream.connections.flatMap(({ received }) => {
    try {
      const requests = readRequests(received);
      return requests.some(({ startLine }) => startLine.includes('/hidden')) ? ['smuggles'] : [];
    } catch (error) {
      if (error instanceof FramingError) return ['smuggles'];
      throw error;
    }
  });
}

function post(...fields: string[]): string {
  return `POST / HTTP/1.1\r\nHost: a\r\n${fields.map((each) => `${each}\r\n`).join('')}\r\n`;
}

const framing: Check[] = [
  {
    name: 'Two framings of one request',
    scenario:
      'Content-Length with Transfer-Encoding, two lengths, lengths that are no numbers, codings that some parsers read ' +
      'as chunked. The upstream gets no second request out of the body.',
    async run(site) {
      const body = `0\r\n\r\n${hidden}`;
      const length = `Content-Length: ${body.length}`;
      const found = await Promise.all(
        [
          post(length, 'Transfer-Encoding: chunked') + body,
          post('Transfer-Encoding: chunked', length) + body,
          post(length, 'Transfer-Encoding : chunked') + body,
          post(length, 'Transfer-Encoding:\tchunked') + body,
          post(length, 'Transfer-Encoding: xchunked') + body,
          post(length, 'Transfer-Encoding: chunked, identity') + body,
          post(length, 'Transfer-Encoding: identity') + body,
          post(length, 'X: 1\nTransfer-Encoding: chunked') + body,
          post(length, 'Transfer-Encoding:', ' chunked') + body,
          post('Transfer-Encoding: chunked', 'Transfer-Encoding: identity') + body,
          post(length, 'Content-Length: 0') + body,
          post('Content-Length: 0', length) + body,
          post(`Content-Length: 0, ${body.length}`) + body,
          post(`Content-Length: +${body.length}`) + body,
          post('Content-Length: 0x5') + body,
          post('Content-Length: 5 5') + body,
          post('Content-Length: ') + body,
          post('Content-Length: 9999999999999999999999') + body,
        ].map((request) => smuggled(site, request)),
      );
      return unlessFound('', found.flat());
    },
  },
  {
    name: 'Chunks with bad sizes',
    scenario: 'Of a request: signs, hexadecimal prefixes, spaces, sizes over 64 bits, chunks that go on too long.',
    async run(site) {
      const sizes = ['+5', '-5', '0x5', ' 5', '5 5', 'g', '', '10000000000000005', 'FFFFFFFFFFFFFFFFFFFF', '5\n', '4'];
      const found = await Promise.all(
        sizes.map((size) =>
          smuggled(site, `${post('Transfer-Encoding: chunked')}${size}\r\nhello\r\n0\r\n\r\n${hidden}`),
        ),
      );
      return unlessFound('', found.flat());
    },
  },
  {
    name: 'Chunked body of DELETE, GET and OPTIONS',
    scenario: 'The upstream gets one request with the body, framed (CVE-2026-29057), or none.',
    async run(site) {
      const found = await Promise.all(
        ['DELETE', 'GET', 'OPTIONS'].map(async (method) => {
          const { upstream, client } = await site.open((connection) => {
            void site.sees(() => connection.received.includes('GET /inner')).then(() => connection.send(empty));
          });
          const body = 'GET /inner HTTP/1.1\r\nHost: a\r\n\r\n';
          const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
          client.send(`${method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`);
          await site.answersOf(client);
          const requests = upstream.connections.flatMap(({ received }) => {
            try {
              return readRequests(received);
            } catch {
              return [];
            }
          });
          if (upstream.connections.length === 0) return [];
          return requests.length === 1 && requests[0]?.body === body ? [] : [`smuggles ${method}`];
        }),
      );
      return unlessFound('', found.flat());
    },
  },
  {
    name: 'Request targets',
    scenario:
      '`//evil.example/x`, `http://evil.example/x`, `/\\\\evil.example`, `/../x`, `/?a=1?b#c`, `*`. The upstream stays ' +
      'the one of the proxy, with its own Host.',
    async run(site) {
      const targets = [
        '//evil.example/x',
        'http://evil.example/x',
        'http://evil.example',
        'HTTP://evil.example:1/x',
        'https://evil.example/x',
        '/\\evil.example/x',
        '/../x',
        '/?a=1?b',
        '*',
        'evil.example:80',
        '/%0d%0aX-Evil:%201',
      ];
      const found = await Promise.all(
        targets.map(async (target) => {
          const { upstream, client } = await site.open(empty);
          client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
          const [answer] = await site.answersOf(client);
          if (!answer) return [`no answer to ${target}`];
          const [request] = readRequests(upstream.connections[0]?.received ?? '');
          if (!request) return statusOf(answer) === 400 ? [] : [`${statusOf(answer)} for ${target}`];
          const [host = ''] = valuesOf(request, 'host');
          const path = request.startLine.split(' ')[1] ?? '';
          if (host.includes('evil')) return [`Host of ${target}`];
          return path.startsWith('/') || path === '*' ? [] : [`asks for ${path}`];
        }),
      );
      return unlessFound('', found.flat());
    },
  },
  {
    name: 'HEAD, 204 and 304',
    scenario: 'They end with their headers, and the connection of the client goes on, or is said to close.',
    async run(site) {
      const answers: [method: string, bytes: string][] = [
        ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
        ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
        ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
        ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "a"\r\n\r\n'],
        ['GET', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n'],
      ];
      const found = await Promise.all(
        answers.map(async ([method, bytes]) => {
          const { client } = await site.open((connection) =>
            connection.send(connection.received.includes('/next') ? empty : bytes),
          );
          const status = statusOf({ startLine: bytes });
          client.send(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
          const [first] = await site.answersOf(client, [method]);
          if (!first || statusOf(first) !== status || !first.isComplete) return [`${method} ${status}`];
          // A proxy may close: then it says so.
          if (valuesOf(first, 'connection').join() === 'close') return [];
          client.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n');
          const [, second] = await site.answersOf(client, [method, 'GET']);
          return second && statusOf(second) === 200 ? [] : [`after ${method} ${status}`];
        }),
      );
      return unlessFound('', found.flat());
    },
  },
  {
    name: 'Pipelined requests',
    scenario: 'Three requests come at once. Their answers come in order.',
    async run(site) {
      const { client } = await site.open((connection) => {
        const path = readRequests(connection.received).at(-1)?.startLine.split(' ')[1] ?? '';
        connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
      });
      client.send(['/one', '/two', '/six'].map((path) => getRequest(path)).join(''));
      const answers = await site.answersOf(client, ['GET', 'GET', 'GET']);
      return answers.map(({ body }) => body).join() === '/one,/two,/six' ? ok : wrong('lost, or out of order');
    },
  },
  {
    name: 'An upstream that answers twice',
    scenario: 'Behind its answer it sends another one, unasked. No client ever gets that.',
    async run(site) {
      const poison = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison';
      const found = await Promise.all(
        [0, 1].map(async (late) => {
          const { upstream, port } = await site.open((connection) => {
            const asked = readRequests(connection.received).length;
            const isFirst = asked === 1 && connection === upstream.connections[0];
            connection.send(isFirst && late === 0 ? empty + poison : empty);
          });
          const answers: RawMessage[] = [];
          for (const path of ['/one', '/two', '/three']) {
            const client = await site.dial(port);
            client.send(getRequest(path));
            answers.push(...(await site.answersOf(client)));
            if (late === 1 && path === '/one') upstream.connections[0]?.send(poison);
          }
          if (answers.length < 3) return ['no answer'];
          return answers.some(({ body }) => body === 'poison') ? ['passes it on'] : [];
        }),
      );
      return unlessFound('', found.flat());
    },
  },
  {
    name: 'A transfer coding that was not asked for',
    scenario:
      'The upstream answers with `Transfer-Encoding: gzip, chunked`. The client gets 502, or is told of the coding: ' +
      'never bytes of gzip that are called plain.',
    async run(site) {
      const { client } = await site.open((connection) => {
        connection.socket.end(
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n\x1f\x8b\r\n0\r\n\r\n',
          'latin1',
        );
      });
      client.send(getRequest());
      await site.sees(() => client.received.includes('\r\n\r\n'));
      if (client.received === '') return wrong('no answer');
      const isTold = /^transfer-encoding:.*gzip/im.test(client.received);
      return isTold || client.received.startsWith('HTTP/1.1 502 ') ? ok : wrong('calls it plain');
    },
  },
  {
    name: 'Answers that are framed badly',
    scenario:
      'Two lengths, a length with chunks, a bad chunk size, an unknown coding. The client gets an error, or sees that ' +
      'the answer is broken off: never bytes that another reader would read as two answers.',
    async run(site) {
      const body = `2\r\nok\r\n0\r\n\r\n${empty}`;
      const answers = [
        `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 90\r\n\r\n${body}`,
        `HTTP/1.1 200 OK\r\nContent-Length: 90\r\nTransfer-Encoding: chunked\r\n\r\n${body}`,
        `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n`,
        `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n`,
        `HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n${body}`,
        `HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n${body}`,
      ];
      const found = await Promise.all(
        answers.map(async (bytes) => {
          const { client } = await site.open((connection) => {
            connection.send(bytes);
            connection.socket.end();
          });
          client.send(getRequest());
          let isClosed = false;
          void client.closed.then(() => (isClosed = true));
          await site.sees(() => isClosed || client.received.includes('\r\n\r\n'));
          client.socket.end();
          if (!(await site.sees(() => isClosed))) return ['client hangs'];
          try {
            const received = readAnswers(client.received);
            const [first] = received;
            if (received.length > 1) return ['two answers'];
            // RFC 9112 6.3: chunks go before a length. All others have no length that two readers agree on.
            const isReadable = bytes.includes('Transfer-Encoding') && bytes.includes('Content-Length');
            if (first?.isComplete !== true || statusOf(first) !== 200) return [];
            return isReadable && first.body === 'ok' ? [] : ['looks complete'];
          } catch (error) {
            if (error instanceof FramingError) return [error.message];
            throw error;
          }
        }),
      );
      return unlessFound('', found.flat());
    },
  },
];

export default framing;
