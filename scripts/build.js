// Builds dist/. TypeScript writes the implementation, in CommonJS. Beside the entry file of each subpath this puts the
// ES module that `import` gets. That only passes on the names of the CommonJS one, so that there is one copy of
// everything, however it is loaded. `client` alone is there twice: browsers load no CommonJS, and it shares no state.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
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
function addEntry(folder) {
  if (folder === 'client') addModules(folder);
  else {
    const names = Object.keys(require(join(dist, folder, 'index.js')));
    add(join(folder, 'index.mjs'), `export {\n${names.map((name) => `  ${name},\n`).join('')}} from './index.js';\n`);
  }
  add(join(folder, 'index.d.mts'), "export * from './index.js';\n");
}

/** The files of a folder as ES modules, which need no Node. @param {string} folder */
function addModules(folder) {
  const compilerOptions = { module: ts.ModuleKind.ES2022, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true };
  for (const name of readdirSync(join(source, folder), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue;
    const { outputText } = ts.transpileModule(readFileSync(join(source, folder, name), 'utf8'), { compilerOptions });
    add(join(folder, name.replace(/ts$/, 'mjs')), renamed(outputText, 'mjs'));
  }
}

/** The imports of files of ours with another extension. @param {string} text @param {string} extension */
function renamed(text, extension) {
  return text.replaceAll(/((?:from |import\()["']\.{1,2}\/[^"']*)\.ts(?=["'])/g, `$1.${extension}`);
}

// The page of the dashboard, for browsers, and what it takes from uPlot.
function addPage() {
  const page = join('monitor', 'dashboard', 'page');
  mkdirSync(join(dist, page), { recursive: true });
  const uplot = dirname(require.resolve('uplot/package.json'));
  const files = [
    ...readdirSync(join(source, page)).map((name) => [join(source, page, name), name]),
    ...['uPlot.iife.min.js', 'uPlot.min.css'].map((name) => [join(uplot, 'dist', name), name]),
    [join(uplot, 'LICENSE'), 'uPlot.LICENSE'],
  ];
  for (const [from = '', name = ''] of files) {
    added.add(join(dist, page, name));
    copyFileSync(from, join(dist, page, name));
  }
}

// In the declarations TypeScript leaves `./file.ts` as it is, and older versions of it find nothing there.
/** @param {string} file */
function renameImports(file) {
  writeFileSync(file, renamed(readFileSync(file, 'utf8'), 'js'));
}

mkdirSync(dist, { recursive: true });
// The package says `"type": "module"`, for its own programs.
add('package.json', '{ "type": "commonjs", "sideEffects": false }\n');
execFileSync(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
for (const folder of folders) addEntry(folder);
addPage();

// A file that was deleted from src must not live on in the package. It is removed after the build, and dist is not
// wiped before it, so that programs that run from dist meanwhile go on.
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const file = join(entry.parentPath, entry.name);
  const original = file.replace(dist, source).replace(/(\.d\.ts|\.js)$/, '.ts');
  if (!added.has(file) && !existsSync(original)) rmSync(file);
  else if (file.endsWith('.d.ts')) renameImports(file);
}
