import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Size } from '../../internal/option.ts';

let counted: number | undefined;

/** How many cores this process may use: a fraction where a quota of its control groups says so. Counted once. */
export function usableCores(): number {
  return (counted ??= Math.min(availableParallelism(), readCpuQuota(readText)));
}

/**
 * From how many bytes on a body goes to the thread pool. On several cores the pool works while the event loop goes on;
 * on one the detour is only a cost, and worth it where the loop would stand still for longer.
 *
 * Measured on two cores with brotli 4: the detour takes some 170 µs of CPU time. With gzip 6 it takes 300 µs at 50 kB,
 * half of what the encoder takes: an encoder that is kept is at hand in place alone.
 * @param several - with more than one core
 * @param single - with one, or less
 */
export function poolThreshold(several: Size, single: Size): Size {
  return usableCores() > 1 ? several : single;
}

// None of the files exists on other systems, and most do not in the root group.
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * How many cores the control groups of this process allow it: the tightest of its own and all above it. `Infinity`
 * without a quota or without control groups.
 * @param read - the text of a file; `undefined` when it cannot be read
 */
export function readCpuQuota(read: (path: string) => string | undefined): number {
  const quotas = parseCgroups(read('/proc/self/cgroup') ?? '').flatMap(({ version, path }) =>
    foldersOf(path).map((folder) => {
      if (version === 2) return quotaOf(...(read(`/sys/fs/cgroup${folder}/cpu.max`) ?? '').trim().split(' '));
      const group = `/sys/fs/cgroup/cpu${folder}`;
      return quotaOf(read(`${group}/cpu.cfs_quota_us`), read(`${group}/cpu.cfs_period_us`));
    }),
  );
  return Math.min(Infinity, ...quotas);
}

interface Cgroup {
  readonly version: 1 | 2;
  readonly path: string;
}

// cgroups(7): `hierarchy-ID:controller-list:cgroup-path`; in version 2 the ID is 0 and the list is empty.
function parseCgroups(text: string): Cgroup[] {
  const groups: Cgroup[] = [];
  for (const line of text.split('\n')) {
    const [id, controllers = '', ...path] = line.split(':');
    if (id === '0' && controllers === '') groups.push({ version: 2, path: path.join(':') });
    else if (controllers.split(',').includes('cpu')) groups.push({ version: 1, path: path.join(':') });
  }
  return groups;
}

/**
 * `/a/b` → `/a/b`, `/a`, and the root. Where the path is one of the host's and the mount is the container's, only the
 * root exists; where it leads out of the namespace (`/../a`), only the root is ours.
 */
function foldersOf(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '');
  if (names.includes('..')) return [''];
  return [...names.map((_name, index) => `/${names.slice(0, names.length - index).join('/')}`), ''];
}

// No quota is `max` in version 2 and `-1` in version 1.
function quotaOf(quota?: string, period?: string): number {
  const cores = Number(quota) / Number(period);
  return cores > 0 ? cores : Infinity;
}
