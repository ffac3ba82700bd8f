import { describe, expect, it } from 'vitest';
import { LineBoundary } from '../../../src/internal/format/boundary.ts';
import {
  decideInjection,
  type HeadFacts,
  type HeartbeatFormat,
  isStream,
} from '../../../src/heartbeat/policy/injection.ts';

const format: HeartbeatFormat = { heartbeat: '\n', makeBoundary: () => new LineBoundary(), isEventStream: false };

function departing(fields: Record<string, string | undefined> = {}, part: Partial<HeadFacts> = {}): HeadFacts {
  return {
    method: 'GET',
    status: 200,
    field: (name) => fields[name],
    format,
    isComplete: false,
    isFiltered: false,
    ...part,
  };
}

const notCoded = (field: string): [string, HeadFacts] => [
  `a stream with the content-coding ${JSON.stringify(field)}, which is none`,
  departing({ 'content-encoding': field }),
];

const encoded = (coding: string) =>
  ['encoded', `the coding "${coding}"`, departing({ 'content-encoding': coding })] as const;

describe('heartbeats go into', () => {
  it.each<[string, HeadFacts]>([
    ['a stream', departing()],
    ['the answer to a POST', departing({}, { method: 'POST' })],
    ['a stream of a request that was made by hand', departing({}, { method: undefined })],
    ['a stream with a status of its own', departing({}, { status: 201 })],
    ['a stream that reports an error', departing({}, { status: 500 })],
    ...[' Identity ', '', 'none', 'NONE', 'identity, none', ', none,'].map(notCoded),
    [
      'a stream with fields that say nothing of its bytes',
      departing({ 'cache-control': 'no-transform', etag: '"x"', 'accept-ranges': 'bytes' }),
    ],
  ])('%s', (_name, given) => {
    expect(decideInjection(given)).toEqual({ kind: 'inject', format });
  });
});

describe('heartbeats do not go into', () => {
  it.each([
    ['no-body', 'the answer to HEAD', departing({}, { method: 'HEAD' })],
    ...[100, 103, 199, 204, 205, 304].map(
      (status) => ['no-body', `status ${status}`, departing({}, { status })] as const,
    ),
    ['not-a-stream', 'what has no boundaries that we know', departing({}, { format: undefined })],
    ['complete', 'a body that comes whole', departing({}, { isComplete: true })],
    ['filtered', 'what the filter leaves out', departing({}, { isFiltered: true })],
    ['length', 'a body of a length that was told', departing({ 'content-length': '100' })],
    ['length', 'a body whose told length is nothing', departing({ 'content-length': '' })],
    ['range', 'a part of a body', departing({}, { status: 206 })],
    ['range', 'what says that it is a part', departing({ 'content-range': 'bytes 0-9/*' })],
    ...['gzip', 'br', 'deflate', 'zstd', 'identity, gzip', 'none, gzip', 'x-own'].map(encoded),
    ...['content-digest', 'repr-digest', 'digest', 'content-md5'].map(
      (name) => ['digest', `a body with ${name}`, departing({ [name]: 'x' })] as const,
    ),
  ] as const)('%s: %s', (reason, _name, given) => {
    expect(decideInjection(given)).toEqual({ kind: 'none', reason });
  });

  it('anything for more than one reason: the first is told', () => {
    const all = { 'content-length': '1', 'content-range': 'x', 'content-encoding': 'gzip', digest: 'x' };
    expect(decideInjection(departing(all, { method: 'HEAD', format: undefined }))).toMatchObject({ reason: 'no-body' });
    expect(decideInjection(departing(all, { format: undefined, isComplete: true }))).toMatchObject({
      reason: 'not-a-stream',
    });
    expect(decideInjection(departing(all, { isComplete: true, isFiltered: true }))).toMatchObject({
      reason: 'complete',
    });
    expect(decideInjection(departing(all, { isFiltered: true }))).toMatchObject({ reason: 'length' });
    const part = departing({ ...all, 'content-length': undefined }, { isFiltered: true });
    expect(decideInjection(part)).toMatchObject({ reason: 'range' });
    const coded = { 'content-encoding': 'gzip', digest: 'x' };
    expect(decideInjection(departing(coded, { isFiltered: true }))).toMatchObject({ reason: 'filtered' });
    expect(decideInjection(departing(coded))).toMatchObject({ reason: 'encoded' });
  });
});

describe('a stream', () => {
  it.each([
    [true, 'with heartbeats', departing()],
    [true, 'that the filter leaves out', departing({}, { isFiltered: true })],
    [true, 'that is encoded', departing({ 'content-encoding': 'gzip' })],
    [true, 'with a digest', departing({ digest: 'x' })],
    [false, 'of another type', departing({}, { format: undefined })],
    [false, 'that comes whole', departing({}, { isComplete: true })],
    [false, 'of a length that was told', departing({ 'content-length': '9' }, { isFiltered: true })],
    [false, 'in part', departing({}, { status: 206, isFiltered: true })],
    [false, 'without content', departing({}, { method: 'HEAD' })],
  ])('is one: %s, %s', (expected, _name, given) => {
    expect(isStream(decideInjection(given))).toBe(expected);
  });
});
