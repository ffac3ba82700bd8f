// Folder = subpath = entry file: the exports map says neither more nor less than src has.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** @type {{ exports: Record<string, string | Record<string, string>> }} */
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const folders = readdirSync(join(root, 'src'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'internal')
  .map((entry) => entry.name);

/** @type {Record<string, string | Record<string, string>>} */
const expected = { '.': targets('index'), './package.json': './package.json' };
for (const folder of folders) expected[`./${folder}`] = targets(`${folder}/index`);

/** @param {string} entry */
function targets(entry) {
  return { types: `./dist/${entry}.d.ts`, default: `./dist/${entry}.js` };
}

const problems = [];
for (const subpath of new Set([...Object.keys(expected), ...Object.keys(exports)])) {
  const [want, have] = [JSON.stringify(expected[subpath]), JSON.stringify(exports[subpath])];
  if (want !== have)
    problems.push(`${subpath}: package.json has ${have ?? 'nothing'}, src asks for ${want ?? 'nothing'}`);
}
for (const target of Object.values(expected).flatMap((value) =>
  typeof value === 'string' ? [value] : Object.values(value),
)) {
  if (!existsSync(join(root, target))) problems.push(`${target} is not there: run npm run build`);
}

for (const problem of problems) console.error(problem);
console.log(`${Object.keys(exports).length} exports checked, ${problems.length} wrong`);
process.exitCode = problems.length === 0 ? 0 : 1;
