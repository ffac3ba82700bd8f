import { getRequest } from '../../../support/raw.ts';
import { type RawMessage, readAnswers, readRequests, statusOf, valuesOf } from '../messages.ts';
import type { Check, Site } from '../site.ts';
import { ok, right, unlessFound, type Verdict, wrong } from '../verdict.ts';

const empty = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

/** The first request that reaches the upstream; or what is answered instead. */
async function requestSeen(site: Site, request: string): Promise<RawMessage | Verdict> {
  const { upstream, client } = await site.open(empty);
  client.send(request);
  const [answer] = await site.answersOf(client);
  const [seen] = readRequests(upstream.connections[0]?.received ?? '');
  return seen ?? wrong(answer ? `answers ${statusOf(answer)}` : 'no answer');
}

const headers: Check[] = [
  {
    name: 'Hop-by-hop headers of the request',
    scenario:
      'The client sends a header that its `Connection` names, and Keep-Alive, Proxy-Authorization, Proxy-Connection ' +
      'and TE. The upstream gets none of them.',
    async run(site) {
      const fields = {
        'X-Hop': '1',
        'Keep-Alive': 'timeout=9',
        'Proxy-Authorization': 'Basic YTpi',
        'Proxy-Connection': 'keep-alive',
        TE: 'gzip',
      };
      const request = await requestSeen(site, getRequest('/', { Connection: 'x-hop', ...fields }));
      if ('kind' in request) return request;
      const leaked = Object.entries(fields).filter(([name, value]) => valuesOf(request, name).includes(value));
      return leaked.length === 0 ? ok : wrong(`leaks ${leaked.length}`);
    },
  },
  {
    name: 'Hop-by-hop headers of the answer',
    scenario:
      'The upstream sends a header that its `Connection` names, and Keep-Alive, Proxy-Authenticate and Upgrade. The ' +
      'client gets none of them.',
    async run(site) {
      const fields = [
        ['X-Hop', '1'],
        ['Keep-Alive', 'timeout=9'],
        ['Proxy-Authenticate', 'Basic'],
        ['Upgrade', 'h2c'],
      ] as const;
      const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
      const { client } = await site.open(
        `HTTP/1.1 200 OK\r\nConnection: x-hop, upgrade\r\n${lines}Content-Length: 0\r\n\r\n`,
      );
      client.send(getRequest());
      const [answer] = await site.answersOf(client);
      if (!answer || statusOf(answer) !== 200) return wrong('no answer');
      const leaked = fields.filter(([name, value]) => valuesOf(answer, name).includes(value));
      return leaked.length === 0 ? ok : wrong(`leaks ${leaked.length}`);
    },
  },
  {
    name: '`Connection` names what the proxy needs',
    scenario:
      '`Connection: host, content-length, x-forwarded-for, authorization` on a request with a body. The upstream gets ' +
      'a request with a host, the body, the address of the client, and no authorization.',
    async run(site) {
      const request = await requestSeen(
        site,
        'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nAuthorization: Basic YTpi\r\n' +
          'Connection: host, content-length, x-forwarded-for, authorization\r\n\r\nbody',
      );
      if ('kind' in request) return request;
      return unlessFound('', [
        ...(valuesOf(request, 'host').length === 1 ? [] : ['no host']),
        ...(request.body === 'body' ? [] : ['no body']),
        ...(valuesOf(request, 'x-forwarded-for').length === 1 ? [] : ['no address']),
        ...(valuesOf(request, 'authorization').length === 0 ? [] : ['passes authorization']),
      ]);
    },
  },
  {
    name: 'Spoofed `X-Forwarded-*`',
    scenario:
      'The client, whom no one trusts, claims an address, a host and a protocol. The upstream gets none of them.',
    async run(site) {
      const claims = { 'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https' };
      const request = await requestSeen(site, getRequest('/', claims));
      if ('kind' in request) return request;
      const kept = Object.entries(claims).filter(([name, claim]) => valuesOf(request, name).join().includes(claim));
      return kept.length === 0 ? ok : wrong(`passes ${kept.length}`);
    },
  },
  {
    name: '`Via` on the request',
    scenario: 'A proxy names itself and the version that it was asked in (RFC 9110 7.6.3).',
    async run(site) {
      const request = await requestSeen(site, getRequest());
      if ('kind' in request) return request;
      return /^1\.1 \S+$/.test(valuesOf(request, 'via').join()) ? ok : wrong('no');
    },
  },
  {
    name: 'Two `Set-Cookie`',
    scenario: 'The client gets both, a line each.',
    async run(site) {
      const { client } = await site.open(
        'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n',
      );
      client.send(getRequest());
      const [answer] = await site.answersOf(client);
      return answer && valuesOf(answer, 'set-cookie').join('; ') === 'a=1; b=2' ? ok : wrong('lost');
    },
  },
  {
    name: 'Bytes over 127 in headers',
    scenario: 'A header of the request and one of the answer have bytes of UTF-8. Both pass unchanged.',
    async run(site) {
      const name = Buffer.from('Žluťoučký').toString('latin1');
      const { upstream, client } = await site.open(`HTTP/1.1 200 OK\r\nX-Name: ${name}\r\nContent-Length: 0\r\n\r\n`);
      client.send(getRequest('/', { 'X-Name': name }));
      const [answer] = await site.answersOf(client);
      const [request] = readRequests(upstream.connections[0]?.received ?? '');
      return unlessFound('changes', [
        ...(request && valuesOf(request, 'x-name')[0] === name ? [] : ['request']),
        ...(answer && valuesOf(answer, 'x-name')[0] === name ? [] : ['answer']),
      ]);
    },
  },
  {
    name: 'A header that goes on in the next line',
    scenario:
      'The client sends one (obs-fold, RFC 9112 5.2), and so does an upstream. It is refused, or joined: never passed ' +
      'on as a line of its own.',
    async run(site) {
      const folded = 'X-Folded: one\r\n\tX-Inner: two\r\n';
      const { upstream, client } = await site.open(`HTTP/1.1 200 OK\r\n${folded}Content-Length: 0\r\n\r\n`);
      client.send(`GET / HTTP/1.1\r\nHost: a\r\n${folded}\r\n`);
      const [answer] = await site.answersOf(client);
      if (!answer) return wrong('no answer');
      const [request] = readRequests(upstream.connections[0]?.received ?? '');
      const messages = [answer, ...(request ? [request] : [])];
      if (messages.some((each) => valuesOf(each, 'x-inner').length > 0)) return wrong('splits');
      return statusOf(answer) === 200 ? ok : right(`refuses: ${statusOf(answer)}`);
    },
  },
  {
    name: 'An answer with a bare CR or LF in a header',
    scenario: 'It is refused, or its two halves do not become two headers.',
    async run(site) {
      const split = await Promise.all(
        ['\r', '\n', '\0'].map(async (byte) => {
          const { client } = await site.open(
            `HTTP/1.1 200 OK\r\nX-One: 1${byte}Set-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n`,
          );
          client.send(getRequest());
          const [answer] = await site.answersOf(client);
          if (!answer) return ['hangs'];
          // A bare LF ends a line where a parser is lenient (RFC 9112 2.2): then there are two, and both were sent.
          return valuesOf(answer, 'set-cookie').length > 0 && byte !== '\n' ? ['splits'] : [];
        }),
      );
      return unlessFound('', split.flat());
    },
  },
  {
    name: '`Vary` without a name',
    scenario: 'The upstream sends `Vary` with nothing behind it, or with what is no name. The client gets the answer.',
    async run(site) {
      const found = await Promise.all(
        ['', ',', 'a b', '\u00ff'].map(async (value) => {
          const { client } = await site.open(`HTTP/1.1 200 OK\r\nVary: ${value}\r\nContent-Length: 2\r\n\r\nok`);
          client.send(getRequest());
          const [answer] = await site.answersOf(client);
          if (!answer) return ['hangs'];
          return statusOf(answer) === 200 && answer.isComplete ? [] : [`answers ${statusOf(answer)}`];
        }),
      );
      return unlessFound('', found.flat());
    },
  },
  {
    name: 'Headers of 20 kB',
    scenario:
      'A request and an answer have more headers than Node takes. An error is answered: no hang, no half answer.',
    async run(site) {
      const long = `X-Long: ${'a'.repeat(20_000)}\r\n`;
      const { upstream, client } = await site.open(empty);
      client.send(`GET / HTTP/1.1\r\nHost: a\r\n${long}\r\n`);
      const [toRequest] = await site.answersOf(client);
      const other = await site.open(`HTTP/1.1 200 OK\r\n${long}Content-Length: 0\r\n\r\n`);
      other.client.send(getRequest());
      const [toAnswer] = await site.answersOf(other.client);
      return unlessFound('', [
        ...(toRequest && statusOf(toRequest) === 431 && upstream.connections.length === 0 ? [] : ['request']),
        ...(toAnswer && [200, 502].includes(statusOf(toAnswer))
          ? []
          : [`answer ${toAnswer ? statusOf(toAnswer) : ''}`]),
      ]);
    },
  },
  {
    name: '`Trailer` of a request',
    scenario:
      'A chunked request announces and sends trailers that frame and identify: Content-Length, Host, Authorization. ' +
      'None becomes a header, and the body ends where it ends.',
    async run(site) {
      const trailers = 'Content-Length: 90\r\nHost: evil.example\r\nAuthorization: Basic YTpi\r\n';
      const { upstream, client } = await site.open((connection) => {
        void site.sees(() => connection.received.includes('\r\n0\r\n')).then(() => connection.send(empty));
      });
      client.send(
        'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, Host, Authorization' +
          `\r\n\r\n4\r\nbody\r\n0\r\n${trailers}\r\n`,
      );
      const [answer] = await site.answersOf(client);
      const [request] = readRequests(upstream.connections[0]?.received ?? '');
      if (!answer) return wrong('hangs');
      if (!request) return statusOf(answer) === 400 ? right('refuses: 400') : wrong(`answers ${statusOf(answer)}`);
      if (request.trailers.length > 0) return wrong('passes them');
      const isClean =
        request.framing === 'chunked' && request.body === 'body' && valuesOf(request, 'authorization').length === 0;
      return isClean ? ok : wrong('reframes');
    },
  },
  {
    name: 'Trailers of an answer that frame it',
    scenario:
      'The upstream sends Content-Length, Transfer-Encoding and Set-Cookie as trailers. The client gets none; the answer may be cut.',
    async run(site) {
      const { client } = await site.open(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, Set-Cookie\r\n\r\n2\r\nok\r\n0\r\n' +
          'Content-Length: 90\r\nTransfer-Encoding: chunked\r\nSet-Cookie: evil=1\r\n\r\n',
      );
      client.send(getRequest('/', { TE: 'trailers', Connection: 'TE' }));
      const [answer] = await site.answersOf(client);
      if (!answer) return wrong('no answer');
      if (!answer.isComplete) return right('cuts');
      if (readAnswers(client.received).length > 1) return wrong('more than an answer');
      return unlessFound(
        'passes',
        answer.trailers.map(([name]) => name),
      );
    },
  },
];

export default headers;
