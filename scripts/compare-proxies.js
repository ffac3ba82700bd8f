// Runs the checks of test/proxy/conformance on sluice and on its peers, on Node 24, and prints a table in Markdown.
// With an argument it runs only checks whose names have that text. Exit code: 1 if sluice fails a check.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findNodes, installPackages } from './cache.js';

const line = 24;
const conformance = new URL('../test/proxy/conformance/', import.meta.url);

if (lineOf(process.version) === line) await compare();
else process.exitCode = compareOn(findNodes().find((node) => lineOf(versionOf(node)) === line));

async function compare() {
  const subjects = new URL('subjects/', conformance);
  const folder = installPackages('proxy-peers', new URL('peers/package.json', subjects));
  // The programs of the peers find their packages from there.
  cpSync(subjects, join(folder, 'subjects'), { recursive: true });
  const { printTable } = await import('../test/proxy/conformance/compare.ts');
  if (!(await printTable(folder, process.argv[2] ?? ''))) process.exitCode = 1;
}

/** Some peers need Node 22, and the checks are TypeScript, which Node 20 does not read. @param {string | undefined} node */
function compareOn(node) {
  if (node === undefined) {
    console.error(`This needs Node ${line}: run it with that, or run .ci/run once, which installs it.`);
    return 2;
  }
  const args = [fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  return spawnSync(node, args, { stdio: 'inherit' }).status ?? 1;
}

/** @param {string} node */
function versionOf(node) {
  return execFileSync(node, ['--version'], { encoding: 'utf8' });
}

/** @param {string} version - such as `v24.1.0` */
function lineOf(version) {
  return Number.parseInt(version.slice(1), 10);
}
