import type { BodyEnd } from './body-end.ts';
import type { Method, ResponseCore } from './core.ts';

/** Told of a call that came too late, by the name of its method. */
export type OnLate = (method: string) => void;

// What each returns, as Node's own does where it is refused: `write` false, most others the response.
const answers: Readonly<Record<string, 'false' | 'this' | 'nothing'>> = {
  write: 'false',
  end: 'this',
  writeHead: 'this',
  setHeader: 'this',
  setHeaders: 'this',
  appendHeader: 'this',
  removeHeader: 'nothing',
  addTrailers: 'nothing',
  flushHeaders: 'nothing',
  flush: 'nothing',
  writeContinue: 'nothing',
  writeProcessing: 'nothing',
  writeEarlyHints: 'nothing',
  // By `pipeline`, for one, whose source fails when its signal aborts: it would take the answer along.
  destroy: 'this',
};

/**
 * Takes a response from its handler, which may still work. Its calls do nothing, throw nothing, and call back with
 * `reason`. What is on its way is still sent.
 */
export function detach(core: ResponseCore, body: BodyEnd, reason: Error, onLate: OnLate): void {
  const target = core.res as unknown as Record<string, Method>;
  for (const verb of ['write', 'end', 'writeHead', 'flush'] as const) core.remember(verb);
  const names = Object.keys(answers).filter((name) => name in target);
  const detached = Object.fromEntries(names.map((name) => [name, detachedMethod(name, reason, onLate)]));
  for (const verb of ['write', 'writeHead'] as const)
    detached[verb] = exceptNodes(core, body, target[verb] as Method, detached[verb] as Method);
  core.detached = detached;
  Object.assign(target, detached);
}

function detachedMethod(name: string, reason: Error, onLate: OnLate): Method {
  return function detached(this: unknown, ...args: unknown[]): unknown {
    const callback = args.at(-1);
    if (typeof callback === 'function') process.nextTick(callback, reason);
    onLate(name);
    const answer = answers[name];
    return answer === 'this' ? this : answer === 'false' ? false : undefined;
  };
}

/** Node's own `end`, which may come later than that of the code that answered, calls these two on the response. */
function exceptNodes({ res }: ResponseCore, body: BodyEnd, method: Method, detached: Method): Method {
  return function (this: unknown, ...args: unknown[]): unknown {
    const isImplicitHead = !res.headersSent && args.length === 1 && args[0] === res.statusCode;
    return (body.native === 'ending' || isImplicitHead ? method : detached).apply(this, args as never[]);
  };
}
