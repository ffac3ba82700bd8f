import { fetchEventSource } from '@microsoft/fetch-event-source';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { sse } from '../../src/index.ts';
import { bare, type Running } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { settles } from '../support/until.ts';
import { clients } from './readers.ts';
import { expectedOf, type Scenario, scenarios, startSite } from './site.ts';

const numbered = scenarios.map((scenario, number) => [scenario.name, scenario, number] as const);

describe('a stream', () => {
  let site: Running;
  beforeAll(async () => void (site = await startSite()));
  afterAll(() => site.close());

  describe.each(['plain', 'gzip'])('that is %s', (coding) => {
    describe.each(clients.map((client) => [client.name, client] as const))('gives %s', (_name, client) => {
      it.each(numbered)('exactly the events: %s', async (_scenario, scenario, number) => {
        const url = `${site.origin}/${coding}/${client.wantsDone ? 'done' : 'open'}/${number}`;
        expect(await settles(client.read(url))).toEqual(expectedOf(scenario, client));
      });
    });
  });

  it.each([
    ['plain', null],
    ['gzip', 'gzip'],
  ])('that is %s has the content-coding %j', async (coding, expected) => {
    const response = await fetch(`${site.origin}/${coding}/open/0`, { headers: { 'Accept-Encoding': 'gzip' } });
    expect([response.headers.get('content-encoding'), (await response.text()).includes('word by word')]).toEqual([
      expected,
      true,
    ]);
  });
});

describe('comments in blocks', () => {
  let site: Running;
  beforeAll(async () => void (site = await startSite({ comments: 'block' })));
  afterAll(() => site.close());

  // What `stop()` and the blocks before the first id or event mean to each is in docs/sse.md.
  const byLetter = clients.filter(({ name }) => !/fetch-event-source|rule/.test(name));
  describe.each(byLetter.map((client) => [client.name, client] as const))('change nothing for %s', (_name, client) => {
    it.each(numbered)('%s', async (_scenario, scenario, number) => {
      const url = `${site.origin}/plain/${client.wantsDone ? 'done' : 'open'}/${number}`;
      expect(await settles(client.read(url))).toEqual(expectedOf(scenario, client));
    });
  });

  const numberOf = (name: string): number => scenarios.findIndex((scenario: Scenario) => scenario.name === name);
  it.each(clients.filter((client) => !byLetter.includes(client)).map((client) => [client.name, client] as const))(
    'are messages without data to %s',
    async (_name, client) => {
      const { data } = await settles(
        client.read(`${site.origin}/plain/${client.wantsDone ? 'done' : 'open'}/${numberOf('retry hints')}`),
      );
      expect(data).toContain('no JSON: ""');
    },
  );

  it('are what a reader needs that splits the stream at blank lines', async () => {
    const read = async (options: { comments: 'line' | 'block' }): Promise<string[]> => {
      const running = await serve(
        bare,
        sse(async (stream) => {
          await stream.comment('hello');
          await stream.send({ data: 'one' });
          await stream.send({ retry: 5 });
          await stream.send({ data: 'two' });
        }, options),
      );
      const blocks = (await (await fetch(running.origin)).text()).split('\n\n');
      return blocks.filter((block) => block.startsWith('data: ')).map((block) => block.slice('data: '.length));
    };
    expect([await read({ comments: 'block' }), await read({ comments: 'line' })]).toEqual([['one', 'two'], []]);
  });
});

describe('stop()', () => {
  afterEach(() => void vi.unstubAllGlobals());

  it.each([
    ['GET', ['last', '']],
    ['POST', ['last']],
  ])('to @microsoft/fetch-event-source that sends %s gives %j', async (method, expected) => {
    const running = await serve(
      bare,
      sse(async (stream) => {
        await stream.send({ id: '1', data: 'last' });
        await stream.stop();
      }),
    );
    vi.stubGlobal('document', {
      hidden: false,
      addEventListener: () => undefined,
      removeEventListener: () => undefined,
    });
    vi.stubGlobal('window', { fetch, setTimeout, clearTimeout });
    const data: string[] = [];
    await settles(fetchEventSource(running.origin, { method, onmessage: (message) => void data.push(message.data) }));
    expect(data).toEqual(expected);
  });
});
