// Packages for a purpose of their own, in versions that do not change by themselves: installed once, outside the tree.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where what is installed outside the tree is kept. */
export const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sluice');

/**
 * Installs what a manifest names. Returns the folder that has it, with its `node_modules`.
 * @param {URL} url - of the manifest
 * @param {string} name - of the folder
 */
export function installPackages(url, name) {
  const manifest = readFileSync(url, 'utf8');
  const folder = join(cache, `${name}-${createHash('sha256').update(manifest).digest('hex').slice(0, 12)}`);
  const complete = join(folder, 'complete');
  if (!existsSync(complete)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), manifest);
    execFileSync('npm', ['install', '--silent'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
    writeFileSync(complete, '');
  }
  return folder;
}
