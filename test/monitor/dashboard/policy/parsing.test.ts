import { describe, expect, it } from 'vitest';
import { type ActionName, parseAction } from '../../../../src/monitor/dashboard/policy/action.ts';
import { compactSnapshot } from '../../../../src/monitor/dashboard/policy/compact.ts';
import {
  type Listed,
  makeFilter,
  type PageQuery,
  parsePageQuery,
} from '../../../../src/monitor/dashboard/policy/connection-page.ts';
import { Histogram, responseBounds } from '../../../../src/monitor/policy/histogram.ts';
import type { ConnectionInfo } from '../../../../src/heartbeat/index.ts';
import { monitor } from '../../../../src/monitor/index.ts';

describe('parseAction', () => {
  it.each<[ActionName, unknown, unknown]>([
    ['switch', { enabled: false }, { kind: 'switch', enabled: false }],
    ['switch', { profile: 'fast' }, { kind: 'profile', profile: 'fast' }],
    ['evict', { id: 'http1-3' }, { kind: 'evict', id: 'http1-3', registry: 0 }],
    ['evict', { id: 'http1-3', registry: 1 }, { kind: 'evict', id: 'http1-3', registry: 1 }],
    ['canary', { name: 'a', weights: { b: 1.5 } }, { kind: 'canary', name: 'a', weights: { b: 1.5 } }],
    ['drain', {}, { kind: 'drain' }],
  ])('reads %s %j', (name, body, action) => {
    expect(parseAction(name, body)).toEqual(action);
  });

  it.each<[ActionName, unknown]>([
    ['switch', {}],
    ['switch', { enabled: 'yes' }],
    ['switch', { enabled: true, profile: 'fast' }],
    ['switch', { enabled: true, level: 9 }],
    ['switch', { profile: { level: 9 } }],
    ['switch', null],
    ['switch', []],
    ['switch', 'on'],
    ['evict', {}],
    ['evict', { id: 3 }],
    ['evict', { id: 'http1-3', registry: '0' }],
    ['evict', { id: 'http1-3', registry: 0.5 }],
    ['evict', { id: 'http1-3', reason: 'ended' }],
    ['canary', { name: 'a' }],
    ['canary', { name: 'a', weights: [1] }],
    ['canary', { name: 'a', weights: null }],
    ['canary', { name: 'a', weights: { b: '1' } }],
    ['canary', { weights: { b: 1 } }],
    ['drain', { force: true }],
    ['drain', 1],
  ])('refuses %s %j', (name, body) => {
    expect(parseAction(name, body)).toEqual(expect.stringMatching(/^(The body|`registry`) .*\.$/));
  });
});

const all: PageQuery = { offset: 0, limit: 100, filter: '', transport: '', state: '' };

describe('parsePageQuery', () => {
  it('has defaults', () => {
    expect(parsePageQuery('')).toEqual(all);
  });

  it('reads what a page sends', () => {
    expect(parsePageQuery('offset=200&limit=50&filter=%2Fa%20b&transport=http1&state=dead')).toEqual({
      offset: 200,
      limit: 50,
      filter: '/a b',
      transport: 'http1',
      state: 'dead',
    });
  });

  it.each(['offset=-1', 'offset=x', 'offset=1.5', 'limit=0', 'limit=501', 'limit=NaN', `filter=${'x'.repeat(201)}`])(
    'refuses %s',
    (search) => {
      expect(typeof parsePageQuery(search)).toBe('string');
    },
  );
});

describe('makeFilter', () => {
  const connection = (number: number, fields: Partial<ConnectionInfo> = {}): Listed => {
    const info: ConnectionInfo = {
      id: `http1-${number}`,
      transport: 'http1',
      state: 'healthy',
      remoteAddress: '10.0.0.1',
      label: '/ticks',
      age: 1,
      silence: 1,
      roundTrip: undefined,
      bufferedBytes: 0,
      failures: 0,
      ...fields,
    };
    return { id: info.id, transport: info, liveness: info, info: () => info };
  };
  const connections = [
    connection(1),
    connection(2, { label: '/Orders' }),
    connection(3, { remoteAddress: undefined, state: 'write-late' }),
    connection(4, { transport: 'websocket', label: undefined, state: 'dead' }),
  ];

  it.each<[Partial<PageQuery>, number[]]>([
    [{}, [1, 2, 3, 4]],
    [{ filter: 'orders' }, [2]],
    [{ filter: 'HTTP1-4' }, [4]],
    [{ filter: '10.0' }, [1, 2, 4]],
    [{ state: 'unresponsive' }, [3, 4]],
    [{ state: 'dead' }, [4]],
    [{ state: 'healthy', transport: 'http1' }, [1, 2]],
    [{ transport: 'websocket', filter: 'ticks' }, []],
  ])('%j', (query, numbers) => {
    const found = connections.filter(makeFilter({ ...all, ...query }));
    expect(found.map(({ id }) => id)).toEqual(numbers.map((number) => `http1-${number}`));
  });
});

describe('compactSnapshot', () => {
  it('has two numbers in place of a histogram, and all others as they are', () => {
    const watch = monitor();
    const full = watch.snapshot();
    watch.close();
    const times = new Histogram(responseBounds);
    for (let index = 1; index <= 100; index++) times.record(index / 1_000);
    const route = { active: 1, ended: { '2xx': 3 }, timeToHead: times.snapshot(), timeToFirstByte: full.roundTrip };
    const compact = compactSnapshot({ ...full, routes: { '/ticks': route } });

    expect(compact.routes['/ticks']).toEqual({
      active: 1,
      ended: { '2xx': 3 },
      timeToHead: { p50: 0.05, p95: 0.095 },
      timeToFirstByte: {},
    });
    expect(compact.roundTrip).toEqual({});
    expect(compact.connections).toEqual(full.connections);
    expect(compact.streams.active).toBe(0);
    expect(JSON.stringify(compact)).not.toContain('buckets');
  });
});
