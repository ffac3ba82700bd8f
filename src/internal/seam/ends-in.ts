import type { HttpResponse } from '../http/message.ts';

type Method = (this: unknown, ...args: never[]) => unknown;

/** Calls a function and tells whether it called `end`, even if a patch such as that of `express-session` delays it. */
export function endsIn(res: HttpResponse, call: () => void): boolean {
  const target = res as unknown as { end: Method };
  const before = Object.getOwnPropertyDescriptor(target, 'end');
  const { end } = target;
  let ended = false;
  const watched = function (this: unknown, ...args: never[]): unknown {
    ended = true;
    return end.apply(this, args);
  };
  target.end = watched;
  try {
    call();
  } finally {
    if (target.end !== watched) ended ||= res.writableEnded;
    else if (before) Object.defineProperty(target, 'end', before);
    else Reflect.deleteProperty(target, 'end');
  }
  return ended;
}
