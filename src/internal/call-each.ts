/**
 * Calls a function with each of several that have nothing to do with each other. What it throws for one goes to
 * `onError`, and keeps no other from its turn.
 */
export function callEach<T>(
  items: Iterable<T>,
  call: (item: T) => void,
  onError: (error: unknown, item: T) => void,
): void {
  for (const item of items) {
    try {
      call(item);
    } catch (error) {
      onError(error, item);
    }
  }
}
