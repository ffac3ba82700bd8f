import http2 from 'node:http2';
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { Registry } from '../../src/internal/health/registry.ts';
import {
  compress,
  createRegistry,
  heartbeat,
  InvalidOptionError,
  lifecycle,
  sse,
  watchHttp2,
  watchSocket,
  watchWebSockets,
} from '../../src/index.ts';

describe('chance and time are no options:', () => {
  const factories: [name: string, make: (options: object) => unknown][] = [
    ['sse', (options) => sse(() => undefined, options)],
    ['compress', (options) => compress({ randomPadding: options })],
    ['heartbeat', heartbeat],
    ['watchHttp2', (options) => watchHttp2(http2.createServer(), options)],
    ['watchSocket', (options) => watchSocket(new Duplex(), options)],
    ['watchWebSockets', (options) => watchWebSockets(new WebSocketServer({ noServer: true }), options)],
    ['createRegistry', createRegistry],
  ];
  it.each(factories)('%s refuses both', (_name, make) => {
    for (const name of ['random', 'clock']) expect(() => make({ [name]: () => 0.5 })).toThrow(InvalidOptionError);
  });

  it('lifecycle refuses a source of chance', () => {
    expect(() => lifecycle({ signals: false, random: () => NaN } as object)).toThrow(InvalidOptionError);
  });

  it('the clock of a registry is given to its class', () => {
    expect(new Registry({}, { now: () => 42, startTimer: () => () => undefined }).now()).toBe(42);
  });
});
