import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createClient } from 'redis';
import type { Codec } from '../../src/compress/codec.ts';
import { compress } from '../../src/compress/index.ts';
import { InvalidOptionError } from '../../src/errors.ts';
import { type RedisAdapter, redisSwitch, type RedisSwitch, type RedisSwitchOptions } from '../../src/redis/index.ts';
import { deferred } from '../support/deferred.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { settles, turns, until } from '../support/until.ts';

const profiles = { normal: {}, cheap: { level: 1 }, off: { codecs: [] } };

describe('redisSwitch on a real Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis('--appendfsync', 'always');
  });
  afterAll(() => redis.stop());

  let fleets = 0;
  /** The name of a fleet of its own. */
  const newFleet = (): string => `fleet-${(fleets += 1)}`;

  function join(name: string, options: Partial<RedisSwitchOptions> = {}): RedisSwitch {
    const instance = redisSwitch({ url: redis.url, name, profiles, ...options });
    onTestFinished(() => instance.close());
    return instance;
  }

  const stateOf = ({ enabled, profile }: RedisSwitch): unknown[] => [enabled, profile.name];

  async function converge(instances: readonly RedisSwitch[], state: readonly unknown[]): Promise<void> {
    const seen = (): string => JSON.stringify(instances.map(stateOf));
    await until(() => seen() === JSON.stringify(instances.map(() => state)), seen);
  }

  it('is on, with its first profile, where nothing was written so far', async () => {
    const one = join(newFleet());
    expect(stateOf(one)).toEqual([true, 'normal']);
    await settles(one.ready);
    expect([...stateOf(one), one.version]).toEqual([true, 'normal', 0]);
  });

  it('sets all instances, and the one that changed it before the promise resolves', async () => {
    const name = newFleet();
    const [one, other] = [join(name), join(name)];
    await Promise.all([one.ready, other.ready]);
    await one.swap('cheap');
    expect([...stateOf(one), one.profile.level]).toEqual([true, 'cheap', 1]);
    await converge([other], [true, 'cheap']);
    await other.disable();
    expect(other.enabled).toBe(false);
    await converge([one], [false, 'cheap']);
    await one.enable();
    await one.swap({ name: 'normal' });
    await converge([one, other], [true, 'normal']);
  });

  it('starts a new instance as the fleet is', async () => {
    const name = newFleet();
    const one = join(name);
    await one.swap('cheap');
    await one.disable();
    const late = join(name, { profiles: { off: { codecs: [] }, cheap: { level: 1 } } });
    await settles(late.ready);
    expect(stateOf(late)).toEqual([false, 'cheap']);
  });

  it('gives the state back to a Redis that forgot it while all stayed connected', async () => {
    const name = newFleet();
    const one = join(name);
    await one.ready;
    await one.swap('cheap');
    await one.disable();
    await redis.command('FLUSHALL');
    // A new one finds nothing, and asks.
    const late = join(name);
    await converge([one, late], [false, 'cheap']);
    await redis.command('FLUSHALL');
    await redis.command('PUBLISH', `sluice:switch:${name}`, '1 1 off');
    const later = join(name);
    await converge([one, late, later], [false, 'cheap']);
    await later.swap('normal');
    await converge([one, late, later], [false, 'normal']);
  });

  it('ends with the same state everywhere, however many change it at once', async () => {
    const name = newFleet();
    const instances = [join(name), join(name), join(name)];
    await Promise.all(instances.map(({ ready }) => ready));
    const names = Object.keys(profiles);
    await Promise.all(
      Array.from({ length: 60 }, (_, index) => {
        const instance = instances[index % 3]!;
        return index % 5 === 0 ? instance.disable() : instance.swap(names[index % names.length]!);
      }),
    );
    await instances[0]!.swap('cheap');
    await instances[1]!.enable();
    await converge(instances, [true, 'cheap']);
  });

  it('makes a change once, though it arrives again after later ones: from a connection that was dark', async () => {
    const name = newFleet();
    const client = await createClient({ url: redis.url }).connect();
    onTestFinished(() => client.destroy());
    const calls: (() => Promise<unknown>)[] = [];
    const adapter = (own: typeof client): RedisAdapter => ({
      eval: (script, keys, args) => {
        const call = (): Promise<unknown> => own.eval(script, { keys: [...keys], arguments: [...args] });
        calls.push(call);
        return call();
      },
      ping: () => own.ping(),
      subscribe: async (channel, listener) => {
        await own.subscribe(channel, listener);
        return () => own.unsubscribe(channel, listener);
      },
      duplicate: async () => adapter((await own.duplicate().connect()) as typeof client),
      close: () => own.destroy(),
    });
    const one = redisSwitch({ client: adapter(client), name, profiles });
    onTestFinished(() => one.close());
    const other = join(name);
    await Promise.all([one.ready, other.ready]);
    await one.disable();
    await one.disable();
    await one.swap('cheap');
    await other.swap('normal');
    await other.enable();
    for (const call of calls) await call();
    const late = join(name);
    await late.ready;
    expect([...stateOf(late), ...stateOf(other)]).toEqual([true, 'normal', true, 'normal']);
  });

  it('writes no version where nothing changes', async () => {
    const name = newFleet();
    const [one, other] = [join(name), join(name)];
    await Promise.all([one.ready, other.ready]);
    await one.disable();
    await one.disable();
    await other.disable();
    const hash = await redis.command('HMGET', `sluice:switch:${name}`, 'version', 'enabled', 'profile');
    expect(hash).toBe('*3\r\n$1\r\n1\r\n$1\r\n0\r\n$6\r\nnormal\r\n');
  });

  it('keeps its profile where it does not have the one of the fleet, and reports it', async () => {
    const name = newFleet();
    const old = join(name, { profiles: { normal: {} } });
    const one = join(name);
    await Promise.all([old.ready, one.ready]);
    const errors = publishedErrors();
    await one.swap('cheap');
    await until(() => errors.length > 0);
    expect(String(errors[0])).toMatch(/has no `cheap`, to which the fleet has changed. This instance keeps `normal`/);
    await one.disable();
    await converge([old], [false, 'normal']);
    await one.swap('normal');
    await one.enable();
    await converge([old, one], [true, 'normal']);
  });

  it('warms codecs up in each instance, and brings no profile to others that fails here', async () => {
    const name = newFleet();
    let loads = 0;
    const codec: Codec = {
      coding: 'x-slow',
      available: true,
      load: () => {
        loads += 1;
        return Promise.reject(new Error('cannot be loaded'));
      },
      encode: () => Uint8Array.of(1),
    };
    const bad = join(name, { profiles: { normal: {}, cheap: { codecs: [codec] } } });
    const good = join(name, { profiles: { normal: {}, cheap: { level: 1 } } });
    const compression = compress({ switch: bad });
    onTestFinished(() => compression.close());
    publishedErrors('compress');
    await Promise.all([bad.ready, good.ready]);
    await expect(bad.swap('cheap')).rejects.toThrow('cannot be loaded');
    expect(loads).toBeGreaterThan(0);
    await bad.disable();
    await converge([bad, good], [false, 'normal']);
    const errors = publishedErrors();
    await good.swap('cheap');
    await until(() => errors.length > 0);
    expect(String(errors[0])).toMatch('cannot be loaded');
    expect(stateOf(bad)).toEqual([false, 'normal']);
  });

  it('refuses a name that is none of its profiles, before anything is written', async () => {
    const one = join(newFleet());
    await one.ready;
    for (const name of ['turbo', 'constructor', '', undefined, {}])
      await expect(one.swap(name as string)).rejects.toThrow(InvalidOptionError);
    expect(one.version).toBe(0);
  });

  it('reads the state of the fleet when it is connected again', async () => {
    const name = newFleet();
    const one = join(name);
    await one.ready;
    errorsAreExpected();
    await one.swap('cheap');
    await redis.signal('SIGKILL');
    expect(stateOf(one)).toEqual([true, 'cheap']);
    await redis.start();
    // Written, and told to none.
    await redis.command('HSET', `sluice:switch:${name}`, 'version', '9', 'enabled', '0', 'profile', 'off');
    await redis.signal('SIGKILL');
    await redis.start();
    await converge([one], [false, 'off']);
  });

  it('writes what it knows where Redis lost it', async () => {
    const name = newFleet();
    const one = join(name);
    await one.ready;
    errorsAreExpected();
    await one.swap('cheap');
    await redis.command('FLUSHALL');
    await redis.signal('SIGKILL');
    await redis.start();
    const late = join(name);
    await late.ready;
    await converge([one, late], [true, 'cheap']);
  });

  it('writes what it knows where Redis lost the newest change alone', async () => {
    const name = newFleet();
    const one = join(name);
    await one.ready;
    errorsAreExpected();
    await one.swap('off');
    await one.swap('cheap');
    // As a failover to a replica that was behind.
    await redis.command('HSET', `sluice:switch:${name}`, 'version', '1', 'enabled', '1', 'profile', 'off');
    await redis.signal('SIGKILL');
    await redis.start();
    const late = join(name);
    await until(() => late.profile.name === 'cheap');
    expect(stateOf(one)).toEqual([true, 'cheap']);
  });

  it('ends with the last of several swaps, also where an earlier one takes longer to load', async () => {
    const name = newFleet();
    const loaded = deferred();
    const codec: Codec = {
      coding: 'x-slow',
      available: true,
      load: () => loaded.promise,
      encode: () => Uint8Array.of(1),
    };
    const one = join(name, { profiles: { normal: {}, slow: { codecs: [codec] }, cheap: { level: 1 } } });
    await one.ready;
    const slow = one.swap('slow');
    await one.swap('cheap');
    loaded.resolve();
    await settles(slow);
    expect(stateOf(one)).toEqual([true, 'cheap']);
    const late = join(name);
    await late.ready;
    expect(stateOf(late)).toEqual([true, 'cheap']);
  });

  it('waits while Redis is paused, and fails clearly when that takes too long', async () => {
    const name = newFleet();
    const [patient, hasty] = [join(name), join(name, { timeout: 100 })];
    await Promise.all([patient.ready, hasty.ready]);
    errorsAreExpected();
    await redis.signal('SIGSTOP');
    onTestFinished(() => redis.signal('SIGCONT'));
    await expect(hasty.disable()).rejects.toMatchObject({ code: 'ERR_SLUICE_BACKPLANE_UNAVAILABLE' });
    expect(hasty.enabled).toBe(true);
    const swapped = patient.swap('cheap');
    await redis.signal('SIGCONT');
    await settles(swapped);
    // The change that failed may be made now: it was sent. It is so for both.
    const isSame = (): boolean => patient.enabled === hasty.enabled && hasty.profile.name === 'cheap';
    await until(isSame, () => JSON.stringify([patient, hasty].map(stateOf)));
  });

  it('reports a change that fails and that nothing waits for', async () => {
    const one = join(newFleet());
    await one.ready;
    one.close();
    const errors = publishedErrors();
    void one.disable();
    await until(() => errors.length > 0);
    expect(errors).toMatchObject([{ code: 'ERR_SLUICE_BACKPLANE_UNAVAILABLE' }]);
    await expect(one.disable()).rejects.toThrow();
    await turns(5);
    expect(errors).toHaveLength(1);
  });

  it('sets processes of their own', async () => {
    const name = newFleet();
    const one = join(name);
    const program = `
      import { redisSwitch } from ${JSON.stringify(new URL('../../dist/redis/index.mjs', import.meta.url).href)};
      const shared = redisSwitch({ url: ${JSON.stringify(redis.url)}, name: ${JSON.stringify(name)}, profiles: { normal: {}, cheap: {} } });
      shared.on('change', ({ enabled, profile }) => console.log(enabled, profile.name));
      await shared.ready;
      console.log('ready');
    `;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    const exit = once(child, 'exit');
    onTestFinished(async () => {
      child.kill();
      await exit;
    });
    await until(
      () => said.includes('ready'),
      () => said,
    );
    await one.swap('cheap');
    await one.disable();
    // In between it may be off first: a profile is warmed up before it is used.
    await until(
      () => said.includes('false cheap'),
      () => said,
    );
  });

  it('uses a client that is given, and leaves it open', async () => {
    const client = await createClient({ url: redis.url }).connect();
    onTestFinished(() => client.destroy());
    const name = newFleet();
    const instance = redisSwitch({ client, name, profiles });
    await settles(instance.ready);
    await instance.disable();
    instance.close();
    expect(await client.hGet(`sluice:switch:${name}`, 'enabled')).toBe('0');
  });
});

describe('redisSwitch', () => {
  it.each<[options: object, message: RegExp]>([
    [{ url: 'redis://a', profiles: {} }, /profiles by name/],
    [{ url: 'redis://a' }, /profiles by name/],
    [{ profiles }, /needs a `url` or a `client`/],
    [{ url: 'redis://a', client: {}, profiles }, /cannot be given with a `url`/],
    [{ url: 'redis://a', profiles: { cheap: { level: 99 } } }, /redisSwitch\.profiles\.cheap\.level/],
    [{ url: 'redis://a', profiles: { cheap: { name: 'other' } } }, /another name than its key/],
    [{ url: 'redis://a', profiles: { '': {} } }, /empty name/],
    [{ url: 'redis://a', profiles, timeout: 0 }, /redisSwitch\.timeout/],
    [{ url: 'redis://a', profiles, keyPrefix: 'x' }, /Did you mean `prefix`/],
  ])('refuses %j', (options, message) => {
    expect(() => redisSwitch(options as RedisSwitchOptions)).toThrow(message);
  });
});

function publishedErrors(part = 'redis'): unknown[] {
  const errors: unknown[] = [];
  const note = (message: unknown): void => void errors.push((message as { error: unknown }).error);
  subscribe(`sluice:${part}:error`, note);
  onTestFinished(() => void unsubscribe(`sluice:${part}:error`, note));
  return errors;
}

/** A connection is lost on purpose: there is no warning of it. */
function errorsAreExpected(): void {
  publishedErrors();
}
