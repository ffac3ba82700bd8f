import { once } from 'node:events';
import http from 'node:http';
import { createGunzip } from 'node:zlib';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { openRoom, type Running, start } from '../support/docs.ts';
import { diffsOf } from '../support/page-diffs.ts';
import { until } from '../support/until.ts';

// The program of docs/from-compression.md runs before and after its diff, with the real package.

const room = openRoom();
afterAll(() => room.remove());

const { before, after } = diffsOf('docs/from-compression.md')[0]!;

function run(code: string): Promise<Running> {
  return start({ key: 'from-compression', language: 'js', code }, room);
}

async function getText(url: string, headers: Record<string, string>): Promise<{ headers: Headers; text: string }> {
  const response = await fetch(url, { headers: { 'Accept-Encoding': 'gzip', ...headers } });
  return { headers: response.headers, text: await response.text() };
}

/** Reads an event stream as it comes. Returns the encoded bytes of each event. */
async function bytesPerEvent(url: string): Promise<number> {
  const req = http.get(url, { agent: false, headers: { 'Accept-Encoding': 'gzip' } });
  onTestFinished(() => void req.destroy());
  const [res] = (await once(req, 'response')) as [http.IncomingMessage];
  expect(res.headers['content-encoding']).toBe('gzip');
  let bytes = 0;
  let text = '';
  const decoder = createGunzip().setEncoding('utf8');
  res.on('error', () => undefined).on('data', (chunk: Buffer) => (bytes += chunk.length));
  res.pipe(decoder).on('data', (part: string) => (text += part));
  const count = (): number => text.split('\n\n').length - 1;
  await until(() => count() >= 20);
  return bytes / count();
}

describe('docs/from-compression.md', () => {
  it.each([
    ['before', before],
    ['after', after],
  ])('%s: the options hold', async (_name, code) => {
    const { origin } = await run(code);
    const plain = await getText(`${origin()}/`, { 'x-no-compression': '1' });
    expect(plain.headers.get('content-encoding')).toBe(null);
    const coded = await getText(`${origin()}/`, {});
    expect(coded.headers.get('content-encoding')).toBe('gzip');
    expect(coded.text).toBe(plain.text);
    expect(coded.headers.has('content-length')).toBe(code === after);
  });

  const bytes: number[] = [];
  it.each([
    ['before', before],
    ['after', after],
  ])('%s: events arrive', async (_name, code) => {
    expect(code.includes('res.flush()')).toBe(code === before);
    const { origin } = await run(code.replace('}, 1000)', '}, 10)'));
    bytes.push(await bytesPerEvent(`${origin()}/clock`));
  });

  it('after: each event takes fewer bytes', () => {
    expect(bytes[1]).toBeLessThan(bytes[0]! * 0.8);
  });
});
