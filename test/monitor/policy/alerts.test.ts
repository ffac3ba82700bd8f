import { describe, expect, it } from 'vitest';
import { type AlertRule, type AlertState, nextAlert, quiet } from '../../../src/monitor/policy/alerts.ts';

const rule: AlertRule = { name: 'unresponsive_ratio', above: 0.05, for: 60_000 };

/** The states after each value, one every 20 s. */
function follow(values: readonly (number | null)[], given: AlertRule = rule): string[] {
  let state: AlertState = quiet;
  return values.map((value, at) => (state = nextAlert(given, state, value, at * 20_000)).kind);
}

describe('an alert', () => {
  it.each([
    ['stays quiet at the threshold', [0.05, 0.05, 0.05, 0.05, 0.05], ['quiet', 'quiet', 'quiet', 'quiet', 'quiet']],
    ['fires after a minute above', [0.1, 0.2, 0.06, 0.9, 0.9], ['pending', 'pending', 'pending', 'firing', 'firing']],
    ['begins anew after a dip', [0.1, 0.1, 0, 0.1, 0.1], ['pending', 'pending', 'quiet', 'pending', 'pending']],
    ['is over at once', [1, 1, 1, 1, 0.01], ['pending', 'pending', 'pending', 'firing', 'quiet']],
    ['is over without a number', [1, 1, 1, 1, null], ['pending', 'pending', 'pending', 'firing', 'quiet']],
    ['never fires for NaN', [NaN, NaN, NaN, NaN, NaN], ['quiet', 'quiet', 'quiet', 'quiet', 'quiet']],
  ])('%s', (_name, values, states) => {
    expect(follow(values)).toEqual(states);
  });

  it('fires at once without a time', () => {
    expect(follow([1, 801, 800], { name: 'avg_heartbeat_rt', above: 800, for: 0 })).toEqual([
      'quiet',
      'firing',
      'quiet',
    ]);
  });
});
