import { describe, it } from 'vitest';
import { resolveLifecycleOptions } from '../../src/lifecycle/options.ts';
import { examplesOf, readPage, runUntilSignal } from '../support/docs.ts';

const page = readPage('docs/lifecycle.md');

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
      while (await connections()) await new Promise((resolve) => setTimeout(resolve, 5));
      console.log(during, getEventListeners(life.signal, 'abort').length);`;
    const { ended, kill } = runUntilSignal(sample + visits);
    onTestFinished(kill);
    expect(await ended).toEqual({ code: 0, signal: null, output: '12 0\n' });
  });

  it('has a row for each option', ({ expect }) => {
    const options = Object.keys(resolveLifecycleOptions(undefined));
    const table = page.slice(page.indexOf('## Options'), page.indexOf('## When it does not work'));
    const rows = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
    expect(rows.toSorted()).toEqual(options.toSorted());
  });

  it('links to sections that are there', ({ expect }) => {
    const slugs = [...page.matchAll(/^## (.*)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    for (const [, slug] of page.matchAll(/\]\(#([\w-]+)\)/g)) expect(slugs).toContain(slug);
  });
});
