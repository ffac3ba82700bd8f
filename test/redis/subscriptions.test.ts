import { expect, it, onTestFinished } from 'vitest';
import type { RedisAdapter } from '../../src/redis/connection/adapter.ts';
import { Link } from '../../src/redis/connection/link.ts';
import { type Follower, Subscriptions } from '../../src/redis/connection/subscriptions.ts';
import { turns, until } from '../support/until.ts';

/** A connection whose replies to `UNSUBSCRIBE` come when the test says so. */
function connection(): { adapter: RedisAdapter; replies: (() => void)[] } {
  const replies: (() => void)[] = [];
  const adapter: RedisAdapter = {
    eval: () => Promise.resolve([]),
    ping: () => Promise.resolve(),
    subscribe: () => Promise.resolve(() => new Promise<void>((resolve) => void replies.push(resolve))),
    duplicate: () => Promise.resolve(adapter),
    close: () => undefined,
  };
  return { adapter, replies };
}

function follower(): Follower & { subscribed: number } {
  return {
    subscribed: 0,
    onSubscribed() {
      this.subscribed += 1;
    },
    onMessage: () => undefined,
  };
}

// A microtask is less than a turn: a follower comes in each of those that the reply takes to be worked off.
it.each(Array.from({ length: 16 }, (_, microtasks) => microtasks))(
  'a follower that comes %i microtasks after the last one has left is subscribed',
  async (microtasks) => {
    const { adapter, replies } = connection();
    const errors: unknown[] = [];
    const link = new Link(
      () => Promise.resolve(adapter),
      { ping: 60_000, timeout: 60_000 },
      { onUp: () => subscriptions.renew(), onDown: (error) => errors.push(error) },
    );
    const subscriptions = new Subscriptions(link, 60_000, (error) => errors.push(error));
    onTestFinished(() => {
      subscriptions.close();
      link.close();
    });
    const first = follower();
    const leave = subscriptions.add('ticks', first);
    await until(() => first.subscribed === 1);
    leave();
    await until(() => replies.length === 1);

    const second = follower();
    replies[0]!();
    for (let count = 0; count < microtasks; count++) await undefined;
    subscriptions.add('ticks', second);
    await turns();
    expect(second.subscribed).toBe(1);
    expect(subscriptions.size).toBe(1);
    expect(errors).toEqual([]);
  },
);
