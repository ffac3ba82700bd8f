import { describe, expect, it } from 'vitest';
import {
  type Backlog,
  decideOverflow,
  type Overflow,
  type OverflowDecision,
} from '../../../../src/internal/writer/policy/overflow.ts';

const full: Backlog = { hasWaiter: true, handedDown: 60, waiting: 41, superseded: undefined };

describe('one more item for a client that lags', () => {
  const rows: [string, Partial<Backlog>, Record<Overflow, OverflowDecision>][] = [
    ['finds more than the budget waiting', {}, { close: 'close', drop: 'drop', latest: 'close' }],
    ['finds just the budget waiting', { waiting: 40 }, { close: 'take', drop: 'take', latest: 'take' }],
    [
      'finds more than the budget handed down and nothing else',
      { handedDown: 101, waiting: 0 },
      { close: 'close', drop: 'drop', latest: 'close' },
    ],
    [
      'comes from the first sender that will be told to wait',
      { hasWaiter: false, waiting: 1e9 },
      { close: 'take', drop: 'take', latest: 'take' },
    ],
  ];
  it.each(rows)('%s', (_what, backlog, expected) => {
    for (const [overflow, decision] of Object.entries(expected))
      expect([overflow, decideOverflow(overflow as Overflow, { ...full, ...backlog }, 100)]).toEqual([
        overflow,
        decision,
      ]);
  });

  const keyed: [string, Partial<Backlog>, OverflowDecision][] = [
    ['that is the first of its key among others', { superseded: 0 }, 'close'],
    ['whose others are within the budget without what it supersedes', { superseded: 1 }, 'take'],
    ['whose others are beyond it without what it supersedes', { waiting: 42, superseded: 1 }, 'close'],
    ['that supersedes all that waits', { handedDown: 1e9, superseded: 41 }, 'take'],
    ['that is the first to wait', { handedDown: 1e9, waiting: 0, superseded: 0 }, 'take'],
  ];
  it.each(keyed)('%s', (_what, backlog, expected) => {
    expect(decideOverflow('latest', { ...full, ...backlog }, 100)).toBe(expected);
  });

  it('is always taken where nothing bounds what waits', () => {
    for (const overflow of ['close', 'drop', 'latest'] as const)
      expect(decideOverflow(overflow, { ...full, waiting: Number.MAX_SAFE_INTEGER }, Infinity)).toBe('take');
  });
});
