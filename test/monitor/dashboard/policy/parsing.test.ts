import { describe, expect, it } from 'vitest';
import { type ActionName, parseAction } from '../../../../src/monitor/dashboard/policy/action.ts';
import { compactSnapshot } from '../../../../src/monitor/dashboard/policy/compact.ts';
import {
  type ConnectionRow,
  pageOf,
  parsePageQuery,
  type PageQuery,
} from '../../../../src/monitor/dashboard/policy/connection-page.ts';
import { Histogram, responseBounds } from '../../../../src/monitor/policy/histogram.ts';
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

function row(number: number, fields: Partial<ConnectionRow> = {}): ConnectionRow {
  return {
    registry: 0,
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
}

describe('pageOf', () => {
  const rows = [
    row(1),
    row(2, { label: '/Orders' }),
    row(3, { state: 'write-late', remoteAddress: undefined }),
    row(4, { transport: 'websocket', state: 'dead', label: undefined }),
  ];
  const ids = (query: Partial<PageQuery>): string[] => pageOf(rows, { ...all, ...query }).rows.map(({ id }) => id);

  it('cuts a page out, and counts them all', () => {
    const page = pageOf(rows, { ...all, offset: 1, limit: 2 });
    expect(page.rows.map(({ id }) => id)).toEqual(['http1-2', 'http1-3']);
    expect(page.total).toBe(4);
    expect(pageOf(rows, { ...all, offset: 9 })).toEqual({ total: 4, rows: [] });
  });

  it('filters by text, state and transport, and counts what it found', () => {
    expect(ids({ filter: 'orders' })).toEqual(['http1-2']);
    expect(ids({ filter: 'HTTP1-4' })).toEqual(['http1-4']);
    expect(ids({ filter: '10.0' })).toEqual(['http1-1', 'http1-2', 'http1-4']);
    expect(ids({ state: 'unresponsive' })).toEqual(['http1-3', 'http1-4']);
    expect(ids({ state: 'healthy', transport: 'http1' })).toEqual(['http1-1', 'http1-2']);
    expect(pageOf(rows, { ...all, state: 'dead', limit: 1 }).total).toBe(1);
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
