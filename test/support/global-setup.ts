import { execFileSync } from 'node:child_process';

/** The examples and the packed package run from `dist`: it must be that of this source. */
export default function setup(): void {
  if (process.env['SLUICE_DIST_FRESH'] === '1') return;
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: ['ignore', 'ignore', 'inherit'] });
}
