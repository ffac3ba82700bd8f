import { describe, expect, it } from 'vitest';
import { refusalOf, type RequestFacts } from '../../../../src/monitor/dashboard/policy/access.ts';

const action: RequestFacts = {
  method: 'POST',
  route: 'action',
  site: undefined,
  origin: undefined,
  host: 'ops.example:8080',
  hasMark: false,
  mediaType: 'application/json',
};
const data: RequestFacts = { ...action, method: 'GET', route: 'data', mediaType: '' };
const file: RequestFacts = { ...data, route: 'file' };

function codeOf(facts: RequestFacts): string | undefined {
  return refusalOf(facts)?.code;
}

describe('refusalOf', () => {
  it.each<[string, Partial<RequestFacts>, string | undefined]>([
    ['its own page', { site: 'same-origin' }, undefined],
    ['the user', { site: 'none' }, undefined],
    ['another site', { site: 'cross-site' }, 'other-origin'],
    ['another host of its site', { site: 'same-site' }, 'other-origin'],
    ['another site that forges the mark', { site: 'cross-site', hasMark: true }, 'other-origin'],
    [
      'another site, though its origin looks right',
      { site: 'cross-site', origin: 'http://ops.example:8080' },
      'other-origin',
    ],
    ['its own page in an old browser', { origin: 'http://ops.example:8080' }, undefined],
    ['its own page, in capitals', { origin: 'http://OPS.example:8080', host: 'Ops.Example:8080' }, undefined],
    ['another port', { origin: 'http://ops.example:8081' }, 'other-origin'],
    ['another host', { origin: 'https://evil.example' }, 'other-origin'],
    ['another host, with the mark', { origin: 'https://evil.example', hasMark: true }, 'other-origin'],
    ['a hidden origin', { origin: 'null' }, 'other-origin'],
    ['an origin that is none', { origin: 'ops.example:8080' }, 'other-origin'],
    ['an origin that is none, without a host', { origin: '', host: undefined }, 'other-origin'],
    ['a tool with the mark', { hasMark: true }, undefined],
    ['a tool without it', {}, 'unknown-origin'],
  ])('an action by %s', (_name, facts, code) => {
    expect(codeOf({ ...action, ...facts })).toBe(code);
  });

  it.each<[string, Partial<RequestFacts>, string | undefined]>([
    ['its own page', { site: 'same-origin' }, undefined],
    ['a tool', {}, undefined],
    ['another site', { site: 'cross-site' }, 'other-origin'],
    ['another origin', { origin: 'https://evil.example' }, 'other-origin'],
  ])('data for %s', (_name, facts, code) => {
    expect(codeOf({ ...data, ...facts })).toBe(code);
  });

  it('lets a link of another site lead to the page', () => {
    expect(codeOf({ ...file, site: 'cross-site' })).toBeUndefined();
  });

  it.each<[string, RequestFacts, string]>([
    ['an action', { ...action, method: 'GET' }, 'POST'],
    ['an action', { ...action, method: 'OPTIONS' }, 'POST'],
    ['data', { ...data, method: 'POST' }, 'GET, HEAD'],
    ['a file', { ...file, method: 'DELETE' }, 'GET, HEAD'],
  ])('refuses a wrong method for %s, from any client', (_name, facts, allow) => {
    expect(refusalOf(facts)).toMatchObject({ status: 405, code: 'method-not-allowed', allow });
  });

  it('refuses an action whose body is not JSON: a form of another site can send that', () => {
    for (const mediaType of ['', 'text/plain', 'application/x-www-form-urlencoded', 'application/jsonp'])
      expect(refusalOf({ ...action, hasMark: true, mediaType })).toMatchObject({ status: 415 });
  });

  it('has nothing elsewhere', () => {
    expect(refusalOf({ ...action, route: undefined })).toMatchObject({ status: 404, code: 'not-found' });
  });
});
