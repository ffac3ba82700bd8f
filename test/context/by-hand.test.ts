import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { compress, gzip } from '../../src/compress/index.ts';
import type { Middleware } from '../support/carriers.ts';
import type { FlushingResponse } from '../support/compress-responses.ts';
import { serve } from '../support/serve.ts';
import { noise } from '../support/texts.ts';
import { settles, turns, until } from '../support/until.ts';
import { callerOf, crowdSize } from './crowd.ts';
import { signed, watchedCodec } from './watched-codec.ts';
import { mounted, overHttp1, ownerOf, places, type Row, Witness } from './witness.ts';

// Of a response that is written by hand, the caller is called back, as without a middleware: `res.end` of another
// request's response has its 'finish' in the context of the call. Code of the response itself runs in its own.
const rows: Readonly<Record<string, Row>> = {
  'hub: callback of write': { sees: 'own' },
  'hub: callback of flush': { sees: 'own' },
  'hub: callback of end': { sees: 'own' },
  'hub: res drain': { sees: 'own' },
  'hub: res finish': { sees: overHttp1, because: 'Node emits it for a stream of HTTP/2 in the context of its session' },
  'hub: res close': { sees: overHttp1, because: 'Node emits it for a stream of HTTP/2 in the context of its session' },
  'compress filter': { sees: 'own' },
  'sluice:compress:decision': { sees: 'own' },
  'codec.createStream': { sees: 'own' },
  'codec stream: transform': { sees: 'own' },
  'codec stream: flush': { sees: 'own' },
  'codec stream: last flush': { sees: 'own' },
  'codec stream: destroy': { sees: 'own' },
  'codec.createBlocks': { sees: 'own' },
  'codec blocks: encode': { sees: 'own' },
  'codec blocks: close': { sees: 'own' },
};

const big = noise(80_000);
const kinds = { 'an event stream': 'text/event-stream', 'a long body': 'text/plain' };
const codings = ['identity', 'gzip', 'x-watched'];

interface Member {
  readonly owner: string;
  readonly res: FlushingResponse;
}

describe.each(places)('$carrier, stores set $mount the middlewares', (place) => {
  it('runs what another request gives to a response in the context of the call, and code of the response in its own', async () => {
    const witness = new Witness(rows);
    const crowds = new Map<string, Member[]>();
    const act = async (members: readonly Member[], watch: (callback: string) => () => void): Promise<void> => {
      for (const { res } of members)
        for (const event of ['drain', 'finish', 'close']) res.on(event, watch(`hub: res ${event}`));
      for (const { res } of members) {
        res.write('second', watch('hub: callback of write'));
        res.flush(watch('hub: callback of flush'));
      }
      await turns();
      const drained = members.map(({ res }) =>
        res.write(big, watch('hub: callback of write')) ? Promise.resolve([]) : once(res, 'drain'),
      );
      await Promise.all(drained);
      for (const { res } of members) res.end('last', watch('hub: callback of end'));
    };
    const handler: Middleware = async (req, response) => {
      const res = response as FlushingResponse;
      const owner = ownerOf(req);
      const [kind, key, isHub] = JSON.parse(decodeURIComponent(req.url!.slice(1))) as [
        keyof typeof kinds,
        string,
        boolean,
      ];
      const crowd = crowds.get(key) ?? [];
      crowds.set(key, crowd);
      if (isHub) {
        await until(() => crowd.length === crowdSize);
        await act(crowd, (callback) => witness.watch(callback, owner));
        res.end('done');
        return;
      }
      res.writeHead(200, { 'Content-Type': kinds[kind] });
      res.write(signed(owner, 'first'));
      crowd.push({ owner, res });
    };
    const compression = compress({
      threshold: 0,
      codecs: [gzip(), watchedCodec(witness)],
      filter(req) {
        witness.see('compress filter', ownerOf(req));
        return true;
      },
    });
    witness.follow('sluice:compress:decision', () => true);
    const running = await serve(place.make, ...mounted(place.mount, compression as Middleware), handler);
    const caller = callerOf(running, place.protocol);
    const calls: Promise<unknown>[] = [];
    for (const kind of Object.keys(kinds)) {
      for (const coding of codings) {
        const key = `${kind}, ${coding}`;
        const pathOf = (isHub: boolean): string => `/${encodeURIComponent(JSON.stringify([kind, key, isHub]))}`;
        calls.push(caller.call(`a hub, ${key}`, pathOf(true)).then(({ over }) => over));
        for (let member = 1; member <= crowdSize; member++) {
          calls.push(
            caller.call(`${key}, member ${member}`, pathOf(false), { 'accept-encoding': coding }).then(async (call) => {
              expect([key, call.coding, await call.over]).toEqual([key, coding, 'end']);
            }),
          );
        }
      }
    }
    await settles(Promise.all(calls));
    expect(running.errors).toEqual([]);
    expect(witness.faults(place)).toEqual([]);
    expect(witness.unseen(place)).toEqual([]);
  });
});
