import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { proxy, type ProxyOptions } from '../../src/proxy/index.ts';
import { listen } from '../support/carriers.ts';
import { examplesOf, openRoom, type Running, start } from '../support/docs.ts';
import { diffsOf } from '../support/page-diffs.ts';
import { sectionOf, tablesOf } from '../support/page-tables.ts';

// The program of docs/from-http-proxy-middleware.md runs before and after its diff, with the real package; and its
// tables name each option that the real package has.

const page = 'docs/from-http-proxy-middleware.md';
const room = openRoom();
afterAll(() => room.remove());

const { before, after } = diffsOf(page)[0]!;

// The real package says that it needs Node 22.15.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const lacksNode = major < 22 || (major === 22 && minor < 15);

/** The service behind: says what it was asked, redirects at /login, and takes WebSockets. */
async function startService(): Promise<{ readonly origin: string; close(): Promise<void> }> {
  const server = http.createServer((req, res) => {
    const { 'x-gateway': gateway, 'x-forwarded-for': forwarded, host } = req.headers;
    res.setHeader('X-Powered-By', 'a service');
    if (req.url === '/login') {
      res.setHeader('Set-Cookie', ['a=1; Domain=service.example; Path=/', 'b=2']);
      res.writeHead(302, { Location: `http://${host!}/home?from=login` }).end();
    } else {
      res.end(JSON.stringify({ url: req.url, gateway, forwarded, host }));
    }
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket, req) => socket.send(`hello ${req.url!} ${String(req.headers['x-gateway'])}`));
  const running = await listen(server);
  const close = async (): Promise<void> => {
    for (const client of sockets.clients) client.terminate();
    await running.close();
  };
  onTestFinished(close);
  return { origin: running.origin, close };
}

function run(code: string, upstream: string): Promise<Running> {
  return start({ key: 'from-http-proxy-middleware', language: 'js', code }, room, { upstream });
}

describe(page, () => {
  if (lacksNode) console.warn('Not run with http-proxy-middleware 4: it needs Node 22.15');
  it.each([...(lacksNode ? [] : [{ name: 'before', code: before }]), { name: 'after', code: after }])(
    '$name: headers, paths and WebSockets pass',
    async ({ code }) => {
      const service = await startService();
      const { origin } = await run(code, service.origin);
      const response = await fetch(`${origin()}/api/old/a?b=1`);
      expect(await response.json()).toEqual({
        url: '/new/a?b=1',
        gateway: 'yes',
        forwarded: code === after ? '127.0.0.1' : '::ffff:127.0.0.1',
        host: new URL(service.origin).host,
      });
      expect(response.headers.get('x-powered-by')).not.toBe('a service');
      const client = new WebSocket(`${origin().replace('http', 'ws')}/api/chat`);
      onTestFinished(() => client.terminate());
      const [message] = (await once(client, 'message')) as [Buffer];
      expect(String(message)).toBe(code === after ? 'hello /api/chat yes' : 'hello /api/chat undefined');
      client.terminate();
      await once(client, 'close');

      await service.close();
      expect((await fetch(`${origin()}/api/b`)).status).toBe(503);
    },
  );

  it('redirects and cookies are rewritten', async () => {
    const service = await startService();
    const example = examplesOf(page).find(({ key }) => key.endsWith('Redirects and cookies'))!;
    const { origin } = await start(example, room, { upstream: service.origin });
    const response = await fetch(`${origin()}/shop/login`, { redirect: 'manual' });
    expect(response.headers.get('location')).toBe('/shop/home?from=login');
    expect(response.headers.getSetCookie()).toEqual(['a=1; Path=/shop/', 'b=2']);
  });

  it('has a row for each option and each event of the real package', () => {
    const modules = createRequire(import.meta.url);
    const own = join(modules.resolve('typescript'), '../../../http-proxy-middleware/dist/types.d.ts');
    const below = join(modules.resolve('typescript'), '../../../httpxy/dist/index.d.mts');
    const options = [...membersIn(own, 'Options'), ...membersIn(below, 'ProxyServerOptions')];
    expect(tablesOf(sectionOf(page, 'Options')).get('`http-proxy-middleware`')!.toSorted()).toEqual(
      // Twice: as a table and as a function.
      [...options, 'router', 'pathRewrite'].toSorted(),
    );
    for (const name of options.filter((each) => each !== 'target')) {
      const wrong = { target: 'http://localhost', [name]: true } as ProxyOptions;
      expect(() => proxy(wrong), name).toThrow(/ does not exist\. (?!The options are)/);
    }
    expect(tablesOf(sectionOf(page, 'Events')).get('`on`')!.toSorted()).toEqual(
      membersIn(own, 'OnProxyEvent').toSorted(),
    );
  });
});

/** The members of an interface in a file of declarations. */
function membersIn(path: string, name: string): string[] {
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  const found = source.statements.filter(ts.isInterfaceDeclaration).find((each) => each.name.text === name)!;
  return found.members.map((member) => member.name!.getText());
}
