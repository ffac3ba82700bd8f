import { describe, expect, it } from 'vitest';
import { Histogram, quantile } from '../../../src/monitor/policy/histogram.ts';
import { LabelCounts, LabelTable } from '../../../src/monitor/policy/labels.ts';
import { mergeStats } from '../../../src/monitor/policy/merge-stats.ts';
import { routeTemplateOf } from '../../../src/monitor/policy/route.ts';

describe('a histogram', () => {
  it('counts values cumulatively, those at a bound below it', () => {
    const histogram = new Histogram([1, 5, 10]);
    for (const value of [0, 1, 1.1, 5, 7, 10, 11, 1_000]) histogram.record(value);
    expect(histogram.snapshot()).toEqual({
      count: 8,
      sum: 1035.1,
      buckets: [
        { le: 1, count: 2 },
        { le: 5, count: 4 },
        { le: 10, count: 6 },
        { le: Infinity, count: 8 },
      ],
    });
  });

  it('guesses quantiles within a bucket', () => {
    const histogram = new Histogram([10, 20]);
    expect(quantile(histogram.snapshot(), 0.5)).toBeUndefined();
    for (let value = 0; value < 10; value++) histogram.record(15);
    expect(quantile(histogram.snapshot(), 0.5)).toBe(15);
    for (let value = 0; value < 90; value++) histogram.record(100);
    expect(quantile(histogram.snapshot(), 0.99)).toBe(20);
  });
});

describe('labels', () => {
  it('have a bound, and later ones share one value', () => {
    const table = new LabelTable(2, () => ({ count: 0 }));
    for (const label of ['a', 'b', 'c', 'd', 'a', '__other__']) table.get(label).count += 1;
    expect(table.toObject(({ count }) => count)).toEqual({ a: 2, b: 1, __other__: 3 });
  });

  it('may be names of properties of objects', () => {
    const counts = new LabelCounts(10);
    for (const label of ['constructor', '__proto__', 'toString']) counts.add(label, 2);
    expect(Object.entries(counts.toObject())).toEqual([
      ['constructor', 2],
      ['__proto__', 2],
      ['toString', 2],
    ]);
  });
});

describe('the label of a route', () => {
  it.each([
    [{ route: { path: '/users/:id' } }, '/users/:id'],
    [{ baseUrl: '/api', route: { path: '/users/:id' } }, '/api/users/:id'],
    [{ baseUrl: '/api', route: { path: '/' } }, '/api'],
    [{ baseUrl: '', route: { path: ['/a', '/b'] } }, '/a'],
    [{ route: { path: /x/ } }, '__other__'],
    [{ url: '/wp-admin.php' }, '__other__'],
    [{ route: null }, '__other__'],
  ])('of %j is %s', (req, label) => {
    expect(routeTemplateOf(req)).toBe(label);
  });
});

describe('the numbers of several registries', () => {
  const healthy = { healthy: 3, 'read-late': 0, 'write-late': 1, dead: 0 };
  const one = {
    connections: 4,
    unresponsive_ratio: 0.25,
    avg_heartbeat_rt: 10,
    transports: { http1: healthy },
    ended: { ended: 2 },
    refused: { total: 1, client: 0 },
    heartbeats: 5,
  };

  it('add up, and means count by connections', () => {
    const other = { ...one, connections: 12, unresponsive_ratio: 0, avg_heartbeat_rt: 30, ended: { idle: 1 } };
    expect(mergeStats([one, other])).toEqual({
      connections: 16,
      unresponsive_ratio: 0.0625,
      avg_heartbeat_rt: 25,
      transports: { http1: { healthy: 6, 'read-late': 0, 'write-late': 2, dead: 0 } },
      ended: { ended: 2, idle: 1 },
      refused: { total: 2, client: 0 },
      heartbeats: 10,
    });
    expect(mergeStats([one, { ...other, avg_heartbeat_rt: null }]).avg_heartbeat_rt).toBe(10);
    expect(mergeStats([]).avg_heartbeat_rt).toBeNull();
  });
});
