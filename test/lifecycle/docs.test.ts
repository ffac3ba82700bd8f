import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { resolveLifecycleOptions } from '../../src/lifecycle/options.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(new URL('../../docs/lifecycle.md', import.meta.url), 'utf8');
const samples = [...page.matchAll(/^## (.*)$|^```js\n([\s\S]*?)^```$/gm)]
  .reduce<{ title: string; code: string }[]>((found, [, title, code]) => {
    if (title !== undefined) return [...found, { title, code: '' }];
    return [...found, { title: found.at(-1)?.title ?? 'the first', code: code! }];
  }, [])
  .filter(({ code }) => code !== '');

type AtEnd = (undo: () => void) => void;

// SIGTERM, when somebody waits for it, and has had time to listen.
const terminate = `
  const timer = setInterval(() => {
    if (process.listenerCount('SIGTERM') === 0) return;
    clearInterval(timer);
    setTimeout(() => process.kill(process.pid, 'SIGTERM'), 1000).unref();
  }, 20).unref();`;

/** Runs a sample as it stands, on ports of its own, until SIGTERM. */
async function run(
  code: string,
  atEnd: AtEnd,
): Promise<{ code: number | null; signal: string | null; output: string }> {
  const program = `${code.replaceAll(/\b300[01]\b/g, '0')}\n`;
  const child = spawn(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(terminate)}`, '--input-type=module', '--eval', program],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  atEnd(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [exitCode, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code: exitCode, signal, output };
}

describe('docs/lifecycle.md', { timeout: 60_000 }, () => {
  // Of tests that run at once, each has its own `onTestFinished`.
  it.concurrent.for(samples)(
    'the sample of "$title" runs, drains on SIGTERM and exits with 0',
    async ({ code }, { expect, onTestFinished }) => {
      expect(await run(code, onTestFinished)).toEqual({ code: 0, signal: null, output: '' });
    },
  );

  it('the sample that waits on `life.signal` leaves nothing there', async ({ expect, onTestFinished }) => {
    const sample = samples.find(({ code }) => code.includes("'/log'"))!.code;
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
    expect(await run(sample + visits, onTestFinished)).toEqual({ code: 0, signal: null, output: '12 0\n' });
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
