// Builds dist/. TypeScript writes the implementation, in CommonJS. Beside the entry file of each subpath this puts the
// ES module that `import` gets. That only passes on the names of the CommonJS one, so that there is one copy of
// everything, however it is loaded.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { folders } from './subpaths.js';

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'src');
const dist = join(root, 'dist');

/** What no file of src stands for. @type {Set<string>} */
const added = new Set();

/** @param {string} name @param {string} text */
function add(name, text) {
  const file = join(dist, name);
  added.add(file);
  writeFileSync(file, text);
}

/** @param {string} folder */
function addWrapper(folder) {
  const names = Object.keys(require(join(dist, folder, 'index.js')));
  add(join(folder, 'index.mjs'), `export {\n${names.map((name) => `  ${name},\n`).join('')}} from './index.js';\n`);
  add(join(folder, 'index.d.mts'), "export * from './index.js';\n");
}

// In the declarations TypeScript leaves `./file.ts` as it is, and older versions of it find nothing there.
/** @param {string} file */
function renameImports(file) {
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replaceAll(/((?:from |import\()["']\.{1,2}\/[^"']*)\.ts(?=["'])/g, '$1.js'));
}

mkdirSync(dist, { recursive: true });
// The package says `"type": "module"`, for its own programs.
add('package.json', '{ "type": "commonjs", "sideEffects": false }\n');
execFileSync(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
for (const folder of folders) addWrapper(folder);

// A file that was deleted from src must not live on in the package. It is removed after the build, and dist is not
// wiped before it, so that programs that run from dist meanwhile go on.
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const file = join(entry.parentPath, entry.name);
  const original = file.replace(dist, source).replace(/(\.d\.ts|\.js)$/, '.ts');
  if (!added.has(file) && !existsSync(original)) rmSync(file);
  else if (file.endsWith('.d.ts')) renameImports(file);
}
