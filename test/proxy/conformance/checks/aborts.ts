import http2 from 'node:http2';
import net from 'node:net';
import { getRequest, type RawClient } from '../../../support/raw.ts';
import type { RawConnection } from '../../../support/raw-upstream.ts';
import { readAnswers, statusOf } from '../messages.ts';
import type { Check, Site } from '../site.ts';
import { ok, unlessFound, type Verdict, wrong } from '../verdict.ts';

const chunkedStart = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n';

/** How an upstream breaks off. */
const breaks: Record<string, (connection: RawConnection) => void> = {
  FIN: ({ socket }) => void socket.end(),
  RST: ({ socket }) => void socket.resetAndDestroy(),
};

/** How a client goes. */
const departures: Record<string, (client: RawClient) => void> = {
  FIN: (client) => void client.socket.end(),
  RST: (client) => void client.socket.resetAndDestroy(),
  'its end': (client) => client.destroy(),
};

/** How a client of HTTP/2 goes. */
const streamDepartures: Record<string, (stream: http2.ClientHttp2Stream, socket: net.Socket) => void> = {
  RST_STREAM: (stream) => stream.close(http2.constants.NGHTTP2_CANCEL),
  GOAWAY: (stream) => stream.session?.destroy(),
  RST: (_stream, socket) => void socket.resetAndDestroy(),
};

/** The upstream begins an answer and breaks off: with and without `Connection: close`, by the given ways. */
async function breaksOff(site: Site, start: string, ways = Object.keys(breaks)): Promise<Verdict> {
  const found = await Promise.all(
    ways.flatMap((way) =>
      ['', 'Connection: close\r\n'].map(async (close) => {
        const { upstream, client } = await site.open(start.replace('\r\n', `\r\n${close}`));
        client.send(getRequest());
        const connection = await site.connectionOf(upstream);
        if (!(await site.sees(() => client.received.includes('abc')))) return ['holds back'];
        breaks[way]?.(connection);
        let isClosed = false;
        void client.closed.then(() => (isClosed = true));
        const isEnded = await site.sees(() => isClosed || readAnswers(client.received)[0]?.isComplete === true);
        if (readAnswers(client.received)[0]?.isComplete) return ['looks complete'];
        return isEnded ? [] : ['client hangs'];
      }),
    ),
  );
  const [first] = found.flat();
  return first === undefined ? ok : wrong(first);
}

/** A client leaves. @param answer - sent before @param isThere - whether it is time to leave */
async function leaves(site: Site, answer: string, request: string): Promise<Verdict> {
  const leaks = await Promise.all(
    Object.entries(departures).map(async ([name, leave]) => {
      const { upstream, client } = await site.open(answer);
      client.send(request);
      if (!(await site.sees(() => upstream.connections.length > 0))) return ['holds back'];
      const connection = await site.connectionOf(upstream);
      if (!(await site.sees(() => answer === '' || client.received.includes('abc')))) return ['holds back'];
      leave(client);
      return (await site.sees(() => connection.isClosed)) ? [] : [`leaks after ${name}`];
    }),
  );
  return unlessFound('', leaks.flat());
}

async function leavesHttp2(site: Site, answer: string): Promise<Verdict> {
  const leaks = await Promise.all(
    Object.entries(streamDepartures).map(async ([name, leave]) => {
      const upstream = await site.upstream(answer);
      const socket = net.connect(await site.proxyTo(upstream.origin), '127.0.0.1');
      const session = http2.connect('http://test', { createConnection: () => socket });
      session.on('error', () => undefined);
      site.owns(() => session.destroy());
      const stream = session.request({ ':path': '/' });
      stream.on('error', () => undefined);
      let text = '';
      stream.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
      const connection = await site.connectionOf(upstream);
      if (!(await site.sees(() => answer === '' || text === 'abc'))) return ['holds back'];
      leave(stream, socket);
      return (await site.sees(() => connection.isClosed)) ? [] : [`leaks after ${name}`];
    }),
  );
  return unlessFound('', leaks.flat());
}

const aborts: Check[] = [
  {
    name: 'The upstream breaks off a chunked body',
    scenario: 'By FIN and RST, with and without `Connection: close`. The client sees at once that more was to come.',
    run: (site) => breaksOff(site, chunkedStart),
  },
  {
    name: 'The upstream breaks off a body with a length',
    scenario: 'By FIN and RST, with and without `Connection: close`. The client sees at once that more was to come.',
    run: (site) => breaksOff(site, 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc'),
  },
  {
    name: 'The upstream resets a body that its end would end',
    scenario: 'The answer has no length, and the connection is reset. The client sees that more was to come.',
    run: (site) => breaksOff(site, 'HTTP/1.1 200 OK\r\n\r\nabc', ['RST']),
  },
  {
    name: 'The client leaves before the headers',
    scenario: 'By FIN, RST and the end of its process. The connection to the upstream is closed.',
    run: (site) => leaves(site, '', getRequest()),
  },
  {
    name: 'The client leaves in the body',
    scenario: 'By FIN, RST and the end of its process. The connection to the upstream is closed.',
    run: (site) => leaves(site, chunkedStart, getRequest()),
  },
  {
    name: 'The client leaves in its upload',
    scenario: 'By FIN, RST and the end of its process. The upstream never takes the upload for a complete one.',
    run: (site) => leaves(site, '', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'),
  },
  {
    name: 'A client of HTTP/2 leaves before the headers',
    scenario: 'By RST_STREAM, GOAWAY and RST. The connection to the upstream is closed.',
    front: 'h2c',
    run: (site) => leavesHttp2(site, ''),
  },
  {
    name: 'A client of HTTP/2 leaves in the body',
    scenario: 'By RST_STREAM, GOAWAY and RST. The connection to the upstream is closed.',
    front: 'h2c',
    run: (site) => leavesHttp2(site, chunkedStart),
  },
  {
    name: 'The upstream answers before the upload is over',
    scenario: 'It answers 413 to the headers of an upload and closes. The client gets the 413.',
    async run(site) {
      const { upstream, client } = await site.open((connection) => {
        connection.send('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno');
        connection.socket.end();
      });
      client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc');
      const [answer] = await site.answersOf(client);
      if (!answer) return wrong('no answer');
      if (upstream.connections.length > 1) return wrong('sends twice');
      return statusOf(answer) === 413 ? ok : wrong(`answers ${statusOf(answer)}`);
    },
  },
];

export default aborts;
