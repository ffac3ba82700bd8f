import { describe, expect, it } from 'vitest';
import { carriers } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { fieldsOf, rawUpstream, testProxy } from './upstreams.ts';

describe.each(carriers)('a request that counts its hops, on $name', (carrier) => {
  const site = async () => {
    const received: string[] = [];
    const upstream = await rawUpstream((connection) => {
      received.push(connection.received);
      connection.send('HTTP/1.1 200 OK\r\nX-From: upstream\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    });
    const running = await serve(carrier, testProxy({ target: upstream.origin }));
    const ask = async (method: string, path: string, headers: Record<string, string> = {}) => {
      const reading = await running.visit({ method, path, headers });
      await reading.over;
      return reading;
    };
    return { received, running, ask };
  };

  it('goes one hop further, or is answered here', async () => {
    const { received, ask } = await site();
    for (const method of ['OPTIONS', 'TRACE']) {
      expect((await ask(method, '/a', { 'max-forwards': '2' })).headers['x-from']).toBe('upstream');
      expect((await ask(method, '/a')).headers['x-from']).toBe('upstream');
      expect(received.splice(0).map((message) => fieldsOf(message, 'max-forwards'))).toEqual([['1'], []]);
      for (const bad of ['-1', 'x', '1, 2', '1.5']) {
        expect((await ask(method, '/a', { 'max-forwards': bad })).status).toBe(400);
      }
    }
    expect(await ask('OPTIONS', '/a', { 'max-forwards': '0' })).toMatchObject({ status: 204, text: '' });
    expect((await ask('GET', '/a', { 'max-forwards': '0' })).headers['x-from']).toBe('upstream');
    expect(received.map((message) => fieldsOf(message, 'max-forwards'))).toEqual([['0']]);
  });

  it('is reflected by TRACE, without its secrets', async () => {
    const { received, ask } = await site();
    const headers = { 'max-forwards': '0', 'x-hop': 'a', cookie: 'b=c', authorization: 'Basic d', 'x-api-key': 'e' };
    const reading = await ask('TRACE', '/a?b', headers);
    expect([reading.status, reading.headers['content-type'], received]).toEqual([200, 'message/http', []]);
    const [requestLine, ...lines] = reading.text.split('\r\n');
    expect(requestLine).toMatch(/^TRACE \/a\?b HTTP\/(1\.1|2\.0)$/);
    expect(lines.map((line) => line.toLowerCase())).toEqual(expect.arrayContaining(['max-forwards: 0', 'x-hop: a']));
    expect(reading.text).not.toMatch(/cookie|basic|api-key/i);
  });
});

// Connect answers it by itself.
describe.each(carriers.filter(({ name, protocol }) => protocol === 'http1' && name !== 'connect'))(
  'OPTIONS for the server, on $name',
  (carrier) => {
    it('is answered here: no path of the upstream stands for it', async () => {
      const upstream = await rawUpstream(() => undefined);
      const running = await serve(carrier, testProxy({ target: upstream.origin }));
      for (const target of ['*', running.origin]) {
        const client = await running.dial();
        client.send(`OPTIONS ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await client.waitFor('HTTP/1.1 204 No Content');
        client.destroy();
      }
      expect(upstream.connections).toHaveLength(0);
    });
  },
);
