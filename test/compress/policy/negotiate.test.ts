import { Transform } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { Codec } from '../../../src/compress/codec.ts';
import {
  acceptedCodings,
  chooseOffer,
  negotiate,
  type NegotiationReason,
} from '../../../src/compress/policy/negotiate.ts';
import type { BodyKind, NegotiationContext, Tier } from '../../../src/compress/codec.ts';

const all = ['zstd', 'br', 'gzip', 'deflate'];

function codec(coding: string, over: Partial<Codec> = {}): Codec {
  return {
    coding,
    available: true,
    encode: (body) => body,
    createStream: () => ({ transform: new Transform(), memory: 0, flush: () => {} }),
    createBlocks: () => ({ memory: 0, encode: (text) => text, close: () => {} }),
    ...over,
  };
}

describe('negotiate', () => {
  describe('by what the client accepts', () => {
    const cases: [header: string | undefined, offered: string[], coding: string, reason: NegotiationReason][] = [
      ['gzip', all, 'gzip', 'negotiated'],
      ['GZIP', all, 'gzip', 'negotiated'],
      ['x-gzip', all, 'gzip', 'negotiated'],
      ['gzip, deflate, br, zstd', all, 'zstd', 'negotiated'],
      ['gzip, deflate, br', all, 'br', 'negotiated'],
      ['deflate, gzip', all, 'gzip', 'negotiated'],
      ['deflate', all, 'deflate', 'negotiated'],
      ['gzip', ['GZIP'], 'GZIP', 'negotiated'],
      // A clear preference of the client beats the server's.
      ['gzip, zstd;q=0.5', all, 'gzip', 'negotiated'],
      ['deflate, br;q=0.5, gzip;q=0.5', all, 'deflate', 'negotiated'],
      ['gzip;q=0.001', all, 'gzip', 'negotiated'],
      // The wildcard is for what is not named.
      ['*', all, 'zstd', 'negotiated'],
      ['*;q=0.1', all, 'zstd', 'negotiated'],
      ['zstd;q=0, *', all, 'br', 'negotiated'],
      ['zstd;q=0, br;q=0, *;q=0.5', all, 'gzip', 'negotiated'],
      ['gzip, *;q=0', all, 'gzip', 'negotiated'],
      ['gzip, *;q=0.5', all, 'gzip', 'negotiated'],
      ['gzip;q=0.2, *;q=0.8', all, 'zstd', 'negotiated'],
      ['*;q=0', all, 'identity', 'not-acceptable'],
      ['*', ['x-foo'], 'x-foo', 'negotiated'],
      // Nothing acceptable.
      [undefined, all, 'identity', 'no-accept-encoding'],
      ['', all, 'identity', 'not-acceptable'],
      [' , ', all, 'identity', 'not-acceptable'],
      ['gzip;q=0', all, 'identity', 'not-acceptable'],
      ['gzip;q=0.0', all, 'identity', 'not-acceptable'],
      ['gzip;q=x', all, 'identity', 'not-acceptable'],
      ['compress', all, 'identity', 'not-acceptable'],
      ['x-gzip-not, mygzip, gzipped', all, 'identity', 'not-acceptable'],
      // Without a body that it accepts, the client gets the plain one.
      ['identity;q=0', all, 'identity', 'not-acceptable'],
      ['identity;q=0, *;q=0', all, 'identity', 'not-acceptable'],
      ['identity;q=0, compress', all, 'identity', 'not-acceptable'],
      ['identity;q=0, gzip;q=0.1', all, 'gzip', 'negotiated'],
      ['identity;q=0, *', all, 'zstd', 'negotiated'],
      // Identity by preference, where it has a weight of its own.
      ['identity', all, 'identity', 'identity-preferred'],
      ['identity;q=0.1', all, 'identity', 'identity-preferred'],
      ['identity, *;q=0', all, 'identity', 'identity-preferred'],
      ['identity;q=1, gzip;q=0.5', all, 'identity', 'identity-preferred'],
      ['identity, *;q=0.9', all, 'identity', 'identity-preferred'],
      ['identity;q=0.5, gzip;q=0.5', all, 'gzip', 'negotiated'],
      ['gzip, identity', all, 'gzip', 'negotiated'],
      ['gzip;q=1.0, identity; q=0.5, *;q=0', all, 'gzip', 'negotiated'],
      ['gzip;q=0.5', all, 'gzip', 'negotiated'],
      ['gzip;q=1.0,deflate;q=0.6,identity;q=0.3', ['deflate'], 'deflate', 'negotiated'],
      ['gzip;q=1.0,deflate;q=0.2,identity;q=0.3', ['deflate'], 'identity', 'identity-preferred'],
      // Nothing offered.
      ['gzip', [], 'identity', 'no-codec'],
      ['gzip, identity', ['identity'], 'identity', 'no-codec'],
    ];
    it.each(cases)('answers %j, offered %j, with %s: %s', (header, offered, coding, reason) => {
      expect(negotiate(header, offered)).toEqual({ coding, reason });
      expect(
        negotiate(
          header,
          offered.map((each) => codec(each)),
        ),
      ).toEqual({ coding, reason });
    });
  });

  // Found in other servers in 2026; each row is a case that one of them had wrong.
  describe('where others went wrong', () => {
    const cases: [where: string, header: string, offered: string[], coding: string][] = [
      ['stacksjs/stacks#2462', 'gzip;q=0.1, deflate;q=1', ['gzip', 'deflate'], 'deflate'],
      ['stacksjs/stacks#2485', 'br;q=0, gzip;q=1', ['br', 'gzip'], 'gzip'],
      ['stacksjs/stacks#2485', 'zebra', ['br', 'gzip'], 'identity'],
      ['stacksjs/stacks#2485', 'br;q=bad, *', ['br'], 'identity'],
      ['stacksjs/stacks#2485', 'identity;q=1, br;q=0.5', ['br', 'gzip'], 'identity'],
      ['traefik/traefik#13786', 'gzip;q=0, *;q=1', ['gzip', 'br'], 'br'],
      ['traefik/traefik#13786', 'gzip;q=0, br;q=0, *;q=1', ['gzip', 'br'], 'identity'],
      ['tower-rs/tower-http#693', '*;q=0,gzip', ['br', 'gzip'], 'gzip'],
      ['tower-rs/tower-http#693', '*', ['gzip'], 'gzip'],
      ['tower-rs/tower-http#693', 'identity;q=0', ['gzip'], 'identity'],
      ['magne4000/universal-middleware#335', 'gzip;q=0', ['gzip', 'deflate'], 'identity'],
      ['magne4000/universal-middleware#335', 'br;q=0, gzip', ['br', 'gzip'], 'gzip'],
      ['magne4000/universal-middleware#335', 'identity;q=0, gzip;q=0', ['gzip'], 'identity'],
      ['magne4000/universal-middleware#342', 'deflate;q=1, *;q=0.5', ['gzip', 'deflate'], 'deflate'],
      ['honojs/hono#4951', 'br', ['gzip'], 'identity'],
      ['honojs/hono#4951', 'x-gzip-foo', ['gzip'], 'identity'],
      ['honojs/hono#4951', 'gzip;q=0.2, deflate;q=0.9', ['gzip', 'deflate'], 'deflate'],
      ['aws-powertools/powertools-lambda-typescript#5725', 'gzip, identity', ['gzip'], 'gzip'],
      ['aws-powertools/powertools-lambda-typescript#5725', 'identity;q=0, gzip', ['gzip'], 'gzip'],
      ['aws-powertools/powertools-lambda-typescript#5725', 'GZIP', ['gzip'], 'gzip'],
      ['aws-powertools/powertools-lambda-typescript#5725', 'x-gzip', ['gzip'], 'gzip'],
      ['aws-powertools/powertools-lambda-typescript#5725', 'gzip;q=1foo', ['gzip'], 'identity'],
      ['aws-powertools/powertools-lambda-typescript#5725', '*;q=0, gzip', ['gzip'], 'gzip'],
      ['trpc/trpc#7539', 'brotli-like, gzip', ['br', 'gzip'], 'gzip'],
      ['trpc/trpc#7539', 'br;q=0.1, gzip', ['br', 'gzip'], 'gzip'],
      ['FOSSFORGE/uWestJS#194', '*', ['br', 'gzip', 'deflate'], 'br'],
      ['FOSSFORGE/uWestJS#194', 'gzip;q=0, *', ['br', 'gzip'], 'br'],
      ['FOSSFORGE/uWestJS#194', '*;q=0', ['br', 'gzip'], 'identity'],
      ['koajs/compress#232', 'identity;q=1, *;q=0', ['gzip'], 'identity'],
      ['klauspost/compress#1116', 'gzip;q=0;level=6', ['gzip'], 'identity'],
      ['fastify/fastify-compress#187', 'gzip;q=0.1, *;q=0.9, *;q=0.9', ['gzip', 'br'], 'br'],
    ];
    it.each(cases)('%s: answers %j, offered %j, with %s', (_where, header, offered, coding) => {
      expect(negotiate(header, offered).coding).toBe(coding);
      expect(negotiate(header, offered.toReversed()).coding).toBe(coding);
    });
  });

  describe('by the server, among equals', () => {
    const orders: [kind: BodyKind, tier: Tier, order: string[]][] = [
      ['complete', 0, ['zstd', 'br', 'gzip', 'deflate', 'x-foo']],
      ['complete', 1, ['zstd', 'gzip', 'br', 'deflate', 'x-foo']],
      ['complete', 2, ['zstd', 'gzip', 'deflate', 'br', 'x-foo']],
      ['complete', 3, ['zstd', 'gzip', 'deflate', 'br', 'x-foo']],
      ['long', 0, ['br', 'zstd', 'gzip', 'deflate', 'x-foo']],
      ['long', 1, ['zstd', 'gzip', 'br', 'deflate', 'x-foo']],
      ['long', 2, ['zstd', 'gzip', 'deflate', 'br', 'x-foo']],
      ['event-stream', 0, ['gzip', 'zstd', 'deflate', 'br', 'x-foo']],
      ['event-stream', 1, ['gzip', 'zstd', 'deflate', 'br', 'x-foo']],
      ['event-stream', 2, ['gzip', 'zstd', 'deflate', 'br', 'x-foo']],
    ];
    it.each(orders)('prefers, for a body that is %s, at tier %d: %j', (kind, tier, order) => {
      for (let at = 0; at < order.length; at++) {
        const rest = order.slice(at);
        expect(negotiate('*', rest, { kind, tier }).coding).toBe(order[at]);
        expect(negotiate('*', rest.toReversed(), { kind, tier }).coding).toBe(order[at]);
        // Half the weight is more than a hint, whatever is dear here.
        for (const other of rest) expect(negotiate(`${other}, *;q=0.5`, order, { kind, tier }).coding).toBe(other);
      }
    });

    it('takes a complete body at tier 0 when it is told nothing', () => {
      expect(negotiate('gzip, br, zstd', ['gzip', 'br', 'zstd'])).toEqual(
        negotiate('gzip, br, zstd', ['gzip', 'br', 'zstd'], { kind: 'complete', tier: 0 }),
      );
    });

    it('takes the one that is offered first when nothing else tells them apart', () => {
      expect(negotiate('*', ['x-a', 'x-b']).coding).toBe('x-a');
      expect(negotiate('*', ['x-b', 'x-a']).coding).toBe('x-b');
      const first = codec('gzip');
      expect(chooseOffer('gzip', [first, codec('gzip')], {})).toEqual({ kind: 'offer', offer: first });
    });

    it('takes the weight of the codec over the built-in one, by what it is told', () => {
      const told: NegotiationContext[] = [];
      const shy = codec('zstd', {
        weight: (context) => {
          told.push(context);
          return context.family === 'curl' ? 0.1 : undefined;
        },
      });
      const context = { kind: 'long', tier: 1, family: 'curl' } as const;
      expect(negotiate('zstd, gzip', [shy, codec('gzip')], context).coding).toBe('gzip');
      expect(negotiate('zstd, gzip', [shy, codec('gzip')], { ...context, family: 'go' }).coding).toBe('zstd');
      expect(told[0]).toEqual(context);
    });

    it('does not use a codec that gives itself no weight', () => {
      for (const weight of [0, NaN, -1]) {
        expect(negotiate('gzip', [codec('gzip', { weight: () => weight })])).toEqual({
          coding: 'identity',
          reason: 'no-codec',
        });
        expect(negotiate('gzip, br', [codec('gzip', { weight: () => weight }), codec('br')])).toEqual({
          coding: 'br',
          reason: 'negotiated',
        });
      }
    });

    it('does not fall back below identity when a preferred codec has little weight here', () => {
      const codecs = [codec('gzip', { weight: () => 0.1 }), codec('br', { weight: () => 1 })];
      expect(negotiate('gzip, identity;q=0.9, br;q=0.8', codecs).coding).toBe('gzip');
    });
  });

  describe('by what a codec can do', () => {
    const whole = { createStream: undefined, createBlocks: undefined };
    const streaming = { encode: undefined, createBlocks: undefined };
    const blocks = { encode: undefined, createStream: undefined };
    const abilities: [name: string, over: Record<string, unknown>, kinds: BodyKind[]][] = [
      ['everything', {}, ['complete', 'long', 'event-stream']],
      ['encode', whole, ['complete']],
      ['createStream', streaming, ['complete', 'long']],
      ['createBlocks', blocks, ['event-stream']],
      ['nothing', { ...whole, encode: undefined }, []],
      ['everything, were it available', { available: false }, []],
    ];
    it.each(abilities)('uses a codec with %s, %j, for %j', (_name, over, kinds) => {
      const limited = Object.fromEntries(
        Object.entries({ ...codec('zstd'), ...over }).filter(([, value]) => value !== undefined),
      ) as unknown as Codec;
      for (const kind of ['complete', 'long', 'event-stream'] as const) {
        const can = kinds.includes(kind);
        expect(negotiate('zstd', [limited], { kind })).toEqual(
          can ? { coding: 'zstd', reason: 'negotiated' } : { coding: 'identity', reason: 'no-codec' },
        );
        expect(negotiate('zstd, deflate;q=0.1', [limited, 'deflate'], { kind }).coding).toBe(can ? 'zstd' : 'deflate');
      }
    });

    it('looks at the availability each time', () => {
      let available = false;
      const late: Codec = {
        coding: 'zstd',
        encode: (body) => body,
        get available() {
          return available;
        },
      };
      expect(negotiate('zstd', [late]).reason).toBe('no-codec');
      available = true;
      expect(negotiate('zstd', [late]).reason).toBe('negotiated');
    });
  });
});

it('chooseOffer hands back the codec that was offered', () => {
  const offered = codec('gzip');
  expect(chooseOffer('gzip', [offered], {})).toEqual({ kind: 'offer', offer: offered });
  expect(chooseOffer('br', [offered], {})).toEqual({ kind: 'identity', reason: 'not-acceptable' });
});

describe('acceptedCodings', () => {
  const cases: [header: string | undefined, codings: string[]][] = [
    [undefined, []],
    ['', []],
    ['gzip', ['gzip']],
    ['br;q=0, *;q=0.1', ['gzip', 'zstd']],
    ['zstd;q=0.1, gzip', ['gzip', 'zstd']],
  ];
  it.each(cases)('of %j are %j', (header, codings) => {
    expect(acceptedCodings(header, ['gzip', 'br', 'zstd'])).toEqual(codings);
  });
});
