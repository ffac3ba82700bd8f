import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ParsedEvent } from '../support/event-parser.ts';
import {
  consoleErrorsOf,
  eventsOf,
  lacksBrowser,
  launchBrowser,
  openPage,
  patient,
  type RunningExample,
  runExample,
  startTimeout,
  whenListening,
} from './support.ts';

function startChat(): Promise<RunningExample> {
  return whenListening(runExample('chat/server.js'));
}

function post(url: string, user: string, body: unknown): Promise<Response> {
  return fetch(`${url}/messages?user=${user}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

async function say(url: string, user: string, message: { room?: string; to?: string; text: string }): Promise<void> {
  expect((await post(url, user, message)).status).toBe(204);
}

interface Message {
  readonly from: string;
  readonly text: string;
  readonly to?: string;
}

/** A client of the stream, without a browser. It connects when it is first read. */
class Client {
  readonly texts: string[] = [];
  users: string[] = [];
  lastId = '';
  readonly #events: AsyncGenerator<ParsedEvent, void>;

  constructor(url: string, { user, room = 'lobby' }: { user: string; room?: string }, lastId = '') {
    this.#events = eventsOf(`${url}/events?user=${user}&room=${room}`, lastId);
  }

  /** Reads until the condition is true. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const { value: event } = await this.#events.next();
      if (!event) throw new Error('The stream ended');
      const data = JSON.parse(event.data) as Message & { users: string[] };
      this.lastId = event.lastEventId;
      if (event.type === 'message') this.texts.push(data.text);
      else if (event.type === 'presence') this.users = data.users;
      else throw new Error(`Unexpected: ${event.type} ${event.data}`);
    }
  }

  isWith(...users: string[]): Promise<void> {
    return this.until(() => this.users.join() === users.join());
  }

  has(text: string): Promise<void> {
    return this.until(() => this.texts.includes(text));
  }

  async leave(): Promise<void> {
    await this.#events.return();
  }
}

it('rooms: messages reach all inside, private ones two users, and a client that comes back misses none', async () => {
  const { url, stop } = await startChat();
  const ann = new Client(url, { user: 'ann' });
  const bob = new Client(url, { user: 'bob' });
  const eve = new Client(url, { user: 'eve' });
  const tom = new Client(url, { user: 'tom', room: 'music' });
  await Promise.all([tom.isWith('tom'), ...[ann, bob, eve].map((each) => each.isWith('ann', 'bob', 'eve'))]);

  await say(url, 'ann', { room: 'lobby', text: 'hello' });
  for (const each of [ann, bob, eve]) await each.has('hello');
  await bob.leave();
  await ann.isWith('ann', 'eve');
  await say(url, 'ann', { to: 'bob', text: 'psst' });
  await say(url, 'eve', { room: 'lobby', text: 'where is bob?' });
  await say(url, 'tom', { room: 'music', text: 'la la' });
  const again = new Client(url, { user: 'bob' }, bob.lastId);
  await again.until(() => again.texts.length === 2);
  await again.isWith('ann', 'bob', 'eve');
  await say(url, 'bob', { room: 'lobby', text: 'here' });

  for (const each of [again, ann, eve]) await each.has('here');
  await tom.has('la la');
  expect(again.texts.toSorted()).toEqual(['here', 'psst', 'where is bob?']);
  expect(ann.texts.toSorted()).toEqual(['hello', 'here', 'psst', 'where is bob?']);
  expect(eve.texts).toEqual(['hello', 'where is bob?', 'here']);
  expect(tom.texts).toEqual(['la la']);
  const late = new Client(url, { user: 'zoe' });
  await late.has('here');
  expect(late.texts).toEqual(['hello', 'where is bob?', 'here']);
  for (const each of [ann, again, eve, tom, late]) await each.leave();
  expect(await stop('SIGTERM')).toEqual({ code: 0, signal: null, stderr: '' });
});

it('refuses what is wrong, and rooms that a user may not enter', async () => {
  const { url } = await startChat();
  const statusOf = async (path: string): Promise<number> => (await fetch(`${url}${path}`)).status;
  expect(await statusOf('/events?room=lobby')).toBe(400);
  expect(await statusOf('/events?user=a%0Ab&room=lobby')).toBe(400);
  expect(await statusOf('/events?user=eve&room=staff')).toBe(403);
  expect(await statusOf('/events?user=eve')).toBe(403);
  expect(await (await fetch(`${url}/rooms?user=eve`)).json()).toEqual(['lobby', 'music']);
  expect(await (await fetch(`${url}/rooms?user=ann`)).json()).toContain('staff');
  const wrong = [
    '{',
    {},
    { text: 'no place' },
    { room: 'lobby' },
    { room: 'lobby', text: ' ' },
    { room: 'lobby', text: 7 },
    { room: 'lobby', text: 'x'.repeat(501) },
    { room: ['lobby'], text: 'list' },
    { to: 'a b', text: 'name' },
    { to: 'bob', room: 'lobby', text: 'both' },
  ];
  for (const body of wrong) {
    const response = await post(url, 'eve', body);
    expect([body, response.status]).toEqual([body, 400]);
    expect(await response.json()).toEqual({ error: expect.any(String) });
  }
  expect((await post(url, 'eve', { room: 'staff', text: 'hi' })).status).toBe(403);
  expect((await post(url, '', { room: 'lobby', text: 'hi' })).status).toBe(400);
});

describe.skipIf(lacksBrowser('the page of the chat'))('the page of the chat', { timeout: 120_000 }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  }, startTimeout);
  afterAll(() => browser.close());

  const texts = (page: Page): Promise<string[]> => page.locator('#messages span').allTextContents();
  const users = (page: Page): Promise<string[]> => page.locator('#users li').allTextContents();

  it('shows messages of others, catches up after a reload, and works with the keyboard alone', async () => {
    const { url } = await startChat();
    const ann = await openPage(browser, url, { colorScheme: 'dark' });
    await ann.keyboard.type('ann');
    await ann.keyboard.press('Enter');
    await expect.poll(() => users(ann), patient).toEqual(['ann (you)']);
    const bob = await openPage(browser, `${url}/?user=bob`, { colorScheme: 'light' });
    await expect.poll(() => users(ann), patient).toEqual(['ann (you)', 'bob']);

    await ann.keyboard.type('<b>hello</b>');
    await ann.keyboard.press('Enter');
    for (const page of [ann, bob]) await expect.poll(() => texts(page), patient).toEqual(['<b>hello</b>']);
    await bob.goto(`${url}/style.css`);
    await expect.poll(() => users(ann), patient).toEqual(['ann (you)']);
    await say(url, 'ann', { room: 'lobby', text: 'missed' });
    await say(url, 'ann', { to: 'bob', text: 'secret' });
    const resumed = bob.waitForRequest(/\/events\?.*lastEventId=./);
    await bob.goto(`${url}/?user=bob`);

    await resumed;
    await expect.poll(() => texts(bob), patient).toEqual(['<b>hello</b>', 'missed', 'secret']);
    await bob.reload();
    await bob.getByLabel('To').selectOption('ann');
    await bob.getByLabel('Message', { exact: true }).fill('answer');
    await bob.keyboard.press('Enter');
    for (const page of [ann, bob])
      await expect.poll(() => texts(page), patient).toEqual(['<b>hello</b>', 'missed', 'secret', 'answer']);
    expect(await bob.locator('#messages .private').count()).toBe(2);
    const colorOf = (page: Page): Promise<string> => page.evaluate('getComputedStyle(document.body).backgroundColor');
    expect(await colorOf(ann)).not.toBe(await colorOf(bob));
    // A blocked script or style is an error of the console.
    for (const page of [ann, bob]) expect(consoleErrorsOf(page)).toEqual([]);
  });
});
