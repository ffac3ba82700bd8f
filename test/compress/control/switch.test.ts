import { PassThrough, Transform } from 'node:stream';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Codec } from '../../../src/compress/codec.ts';
import { compress, gzip } from '../../../src/compress/index.ts';
import type { CompressErrorMessage } from '../../../src/compress/events.ts';
import { createSwitch, type SwitchState } from '../../../src/compress/control/switch.ts';
import { CodecFailedError, CodecUnavailableError, InvalidOptionError } from '../../../src/errors.ts';
import { makeDeferred } from '../../../src/internal/deferred.ts';
import { settles, turns } from '../../support/until.ts';

const coded = Uint8Array.of(1);
const ready: Codec = { coding: 'x-ready', available: true, encode: () => coded };

/** A codec whose loading is settled by hand. */
function slow(coding: string) {
  const loaded = makeDeferred();
  const calls: string[] = [];
  const codec: Codec = {
    coding,
    available: true,
    load: () => {
      calls.push('load');
      return loaded.promise;
    },
    encode: () => {
      calls.push('encode');
      return coded;
    },
  };
  return { codec, calls, loaded: loaded.resolve, failed: loaded.reject };
}

function publishedErrors(): unknown[] {
  const errors: unknown[] = [];
  const note = (message: unknown): void => void errors.push((message as CompressErrorMessage).error);
  subscribe('sluice:compress:error', note);
  onTestFinished(() => void unsubscribe('sluice:compress:error', note));
  return errors;
}

describe('createSwitch', () => {
  it('is on, with an empty profile, at version 0', () => {
    const toggle = createSwitch();
    expect(toggle.current).toEqual({ enabled: true, profile: {}, version: 0 });
    expect([toggle.enabled, toggle.profile, toggle.version]).toEqual([true, {}, 0]);
  });

  it('keeps a frozen copy of its profile', () => {
    const given = { level: 4, threshold: '1kb' };
    const toggle = createSwitch(given);
    given.level = 9;
    expect(toggle.profile).toEqual({ level: 4, threshold: 1024 });
    expect([toggle.current, toggle.profile].map((each) => Object.isFrozen(each))).toEqual([true, true]);
  });

  it('does not load the codecs', async () => {
    const { codec, calls } = slow('x');
    createSwitch({ codecs: [codec] });
    await turns();
    expect(calls).toEqual([]);
  });

  it('refuses a bad profile', () => {
    expect(() => createSwitch({ level: 11 })).toThrow(InvalidOptionError);
    expect(() => createSwitch({ level: 11 })).toThrow('`switch.profile.level`');
  });
});

describe('enable and disable', () => {
  it('replace the state as a whole, and count', () => {
    const toggle = createSwitch({ level: 4 });
    const before = toggle.current;
    toggle.disable();
    expect(toggle.current).toEqual({ enabled: false, profile: { level: 4 }, version: 1 });
    expect(toggle.profile).toBe(before.profile);
    expect(before).toEqual({ enabled: true, profile: { level: 4 }, version: 0 });
    toggle.enable();
    expect(toggle.current).toMatchObject({ enabled: true, version: 2 });
  });

  it('neither count nor tell anybody when nothing changes', () => {
    const toggle = createSwitch();
    const told: SwitchState[] = [];
    toggle.on('change', (state) => told.push(state));
    const before = toggle.current;
    toggle.enable();
    expect(toggle.current).toBe(before);
    toggle.disable();
    toggle.disable();
    expect([toggle.version, told.length]).toEqual([1, 1]);
  });
});

describe('on', () => {
  it('tells of each change, before the call that makes it returns', () => {
    const toggle = createSwitch();
    const told: SwitchState[] = [];
    toggle.on('change', (state) => {
      expect(state).toBe(toggle.current);
      told.push(state);
    });
    toggle.disable();
    expect(told).toEqual([{ enabled: false, profile: {}, version: 1 }]);
  });

  it('returns its own undo, also for a function that is registered twice', () => {
    const toggle = createSwitch();
    let calls = 0;
    const listener = (): void => void calls++;
    const undos = [toggle.on('change', listener), toggle.on('change', listener)];
    toggle.disable();
    expect(calls).toBe(2);
    undos[0]!();
    undos[0]!();
    toggle.enable();
    expect(calls).toBe(3);
    undos[1]!();
    toggle.disable();
    expect(calls).toBe(3);
  });

  it('tells the others when a listener throws, and publishes what it threw', () => {
    const errors = publishedErrors();
    const toggle = createSwitch();
    const told: number[] = [];
    const error = new Error('mine');
    toggle.on('change', () => {
      throw error;
    });
    toggle.on('change', ({ version }) => told.push(version));
    toggle.disable();
    expect([toggle.version, told, errors]).toEqual([1, [1], [error]]);
  });

  it('tells everybody in the order of the changes, also of one that a listener makes', () => {
    const toggle = createSwitch();
    const first: number[] = [];
    const second: number[] = [];
    toggle.on('change', ({ version }) => {
      first.push(version);
      if (version === 1) toggle.enable();
    });
    toggle.on('change', ({ version }) => second.push(version));
    toggle.disable();
    expect([first, second]).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });

  it('does not tell a listener that another has just removed, or just added', () => {
    const toggle = createSwitch();
    const told: string[] = [];
    toggle.on('change', () => {
      removeLast();
      toggle.on('change', () => told.push('added'));
    });
    const removeLast = toggle.on('change', () => told.push('removed'));
    toggle.disable();
    expect(told).toEqual([]);
    toggle.enable();
    expect(told).toEqual(['added']);
  });

  it('refuses an event that does not exist, and what is no function', () => {
    const toggle = createSwitch();
    expect(() => toggle.on('swap' as never, () => undefined)).toThrow('`switch.on`');
    expect(() => toggle.on('change', 5 as never)).toThrow('`switch.on.listener`');
  });
});

describe('swap', () => {
  it('replaces the profile, and counts', async () => {
    const toggle = createSwitch({ level: 4 });
    const told: SwitchState[] = [];
    toggle.on('change', (state) => told.push(state));
    await settles(toggle.swap({ name: 'thrifty', threshold: '2kb' }));
    expect(toggle.current).toEqual({ enabled: true, profile: { name: 'thrifty', threshold: 2048 }, version: 1 });
    expect(told).toEqual([toggle.current]);
  });

  it('loads the codecs and has each encode a little before the profile is used', async () => {
    const toggle = createSwitch();
    const [one, other] = [slow('x-one'), slow('x-other')];
    const swapped = toggle.swap({ codecs: [one.codec, other.codec] });
    one.loaded();
    await turns();
    expect([one.calls, other.calls, toggle.version]).toEqual([['load', 'encode'], ['load'], 0]);
    other.loaded();
    await settles(swapped);
    expect([other.calls, toggle.version]).toEqual([['load', 'encode'], 1]);
  });

  it('waits for an encode in another thread', async () => {
    const toggle = createSwitch();
    let finish!: (coded: Uint8Array) => void;
    const codec: Codec = { coding: 'x', available: true, encode: () => new Promise((resolve) => (finish = resolve)) };
    const swapped = toggle.swap({ codecs: [codec] });
    await turns();
    expect(toggle.version).toBe(0);
    finish(coded);
    await settles(swapped);
    expect(toggle.version).toBe(1);
  });

  it('encodes at tier 0, with the size, and makes each kind of encoder and ends it', async () => {
    const made: string[] = [];
    const seen: unknown[] = [];
    const codec: Codec = {
      coding: 'x',
      available: true,
      encode: (body, settings) => {
        seen.push({ ...settings, length: body.length });
        return body;
      },
      createStream: () => {
        const transform = new PassThrough();
        transform.on('close', () => made.push('stream closed'));
        return { transform, memory: 0, flush: (callback) => callback() };
      },
      createBlocks: () => ({ memory: 0, encode: (text) => text, close: () => void made.push('blocks closed') }),
    };
    await settles(createSwitch().swap({ codecs: [codec] }));
    await turns();
    expect(made.toSorted()).toEqual(['blocks closed', 'stream closed']);
    expect(seen).toEqual([
      { tier: 0, size: expect.any(Number), padding: 0, length: (seen[0] as { size: number }).size },
    ]);
  });

  it('has a stream and blocks encode a little, and flush', async () => {
    const seen: string[] = [];
    const codec: Codec = {
      coding: 'x',
      available: true,
      createStream: () => {
        const transform = new PassThrough();
        transform.on('data', (bytes: Uint8Array) => seen.push(`stream ${bytes.length > 0}`));
        transform.on('end', () => seen.push('stream end'));
        return {
          transform,
          memory: 0,
          flush: (callback) => {
            seen.push('flush');
            callback();
          },
        };
      },
      createBlocks: () => ({
        memory: 0,
        encode: (text, last) => {
          seen.push(`block ${text.length > 0} ${last}`);
          return text;
        },
        close: () => undefined,
      }),
    };
    await settles(createSwitch().swap({ codecs: [codec] }));
    expect(seen.toSorted()).toEqual(['block false true', 'block true false', 'flush', 'stream end', 'stream true']);
  });

  it('rejects where an encoder cannot be made', async () => {
    const toggle = createSwitch();
    const failing = (): never => {
      throw new Error('cannot be made');
    };
    for (const part of [{ createStream: failing }, { createBlocks: failing }]) {
      await expect(
        settles(toggle.swap({ codecs: [ready, { coding: 'x', available: true, ...part }] })),
      ).rejects.toThrow('cannot be made');
    }
    expect(toggle.version).toBe(0);
  });

  it('takes codecs that have nothing to load or that encode only streams', async () => {
    const toggle = createSwitch();
    await settles(toggle.swap({ codecs: [{ coding: 'x', available: true }] }));
    expect(toggle.version).toBe(1);
  });

  it('takes a codec that is not available, as long as another is, and does not try to use it', async () => {
    const toggle = createSwitch();
    const absent: Codec = {
      coding: 'zstd',
      available: false,
      load: () => Promise.resolve(),
      encode: () => {
        throw new Error('not available');
      },
    };
    await settles(toggle.swap({ codecs: [absent, ready] }));
    expect(toggle.profile.codecs).toEqual([absent, ready]);
  });

  it('takes a codec that becomes available by loading', async () => {
    const toggle = createSwitch();
    const codec = {
      coding: 'x',
      available: false,
      load: () => {
        codec.available = true;
        return Promise.resolve();
      },
    };
    await settles(toggle.swap({ codecs: [codec] }));
    expect(toggle.version).toBe(1);
  });

  it('takes a profile that offers nothing', async () => {
    const toggle = createSwitch({ codecs: [ready] });
    await settles(toggle.swap({ codecs: [] }));
    expect(toggle.profile).toEqual({ codecs: [] });
  });

  it('refuses a profile none of whose codecs is available', async () => {
    const toggle = createSwitch({ level: 4 });
    const swapped = toggle.swap({
      codecs: [
        { coding: 'zstd', available: false },
        { coding: 'br', available: false },
      ],
    });
    const error: unknown = await settles(swapped.catch((reason: unknown) => reason));
    expect(error).toBeInstanceOf(CodecUnavailableError);
    expect(error).toMatchObject({ code: 'ERR_SLUICE_CODEC_UNAVAILABLE', coding: 'zstd, br' });
    expect((error as Error).message).toContain('install');
    expect(toggle.current).toEqual({ enabled: true, profile: { level: 4 }, version: 0 });
  });

  it.each<[string, Partial<Codec>]>([
    ['load rejects', { load: () => Promise.reject(new Error('mine')) }],
    [
      'load throws',
      {
        load: () => {
          throw new Error('mine');
        },
      },
    ],
    ['encode rejects', { encode: () => Promise.reject(new Error('mine')) }],
    [
      'encode throws',
      {
        encode: () => {
          throw new Error('mine');
        },
      },
    ],
  ])('rejects with the error, and changes nothing, when %s', async (_name, part) => {
    const toggle = createSwitch();
    const before = toggle.current;
    toggle.on('change', () => expect.unreachable());
    await expect(settles(toggle.swap({ codecs: [ready, { coding: 'x', available: true, ...part }] }))).rejects.toThrow(
      'mine',
    );
    expect(toggle.current).toBe(before);
  });

  it('rejects a bad profile, and does not throw', async () => {
    const toggle = createSwitch();
    const swapped = toggle.swap({ codecs: 'gzip' } as never);
    await expect(swapped).rejects.toBeInstanceOf(InvalidOptionError);
    await expect(swapped).rejects.toMatchObject({ option: 'switch.profile.codecs' });
    expect(toggle.version).toBe(0);
  });

  it('reads the profile at the call, and not when its turn comes', async () => {
    const toggle = createSwitch();
    const { codec, loaded } = slow('x');
    const given = { codecs: [codec], threshold: 4 };
    const swapped = toggle.swap(given);
    given.threshold = 9;
    given.codecs.pop();
    loaded();
    await settles(swapped);
    expect(toggle.profile).toEqual({ codecs: [codec], threshold: 4 });
  });

  it.each([true, false])('keeps what is thrown while it warms up (enabled: %s)', async (enabled) => {
    const toggle = createSwitch();
    if (enabled) toggle.disable();
    const { codec, loaded } = slow('x');
    const swapped = toggle.swap({ codecs: [codec], name: 'next' });
    await turns();
    if (enabled) toggle.enable();
    else toggle.disable();
    loaded();
    await settles(swapped);
    expect(toggle.current).toMatchObject({ enabled, profile: { name: 'next' } });
  });

  it('tells listeners before it resolves', async () => {
    const toggle = createSwitch();
    const order: string[] = [];
    toggle.on('change', () => order.push('change'));
    await settles(toggle.swap({}).then(() => order.push('resolved')));
    expect(order).toEqual(['change', 'resolved']);
  });
});

describe('a codec that does not settle', () => {
  const never = (): Promise<never> => new Promise(() => undefined);

  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());

  const ended: string[] = [];
  const silent: readonly (readonly [member: string, Partial<Codec>])[] = [
    ['load', { load: never }],
    ['encode', { encode: never }],
    [
      'createStream',
      {
        createStream: () => {
          const transform = new Transform({ transform: () => undefined });
          transform.on('close', () => ended.push('createStream'));
          return { transform, memory: 0, flush: () => undefined };
        },
      },
    ],
    [
      'createBlocks',
      { createBlocks: () => ({ memory: 0, encode: never, close: () => void ended.push('createBlocks') }) },
    ],
  ];

  it.each(silent)('has a swap rejected after 10 s, and leaves nothing open: %s', async (member, part) => {
    ended.length = 0;
    const toggle = createSwitch({ name: 'before' });
    const { current } = toggle;
    let error: unknown;
    const swapped = toggle.swap({ codecs: [ready, { coding: 'x-silent', available: true, ...part }] });
    swapped.catch((reason: unknown) => (error = reason));
    await vi.advanceTimersByTimeAsync(9_900);
    expect(error).toBeUndefined();
    await vi.advanceTimersByTimeAsync(200);
    await turns();
    expect(error).toBeInstanceOf(CodecFailedError);
    expect(error).toMatchObject({ code: 'ERR_SLUICE_CODEC_FAILED', coding: 'x-silent', member });
    expect(toggle.current).toBe(current);
    expect(ended).toEqual(member.startsWith('create') ? [member] : []);
    // The limit of an encode in a response is longer.
    await vi.advanceTimersByTimeAsync(30_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('among the options of a middleware, does not keep later swaps from taking effect', async () => {
    const errors = publishedErrors();
    const compression = compress({ codecs: [{ coding: 'x-silent', available: false, load: never }, gzip()] });
    for (const name of ['first', 'second']) {
      const swapped = compression.switch.swap({ name });
      await vi.advanceTimersByTimeAsync(10_100);
      await swapped;
      expect(compression.switch.profile.name).toBe(name);
    }
    expect(errors).toContainEqual(expect.any(CodecFailedError));
  });

  it('is loaded again by the next swap', async () => {
    const toggle = createSwitch();
    let loads = 0;
    const codec: Codec = { ...ready, load: () => (loads++ === 0 ? never() : Promise.resolve()) };
    const outcomes = [toggle.swap({ codecs: [codec] })];
    outcomes[0]!.catch(() => undefined);
    await vi.advanceTimersByTimeAsync(10_100);
    await turns();
    await toggle.swap({ codecs: [codec], name: 'again' });
    expect([loads, toggle.profile.name]).toEqual([2, 'again']);
    expect(await Promise.allSettled(outcomes)).toMatchObject([{ status: 'rejected' }]);
  });
});

describe('swaps at the same time', () => {
  it('warm up beside each other, and take effect when they are ready, in the order of their calls', async () => {
    const toggle = createSwitch();
    const names: (string | undefined)[] = [];
    toggle.on('change', ({ profile }) => names.push(profile.name));
    const [first, second, third] = [slow('x-1'), slow('x-2'), slow('x-3')];
    const swaps = [first, second, third].map(({ codec }, index) =>
      toggle.swap({ name: String(index + 1), codecs: [codec] }),
    );
    for (const each of [first, second, third]) {
      each.loaded();
      await turns();
    }
    await settles(Promise.all(swaps));
    expect([names, toggle.version]).toEqual([['1', '2', '3'], 3]);
  });

  it('wait for no other, and one that is ready after a later one changes nothing and resolves', async () => {
    const toggle = createSwitch();
    const names: (string | undefined)[] = [];
    toggle.on('change', ({ profile }) => names.push(profile.name));
    const [first, second, never, fourth] = [slow('x-1'), slow('x-2'), slow('x-3'), slow('x-4')];
    const swaps = [first, second, never, fourth].map(({ codec }, index) =>
      toggle.swap({ name: String(index + 1), codecs: [codec] }),
    );
    second.loaded();
    await settles(swaps[1]!);
    expect([names, second.calls]).toEqual([['2'], ['load', 'encode']]);
    fourth.loaded();
    await settles(swaps[3]!);
    first.loaded();
    await settles(swaps[0]!);
    expect([names, toggle.profile.name, toggle.version]).toEqual([['2', '4'], '4', 2]);
    never.failed(new Error('late'));
    await expect(settles(swaps[2]!)).rejects.toThrow('late');
    expect([names, toggle.version]).toEqual([['2', '4'], 2]);
  });

  it('go on after one that fails, whether it fails before a later one is ready or after', async () => {
    const toggle = createSwitch();
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    onTestFinished(() => void process.off('unhandledRejection', note));
    const [first, second, third] = [slow('x-1'), slow('x-2'), slow('x-3')];
    const swaps = [first, second, third].map(({ codec }, index) =>
      toggle.swap({ name: String(index + 1), codecs: [codec] }),
    );
    const outcomes = Promise.allSettled(swaps);
    second.failed(new Error('second'));
    await turns();
    third.loaded();
    first.failed(new Error('first'));
    expect((await settles(outcomes)).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    await expect(swaps[0]).rejects.toThrow('first');
    await expect(swaps[1]).rejects.toThrow('second');
    await turns();
    expect([toggle.profile.name, toggle.version, unhandled]).toEqual(['3', 1, []]);
  });

  it('are not held up by one whose profile is bad', async () => {
    const toggle = createSwitch();
    const swaps = [toggle.swap({ level: 99 }), toggle.swap({ name: 'good' })];
    expect((await settles(Promise.allSettled(swaps))).map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(toggle.profile.name).toBe('good');
  });
});

it('never shows half a change, whatever is thrown and swapped at random', async () => {
  const toggle = createSwitch({ name: '0', threshold: 0 });
  const seen: SwitchState[] = [toggle.current];
  toggle.on('change', (state) => seen.push(state));
  const swaps: Promise<void>[] = [];
  for (let index = 1; index <= 300; index++) {
    const threshold = index % 10;
    const codec: Codec = { ...ready, load: () => turns(index % 3) };
    swaps.push(toggle.swap({ name: String(index), threshold, codecs: [codec] }));
    if (index % 2 === 0) toggle.disable();
    else toggle.enable();
    if (index % 7 === 0) await turns(1);
    const { current } = toggle;
    expect(current.profile.threshold).toBe(Number(current.profile.name) % 10);
  }
  await settles(Promise.all(swaps));
  expect(seen.map(({ version }) => version)).toEqual(seen.map((_state, index) => index));
  const names = seen.map(({ profile }) => Number(profile.name));
  expect(names).toEqual(names.toSorted((a, b) => a - b));
  expect(toggle.current).toMatchObject({ enabled: false, profile: { name: '300' } });
});
