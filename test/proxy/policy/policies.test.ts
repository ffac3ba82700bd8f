import { describe, expect, it } from 'vitest';
import { HeaderList } from '../../../src/internal/http/header-list.ts';
import { hopByHopFields } from '../../../src/internal/http/hop-by-hop.ts';
import { chooseByKey, unitHash } from '../../../src/proxy/policy/bucket.ts';
import { decideFraming, faultOfAnswer } from '../../../src/proxy/policy/framing.ts';
import { clientAddress } from '../../../src/proxy/policy/forwarded.ts';
import { isCleanPath, joinTarget, parseTarget, pathOf } from '../../../src/proxy/policy/request-target.ts';
import { decideRetry, parseRetryAfter, type RetryFacts, type TryFailure } from '../../../src/proxy/policy/retry.ts';
import { RetryBudget } from '../../../src/proxy/policy/retry-budget.ts';

describe('HeaderList', () => {
  it('reads and changes by name, whatever the case, and keeps order and lines', () => {
    const headers = new HeaderList(['A', '1', 'b', '2', 'a', '3']);
    expect([headers.get('A'), headers.getAll('a'), headers.has('B'), headers.get('c')]).toEqual([
      '1, 3',
      ['1', '3'],
      true,
      null,
    ]);
    headers.set('a', '4');
    headers.append('C', '5');
    expect([...headers]).toEqual([
      ['b', '2'],
      ['a', '4'],
      ['C', '5'],
    ]);
    headers.keep((name) => name !== 'b');
    headers.delete('c');
    headers.delete('x');
    expect(headers.flat).toEqual(['a', '4']);
  });
});

it('hop-by-hop fields are the known ones and those that any Connection line names', () => {
  expect(hopByHopFields(['', 'X-One , ,keep-alive', 'x-TWO'])).toEqual(
    new Set([...hopByHopFields([]), 'x-one', 'x-two']),
  );
});

describe('faultOfAnswer', () => {
  it.each([
    [[], undefined],
    [['Transfer-Encoding', 'chunked'], undefined],
    [['Transfer-Encoding', 'Chunked, '], undefined],
    [['Transfer-Encoding', ''], undefined],
    [['Transfer-Encoding', 'identity'], undefined],
    [['Transfer-Encoding', 'gzip'], /transfer coding/],
    [['Transfer-Encoding', 'gzip, chunked'], /transfer coding/],
    [['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'], /transfer coding/],
  ])('takes chunks alone: %j', (flat, expected) => {
    const fault = faultOfAnswer(200, new HeaderList(flat as string[]), false);
    if (expected) expect(fault).toMatch(expected);
    else expect(fault).toBeUndefined();
  });

  it('takes a status over 599 only where the client can be told of it', () => {
    const headers = new HeaderList([]);
    expect([faultOfAnswer(999, headers, false), faultOfAnswer(599, headers, true)]).toEqual([undefined, undefined]);
    expect(faultOfAnswer(600, headers, true)).toMatch(/status.*600/);
  });
});

describe('decideFraming', () => {
  it.each([
    [[], { kind: 'none' }],
    [['Content-Length', '0'], { kind: 'none' }],
    [['Content-Length', '12'], { kind: 'length', length: 12 }],
    [['Content-Length', '12', 'content-length', '12'], { kind: 'length', length: 12 }],
    [['Content-Length', '12, 12'], { kind: 'length', length: 12 }],
    [['Transfer-Encoding', 'Chunked'], { kind: 'chunked' }],
    [['Content-Length', '12, 13'], { kind: 'refused' }],
    [['Content-Length', '-1'], { kind: 'refused' }],
    [['Content-Length', '1e3'], { kind: 'refused' }],
    [['Content-Length', ''], { kind: 'refused' }],
    [['Content-Length', '9999999999999999'], { kind: 'refused' }],
    [['Transfer-Encoding', ''], { kind: 'refused' }],
    [['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'], { kind: 'refused' }],
    [['Transfer-Encoding', 'identity'], { kind: 'refused' }],
    [['Transfer-Encoding', 'chunked', 'Content-Length', '1'], { kind: 'refused' }],
  ])('%#: %j', (flat, expected) => {
    expect(decideFraming(new HeaderList(flat as string[]))).toMatchObject(expected);
  });

  it('over HTTP/2 the frames end the body', () => {
    const headers = new HeaderList();
    expect(decideFraming(headers, { isHttp2: true, endsWithHead: true })).toEqual({ kind: 'none' });
    expect(decideFraming(headers, { isHttp2: true, endsWithHead: false })).toEqual({ kind: 'chunked' });
    const coded = new HeaderList(['transfer-encoding', 'chunked']);
    expect(decideFraming(coded, { isHttp2: true, endsWithHead: false }).kind).toBe('refused');
  });
});

describe('targets', () => {
  it('are absolute URLs of HTTP without credentials', () => {
    expect(parseTarget('https://a.example:8443/base/?k=v')).toEqual({
      origin: 'https://a.example:8443',
      path: '/base',
      query: 'k=v',
      host: 'a.example:8443',
      isEncrypted: true,
    });
    expect(parseTarget(new URL('http://a'))).toMatchObject({ origin: 'http://a', path: '', host: 'a' });
    for (const bad of ['', 'a:80', '/x', 'ws://a', 'http://u:p@a', 'http://a#b', 'http://'])
      expect(parseTarget(bad)).toBeUndefined();
  });

  it.each([
    ['/x?y', '/x?y'],
    ['//evil/x', '//evil/x'],
    ['http://evil/x?y', '/x?y'],
    ['HTTPS://evil?y', '/?y'],
    ['', '/'],
    ['?a=1', '/?a=1'],
    ['*', undefined],
    ['evil:443', undefined],
    [undefined, undefined],
  ])('%j is asked for as %j', (given, expected) => {
    expect(pathOf(given)).toBe(expected);
  });

  it('join paths and queries by text', () => {
    const at = (target: string, path: string): string => joinTarget(parseTarget(target)!, path);
    expect(at('http://a', '/x?y')).toBe('/x?y');
    expect(at('http://a/', '/')).toBe('/');
    expect(at('http://a/b/', '/')).toBe('/b');
    expect(at('http://a/b', '/c/../d')).toBe('/b/c/../d');
    expect(at('http://a/b?k=1', '/c?l=2')).toBe('/b/c?k=1&l=2');
    expect(at('http://a', '//evil')).toBe('//evil');
  });

  it('have no characters that HTTP does not allow', () => {
    expect(isCleanPath('/%20\u00e9')).toBe(true);
    for (const bad of ['/a b', '/a\r\nb', '/\u0100', 'x', '/\0']) expect(isCleanPath(bad)).toBe(false);
  });
});

describe('decideRetry', () => {
  const policy = { limit: 2, statuses: new Set([503]), minDelay: 25, maxDelay: 250 };
  const facts: RetryFacts = { method: 'GET', tries: 1, isReplayable: true, hasAnswered: false, remaining: Infinity };
  const status = (code: number, retryAfter?: number): TryFailure => ({ kind: 'status', status: code, retryAfter });
  it.each<[TryFailure, Partial<RetryFacts>, number | string]>([
    [{ kind: 'failed' }, {}, 25],
    [{ kind: 'failed' }, { tries: 2 }, 50],
    [{ kind: 'failed' }, { tries: 3 }, 'limit'],
    [{ kind: 'failed' }, { method: 'POST' }, 'method'],
    [{ kind: 'unsent' }, { method: 'POST' }, 25],
    [{ kind: 'unsent' }, { method: 'POST', isReplayable: false }, 'body'],
    [{ kind: 'failed' }, { hasAnswered: true }, 'answered'],
    [{ kind: 'failed' }, { remaining: 10 }, 'deadline'],
    [status(503), {}, 25],
    [status(500), {}, 'status'],
    [status(429), {}, 'status'],
    [status(429, 2000), {}, 2000],
    [status(503, 0), {}, 0],
    [status(503, 2000), { remaining: 1000 }, 'deadline'],
    [status(503, 60_000), {}, 'deadline'],
    [status(503), { method: 'POST' }, 'method'],
  ])('%#: %j %j', (failure, changed, expected) => {
    const decision = decideRetry(failure, { ...facts, ...changed }, policy, () => 1);
    expect(decision.kind === 'retry' ? decision.delay : decision.why).toBe(expected);
  });

  it('reads Retry-After as seconds or a date, and nothing else', () => {
    const now = Date.UTC(2026, 0, 1);
    expect(parseRetryAfter('2', now)).toBe(2000);
    expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:03 GMT', now)).toBe(3000);
    expect(parseRetryAfter('Wed, 31 Dec 2025 00:00:03 GMT', now)).toBe(0);
    for (const bad of [null, undefined, '', '-1', '1.5', 'soon', '2026-01-01'])
      expect(parseRetryAfter(bad, now)).toBeUndefined();
  });
});

it('a retry budget is a share of what is under way, and a few', () => {
  const budget = new RetryBudget(0.2, 1);
  expect([budget.take(), budget.take()]).toEqual([true, false]);
  for (let count = 0; count < 10; count += 1) budget.begin();
  expect([budget.take(), budget.take()]).toEqual([true, false]);
  budget.giveBack();
  expect(budget.take()).toBe(true);
  for (let count = 0; count < 10; count += 1) budget.end();
  expect(budget.take()).toBe(false);
});

it('the client is the last address that is not a trusted proxy', () => {
  const trusts = (address: string): boolean => address.startsWith('10.');
  expect(clientAddress('192.0.2.1', '1.1.1.1', trusts)).toBe('192.0.2.1');
  expect(clientAddress('10.0.0.1', '1.1.1.1, 2.2.2.2, 10.0.0.2', trusts)).toBe('2.2.2.2');
  expect(clientAddress('10.0.0.1', '10.0.0.3', trusts)).toBe('10.0.0.3');
  expect(clientAddress('10.0.0.1', null, trusts)).toBe('10.0.0.1');
  expect(clientAddress(undefined, '1.1.1.1', trusts)).toBeUndefined();
  expect(clientAddress('::ffff:192.0.2.1', null, trusts)).toBe('192.0.2.1');
});

it('hashes spread evenly, and a name of weight 0 is never chosen', () => {
  const buckets = new Array<number>(10).fill(0);
  for (let key = 0; key < 10_000; key += 1) buckets[Math.floor(unitHash(`key-${key}`) * 10)]! += 1;
  // Five standard deviations.
  for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(150);
  expect(chooseByKey([['a', 0]], 'x')).toBeUndefined();
  expect(
    chooseByKey(
      [
        ['a', 0],
        ['b', 1],
      ],
      'x',
    ),
  ).toBe('b');
});
