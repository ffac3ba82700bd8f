import { EventEmitter } from 'node:events';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { deadline, pipeBody, waitWritable } from '../../src/index.ts';
import { deadlineInterceptor } from '../../src/deadline/index.ts';
import { IdleLayer } from '../../src/deadline/idle.ts';
import { Context } from '../../src/internal/context/context.ts';
import type { Head } from '../../src/internal/seam/layer.ts';
import type { HttpResponse } from '../../src/internal/http/message.ts';
import { runIn } from '../../src/internal/context/request-context.ts';
import { carriers } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

/** The contexts that are made as children of another, from now on. */
function watchChildren(): Context[] {
  const children: Context[] = [];
  const { child } = Context.prototype;
  vi.spyOn(Context.prototype, 'child').mockImplementation(function (this: Context, options) {
    const created = child.call(this, options);
    children.push(created);
    return created;
  });
  onTestFinished(() => void vi.restoreAllMocks());
  return children;
}

describe.each(carriers)('pipeBody on $name', (carrier) => {
  it('has disposed its part of the context when it settles, while the request goes on', async () => {
    const children = watchChildren();
    const live: boolean[][] = [];
    const look = (): void => void live.push(children.map(({ isLive }) => isLive));
    const sources: Readonly<Record<string, () => Readable>> = {
      '/whole': () => Readable.from(['whole']),
      '/fails': () =>
        new Readable({
          read() {
            this.destroy(new Error('mine'));
          },
        }),
    };
    const running = await serve(carrier, deadline({ default: '1h' }), async (req, res) => {
      await pipeBody(sources[req.url!]!(), req, res).catch(() => undefined);
      look();
      if (!res.writableEnded) res.end('else');
    });
    for (const path of Object.keys(sources)) await settles((await settles(running.visit({ path }))).over);
    await until(() => live.length === 2);
    expect(live).toEqual([[false], [false, false]]);
  });
});

describe('a dispatch that throws', () => {
  it('leaves no part of its context', () => {
    const children = watchChildren();
    const context = new Context(undefined, Infinity);
    const dispatch = deadlineInterceptor()((() => {
      throw new RangeError('mine');
    }) as never) as (options: unknown, handler: unknown) => boolean;
    expect(() => runIn(context, () => dispatch({ path: '/', method: 'GET' }, {}))).toThrow(RangeError);
    expect(children.map(({ isLive }) => isLive)).toEqual([false]);
  });
});

describe('an idle deadline', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  class Still extends IdleLayer {
    looks = 0;

    protected override measure(): string {
      this.looks += 1;
      return 'still';
    }
  }

  it.each(['in the middle', 'before its head'])('leaves no timer when the response closes %s', (when) => {
    const told: string[] = [];
    const layer = new Still({
      res: {} as HttpResponse,
      idle: 1000,
      onStart: () => told.push('start'),
      onIdle: () => told.push('idle'),
    });
    const head = { complete: undefined } as Head;
    if (when === 'in the middle') {
      layer.head(head);
      vi.advanceTimersByTime(600);
      expect(vi.getTimerCount()).toBe(1);
      layer.close();
    } else {
      layer.close();
      layer.head(head);
    }
    const { looks } = layer;
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(10_000);
    expect([layer.looks, told.includes('idle')]).toEqual([looks, false]);
  });
});

describe('waitWritable', () => {
  it('leaves nothing behind on a response whose `on` was replaced', async () => {
    const calls: string[] = [];
    const res = Object.assign(new EventEmitter(), {
      req: {},
      destroyed: false,
      writableEnded: false,
      writableNeedDrain: true,
      socket: { destroyed: false },
      // As `compression` has it: what listens for 'drain' cannot be taken off.
      on(event: string, listener: () => void) {
        return EventEmitter.prototype.on.call(this, event, listener);
      },
      off(event: string, listener: () => void) {
        calls.push(event);
        return EventEmitter.prototype.off.call(this, event, listener);
      },
    });
    const response = res as unknown as HttpResponse;
    for (let wait = 0; wait < 10; wait++) {
      const stop = new AbortController();
      const settled = waitWritable(response, { signal: stop.signal }).catch(() => undefined);
      stop.abort();
      await settled;
    }
    const last = waitWritable(response);
    calls.length = 0;
    res.emit('drain');
    await settles(last);
    // Each wait that is there takes its listeners off: there was one.
    expect(calls).toEqual(['close', 'error']);
  });
});
