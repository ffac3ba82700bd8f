import { describe, expect, it } from 'vitest';
import {
  healthOf,
  healthy,
  noteOutlier,
  type OutlierEvidence,
  type OutlierPolicy,
  type OutlierState,
  standingOf,
} from '../../../src/proxy/policy/outlier.ts';

// The defaults.
const policy: OutlierPolicy = { failures: 5, ejection: 30_000, maxEjection: 300_000, probeFailures: 3, grace: 15_000 };

/** What has happened, by the second. */
type Script = readonly (readonly [second: number, evidence: OutlierEvidence, times?: number])[];

function after(script: Script, changed: Partial<OutlierPolicy> = {}): OutlierState {
  let state = healthy;
  for (const [second, evidence, times = 1] of script) {
    for (let time = 0; time < times; time += 1) {
      state = noteOutlier(state, evidence, { ...policy, ...changed }, second * 1000);
    }
  }
  return state;
}

/** When it gets requests again, in seconds; `undefined`: it gets them. */
function returnsAt(script: Script, changed?: Partial<OutlierPolicy>): number | undefined {
  const state = after(script, changed);
  const now = (script.at(-1)?.[0] ?? 0) * 1000;
  if (standingOf(state, now) === 'up') return undefined;
  const second = state.ejectedUntil / 1000;
  expect([standingOf(state, state.ejectedUntil - 1), standingOf(state, state.ejectedUntil)]).toEqual(['ejected', 'up']);
  return second;
}

/** It fails again each time that it gets requests again. */
const relapses: Script = [0, 30, 90, 180, 300, 450, 630, 840, 1080, 1350, 1650, 1950].map(
  (second) => [second, 'failure', 5] as const,
);

describe('failures of requests eject', () => {
  const rows: [what: string, script: Script, second: number | undefined, changed?: Partial<OutlierPolicy>][] = [
    ['nothing', [], undefined],
    ['four', [[0, 'failure', 4]], undefined],
    ['five in a row, for 30 s', [[0, 'failure', 5]], 30],
    [
      'not five with a success between',
      [
        [0, 'failure', 4],
        [1, 'success'],
        [2, 'failure', 4],
      ],
      undefined,
    ],
    [
      'a probe that is answered does not count as one',
      [
        [0, 'failure', 4],
        [1, 'probe-success'],
        [2, 'failure'],
      ],
      32,
    ],
    [
      'not by failures while it is out',
      [
        [0, 'failure', 5],
        [1, 'failure', 50],
      ],
      30,
    ],
    [
      'the second time for 60 s',
      [
        [0, 'failure', 5],
        [30, 'failure', 5],
      ],
      90,
    ],
    [
      'the third time for 90 s',
      [
        [0, 'failure', 5],
        [30, 'failure', 5],
        [90, 'failure', 5],
      ],
      180,
    ],
    [
      'the second time for 60 s after a success, too',
      [
        [0, 'failure', 5],
        [30, 'success'],
        [31, 'failure', 5],
      ],
      91,
    ],
    [
      'for 30 s again, where it was in for as long',
      [
        [0, 'failure', 5],
        [60, 'failure', 5],
      ],
      90,
    ],
    [
      'the third time for 60 s, where it was in for 30 s before',
      [
        [0, 'failure', 5],
        [30, 'failure', 5],
        [120, 'failure', 5],
      ],
      180,
    ],
    [
      'for 30 s again after a day',
      [
        [0, 'failure', 5],
        [30, 'failure', 5],
        [86_400, 'failure', 5],
      ],
      86_430,
    ],
    ['no longer than 300 s', relapses, 2250],
    ['for 30 s again, where it was in for 300 s after that', [...relapses, [2550, 'failure', 5]], 2580],
    ['never, where that is off', [[0, 'failure', 500]], undefined, { failures: Infinity }],
    ['by hand, even then', [[0, 'evicted']], 30, { failures: Infinity }],
    [
      'by hand twice, for longer',
      [
        [0, 'evicted'],
        [1, 'evicted'],
      ],
      61,
    ],
    ['a first one of ten minutes', [[0, 'failure', 5]], 600, { ejection: 600_000, maxEjection: 600_000 }],
  ];

  it.each(rows)('%s', (_what, script, second, changed) => {
    expect(returnsAt(script, changed)).toBe(second);
  });
});

describe('failures of probes take out', () => {
  const rows: [what: string, script: Script, isDown: boolean, changed?: Partial<OutlierPolicy>][] = [
    [
      'not two',
      [
        [5, 'probe-failure'],
        [10, 'probe-failure'],
      ],
      false,
    ],
    ['three in a row, of one that never succeeded', [[1, 'probe-failure', 3]], true],
    [
      'not three within the grace of a probe',
      [
        [0, 'probe-success'],
        [5, 'probe-failure', 3],
      ],
      false,
    ],
    [
      'not three within the grace of a request',
      [
        [0, 'success'],
        [14, 'probe-failure', 30],
      ],
      false,
    ],
    [
      'three, once the grace is over',
      [
        [0, 'success'],
        [5, 'probe-failure', 2],
        [15, 'probe-failure'],
      ],
      true,
    ],
    [
      'not three with an answer between',
      [
        [0, 'probe-failure', 2],
        [1, 'probe-success'],
        [99, 'probe-failure', 2],
      ],
      false,
    ],
    [
      'until a probe is answered',
      [
        [0, 'probe-failure', 3],
        [9, 'probe-success'],
      ],
      false,
    ],
    [
      'and no request brings it back',
      [
        [0, 'probe-failure', 3],
        [9, 'success', 9],
      ],
      true,
    ],
    [
      'and later failures neither',
      [
        [0, 'probe-failure', 3],
        [1, 'failure', 9],
        [90, 'probe-failure', 3],
      ],
      true,
    ],
    [
      'at once, without a grace',
      [
        [0, 'success'],
        [0, 'probe-failure', 3],
      ],
      true,
      { grace: 0 },
    ],
  ];

  it.each(rows)('%s', (_what, script, isDown, changed) => {
    const state = after(script, changed);
    expect([state.isDown, standingOf(state, 1e12)]).toEqual([isDown, isDown ? 'down' : 'up']);
  });
});

describe('its health is that of a connection', () => {
  const rows: [script: Script, second: number, health: string][] = [
    [[], 0, 'healthy'],
    [[[0, 'failure']], 0, 'read-late'],
    [
      [
        [0, 'failure'],
        [1, 'success'],
      ],
      1,
      'healthy',
    ],
    [[[0, 'probe-failure']], 0, 'read-late'],
    [
      [
        [0, 'probe-failure'],
        [1, 'success'],
      ],
      1,
      'read-late',
    ],
    [
      [
        [0, 'probe-failure'],
        [1, 'probe-success'],
      ],
      1,
      'healthy',
    ],
    [[[0, 'probe-failure', 3]], 99, 'dead'],
    [[[0, 'failure', 5]], 29, 'dead'],
    // It is back, and has shown nothing yet.
    [[[0, 'failure', 5]], 30, 'read-late'],
    [
      [
        [0, 'failure', 5],
        [31, 'success'],
      ],
      31,
      'healthy',
    ],
  ];

  it.each(rows)('%j at %i s: %s', (script, second, health) => {
    expect(healthOf(after(script), second * 1000)).toBe(health);
  });
});
