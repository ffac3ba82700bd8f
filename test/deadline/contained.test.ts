import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress, contextOf, deadline, type HttpRequest } from '../../src/index.ts';
import { carriers, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

/**
 * Errors that no caller was told of, with the path of their request, and those that would end the process; from now on.
 */
function watchErrors(): { reported: [string | undefined, unknown][]; uncaught: unknown[] } {
  const [reported, uncaught]: [[string | undefined, unknown][], unknown[]] = [[], []];
  const onMessage = (message: unknown): void => {
    const { req, error } = message as { req: HttpRequest; error: unknown };
    reported.push([req.url, error]);
  };
  const onUncaught = (error: unknown): void => void uncaught.push(error);
  subscribe('sluice:stream:error', onMessage);
  process.on('uncaughtExceptionMonitor', onUncaught);
  onTestFinished(() => {
    unsubscribe('sluice:stream:error', onMessage);
    process.off('uncaughtExceptionMonitor', onUncaught);
  });
  return { reported, uncaught };
}

class Mine extends Error {}

const fail = (): never => {
  throw new Mine();
};

type Methods = Record<string, unknown>;

/** What an application may do to a response before its time is over. */
const patches: Readonly<Record<string, (res: Methods) => void>> = {
  setHeader: (res) => void (res['setHeader'] = fail),
  getHeaderNames: (res) => void (res['getHeaderNames'] = fail),
  end: (res) => void (res['end'] = fail),
  'an end that cannot be replaced': (res) => void Object.defineProperty(res, 'end', { value: fail }),
  'a writableEnded that throws': (res) => void Object.defineProperty(res, 'writableEnded', { get: fail }),
};

describe.each(carriers)('a deadline that passes on $name for a response that cannot be answered', (carrier) => {
  it.each(Object.keys(patches))('is an error of that one: %s', async (name) => {
    const { reported, uncaught } = watchErrors();
    let waiting = 0;
    const due = 60;
    const handler: Middleware = (req, res) => {
      if (req.url === '/patched') patches[name]!(res as unknown as Methods);
      waiting += 1;
      // All become due in the same turn.
      if (waiting === 5)
        setTimeout(() => {
          const end = performance.now() + due;
          while (performance.now() < end);
        }, 0);
    };
    const running = await serve(carrier, deadline({ default: due }), handler);
    const paths = ['/1', '/2', '/patched', '/3', '/4'];
    const outcomes = await Promise.all(
      paths.map((path) =>
        settles(
          running.visit({ path }).then(
            async (reading) => ((await reading.over) === 'end' ? reading.status : 'cut'),
            () => 'cut',
          ),
        ),
      ),
    );
    expect(outcomes.filter((_, index) => index !== 2)).toEqual([504, 504, 504, 504]);
    await turns();
    expect(uncaught).toEqual([]);
    // An `end` that fails after the head may still be followed by a cut; whatever becomes of it, it is told.
    expect(reported.map(([path]) => path)).toContain('/patched');
    expect(reported.every(([path]) => path === '/patched')).toBe(true);
  });

  it('and behind compress too', async () => {
    const { reported, uncaught } = watchErrors();
    const running = await serve(carrier, compress() as Middleware, deadline({ default: 40 }), (req, res) => {
      if (req.url === '/patched') (res as ServerResponse).setHeader = fail;
    });
    const patched = running.visit({ path: '/patched' }).then(
      ({ over }) => over,
      () => 'aborted',
    );
    const fine = await settles(running.visit({ path: '/fine' }));
    expect([fine.status, await settles(patched)]).toEqual([504, 'aborted']);
    expect(reported).toEqual([['/patched', expect.any(Mine)]]);
    expect(uncaught).toEqual([]);
  });

  it('holds up no part of its work either', async () => {
    const reasons: unknown[] = [];
    const running = await serve(carrier, deadline({ default: 40 }), (req, res) => {
      (res as ServerResponse).setHeader = fail;
      contextOf(req).signal.addEventListener('abort', () => reasons.push('own'));
      contextOf(req)
        .child()
        .signal.addEventListener('abort', () => reasons.push('child'));
    });
    running.visit().catch(() => undefined);
    await until(() => reasons.length === 2);
  });
});
