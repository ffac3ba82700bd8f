/** Told of a call that came too late, by the name of its method. */
export type OnLate = (method: string) => void;

type Method = (this: unknown, ...args: unknown[]) => unknown;

// What each gives back, as Node's own does where it is refused: `write` says that there is no room, most others the
// response.
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
 * The methods of a response that is over while its handler still works: they do nothing, throw nothing, and call back
 * with `reason`.
 * @param has - whether the response has a method of that name
 */
export function retiredMethods(reason: Error, onLate: OnLate, has: (name: string) => boolean): Record<string, Method> {
  const names = Object.keys(answers).filter(has);
  return Object.fromEntries(names.map((name) => [name, retiredMethod(name, reason, onLate)]));
}

function retiredMethod(name: string, reason: Error, onLate: OnLate): Method {
  return function retired(this: unknown, ...args: unknown[]): unknown {
    const callback = args.at(-1);
    if (typeof callback === 'function') process.nextTick(callback, reason);
    onLate(name);
    const answer = answers[name];
    return answer === 'this' ? this : answer === 'false' ? false : undefined;
  };
}
