import { describe, expect, it } from 'vitest';
import { Presence } from '../../../src/channel/resumable/run/presence.ts';

type Step = (presence: Presence, pass: (ms: number) => void) => void;

/** Timers by hand. */
function handClock(): { startTimer(delay: number, callback: () => void): () => void; pass(ms: number): void } {
  const timers = new Map<symbol, { at: number; callback: () => void }>();
  let now = 0;
  return {
    startTimer(delay, callback) {
      const id = Symbol('timer');
      timers.set(id, { at: now + delay, callback });
      return () => void timers.delete(id);
    },
    pass(ms) {
      now += ms;
      for (const [id, { at, callback }] of [...timers].toSorted(([, one], [, other]) => one.at - other.at)) {
        if (at > now || !timers.delete(id)) continue;
        callback();
      }
    },
  };
}

const come: Step = (presence) => presence.setLocal(1, false);
const leave: Step = (presence) => presence.setLocal(0, false);
const move: Step = (presence) => presence.setLocal(0, true);
const other: Step = (presence) => presence.note('other');
const otherLeft: Step = (presence) => presence.forget('other');
const close: Step = (presence) => presence.close();
const pass =
  (ms: number): Step =>
  (_presence, passTime) =>
    passTime(ms);

describe('an answer is abandoned, with a lease of 100', () => {
  it.each<[string, number, Step[], number]>([
    ['by its last client, at once', 0, [come, leave], 1],
    ['not with a client', 0, [come, pass(1000)], 0],
    ['not if it goes on', Infinity, [come, leave, pass(1000)], 0],
    ['not before the time', 50, [come, leave, pass(49)], 0],
    ['after the time', 50, [come, leave, pass(50)], 1],
    ['not if a client is back', 50, [come, leave, pass(40), come, pass(100)], 0],
    ['after all of the time anew', 50, [come, leave, pass(40), come, leave, pass(40)], 0],
    ['not with a client elsewhere', 0, [come, other, leave, pass(99)], 0],
    ['not while that is said again', 0, [come, other, leave, pass(60), other, pass(60)], 0],
    ['when the other is silent', 0, [come, other, leave, pass(100)], 1],
    ['when the other has none', 0, [come, other, leave, otherLeft], 1],
    ['not by a client that is moved', 0, [come, move, pass(99)], 0],
    ['when that does not come back', 0, [come, move, pass(100)], 1],
    ['not when it is over', 0, [come, other, close, leave, otherLeft, pass(1000)], 0],
  ])('%s', (_name, cancelAfter, steps, count) => {
    const clock = handClock();
    let abandoned = 0;
    const presence = new Presence({ cancelAfter, lease: 100, startTimer: clock.startTimer }, () => (abandoned += 1));
    for (const step of steps) step(presence, (ms) => clock.pass(ms));
    expect(abandoned).toBe(count);
  });
});
