/**
 * When each of `count` leaves, in ms from the begin of a window, ascending: at a random moment within its own equal
 * part of the window. So no part of it is crowded, and two processes that start to drain together do not keep step.
 */
export function departureTimes(count: number, window: number, random: () => number): number[] {
  const part = window / count;
  return Array.from({ length: count }, (_, index) => (index + random()) * part);
}
