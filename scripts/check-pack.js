// What users get: the tarball, installed in a fresh folder, and used there by each version of Node, by test runners,
// bundlers and versions of TypeScript (pack/jobs.js).
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findDeadLinks } from './pack/check-links.js';
import { jobsOf } from './pack/jobs.js';
import { runAll } from './pack/run-all.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const wanted =
  /^(dist\/.*\.(js|mjs|d\.ts|d\.mts|html|css|LICENSE)|dist\/package\.json|docs\/.*\.md|package\.json|[A-Z]+\.md|LICENSE)$/;

const room = mkdtempSync(join(realpathSync(tmpdir()), 'sluice-pack-'));
const user = join(room, 'bare');
mkdirSync(user);
try {
  const tarball = pack();
  writeFileSync(join(user, 'package.json'), '{ "private": true }\n');
  execFileSync('npm', ['install', '--silent', tarball], { cwd: user, stdio: ['ignore', 'inherit', 'inherit'] });
  checkFiles(join(user, 'node_modules/sluice'));
  if (!(await runAll(jobsOf(user, tarball), availableParallelism()))) process.exitCode = 1;
} finally {
  rmSync(room, { recursive: true, force: true });
}

function pack() {
  // Without a build where `dist` is fresh: tests may run from it at this moment.
  const fresh = process.env['SLUICE_DIST_FRESH'] === '1' ? ['--ignore-scripts'] : [];
  const args = ['pack', '--silent', ...fresh, '--pack-destination', room];
  execFileSync('npm', args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  return join(room, readdirSync(room).find((name) => name.endsWith('.tgz')) ?? '');
}

/** @param {string} folder */
function checkFiles(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  const strays = files.filter((name) => !wanted.test(name));
  if (strays.length > 0) throw new Error(`packed by mistake: ${strays.join(', ')}`);
  const pages = files.filter((name) => name.endsWith('.md'));
  const dead = findDeadLinks(folder, pages);
  if (dead.length > 0) throw new Error(`links that lead nowhere in the package: ${dead.join(', ')}`);
  console.log(`${files.length} files; every link of ${pages.length} pages leads to one`);
}
