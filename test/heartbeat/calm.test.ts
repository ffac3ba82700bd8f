import { describe, expect, it } from 'vitest';
import { Calm, calmOf } from '../../src/heartbeat/calm.ts';
import { createRegistry } from '../../src/heartbeat/index.ts';

describe('a peer that was pinged too often', () => {
  it('is pinged half as often each time, down to a thirty-second', () => {
    const calm = new Calm();
    const factors = [calm.factorOf('a')];
    for (let count = 0; count < 8; count++) {
      calm.slowDown('a');
      factors.push(calm.factorOf('a'));
    }
    expect(factors).toEqual([1, 2, 4, 8, 16, 32, 32, 32, 32]);
  });

  it('is known by its address, and changes nothing for others', () => {
    const calm = new Calm();
    calm.slowDown('a');
    calm.slowDown(undefined);
    calm.slowDown(undefined);
    expect([calm.factorOf('a'), calm.factorOf('b'), calm.factorOf(undefined)]).toEqual([2, 1, 4]);
  });

  it('is forgotten when a thousand others have asked since', () => {
    const calm = new Calm();
    calm.slowDown('a');
    calm.slowDown('b');
    for (let count = 0; count < 998; count++) calm.slowDown(`other ${count}`);
    calm.slowDown('a');
    expect([calm.factorOf('a'), calm.factorOf('b')]).toEqual([4, 2]);
    calm.slowDown('one more');
    expect([calm.factorOf('a'), calm.factorOf('b'), calm.factorOf('one more'), calm.factorOf('other 0')]).toEqual([4, 1, 2, 2]);
  });

  it('is remembered by its registry, for the next session', () => {
    const [registry, another] = [createRegistry(), createRegistry()];
    calmOf(registry).slowDown('a');
    expect([calmOf(registry).factorOf('a'), calmOf(another).factorOf('a')]).toEqual([2, 1]);
  });
});
