// What checks need and the package does not: programs and packages, installed once, outside the tree.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sluice');

/**
 * Installs the packages of a manifest. Returns the folder that has their `node_modules`.
 * @param {string} name - of the folder, before a hash of the manifest
 * @param {URL} manifest - a package.json
 */
export function installPackages(name, manifest) {
  const text = readFileSync(manifest, 'utf8');
  const folder = join(cache, `${name}-${createHash('sha256').update(text).digest('hex').slice(0, 12)}`);
  const complete = join(folder, 'complete');
  if (!existsSync(complete)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), text);
    execFileSync('npm', ['install', '--silent'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
    writeFileSync(complete, '');
  }
  return folder;
}

/** The programs of each version of Node: this one, and those that .ci/run has installed. */
export function findNodes() {
  const names = existsSync(cache) ? readdirSync(cache).filter((name) => /^node-\d+$/.test(name)) : [];
  const installed = names.flatMap((name) => nodesIn(join(cache, name, 'node_modules')));
  if (process.env['SLUICE_REQUIRE_ALL'] === '1' && installed.length < 3)
    throw new Error(`Node 22, 24 and 26 are to be tried, and in ${cache} there are only: ${names.join(', ')}`);
  return [process.execPath, ...installed];
}

/** @param {string} folder */
function nodesIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map((name) => join(folder, name, 'bin/node'))
    .filter((node) => existsSync(node));
}
