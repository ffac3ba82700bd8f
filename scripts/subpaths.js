// What can be imported, by the folders of src: folder = subpath = entry file. `internal` has no entry file.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../src', import.meta.url));

/** The folders below src, and below dist, that are a subpath: `.`, `sse`, `records` … */
export const folders = [
  '.',
  ...readdirSync(source)
    .filter((name) => existsSync(join(source, name, 'index.ts')))
    .sort(),
];

/** The fields of package.json that say where a subpath is. */
export function packageFields() {
  return {
    main: './dist/index.js',
    types: './dist/index.d.ts',
    exports: {
      ...Object.fromEntries(folders.map((folder) => [folder === '.' ? '.' : `./${folder}`, targets(folder)])),
      './package.json': './package.json',
    },
    // For TypeScript with `moduleResolution: node10`, which does not read `exports`.
    typesVersions: {
      '*': Object.fromEntries(
        folders.filter((folder) => folder !== '.').map((folder) => [folder, [`./dist/${folder}/index.d.ts`]]),
      ),
    },
  };
}

/** @param {string} folder */
function targets(folder) {
  const entry = folder === '.' ? './dist/index' : `./dist/${folder}/index`;
  return {
    import: { types: `${entry}.d.mts`, default: `${entry}.mjs` },
    require: { types: `${entry}.d.ts`, default: `${entry}.js` },
  };
}
