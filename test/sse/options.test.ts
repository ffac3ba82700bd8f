import { describe, expect, it } from 'vitest';
import {
  InvalidOptionError,
  jsonSeq,
  ndjson,
  openEventStream,
  openJsonSeq,
  openNdjson,
  pipeBody,
  sse,
} from '../../src/index.ts';

type Factory = (options: never) => unknown;

const handler = (): undefined => undefined;
const shared: [option: string, value: unknown, expected: string, got: string][] = [
  ['onError', 'log', 'a function', '"log" (string)'],
  ['onError', null, 'a function', 'null'],
  ['maxBuffered', -1, 'a size: bytes or a string like "64kb", >= 0', '-1 (number)'],
  ['maxBuffered', '1 potato', 'a size: bytes or a string like "64kb", >= 0', '"1 potato" (string)'],
  ['maxBuffered', '1e3', 'a size: bytes or a string like "64kb", >= 0', '"1e3" (string)'],
  ['maxBuffered', '', 'a size: bytes or a string like "64kb", >= 0', '"" (string)'],
  ['maxBuffered', NaN, 'a size: bytes or a string like "64kb", >= 0', 'NaN (number)'],
  ['maxBuffered', [1], 'a size: bytes or a string like "64kb", >= 0', 'Array (object)'],
  ['overflow', 'wait', 'one of "close", "drop", "latest"', '"wait" (string)'],
  ['key', 'id', 'a function', '"id" (string)'],
  ['gap', true, 'a function', 'true (boolean)'],
  ['headers', 'X: y', 'an object', '"X: y" (string)'],
  ['headers', null, 'an object', 'null'],
  ['headers', ['X', 'y'], 'an object, a Headers, or a list of names with their values', 'Array (object)'],
  ['negotiate', 'respond', 'one of "ignore", "next", "strict"', '"respond" (string)'],
  ['negotiate', true, 'one of "ignore", "next", "strict"', 'true (boolean)'],
  ['closeTimeout', 'soon', 'a duration: milliseconds or a string like "30s", from 0 to 2147483647', '"soon" (string)'],
  [
    'closeTimeout',
    Infinity,
    'a duration: milliseconds or a string like "30s", from 0 to 2147483647',
    'Infinity (number)',
  ],
  ['closeTimeout', -1, 'a duration: milliseconds or a string like "30s", from 0 to 2147483647', '-1 (number)'],
  ['directChunks', 1, 'a boolean', '1 (number)'],
  ['directChunks', 'false', 'a boolean', '"false" (string)'],
];

const ofSse: typeof shared = [
  ['retry', '-5s', 'a duration: milliseconds or a string like "30s", >= 0', '"-5s" (string)'],
  ['retry', {}, 'a duration: milliseconds or a string like "30s", >= 0', 'Object (object)'],
  ['retry', 5n, 'a duration: milliseconds or a string like "30s", >= 0', '5 (bigint)'],
  ['prelude', ':ok', 'a boolean', '":ok" (string)'],
  ['comments', 'blocks', 'one of "line", "block"', '"blocks" (string)'],
  ['comments', false, 'one of "line", "block"', 'false (boolean)'],
  ['reconnectDelay', 0, 'a duration: milliseconds or a string like "30s", >= 1', '0 (number)'],
  ['reconnectDelay', '', 'a duration: milliseconds or a string like "30s", >= 1', '"" (string)'],
];

const factories: [owner: string, factory: Factory, rows: typeof shared][] = [
  ['sse', (options) => sse(handler, options), [...shared, ...ofSse]],
  ['ndjson', (options) => ndjson(handler, options), shared],
  ['jsonSeq', (options) => jsonSeq(handler, options), shared],
  // Options are looked at before the request is, so that a bad one shows without any.
  ['sse', (options) => openEventStream(undefined as never, undefined as never, options), ofSse],
  ['ndjson', (options) => openNdjson(undefined as never, undefined as never, options), shared.slice(0, 1)],
  ['jsonSeq', (options) => openJsonSeq(undefined as never, undefined as never, options), shared.slice(0, 1)],
];

const wrong = factories.flatMap(([owner, factory, rows]) => rows.map((row) => [owner, ...row, factory] as const));

function thrownBy(call: () => unknown): InvalidOptionError {
  try {
    call();
  } catch (error) {
    return error as InvalidOptionError;
  }
  throw new Error('nothing was thrown');
}

describe('an option that is wrong', () => {
  it.each(wrong)('%s.%s = %o is named with what was expected', (owner, option, value, expected, got, factory) => {
    const error = thrownBy(() => factory({ [option]: value } as never));
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({
      code: 'ERR_SLUICE_OPTION_INVALID',
      name: 'InvalidOptionError',
      option: `${owner}.${option}`,
    });
    expect(error.message).toBe(`Expected \`${owner}.${option}\` to be ${expected}, got ${got}`);
  });

  const fields: [name: string, value: unknown][] = [
    ['Bad Name', 'x'],
    ['X', 'a\r\nSet-Cookie: b'],
    ['X', 'ключ'],
    ['', 'x'],
    ['X', ['fine', 'bad\n']],
  ];
  it.each(fields)('headers[%j] = %j is refused by the factory and not by a request', (name, value) => {
    const error = thrownBy(() => sse(handler, { headers: { [name]: value as string } }));
    expect(error).toMatchObject({ code: 'ERR_SLUICE_OPTION_INVALID', option: `sse.headers.${name}` });
  });

  it.each([undefined, null, {}, 'handler', 5])('a handler that is %o is refused', (value) => {
    for (const [owner, factory] of Object.entries({ sse, ndjson, jsonSeq } as Record<
      string,
      (handler: never) => unknown
    >)) {
      expect(thrownBy(() => factory(value as never))).toMatchObject({
        code: 'ERR_SLUICE_OPTION_INVALID',
        option: `${owner}.handler`,
      });
    }
  });

  const body: [string, unknown, string, string][] = [
    ['status', 199, 'an integer, from 200 to 599', '199 (number)'],
    ['status', 600, 'an integer, from 200 to 599', '600 (number)'],
    ['status', '200', 'an integer, from 200 to 599', '"200" (string)'],
    ['status', 200.5, 'an integer, from 200 to 599', '200.5 (number)'],
    ['headers', 7, 'an object', '7 (number)'],
    ['signal', {}, 'an AbortSignal', 'Object (object)'],
    ['signal', null, 'an AbortSignal', 'null'],
  ];
  it.each(body)('pipeBody.%s = %o rejects before anything is read', async (option, value, expected, got) => {
    const rejection: unknown = await pipeBody([], undefined as never, undefined as never, { [option]: value }).catch(
      (error: unknown) => error,
    );
    expect(rejection).toMatchObject({
      code: 'ERR_SLUICE_OPTION_INVALID',
      message: `Expected \`pipeBody.${option}\` to be ${expected}, got ${got}`,
    });
  });
});

describe('an option that is right', () => {
  const accepted: object[] = [
    {},
    { maxBuffered: 0 },
    { maxBuffered: '64kb' },
    { maxBuffered: '1.5 MB' },
    { maxBuffered: '512' },
    { maxBuffered: Infinity },
    { overflow: 'close' },
    { overflow: 'drop', gap: () => undefined },
    // The name of the event is the key.
    { overflow: 'latest' },
    { overflow: 'latest', key: () => undefined },
    { closeTimeout: 0 },
    { closeTimeout: '1.5m' },
    { closeTimeout: '250' },
    { retry: 0 },
    { retry: '2 seconds' },
    { reconnectDelay: 1 },
    { headers: {} },
    { headers: { 'X-A': ['1', '2'], 'X-B': 3 } },
    { onError: undefined, retry: undefined, maxBuffered: undefined },
  ];
  it.each(accepted)('%o is taken', (options) => {
    expect(sse(handler, options)).toBeTypeOf('function');
  });

  it('gives a middleware that is named for stacks and traces', () => {
    expect([sse(handler).name, ndjson(handler).name, jsonSeq(handler).name]).toEqual(['sse', 'ndjson', 'jsonSeq']);
  });
});
