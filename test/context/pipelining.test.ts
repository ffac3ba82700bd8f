import { describe, expect, it } from 'vitest';
import { compress, gzip } from '../../src/compress/index.ts';
import { contextOf, deadline } from '../../src/deadline/index.ts';
import { sse } from '../../src/index.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import type { FlushingResponse } from '../support/compress-responses.ts';
import { getRequest } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { prose } from '../support/texts.ts';
import { until } from '../support/until.ts';
import { crowdSize, Meeting } from './crowd.ts';
import { signed, watchedCodec } from './watched-codec.ts';
import { mounted, named, ownerOf, type Place, type Row, Witness } from './witness.ts';

// Node sends what waits for its turn on a connection in the context of the response before: its events, 'finish' and
// 'close' among them, and the callbacks of its own `write` and `end` run there, with a middleware and without. What the
// library calls does not.
const rows: Readonly<Record<string, Row>> = {
  'stream.onClose': { sees: 'own' },
  'listener of stream.signal': { sees: 'own' },
  'listener of context.signal': { sees: 'own' },
  'sluice:stream:close': { sees: 'own' },
  'sluice:compress:decision': { sees: 'own' },
  'callback of write': { sees: 'own' },
  'callback of end': { sees: 'own' },
  'codec.createBlocks': { sees: 'own' },
  'codec blocks: encode': { sees: 'own' },
  'codec blocks: close': { sees: 'own' },
  'codec.createStream': { sees: 'own' },
  'codec stream: transform': { sees: 'own' },
  'codec stream: flush': { sees: 'own' },
  'codec stream: last flush': { sees: 'own' },
  'codec stream: destroy': { sees: 'own' },
};

const codings = ['gzip', 'x-watched'];

describe.each(['before', 'behind'] as const)('requests of one connection, stores set %s the middlewares', (mount) => {
  it.each(['to their end', 'to a client that leaves'])(
    'keep their contexts while they wait for their turn, %s',
    async (end) => {
      const place: Place = { carrier: bare.name, protocol: 'http1', mount };
      const leaves = end === 'to a client that leaves';
      const witness = new Witness(rows);
      for (const channel of ['sluice:stream:close', 'sluice:compress:decision']) witness.follow(channel, () => true);
      const meetings = new Map<string, Meeting>();
      let arrived = 0;
      const handler: Middleware = async (req, response, next) => {
        const res = response as FlushingResponse;
        const owner = ownerOf(req);
        const watch = (callback: string): (() => void) => witness.watch(callback, owner);
        const meeting = meetings.get(req.url!) ?? new Meeting('shared promise');
        meetings.set(req.url!, meeting);
        contextOf(req).signal.addEventListener('abort', watch('listener of context.signal'));
        arrived += 1;
        if (req.url!.startsWith('/stream')) {
          const middleware = sse(async (stream) => {
            stream.onClose(watch('stream.onClose'));
            stream.signal.addEventListener('abort', watch('listener of stream.signal'));
            await meeting.at(0);
            await stream.send(signed(owner, 'first'));
            if (leaves) await new Promise(() => undefined);
          }) as Middleware;
          middleware(req, res, next);
          return;
        }
        await meeting.at(0);
        res.setHeader('Content-Type', 'text/plain');
        res.write(signed(owner, prose(2000)), watch('callback of write'));
        res.flush();
        await meeting.at(1);
        res.write('second', watch('callback of write'));
        if (!leaves) res.end('last', watch('callback of end'));
      };
      const compression = compress({ threshold: 0, codecs: [gzip(), watchedCodec(witness)] });
      const running = await serve(
        bare,
        ...mounted(mount, deadline() as Middleware, compression as Middleware),
        handler,
      );
      const paths = ['/stream', '/body'].flatMap((path) =>
        codings.map((coding) => ({ path: `${path}/${coding}`, coding })),
      );
      const clients = await Promise.all(
        paths.map(async ({ path, coding }) => {
          const client = await running.dial();
          const requestOf = (number: number): string =>
            getRequest(path, { 'Accept-Encoding': coding, ...named(`${path}, request ${number}`) });
          client.send(Array.from({ length: crowdSize }, (_, index) => requestOf(index + 1)).join(''));
          return client;
        }),
      );
      await until(() => arrived === clients.length * crowdSize);
      if (leaves) {
        await Promise.all(clients.map((client) => client.waitFor('200 OK')));
        for (const client of clients) client.destroy();
      } else {
        const isWhole = (received: string): boolean =>
          received.split('HTTP/1.1 200').length > crowdSize && received.endsWith('0\r\n\r\n');
        await Promise.all(clients.map((client) => client.waitFor(isWhole)));
      }
      const undue = leaves ? ['callback of end', 'codec stream: last flush'] : ['listener of context.signal'];
      const missing = (): string[] => witness.unseen(place).filter((callback) => !undue.includes(callback));
      await until(
        () => missing().length === 0,
        () => `never seen: ${missing().join(', ')}`,
      );
      await until(() => witness.count('stream.onClose') === codings.length * crowdSize);
      expect(running.errors).toEqual([]);
      expect(witness.faults(place)).toEqual([]);
    },
  );
});
