import { describe, it } from 'vitest';
import { examplesOf, runUntilSignal } from '../support/docs.ts';

describe('docs/lifecycle.md', { timeout: 60_000 }, () => {
  it('the sample that waits on `life.signal` leaves nothing there', async ({ expect, onTestFinished }) => {
    const sample = examplesOf('docs/lifecycle.md').find(({ code }) => code.includes("'/log'"))!.code;
    const visits = `
      import { getEventListeners, once } from 'node:events';
      import http from 'node:http';
      if (!server.listening) await once(server, 'listening');
      const visit = async () => {
        const req = http.get({ port: server.address().port, path: '/log', agent: false }).on('error', () => undefined);
        const [res] = await once(req, 'response');
        res.on('error', () => undefined);
        await once(res, 'data');
        return req;
      };
      const visitors = await Promise.all(Array.from({ length: 12 }, visit));
      const during = getEventListeners(life.signal, 'abort').length;
      for (const visitor of visitors) visitor.destroy();
      const connections = () => new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
      const left = () => getEventListeners(life.signal, 'abort').length;
      while (await connections()) await new Promise((resolve) => setTimeout(resolve, 5));
      // The streams close a little later than their connections.
      for (let turn = 0; turn < 1000 && left() > 0; turn++) await new Promise((resolve) => setTimeout(resolve, 5));
      console.log(during, left());`;
    const { ended, kill } = runUntilSignal(sample + visits);
    onTestFinished(kill);
    expect(await ended).toEqual({ code: 0, signal: null, output: '12 0\n' });
  });
});
