import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideDeadline, decideExpiry } from '../../../src/deadline/policy/decide.ts';

const none = Infinity;

describe('decideDeadline', () => {
  it.each([
    // asked, default, max, idle → total, hard
    [none, none, none, none, none, none],
    [none, 30, none, none, 30, 30],
    [none, none, 300, none, 300, 300],
    [none, 30, 300, none, 30, 30],
    [none, 300, 30, none, 30, 30],
    [10, 30, 300, none, 10, 10],
    // A client that asks for more than `default` does not get it.
    [100, 30, 300, none, 30, 30],
    [1000, 30, 300, none, 30, 30],
    [1000, none, 300, none, 300, 300],
    [0, 30, 300, none, 0, 0],
    // With `idle`, `default` is for the time before the head.
    [none, 30, none, 5, 30, none],
    [none, 30, 300, 5, 30, 300],
    [100, 30, 300, 5, 30, 100],
    [1000, 30, 300, 5, 30, 300],
    [10, 30, 300, 5, 10, 10],
    [none, 300, 30, 5, 30, 30],
    [0, 30, 300, 5, 0, 0],
  ])('asked %d, default %d, max %d, idle %d: total %d, hard %d', (asked, usual, max, idle, total, hard) => {
    expect(decideDeadline({ default: usual, max, idle }, asked)).toEqual({ total, hard });
  });

  it('never gives more than any bound, and a client can only shorten', () => {
    const duration = fc.oneof(fc.constant(none), fc.double({ min: 0, max: 1e12, noNaN: true }));
    fc.assert(
      fc.property(duration, duration, duration, duration, (asked, usual, max, idle) => {
        const bounds = { default: usual, max, idle };
        const { total, hard } = decideDeadline(bounds, asked);
        const unasked = decideDeadline(bounds, none);
        expect(total).toBeLessThanOrEqual(Math.min(asked, usual, max));
        expect(hard).toBeLessThanOrEqual(Math.min(asked, max));
        expect(total).toBeLessThanOrEqual(hard);
        expect(total).toBeLessThanOrEqual(unasked.total);
        expect(hard).toBeLessThanOrEqual(unasked.hard);
      }),
    );
  });
});

describe('decideExpiry', () => {
  it.each([
    // gone, ended, headersSent, streamed
    [false, false, false, false, 'answer'],
    [false, false, false, true, 'answer'],
    [false, false, true, false, 'cut'],
    [false, false, true, true, 'stream'],
    [false, true, false, false, 'nothing'],
    [false, true, true, false, 'nothing'],
    [false, true, true, true, 'nothing'],
    [true, false, false, false, 'nothing'],
    [true, false, true, false, 'nothing'],
    [true, false, true, true, 'nothing'],
    [true, true, true, true, 'nothing'],
  ] as const)(
    'gone %s, ended %s, head sent %s, with a stream %s: %s',
    (gone, ended, headersSent, streamed, outcome) => {
      expect(decideExpiry({ gone, ended, headersSent, streamed })).toBe(outcome);
    },
  );
});
