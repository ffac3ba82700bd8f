// What check-pack tries the package with. The tools are those of tools/package.json, installed once, outside the tree.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cache, installPackages } from '../packages.js';

/** Returns the `node_modules` of the tools. */
export function installTools() {
  return join(installPackages(new URL('tools/package.json', import.meta.url), 'pack-tools'), 'node_modules');
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
