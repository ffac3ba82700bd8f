import type { ServerResponse } from 'node:http';
import type { Middleware } from '../support/carriers.ts';

type Loose = (...args: unknown[]) => unknown;

type Verb = 'write' | 'end' | 'writeHead' | 'emit' | 'addTrailers';

/** Replaces a method of a response. */
function patch(res: ServerResponse, name: Verb, make: (core: Loose) => Loose): void {
  Object.assign(res, { [name]: make((res[name] as Loose).bind(res)) });
}

function fault(spoil: (res: ServerResponse) => void): Middleware {
  return (_req, res, next) => {
    spoil(res as ServerResponse);
    next();
  };
}

const isCallback = (value: unknown): value is () => void => typeof value === 'function';

/** What a library can do wrong, as middlewares: each has to be told from a bare response. */
export const faults: Readonly<Record<string, Middleware>> = {
  'loses the callback of a write': fault((res) =>
    patch(
      res,
      'write',
      (core) =>
        (...args) =>
          core(...args.filter((each) => !isCallback(each))),
    ),
  ),
  'calls the callback of an end twice': fault((res) =>
    patch(
      res,
      'end',
      (core) =>
        (...args) =>
          core(...args.map((each) => (isCallback(each) ? () => [each(), each()] : each))),
    ),
  ),
  'calls back within the call': fault((res) =>
    patch(res, 'write', (core) => (...args) => {
      const callback = args.find(isCallback);
      const ok = core(...args.filter((each) => !isCallback(each)));
      callback?.();
      return ok;
    }),
  ),
  'gives nothing back from end': fault((res) =>
    patch(
      res,
      'end',
      (core) =>
        (...args) =>
          void core(...args),
    ),
  ),
  'gives nothing back from write': fault((res) =>
    patch(
      res,
      'write',
      (core) =>
        (...args) =>
          void core(...args),
    ),
  ),
  'swallows what write throws': fault((res) =>
    patch(res, 'write', (core) => (...args) => {
      try {
        return core(...args);
      } catch {
        return false;
      }
    }),
  ),
  'throws later what end throws': fault((res) =>
    patch(res, 'end', (core) => (...args) => {
      try {
        return core(...args);
      } catch (error) {
        process.nextTick(() => {
          throw error;
        });
        return res;
      }
    }),
  ),
  'changes the last byte of the body': fault((res) =>
    patch(
      res,
      'end',
      (core) =>
        (chunk, ...rest) =>
          core(typeof chunk === 'string' && chunk.length > 1 ? `${chunk.slice(0, -1)}~` : chunk, ...rest),
    ),
  ),
  'adds a field': fault((res) =>
    patch(
      res,
      'writeHead',
      (core) =>
        (...args) => (res.headersSent || res.setHeader('X-Added', '1'), core(...args)),
    ),
  ),
  'emits finish twice': fault((res) =>
    patch(
      res,
      'emit',
      (core) =>
        (event, ...args) => (event === 'finish' && core(event, ...args), core(event, ...args)),
    ),
  ),
  "emits 'drain' when nothing waits": fault((res) =>
    patch(
      res,
      'write',
      (core) =>
        (...args) => (process.nextTick(() => res.emit('drain')), core(...args)),
    ),
  ),
  "emits no 'drain'": fault((res) =>
    patch(
      res,
      'emit',
      (core) =>
        (event, ...args) =>
          event !== 'drain' && core(event, ...args),
    ),
  ),
  'closes the connection': fault((res) => void (res.shouldKeepAlive = false)),
  'drops the trailers': fault((res) => patch(res, 'addTrailers', () => () => undefined)),
  'ends late': fault((res) =>
    patch(
      res,
      'end',
      (core) =>
        (...args) => (setImmediate(() => core(...args)), res),
    ),
  ),
};
