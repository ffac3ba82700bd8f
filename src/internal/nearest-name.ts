/** Longer names are not compared: nothing of that length is a slip of one of ours. */
const longestName = 40;

/**
 * The name that a wrong one was most likely meant to be; `undefined` if none is near. In this order: the same letters
 * in another case, a name that holds the wrong one or is held by it, the fewest slips of the pen.
 *
 * | wrong | names | nearest |
 * |---|---|---|
 * | `MaxBuffered` | `maxBuffered` | `maxBuffered` |
 * | `timeout` | `drainTimeout`, `spread` | `drainTimeout` |
 * | `treshold` | `threshold`, `level` | `threshold` |
 * | `foo` | `threshold`, `level` | none |
 */
export function nearestName<Name extends string>(wrong: string, names: readonly Name[]): Name | undefined {
  if (wrong.length > longestName) return undefined;
  const word = wrong.toLowerCase();
  let nearest: Name | undefined;
  let fewest = Infinity;
  for (const name of names) {
    const other = name.toLowerCase();
    const slips = holdsOther(word, other) ? 0.5 : countSlips(word, other);
    // A third of the letters: `every` and `event` are two slips apart and are not taken for each other.
    if (slips > Math.min(word.length, other.length) / 3 || slips >= fewest) continue;
    nearest = name;
    fewest = slips;
  }
  return nearest;
}

/** Whether one is a part of the other. Shorter parts than four letters are in everything. */
function holdsOther(one: string, other: string): boolean {
  return one !== other && Math.min(one.length, other.length) >= 4 && (one.includes(other) || other.includes(one));
}

/** Letters added, left out, changed or swapped with their neighbour: Damerau and Levenshtein's distance. */
function countSlips(one: string, other: string): number {
  let [beforeLast, last] = [[] as number[], Array.from({ length: other.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const isSame = one[i - 1] === other[j - 1];
      const isSwapped = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      row[j] = Math.min(
        at(last, j) + 1,
        at(row, j - 1) + 1,
        at(last, j - 1) + (isSame ? 0 : 1),
        isSwapped ? at(beforeLast, j - 2) + 1 : Infinity,
      );
    }
    [beforeLast, last] = [last, row];
  }
  return at(last, other.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Infinity;
}
