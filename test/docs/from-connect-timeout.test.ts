import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { openRoom, type Running, start } from '../support/docs.ts';
import { diffsOf } from '../support/page-diffs.ts';
import { settles } from '../support/until.ts';

// The program of docs/from-connect-timeout.md runs before and after its diff, with the real package.

const room = openRoom();
afterAll(() => room.remove());

const { before, after } = diffsOf('docs/from-connect-timeout.md')[0]!;

/** The service that the program calls. It answers when it is told to, and says how each call ended. */
async function startFigures(): Promise<{
  readonly port: number;
  readonly calls: Promise<http.ServerResponse>;
  wasCalled(): boolean;
  readonly ended: Promise<'answered' | 'aborted'>;
}> {
  const server = http.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  let count = 0;
  server.on('request', () => count++);
  const calls = once(server, 'request').then(([, res]) => res as http.ServerResponse);
  const ended = calls.then(async (res) => {
    await once(res, 'close');
    return res.writableFinished ? 'answered' : 'aborted';
  });
  return { port: (server.address() as AddressInfo).port, calls, wasCalled: () => count > 0, ended };
}

function run(code: string, figures: number, limit: string): Promise<Running> {
  const own = code
    .replaceAll("'5s'", `'${limit}'`)
    .replaceAll('localhost:4000', `127.0.0.1:${figures}`)
    .replace('app.listen(3000)', `${download}app.listen(3000)`);
  return start({ key: 'from-connect-timeout', language: 'js', code: own }, room);
}

// A response that takes longer than the limit, and goes on all the time.
const download = `
app.get('/download', (req, res) => {
  let parts = 1;
  res.write('part 1\\n');
  const timer = setInterval(() => {
    res.write('part ' + ++parts + '\\n');
    if (parts === 10) res.end(() => clearInterval(timer));
  }, 30);
});
`;

async function getReport(program: Running): Promise<{ status: number; body: unknown }> {
  const response = await settles(fetch(`${program.origin()}/report`));
  return { status: response.status, body: await response.json() };
}

describe('docs/from-connect-timeout.md', () => {
  it('before: the client is answered, and the call goes on', async () => {
    const figures = await startFigures();
    const program = await run(before, figures.port, '100ms');
    expect(await getReport(program)).toEqual({ status: 503, body: { code: 'ETIMEDOUT' } });
    (await figures.calls).end('{}');
    expect(await settles(figures.ended)).toBe('answered');
  });

  it('after: the client is answered the same way, and the call is aborted', async () => {
    const figures = await startFigures();
    const program = await run(after, figures.port, '100ms');
    // A call that is not on its way by then is not made.
    do {
      expect(await getReport(program)).toEqual({ status: 503, body: { code: 'ERR_SLUICE_DEADLINE_EXCEEDED' } });
    } while (!figures.wasCalled());
    expect(await settles(figures.ended)).toBe('aborted');
  });

  it('after: the call carries what is left of the time', async () => {
    const figures = await startFigures();
    const program = await run(after, figures.port, '5s');
    const report = getReport(program);
    const res = await settles(figures.calls);
    expect(res.req.headers['grpc-timeout']).toMatch(/^\d+m$/);
    res.end('{"price":12}');
    expect(await report).toEqual({ status: 200, body: { price: 12 } });
  });

  it.each([
    ['before', before],
    ['after', after],
  ])('%s: a response that has begun may take longer', async (_name, code) => {
    const figures = await startFigures();
    const program = await run(code, figures.port, '100ms');
    const response = await settles(fetch(`${program.origin()}/download`));
    expect(await settles(response.text())).toContain('part 10\n');
  });
});
