import { describe, expect, it } from 'vitest';
import { judgeFailure } from '../../../src/redis/policy/failure.ts';
import { isWithinReach, type Placement, placeMessage, type Reach } from '../../../src/redis/policy/place.ts';

describe('where a live message belongs', () => {
  it.for<[first: string, placement: Placement]>([
    ['e-6', { kind: 'next' }],
    ['e-5', { kind: 'known', skip: 1 }],
    ['e-4', { kind: 'known', skip: 2 }],
    ['e-1', { kind: 'known', skip: 5 }],
    ['e-7', { kind: 'gap' }],
    ['e-99', { kind: 'gap' }],
    ['f-6', { kind: 'other-epoch' }],
    ['f-1', { kind: 'other-epoch' }],
  ])('after e-5, one that begins with %s', ([first, placement]) => {
    const [epoch = '', sequence] = first.split('-');
    expect(placeMessage({ epoch: 'e', sequence: 5 }, { epoch, sequence: Number(sequence) })).toEqual(placement);
  });
});

describe('where a live message belongs, after a log that was not there', () => {
  it.for<[first: string, kind: Placement['kind']]>([
    ['f-1', 'next'],
    ['f-2', 'other-epoch'],
  ])('one that begins with %s', ([first, kind]) => {
    const [epoch = '', sequence] = first.split('-');
    expect(placeMessage({ epoch: '0a', sequence: 0 }, { epoch, sequence: Number(sequence) }).kind).toBe(kind);
  });
});

describe('what to do about a command that failed', () => {
  it.for([
    ['WRONGTYPE Operation against a key holding the wrong kind of value', 'refused'],
    ["NOPERM this user has no permissions to run the 'evalsha' command", 'refused'],
    ['NOAUTH Authentication required.', 'refused'],
    ["OOM command not allowed when used memory > 'maxmemory'. script: 5f, on @user_script:9.", 'refused'],
    ['ERR unknown command', 'refused'],
    ["READONLY You can't write against a read only replica. script: 5f, on @user_script:9.", 'elsewhere'],
    [
      "ERR Error running script (call to f_5f): @user_script:9: @user_script: 9: -READONLY You can't write against a read only replica.",
      'elsewhere',
    ],
    ['LOADING Redis is loading the dataset in memory', 'later'],
    ['CLUSTERDOWN The cluster is down', 'later'],
    ['BUSY Redis is busy running a script.', 'later'],
    ['Socket closed unexpectedly', 'unknown'],
    ['The client is closed', 'unknown'],
    ['connect ECONNREFUSED 127.0.0.1:6379', 'unknown'],
    ['ECONNRESET', 'unknown'],
    ['Redis did not answer in time', 'unknown'],
    ['', 'unknown'],
  ])('%s: %s', ([message, failure]) => {
    expect(judgeFailure(new Error(message))).toBe(failure);
    expect(judgeFailure(message)).toBe('unknown');
  });
});

describe('what a process tells its clients without a read', () => {
  const place = { epoch: 'e', sequence: 5 };
  const newest = { epoch: 'e', sequence: 7 };
  it.for<[id: string, reach: Reach, answer: boolean]>([
    ['e-4', { place, newest }, false],
    ['e-5', { place, newest }, true],
    ['e-6', { place, newest }, true],
    ['e-7', { place, newest }, true],
    ['e-8', { place, newest }, false],
    ['f-6', { place, newest }, false],
    ['e-6', { place: undefined, newest }, false],
    // It may have ended: who has the last entry has to read that it is the last one.
    ['e-5', { place, newest: undefined }, false],
    // Redis has lost entries, which this process has heard of, and its clients have not.
    ['e-5', { place, newest: { epoch: 'f', sequence: 9 } }, false],
    ['f-9', { place, newest: { epoch: 'f', sequence: 9 } }, false],
  ])('behind %s, with %j: %s', ([text, reach, answer]) => {
    const [epoch = '', sequence] = text.split('-');
    expect(isWithinReach({ epoch, sequence: Number(sequence) }, reach)).toBe(answer);
  });
});
