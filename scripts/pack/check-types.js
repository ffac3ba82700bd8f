// Compiles the programs of a folder with one version of TypeScript, as the projects of users do, and looks at our
// declarations too, as `skipLibCheck: false` does. A process of its own for each version: they run side by side.
//
// node check-types.js <module of TypeScript> <folder> [--page] <file> …: `commonjs/` and `module/` are projects of either
// type; a page has the types of the DOM, and none of Node.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [compiler = '', root = '', ...rest] = process.argv.slice(2);
const files = rest.filter((each) => each !== '--page');
/** @type {typeof import('typescript')} */
const ts = createRequire(import.meta.url)(compiler);
const major = Number.parseInt(ts.version, 10);

/** @type {readonly { name: string, project: 'commonjs' | 'module', options: Record<string, unknown> }[]} */
const settings = [
  {
    name: 'commonjs, node10',
    project: 'commonjs',
    options: {
      module: 'commonjs',
      moduleResolution: 'node10',
      // As `nest new` has it.
      target: 'es2021',
      lib: ['es2021'],
      strictNullChecks: false,
      noImplicitAny: false,
      ...(major >= 6 ? { ignoreDeprecations: '6.0' } : {}),
    },
  },
  {
    name: 'commonjs, node10, strict',
    project: 'commonjs',
    options: {
      module: 'commonjs',
      moduleResolution: 'node10',
      target: 'es2020',
      lib: ['es2020'],
      ...(major >= 6 ? { ignoreDeprecations: '6.0' } : {}),
    },
  },
  ...['node16', 'nodenext'].flatMap((module) =>
    /** @type {const} */ (['commonjs', 'module']).map((project) => ({
      name: `${module}, from ${project}`,
      project,
      options: { module, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    })),
  ),
  { name: 'esnext, bundler', project: 'module', options: { module: 'esnext', moduleResolution: 'bundler' } },
];

/** Files of libraries and types are the same in all programs. @type {Map<string, import('typescript').SourceFile>} */
const sources = new Map();

/** @param {(typeof settings)[number]} setting */
function check({ project, options }) {
  const folder = join(root, project);
  const { options: parsed, errors } = ts.convertCompilerOptionsFromJson(
    {
      target: 'es2022',
      lib: ['es2022'],
      types: ['node'],
      strict: true,
      esModuleInterop: true,
      isolatedModules: true,
      skipLibCheck: false,
      noEmit: true,
      ...options,
    },
    folder,
  );
  const host = ts.createCompilerHost(parsed);
  host.getCurrentDirectory = () => folder;
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (name, target, ...rest) => {
    const format = typeof target === 'object' ? target.impliedNodeFormat : undefined;
    const version = typeof target === 'object' ? target.languageVersion : target;
    const key = `${name} ${version} ${format}`;
    const source = sources.get(key) ?? read(name, target, ...rest);
    if (source) sources.set(key, source);
    return source;
  };
  const program = ts.createProgram(
    files.map((file) => join(folder, file)),
    parsed,
    host,
  );
  const ours = program
    .getSourceFiles()
    .filter(({ fileName }) => !fileName.includes('/node_modules/') || fileName.includes('/node_modules/sluice/'));
  return [
    ...errors,
    ...program.getOptionsDiagnostics(),
    ...ours.flatMap((source) => [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ]),
  ];
}

/** @type {(typeof settings)[number]} */
const page = {
  name: 'esnext, bundler, DOM alone',
  project: 'module',
  options: { module: 'esnext', moduleResolution: 'bundler', lib: ['es2022', 'dom'], types: [] },
};

for (const setting of rest.includes('--page') ? [page] : settings) {
  const found = check(setting);
  console.log(
    `TypeScript ${ts.version}, ${setting.name}, ${files.join(', ')}: ${found.length === 0 ? 'ok' : 'FAILED'}`,
  );
  if (found.length === 0) continue;
  console.log(
    ts.formatDiagnostics(found.slice(0, 20), {
      getCanonicalFileName: (name) => name,
      getCurrentDirectory: () => root,
      getNewLine: () => '\n',
    }),
  );
  process.exitCode = 1;
}
