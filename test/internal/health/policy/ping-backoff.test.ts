import { describe, expect, it } from 'vitest';
import { PingBackoff } from '../../../../src/internal/health/policy/ping-backoff.ts';
import { Registry } from '../../../../src/internal/health/registry.ts';

describe('a peer that was pinged too often', () => {
  it('is pinged half as often each time, down to a quarter', () => {
    const backoff = new PingBackoff();
    const factors = [backoff.factorOf('a', 0)];
    for (let count = 0; count < 8; count++) {
      backoff.slowDown('a', 0);
      factors.push(backoff.factorOf('a', 0));
    }
    expect(factors).toEqual([1, 2, 4, 4, 4, 4, 4, 4, 4]);
  });

  it('is known by its address, and changes nothing for others', () => {
    const backoff = new PingBackoff();
    backoff.slowDown('a', 0);
    backoff.slowDown(undefined, 0);
    backoff.slowDown(undefined, 0);
    expect([backoff.factorOf('a', 0), backoff.factorOf('b', 0), backoff.factorOf(undefined, 0)]).toEqual([2, 1, 4]);
  });

  it('is forgotten when a thousand others have asked since', () => {
    const backoff = new PingBackoff();
    backoff.slowDown('a', 0);
    backoff.slowDown('b', 0);
    for (let count = 0; count < 998; count++) backoff.slowDown(`other ${count}`, 0);
    backoff.slowDown('a', 0);
    expect([backoff.factorOf('a', 0), backoff.factorOf('b', 0)]).toEqual([4, 2]);
    backoff.slowDown('one more', 0);
    expect([
      backoff.factorOf('a', 0),
      backoff.factorOf('b', 0),
      backoff.factorOf('one more', 0),
      backoff.factorOf('other 0', 0),
    ]).toEqual([4, 1, 2, 2]);
  });

  it('is as often as before after ten minutes', () => {
    const backoff = new PingBackoff();
    backoff.slowDown('a', 0);
    expect([backoff.factorOf('a', 599_999), backoff.factorOf('a', 600_000)]).toEqual([2, 1]);
    backoff.slowDown('a', 600_000);
    expect(backoff.factorOf('a', 600_000)).toBe(2);
  });

  it('is remembered by its registry, for the next session', () => {
    const [registry, another] = [new Registry(), new Registry()];
    registry.pingBackoff.slowDown('a', 0);
    expect([registry.pingBackoff.factorOf('a', 0), another.pingBackoff.factorOf('a', 0)]).toEqual([2, 1]);
  });
});
