import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as sluice from '../src/index.ts';
import {
  closeError,
  type CloseReason,
  errorClasses,
  ProxyError,
  type SluiceErrorClass,
  SluiceError,
  StreamClosedError,
} from '../src/errors.ts';
import { unionOf } from './support/page-tables.ts';

const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
const ofClient = unionOf('ClientErrorCode');
const documented = [...new Set(page.match(/\bERR_SLUICE_[A-Z0-9_]+\b/g) ?? [])];
const table = Object.entries(errorClasses);

/** Arguments with which each class that takes some can be made; the others take none. */
const samples: Record<string, readonly unknown[]> = {
  InvalidOptionError: ['sse.x', 'a number', 'y'],
  InvalidEventError: ['id', 'must be a string'],
  BodyLengthError: [10, 5],
  InvalidRecordError: ['said by the caller'],
  InvalidSourceError: ['said by the caller'],
  InvalidChunkError: ['said by the caller'],
  ResponseStartedError: ['said by the caller'],
  StreamClosedError: ['ended'],
  MissingPeerError: ['undici', '`proxy`'],
  UpstreamTimeoutError: ['http://a', 'head'],
  UnproxiableRequestError: ['said by the caller'],
};

function make(errorClass: SluiceErrorClass): SluiceError {
  const Constructor = errorClass as unknown as new (...args: unknown[]) => SluiceError;
  return new Constructor(...(samples[errorClass.name] ?? []));
}

describe('docs/errors.md', () => {
  it.each(table.map(([code, { name }]) => [code, name]))('lists %s and names %s', (code, name) => {
    expect(documented).toContain(code);
    // As code, so that `StreamClosedError` is not found in the middle of another name.
    expect(page).toMatch(new RegExp(`\\b${name}\\b`));
  });

  it('lists no code that does not exist', () => {
    expect(documented.filter((code) => !(code in errorClasses) && !ofClient.includes(code))).toEqual([]);
  });

  it('lists each code of the client', () => {
    expect(ofClient.length).toBeGreaterThan(3);
    expect(ofClient.filter((code) => !documented.includes(code) || code in errorClasses)).toEqual([]);
  });

  it('names no error class that does not exist', () => {
    const names = new Set<string>([
      'SluiceError',
      'ProxyError',
      'ClientError',
      'TypeError',
      'RangeError',
      'SyntaxError',
      'AbortError',
      'TimeoutError',
      'Error',
      ...table.map(([, { name }]) => name),
    ]);
    const named = page.match(/\b[A-Z][A-Za-z]*Error\b/g) ?? [];
    expect([...new Set(named)].filter((name) => !names.has(name))).toEqual([]);
  });
});

describe('the table of errors', () => {
  it.each(table)('%s is the code of its class', (code, errorClass) => {
    const error = make(errorClass);
    expect(code).toMatch(/^ERR_SLUICE_[A-Z]+(_[A-Z]+)*$/);
    expect(error).toBeInstanceOf(SluiceError);
    expect([error.code, error.name]).toEqual([code, errorClass.name]);
    expect(String(error)).toBe(`${errorClass.name}: ${error.message}`);
    expect(error.message).not.toBe('undefined');
  });

  it('has every error class that is exported, once', () => {
    const exported = Object.values(sluice).filter(
      (value) => typeof value === 'function' && value !== ProxyError && value.prototype instanceof SluiceError,
    );
    expect(new Set<unknown>(exported)).toEqual(new Set<unknown>(table.map(([, errorClass]) => errorClass)));
    expect(new Set(table.map(([, errorClass]) => errorClass)).size).toBe(table.length);
  });
});

describe('closeError', () => {
  const reasons: Record<CloseReason, string> = {
    ended: 'ERR_SLUICE_STREAM_ENDED',
    'client-closed': 'ERR_SLUICE_CLIENT_CLOSED',
    deadline: 'ERR_SLUICE_DEADLINE_EXCEEDED',
    idle: 'ERR_SLUICE_IDLE_TIMEOUT',
    draining: 'ERR_SLUICE_DRAINING',
    'slow-consumer': 'ERR_SLUICE_SLOW_CONSUMER',
    'heartbeat-timeout': 'ERR_SLUICE_HEARTBEAT_TIMEOUT',
    error: 'ERR_SLUICE_STREAM_FAILED',
  };

  it.each(Object.entries(reasons))('makes the error of the reason %s', (reason, code) => {
    const cause = new Error('why');
    const error = closeError(reason as CloseReason, cause);
    expect(error).toBeInstanceOf(StreamClosedError);
    expect(error).toMatchObject({ reason, code, cause });
    expect(closeError(reason as CloseReason)).not.toHaveProperty('cause');
    // One that says this already is not wrapped again.
    expect(closeError(reason as CloseReason, error)).toBe(error);
  });
});
