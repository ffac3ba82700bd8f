// What users get: the packed tarball, looked at by publint and attw, installed, imported and required.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'sluice-pack-'));

/** @param {string} command @param {readonly string[]} args @param {string} [cwd] */
function run(command, args, cwd = root) {
  console.log(`$ ${command} ${args.join(' ')}`);
  return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

/** The program that every subpath must survive, by import and by require. */
const useEsm = `
import * as root from 'sluice';
import { sse } from 'sluice/sse';
import { ndjson } from 'sluice/records';
import { pipeBody } from 'sluice/body';
import { compress } from 'sluice/compress';
import { deadline } from 'sluice/deadline';
import { lifecycle } from 'sluice/lifecycle';
const parts = { sse, ndjson, pipeBody, compress, deadline, lifecycle };
if (Object.entries(parts).some(([name, part]) => root[name] !== part)) throw new Error('a subpath is another copy');
console.log('imported', Object.keys(root).length);
`;
const useCjs = `
const root = require('sluice');
for (const subpath of ['sse', 'records', 'body', 'compress', 'deadline', 'lifecycle']) require('sluice/' + subpath);
if (require('sluice/sse').sse !== root.sse) throw new Error('a subpath is another copy');
import('sluice').then((esm) => {
  if (esm.sse !== root.sse) throw new Error('import and require are two copies');
  console.log('required', Object.keys(root).length);
});
`;

try {
  // Without a build where `dist` is fresh: tests may run from it at this moment.
  const fresh = process.env['SLUICE_DIST_FRESH'] === '1' ? ['--ignore-scripts'] : [];
  run('npm', ['pack', '--silent', ...fresh, '--pack-destination', work]);
  const tarball = join(work, readdirSync(work).find((name) => name.endsWith('.tgz')) ?? '');
  const files = run('tar', ['-tzf', tarball]).split('\n').filter(Boolean);
  const strays = files.filter(
    (name) => !/^package\/(dist\/|docs\/|package\.json$|(README|CHANGELOG|SECURITY)\.md$|LICENSE$)/.test(name),
  );
  if (strays.length > 0) throw new Error(`packed by mistake: ${strays.join(', ')}`);
  console.log(run('npx', ['publint', '--strict', tarball]));
  console.log(run('npx', ['attw', '--no-color', tarball]));

  const { name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  writeFileSync(join(work, 'package.json'), JSON.stringify({ name: 'user', private: true }));
  run('npm', ['install', '--silent', tarball], work);
  writeFileSync(join(work, 'esm.mjs'), useEsm);
  writeFileSync(join(work, 'cjs.cjs'), useCjs);
  process.stdout.write(run(process.execPath, ['esm.mjs'], work));
  process.stdout.write(run(process.execPath, ['cjs.cjs'], work));
  console.log(`${name}: ${files.length} files packed, imported and required on Node ${process.versions.node}`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
