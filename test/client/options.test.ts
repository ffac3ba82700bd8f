import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ClientError, type ClientOptions, connect } from '../../src/client/index.ts';
import { resolveClientOptions, resolveUrl } from '../../src/client/options.ts';

describe('the options of connect', () => {
  it('have defaults, by the method', () => {
    expect(resolveClientOptions(undefined)).toMatchObject({
      method: 'GET',
      lastEventId: '',
      heartbeat: 15_000,
      reconnect: 'always',
      retry: { min: 1000, max: 30_000, attempts: Infinity },
      maxBufferSize: 1_048_576,
    });
    expect(resolveClientOptions({ method: 'post' })).toMatchObject({ method: 'POST', reconnect: 'never' });
    expect(resolveClientOptions({ retry: { min: 60_000 } }).retry).toMatchObject({ min: 60_000, max: 60_000 });
    expect(resolveClientOptions({ heartbeat: undefined, ...{ foo: undefined } }).heartbeat).toBe(15_000);
  });

  it.each<[ClientOptions | Record<string, unknown>, string]>([
    [{ heartbeats: 1 }, '`heartbeats`'],
    [{ retry: { minimum: 1 } }, '`minimum`'],
    [{ method: 1 }, '`method`'],
    [{ heartbeat: '15s' }, '`heartbeat`'],
    [{ heartbeat: 0 }, '`heartbeat`'],
    [{ heartbeat: NaN }, '`heartbeat`'],
    [{ maxBufferSize: -1 }, '`maxBufferSize`'],
    [{ retry: { min: 0 } }, '`retry.min`'],
    [{ retry: { max: 10 } }, '`retry.max`'],
    [{ retry: { min: 10, max: '20' } }, '`retry.max`'],
    [{ retry: { attempts: 0 } }, '`retry.attempts`'],
    [{ reconnect: true }, '`reconnect`'],
    [{ lastEventId: 7 }, '`lastEventId`'],
    [{ fetch: 'fetch' }, '`fetch`'],
    [{ headers: { 'bad name': 'x' } }, '`headers`'],
    [{ body: 'x' }, '`body`'],
    [{ method: 'POST', reconnect: 'always', body: new ReadableStream() }, '`body`'],
  ])('%j is refused', (options, name) => {
    const call = (): unknown => connect('http://localhost/', options as ClientOptions);
    expect(call).toThrow(ClientError);
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_SLUICE_CLIENT_OPTION_INVALID' }) as Error);
    expect(call).toThrow(`Option ${name} of \`connect\``);
  });

  it('a URL is resolved as the page would, and Node needs a whole one', () => {
    expect(resolveUrl(new URL('http://localhost/a'))).toBe('http://localhost/a');
    expect(() => resolveUrl('/ticks')).toThrow('Option `url`');
    onTestFinished(() => void vi.unstubAllGlobals());
    vi.stubGlobal('location', { href: 'https://worker.test/deep/worker.js' });
    expect(resolveUrl('ticks')).toBe('https://worker.test/deep/ticks');
    vi.stubGlobal('document', { baseURI: 'https://page.test/base/' });
    expect(resolveUrl('ticks')).toBe('https://page.test/base/ticks');
  });
});
