const isHalf = ['oldest', 'newest'].includes(process.env['SLUICE_SUITE'] ?? '');

/** Cases of a property. Where two versions of Node share the work each has half of them, from a seed of its own. */
export function runs(count: number): number {
  return isHalf ? Math.ceil(count / 2) : count;
}
