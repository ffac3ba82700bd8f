// How often a wait looks, in milliseconds. SLUICE_POLL=400 finds conditions that are true for a moment only.
const interval = Number(process.env['SLUICE_POLL'] ?? 2);

// A slow machine with other work gets there too: only a hang waits for so long.
const patience = 60_000;

/**
 * Waits for a condition, which must stay true once it is: a slow machine looks late. A hang becomes a failure that says
 * what was there instead.
 */
export async function until(
  condition: () => boolean,
  describe: () => string = () => 'the condition never came true',
  limit = patience,
): Promise<void> {
  const end = Date.now() + limit;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`timed out: ${describe()}`);
    await new Promise((resolve) => setTimeout(resolve, interval));
  }
}

/** Waits until a count that is over a least stands still, and returns it. */
export async function parked(count: () => number, least = 0): Promise<number> {
  let before = -1;
  let stable = 0;
  await until(() => {
    stable = count() === before && before > least ? stable + 1 : 0;
    before = count();
    return stable > 50;
  });
  return before;
}

/** Fails instead of hanging when a promise does not settle. */
export async function settles<T>(promise: Promise<T>, limit = patience): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const sentinel = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('the promise never settled')), limit);
  });
  try {
    return await Promise.race([promise, sentinel]);
  } finally {
    clearTimeout(timer);
  }
}

/** One turn of the event loop and then some: what is due has happened. */
export async function turns(count = 3): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
