import { describe, expect, it } from 'vitest';
import { nearestName } from '../../src/internal/nearest-name.ts';

const names = ['every', 'readDeadline', 'writeDeadline', 'maxBuffered', 'threshold', 'idle', 'max', 'event'];

describe('the nearest name', () => {
  it.each([
    ['maxbuffered', 'maxBuffered'],
    ['MAX_BUFFERED', 'maxBuffered'],
    ['maxBuffer', 'maxBuffered'],
    ['treshold', 'threshold'],
    ['threshhold', 'threshold'],
    ['evrey', 'every'],
    ['events', 'event'],
    ['readDeadlin', 'readDeadline'],
    ['raedDeadline', 'readDeadline'],
    ['mex', 'max'],
    ['idel', 'idle'],
  ])('of %s is %s', (wrong, right) => {
    expect(nearestName(wrong, names)).toBe(right);
  });

  it.each(['foo', '', 'interval', 'min', 'levels', '__proto__', 'x'.repeat(41), 'maxBuffered'.repeat(4)])(
    'of %j is none',
    (wrong) => {
      expect(nearestName(wrong, names)).toBeUndefined();
    },
  );

  it('is the one with the fewest slips, and of two alike the first', () => {
    expect(nearestName('writeDeadlne', names)).toBe('writeDeadline');
    expect(nearestName('deadline', names)).toBe('readDeadline');
    expect(nearestName('ab', ['abc', 'abd'])).toBeUndefined();
    expect(nearestName('abcd', ['abcx', 'abcy'])).toBe('abcx');
  });

  it('is none where there are no names', () => {
    expect(nearestName('every', [])).toBeUndefined();
  });
});
