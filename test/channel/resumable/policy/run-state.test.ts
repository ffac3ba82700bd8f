import { describe, expect, it } from 'vitest';
import { moveRun, type RunEvent, type RunState, running } from '../../../../src/channel/resumable/policy/run-state.ts';

const error = new Error('x');
const late = new Error('late');
const returned: RunEvent = { type: 'returned', value: 1 };
const threw: RunEvent = { type: 'threw', error };
const cancel: RunEvent = { type: 'stop', status: 'cancelled', error };
const hole: RunEvent = { type: 'stop', status: 'failed', error: late };
const recorded: RunEvent = { type: 'recorded' };
const fenced: RunEvent = { type: 'fenced' };

const move = (...events: RunEvent[]): RunState => events.reduce(moveRun, running);

describe('a run', () => {
  it.each<[string, RunEvent[], RunState]>([
    ['runs', [], { phase: 'running' }],
    ['has nothing to record', [recorded], { phase: 'running' }],
    ['returns', [returned], { phase: 'ending', outcome: { status: 'done', value: 1 } }],
    ['throws', [threw], { phase: 'ending', outcome: { status: 'failed', error } }],
    ['is done', [returned, recorded], { phase: 'ended', outcome: { status: 'done', value: 1 } }],
    ['is cancelled', [cancel], { phase: 'stopping', outcome: { status: 'cancelled', error } }],
    ['is cancelled once', [cancel, hole], { phase: 'stopping', outcome: { status: 'cancelled', error } }],
    ['returns late', [cancel, returned], { phase: 'ending', outcome: { status: 'cancelled', error, value: 1 } }],
    ['throws its abort', [cancel, threw], { phase: 'ending', outcome: { status: 'cancelled', error } }],
    ['is not cancelled at its end', [returned, cancel], { phase: 'ending', outcome: { status: 'done', value: 1 } }],
    ['has a hole', [returned, hole], { phase: 'ending', outcome: { status: 'failed', error: late, value: 1 } }],
    ['keeps its first error', [threw, hole], { phase: 'ending', outcome: { status: 'failed', error } }],
    ['is fenced', [fenced], { phase: 'fenced' }],
    ['is fenced while it stops', [cancel, fenced, returned], { phase: 'fenced' }],
    ['is fenced at its end', [returned, fenced, recorded], { phase: 'fenced' }],
    ['is not fenced any more', [returned, recorded, fenced], { phase: 'ended', outcome: { status: 'done', value: 1 } }],
    ['is over', [returned, recorded, threw, cancel], { phase: 'ended', outcome: { status: 'done', value: 1 } }],
    ['stays fenced', [fenced, threw, cancel, recorded], { phase: 'fenced' }],
  ])('%s', (_name, events, state) => {
    expect(move(...events)).toEqual(state);
  });
});
