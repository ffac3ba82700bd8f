// A slice of a round: what ten thousand clients get may not hold the event loop. Where writes wait for the end of the
// tick, the clock does not see them: hence the number.
const sliceSize = 256;
const sliceTime = 5;
// The clock is asked once for so many clients. Rarely: to ask costs a hundredth of what a client does. Often: filters
// and maps may take far longer.
const clockStep = 4;

/**
 * Serves some of many clients: as many as one turn of the event loop has time for.
 * @param serveNext - serves one. Returns whether there is another
 * @returns whether there are more
 */
export function serveSlice(serveNext: () => boolean): boolean {
  const late = performance.now() + sliceTime;
  for (let served = 1; served <= sliceSize; served++) {
    if (!serveNext()) return false;
    if (served % clockStep === 0 && performance.now() > late) return true;
  }
  return true;
}
