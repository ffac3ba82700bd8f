// Folder = subpath = entry file: package.json says neither more nor less than src has. With --write it is brought in
// line, for a new part.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { folders, packageFields } from './subpaths.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const file = join(root, 'package.json');
/** @type {Record<string, unknown>} */
const manifest = JSON.parse(readFileSync(file, 'utf8'));
const fields = packageFields();

if (process.argv.includes('--write')) writeFileSync(file, `${JSON.stringify({ ...manifest, ...fields }, null, 2)}\n`);
else for (const problem of [...differences(), ...missing()]) fail(problem);
console.log(`${folders.length} subpaths checked`);

function differences() {
  return Object.entries(fields)
    .filter(([field, value]) => JSON.stringify(manifest[field]) !== JSON.stringify(value))
    .map(([field]) => `"${field}" of package.json is not what src asks for: run npm run check:exports -- --write`);
}

function missing() {
  const targets = Object.values(fields.exports).flatMap((value) =>
    typeof value === 'string' ? [value] : Object.values(value).flatMap((target) => Object.values(target)),
  );
  return targets
    .filter((target) => !existsSync(join(root, target)))
    .map((target) => `${target} is not there: run npm run build`);
}

/** @param {string} problem */
function fail(problem) {
  console.error(problem);
  process.exitCode = 1;
}
