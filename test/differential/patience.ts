import type { Player } from './interpreter.ts';

/**
 * Waits for a condition, and gives whether it came true in time. Most do within some turns of the event loop. A process
 * that stands
 * still makes no turns: time alone does not end the wait.
 */
export async function nowOr(condition: () => boolean, limit = 3000): Promise<boolean> {
  const end = performance.now() + limit;
  for (let turn = 0; !condition(); turn++) {
    if (turn > 60 && performance.now() > end) return false;
    if (turn < 50) await new Promise((resolve) => setImmediate(resolve));
    else await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return true;
}

/** Whether all responses close; some of Node's never do when their connection is gone. */
export async function whenClosed(players: readonly Player[], isGone: () => boolean): Promise<boolean> {
  let areClosed = false;
  void Promise.all(players.map((player) => player.closed)).then(() => (areClosed = true));
  await nowOr(() => areClosed || isGone());
  return areClosed || nowOr(() => areClosed, 20);
}
