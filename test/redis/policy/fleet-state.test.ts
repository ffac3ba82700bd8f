import { describe, expect, it } from 'vitest';
import { type FleetState, isBehind, parseFleetState, supersedes } from '../../../src/redis/policy/fleet-state.ts';

describe('parseFleetState', () => {
  it.each<[text: unknown, state: FleetState | undefined]>([
    ['7 1 cheap', { version: 7, enabled: true, profile: 'cheap' }],
    ['8 0 a name\nof 2 lines', { version: 8, enabled: false, profile: 'a name\nof 2 lines' }],
    ['', undefined],
    ['0 1 cheap', undefined],
    ['7 2 cheap', undefined],
    ['7 1 ', undefined],
    ['12345678901234567 1 cheap', undefined],
    ['-1 1 cheap', undefined],
    [null, undefined],
    [7, undefined],
  ])('reads %j', (text, state) => {
    expect(parseFleetState(text)).toEqual(state);
  });
});

describe('supersedes', () => {
  const known = { version: 7, enabled: true, profile: 'cheap' };
  it.each<[incoming: Partial<FleetState>, isNews: boolean]>([
    [{ version: 8 }, true],
    [{ version: 8, enabled: false }, true],
    [{ version: 6, enabled: false, profile: 'normal' }, false],
    [{}, false],
    [{ enabled: false }, true],
    [{ profile: 'normal' }, true],
  ])('compares %j', (incoming, isNews) => {
    expect(supersedes({ ...known, ...incoming }, known)).toBe(isNews);
  });
});

it.each<[text: string, isIt: boolean]>([
  ['', true],
  ['6 1 cheap', true],
  ['7 0 normal', false],
  ['8 1 cheap', false],
  ['other', false],
])('isBehind tells of %j', (text, isIt) => {
  expect(isBehind(text, { version: 7, enabled: true, profile: 'cheap' })).toBe(isIt);
});
