import { describe, expect, it } from 'vitest';
import { Calm, calmOf } from '../../../../src/internal/health/policy/ping-backoff.ts';
import { createRegistry } from '../../../../src/heartbeat/index.ts';

describe('a peer that was pinged too often', () => {
  it('is pinged half as often each time, down to a quarter', () => {
    const calm = new Calm();
    const factors = [calm.factorOf('a', 0)];
    for (let count = 0; count < 8; count++) {
      calm.slowDown('a', 0);
      factors.push(calm.factorOf('a', 0));
    }
    expect(factors).toEqual([1, 2, 4, 4, 4, 4, 4, 4, 4]);
  });

  it('is known by its address, and changes nothing for others', () => {
    const calm = new Calm();
    calm.slowDown('a', 0);
    calm.slowDown(undefined, 0);
    calm.slowDown(undefined, 0);
    expect([calm.factorOf('a', 0), calm.factorOf('b', 0), calm.factorOf(undefined, 0)]).toEqual([2, 1, 4]);
  });

  it('is forgotten when a thousand others have asked since', () => {
    const calm = new Calm();
    calm.slowDown('a', 0);
    calm.slowDown('b', 0);
    for (let count = 0; count < 998; count++) calm.slowDown(`other ${count}`, 0);
    calm.slowDown('a', 0);
    expect([calm.factorOf('a', 0), calm.factorOf('b', 0)]).toEqual([4, 2]);
    calm.slowDown('one more', 0);
    expect([
      calm.factorOf('a', 0),
      calm.factorOf('b', 0),
      calm.factorOf('one more', 0),
      calm.factorOf('other 0', 0),
    ]).toEqual([4, 1, 2, 2]);
  });

  it('is as often as before after ten minutes', () => {
    const calm = new Calm();
    calm.slowDown('a', 0);
    expect([calm.factorOf('a', 599_999), calm.factorOf('a', 600_000)]).toEqual([2, 1]);
    calm.slowDown('a', 600_000);
    expect(calm.factorOf('a', 600_000)).toBe(2);
  });

  it('is remembered by its registry, for the next session', () => {
    const [registry, another] = [createRegistry(), createRegistry()];
    calmOf(registry).slowDown('a', 0);
    expect([calmOf(registry).factorOf('a', 0), calmOf(another).factorOf('a', 0)]).toEqual([2, 1]);
  });
});
