import { describe, expect, it } from 'vitest';
import { ClientError } from '../../../src/client/client-error.ts';
import { backoff } from '../../../src/client/policy/backoff.ts';
import { decideNext } from '../../../src/client/policy/next.ts';
import type { Outcome } from '../../../src/client/policy/outcome.ts';
import { decideResponse, parseRetryAfter, type ResponseFacts } from '../../../src/client/policy/response.ts';
import { judgeSilence, type Verdict } from '../../../src/client/policy/silence.ts';

const now = Date.parse('2026-11-30T12:00:00Z');

describe('decideResponse', () => {
  const decide = (facts: Partial<ResponseFacts>): Outcome | undefined =>
    decideResponse({
      status: 200,
      contentType: 'text/event-stream',
      retryAfter: null,
      hasBeenOpen: false,
      now,
      ...facts,
    });

  it.each(['text/event-stream', 'Text/Event-Stream;charset=utf-8', ' text/event-stream ; x=y'])('opens %s', (type) => {
    expect(decide({ contentType: type })).toBeUndefined();
  });

  it.each([null, '', 'text/html', 'text/event-streams', 'application/json; text/event-stream'])(
    'refuses a 200 with %j, and tries again once it has been open',
    (contentType) => {
      const error = { code: 'ERR_SLUICE_CLIENT_CONTENT_TYPE', status: 200 };
      expect(decide({ contentType })).toMatchObject({ kind: 'failed', error });
      expect(decide({ contentType, hasBeenOpen: true })).toMatchObject({ kind: 'lost', error });
    },
  );

  it('stops at 204', () => {
    expect(decide({ status: 204, contentType: null })).toEqual({ kind: 'stopped' });
  });

  it.each([408, 425, 429, 500, 502, 503, 504])('tries again after %d, when the server says', (status) => {
    const error = { code: 'ERR_SLUICE_CLIENT_REFUSED', status };
    expect(decide({ status })).toMatchObject({ kind: 'lost', error, after: undefined });
    expect(decide({ status, retryAfter: '7' })).toMatchObject({ kind: 'lost', error, after: 7000 });
  });

  it.each([205, 206, 301, 304, 400, 401, 403, 404, 410])('fails at %d', (status) => {
    expect(decide({ status, hasBeenOpen: true })).toMatchObject({ kind: 'failed', error: { status } });
  });
});

describe('parseRetryAfter', () => {
  it.each([
    [null, undefined],
    ['0', 0],
    ['120', 120_000],
    ['Mon, 30 Nov 2026 12:00:05 GMT', 5000],
    ['Mon, 30 Nov 2026 11:59:00 GMT', 0],
    ['Mon Nov 30 12:00:05 2026 GMT', 5000],
    ['-1', undefined],
    ['1.5', undefined],
    ['', undefined],
    ['Soon', undefined],
    ['2026-11-30', undefined],
  ])('reads %j as %j', (value, expected) => {
    expect(parseRetryAfter(value, now)).toBe(expected);
  });
});

describe('backoff', () => {
  const [min, max] = [1000, 30_000];
  const half = (): number => 0.5;

  it.each([
    [0, undefined, 500],
    [1, undefined, 1000],
    [3, undefined, 4000],
    [5, undefined, 15_000],
    [5000, undefined, 15_000],
    [0, 7000, 7000],
    [1, 7000, 8000],
    [5000, 7000, 22_000],
  ])('after %d failures, told %j, waits %d', (failures, told, expected) => {
    expect(backoff({ failures, told, min, max }, half)).toBe(expected);
  });
});

describe('judgeSilence', () => {
  const judge = (at: number, heardAt: number, dueAt: number, wasLate = false): Verdict =>
    judgeSilence({ now: at, heardAt, dueAt, heartbeat: 1000, wasLate });

  it('is dead after 2.5 heartbeats, and not before', () => {
    expect(judge(500, 0, 500)).toEqual({ kind: 'wait', delay: 500 });
    expect(judge(2499, 0, 2499)).toEqual({ kind: 'wait', delay: 1 });
    expect(judge(2500, 0, 2500)).toEqual({ kind: 'dead' });
    expect(judge(3000, 0, 2500)).toEqual({ kind: 'dead' });
    expect(judge(2500, 2000, 2500)).toEqual({ kind: 'wait', delay: 500 });
  });

  it('gives a heartbeat to what was frozen and to a clock that was set, once', () => {
    const late = { kind: 'late', delay: 1000 };
    expect(judge(3001, 0, 2500)).toEqual(late);
    expect(judge(60_000, 0, 2500)).toEqual(late);
    expect(judge(0, 5000, 2500)).toEqual(late);
    expect(judge(120_000, 0, 61_000, true)).toEqual({ kind: 'dead' });
  });
});

describe('decideNext', () => {
  const error = new ClientError('ERR_SLUICE_CLIENT_SILENT', 'silent');
  const early = expect.objectContaining({ code: 'ERR_SLUICE_CLIENT_DISCONNECTED' }) as ClientError;
  const lost: Outcome = { kind: 'lost', error, after: 7 };

  it.each([
    ['stopped', { kind: 'stopped' }, 'close', 'close', 'close'],
    ['failed', { kind: 'failed', error }, 'close', 'close', 'close'],
    ['lost', lost, 'wait', 'wait', 'close'],
    ['ended', { kind: 'ended', isPartial: false }, 'wait', 'close', 'close'],
    ['cut', { kind: 'ended', isPartial: true }, 'wait', 'wait', 'close'],
  ] as const)('%s', (_name, outcome, always, onError, never) => {
    expect(decideNext(outcome, 'always').kind).toBe(always);
    expect(decideNext(outcome, 'on-error').kind).toBe(onError);
    expect(decideNext(outcome, 'never').kind).toBe(never);
  });

  it('says why', () => {
    expect(decideNext(lost, 'always')).toEqual({ kind: 'wait', error, after: 7 });
    expect(decideNext(lost, 'never')).toMatchObject({ kind: 'close', error });
    expect(decideNext({ kind: 'ended', isPartial: false }, 'never')).toEqual({ kind: 'close' });
    expect(decideNext({ kind: 'ended', isPartial: true }, 'never')).toEqual({ kind: 'close', error: early });
    expect(decideNext({ kind: 'ended', isPartial: false }, 'always')).toEqual({ kind: 'wait', error: early });
  });
});
