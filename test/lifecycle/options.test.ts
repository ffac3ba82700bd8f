import { describe, expect, it } from 'vitest';
import { InvalidOptionError } from '../../src/errors.ts';
import type { HttpRequest } from '../../src/internal/http/message.ts';
import { lifecycle } from '../../src/lifecycle/index.ts';
import { type LifecycleOptions, resolveLifecycleOptions } from '../../src/lifecycle/options.ts';

const wrong: [option: keyof LifecycleOptions, value: unknown, expected: string][] = [
  [
    'drainTimeout',
    'soon',
    'a duration: milliseconds or a string like "30s", from 0 to 2147483647, got "soon" (string)',
  ],
  ['drainTimeout', -1, 'a duration: milliseconds or a string like "30s", from 0 to 2147483647, got -1 (number)'],
  [
    'drainTimeout',
    2 ** 31,
    'a duration: milliseconds or a string like "30s", from 0 to 2147483647, got 2147483648 (number)',
  ],
  ['preDrain', '26s', 'a duration: milliseconds or a string like "30s", from 0 to 25000, got "26s" (string)'],
  ['spread', Infinity, 'a duration: milliseconds or a string like "30s", from 0 to 25000, got Infinity (number)'],
  ['signals', 'SIGTERM', 'false or an array of signals that can be caught, got "SIGTERM" (string)'],
  ['signals', true, 'false or an array of signals that can be caught, got true (boolean)'],
  ['signals', ['SIGKILL'], 'false or an array of signals that can be caught, got Array (object)'],
  ['signals', ['SIGTERM', 'SIGSTOP'], 'false or an array of signals that can be caught, got Array (object)'],
  ['signals', ['SIGNOTHING'], 'false or an array of signals that can be caught, got Array (object)'],
  ['signals', [15], 'false or an array of signals that can be caught, got Array (object)'],
  ['exit', 1, 'a boolean, got 1 (number)'],
  ['keepAlive', 0, 'a duration: milliseconds or a string like "30s", from 1 to 2147483647, got 0 (number)'],
  ['keepAlive', true, 'a duration: milliseconds or a string like "30s", from 1 to 2147483647, got true (boolean)'],
  ['retryAfter', '', 'a duration: milliseconds or a string like "30s", from 0 to 2147483647, got "" (string)'],
  ['reconnectDelay', 0, 'a duration: milliseconds or a string like "30s", from 1 to 2147483647, got 0 (number)'],
  ['exempt', '/livez', 'a function, got "/livez" (string)'],
  ['webSocketCode', 1006, 'a close code that may be sent, got 1006 (number)'],
  ['webSocketCode', 1005, 'a close code that may be sent, got 1005 (number)'],
  ['webSocketCode', 2000, 'a close code that may be sent, got 2000 (number)'],
  ['webSocketCode', 999, 'an integer, from 1000 to 4999, got 999 (number)'],
  ['webSocketCode', '1012', 'an integer, from 1000 to 4999, got "1012" (string)'],
];

describe('an option of lifecycle that is wrong', () => {
  it.each(wrong)('%s = %o is named with what was expected', (option, value, expected) => {
    const make = (): unknown => lifecycle({ [option]: value } as LifecycleOptions);
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(`Expected \`lifecycle.${option}\` to be ${expected}`);
  });

  it('is refused before a signal is caught', () => {
    const before = process.listenerCount('SIGTERM');
    expect(() => lifecycle({ webSocketCode: 5 })).toThrow(InvalidOptionError);
    expect(process.listenerCount('SIGTERM')).toBe(before);
  });

  it.each([null, 'fast', []])('a bag that is %o is refused', (value) => {
    expect(() => lifecycle(value as never)).toThrow('Expected `lifecycle` to be an object');
  });

  it.each([undefined, null, {}, 3000, () => undefined, new EventTarget()])('attach(%o) is refused', (value) => {
    const life = lifecycle({ signals: false });
    const [http, sockets] = [
      'a server of node:http, node:https or node:http2',
      'a WebSocketServer that tracks its clients',
    ];
    const expected = `Expected \`lifecycle.attach\` to be ${http}, ${sockets}, or a server of Socket.IO`;
    expect(() => life.attach(value as never)).toThrow(expected);
  });

  it('an event or a listener of another kind is refused', () => {
    const life = lifecycle({ signals: false });
    expect(() => life.on('drain' as never, () => undefined)).toThrow('Expected `lifecycle.on` to be one of "state"');
    expect(() => life.on('state', undefined as never)).toThrow('Expected `lifecycle.on.listener` to be a function');
  });
});

describe('the options of lifecycle', () => {
  it('have defaults that fit into the 30 s of Kubernetes', () => {
    const { drainTimeout, preDrain, spread, signals, exit, keepAlive, webSocketCode } =
      resolveLifecycleOptions(undefined);
    expect({ drainTimeout, preDrain, spread, signals, exit, keepAlive, webSocketCode }).toEqual({
      drainTimeout: 25_000,
      preDrain: 5000,
      spread: 10_000,
      signals: ['SIGTERM'],
      exit: false,
      keepAlive: 75_000,
      webSocketCode: 1012,
    });
  });

  it.each([
    [{ drainTimeout: '10s' }, 2000, 4000],
    [{ drainTimeout: 0 }, 0, 0],
    [{ drainTimeout: '5m' }, 5000, 10_000],
    [{ drainTimeout: Infinity }, 5000, 10_000],
    [{ drainTimeout: '10s', preDrain: '4s', spread: '6s' }, 4000, 6000],
    [{ drainTimeout: '30s', spread: '10s' }, 5000, 10_000],
    [{ preDrain: 0, spread: 0 }, 0, 0],
  ] satisfies [LifecycleOptions, number, number][])('%o gives its parts their shares', (options, preDrain, spread) => {
    expect(resolveLifecycleOptions(options)).toMatchObject({ preDrain, spread });
  });

  it('take each signal once, and none for false', () => {
    expect(resolveLifecycleOptions({ signals: ['SIGINT', 'SIGTERM', 'SIGINT'] }).signals).toEqual([
      'SIGINT',
      'SIGTERM',
    ]);
    expect(resolveLifecycleOptions({ signals: false }).signals).toEqual([]);
    expect(resolveLifecycleOptions({ signals: [] }).signals).toEqual([]);
  });

  it.each([
    ['/livez', true],
    ['/readyz', true],
    ['/healthz', true],
    ['/internal/readyz?verbose', true],
    ['/', false],
    ['/livez/more', false],
    ['/notlivez', false],
    ['/search?q=/livez', false],
  ])('exempt the usual probes: %s is %s', (url, expected) => {
    const { exempt } = resolveLifecycleOptions(undefined);
    expect(exempt({ url } as HttpRequest)).toBe(expected);
    // Below a router that took its prefix off.
    expect(exempt({ url: '/', originalUrl: url } as unknown as HttpRequest)).toBe(expected);
  });

  it('name the middleware for stacks and traces', () => {
    expect(lifecycle({ signals: false }).name).toBe('lifecycle');
  });
});
