// What is tried with the installed package, and how users would set that up.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findNodes, installPackages } from '../cache.js';

/** @typedef {import('./run-all.js').Job} Job */

const root = fileURLToPath(new URL('../..', import.meta.url));
const programs = fileURLToPath(new URL('programs', import.meta.url));
const own = join(root, 'node_modules');
// The tools are those of tools/package.json.
const tools = join(installPackages('pack-tools', new URL('tools/package.json', import.meta.url)), 'node_modules');
const node = process.execPath;

/**
 * @param {string} bare - a folder in which the package is installed, and nothing else: optional peers are not there
 * @param {string} tarball
 * @returns {Job[]}
 */
export function jobsOf(bare, tarball) {
  const user = join(bare, '../user');
  cpSync(join(bare, 'node_modules'), join(user, 'node_modules'), { recursive: true, verbatimSymlinks: true });
  lend(user, own, ['undici']);
  return [
    ...typeJobs(bare),
    ...testRunnerJobs(user),
    { name: 'attw', cwd: root, commands: [[join(own, '.bin/attw'), '--no-color', tarball]] },
    { name: 'publint', cwd: root, commands: [[join(own, '.bin/publint'), '--strict', tarball]] },
    ...nodeJobs(user),
    ...peerJobs(bare),
    ...compilerJobs(user),
    bundleJob(user),
  ];
}

/**
 * A project of the user: the programs, and a few more files.
 * @param {string} folder
 * @param {Record<string, unknown>} manifest
 * @param {Record<string, string>} files
 */
function openProject(folder, manifest, files) {
  cpSync(programs, folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, ...manifest }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** Makes packages visible to a project. @param {string} folder @param {string} from @param {readonly string[]} names */
function lend(folder, from, names) {
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  for (const name of names) symlinkSync(join(from, name), join(folder, 'node_modules', name));
}

/** @param {string} user @returns {Job[]} */
function nodeJobs(user) {
  const cwd = openProject(
    join(user, 'node'),
    {},
    {
      'use.test.cjs': "require('node:test').test('all parts', () => require('./use.cjs'));",
      'use.test.mjs': "import { test } from 'node:test';\ntest('all parts', () => import('./use.mjs'));",
    },
  );
  return findNodes().flatMap((binary) => {
    const version = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim();
    return [
      { name: `Node ${version}, require`, cwd, commands: [[binary, 'use.cjs']] },
      { name: `Node ${version}, import`, cwd, commands: [[binary, 'use.mjs']] },
      {
        name: `Node ${version}, client`,
        cwd,
        commands: [
          [binary, 'use-client.cjs'],
          [binary, 'use-client.mjs'],
        ],
      },
      { name: `Node ${version}, require and import share their state`, cwd, commands: [[binary, 'use-both.mjs']] },
      { name: `Node ${version}, --test`, cwd, commands: [[binary, '--test', 'use.test.cjs', 'use.test.mjs']] },
    ];
  });
}

/** Optional peers: missing, and in their other versions. @param {string} bare @returns {Job[]} */
function peerJobs(bare) {
  const missing = openProject(
    bare,
    {},
    {
      'missing-peer.mjs': "import './missing-peer.cjs';",
      'missing-peer.test.js': "test('the error', () => require('./missing-peer.cjs'));",
    },
  );
  const newer = openProject(join(bare, '../undici8'), {}, {});
  cpSync(join(bare, 'node_modules'), join(newer, 'node_modules'), { recursive: true, verbatimSymlinks: true });
  symlinkSync(join(tools, 'undici8'), join(newer, 'node_modules/undici'));
  const [, ...newerNodes] = findNodes();
  /** @type {Job['commands'][number]} */
  const unloadable = [node, 'missing-peer.cjs', 'unloadable'];
  return [
    {
      name: 'without undici',
      cwd: missing,
      commands: [
        [node, 'missing-peer.cjs'],
        [node, 'missing-peer.mjs'],
      ],
    },
    // It needs Node 22.19, and npm installs it all the same.
    ...(Number.parseInt(process.versions.node, 10) < 22
      ? [{ name: 'undici 8, which cannot be loaded', cwd: newer, commands: [unloadable] }]
      : []),
    { name: 'without undici, Jest', cwd: missing, commands: [[node, join(tools, 'jest/bin/jest.js')]] },
    ...newerNodes.map(
      (binary) =>
        /** @type {Job} */ ({
          name: `undici 8, ${binary}`,
          cwd: newer,
          commands: [
            [binary, 'use.cjs'],
            [binary, 'use.mjs'],
          ],
        }),
    ),
  ];
}

/** @param {string} bare @returns {Job[]} */
function typeJobs(bare) {
  // The request of a callback is that of Express where its types are; so both kinds of project.
  const [express, plain] = [join(bare, '../types'), join(bare, '../types-plain')];
  for (const folder of [express, plain]) {
    cpSync(join(bare, 'node_modules'), join(folder, 'node_modules'), { recursive: true, verbatimSymlinks: true });
    for (const type of ['commonjs', 'module']) openProject(join(folder, type), { type }, {});
  }
  lend(express, tools, ['@types']);
  mkdirSync(join(plain, 'node_modules/@types'));
  lend(plain, tools, ['@types/node']);
  const checkTypes = fileURLToPath(new URL('check-types.js', import.meta.url));
  return ['typescript', 'typescript59', 'typescript54', 'typescript50'].map((name) => ({
    name: `${name}, every module and moduleResolution`,
    cwd: express,
    commands: [
      [node, checkTypes, join(tools, name), express, 'use.ts', 'use-express.ts', 'use-client.ts'],
      [node, checkTypes, join(tools, name), plain, 'use.ts'],
      [node, checkTypes, join(tools, name), plain, '--page', 'use-client.ts'],
    ],
  }));
}

/** @param {string} user @returns {Job[]} */
function testRunnerJobs(user) {
  const jest = join(tools, 'jest/bin/jest.js');
  const plain = openProject(
    join(user, 'jest'),
    {},
    {
      'use.test.js':
        "test('all parts', () => require('./use.cjs'));\ntest('client', () => require('./use-client.cjs'));",
    },
  );
  const modules = openProject(
    join(user, 'jest-modules'),
    { type: 'module' },
    {
      'use.test.js':
        "import './use.mjs';\nimport './use-both.mjs';\nimport './use-client.mjs';\ntest('all parts', () => {});",
    },
  );
  const vitest = openProject(
    join(user, 'vitest'),
    { type: 'module' },
    {
      'use.test.js':
        "import { test } from 'vitest';\nimport './use.mjs';\nimport './use-both.mjs';\nimport './use-client.mjs';\ntest('all parts', () => {});",
    },
  );
  lend(vitest, own, ['vitest']);
  return [
    { name: 'Jest, without configuration', cwd: plain, commands: [[node, jest]] },
    {
      name: 'Jest, ES modules',
      cwd: modules,
      commands: [[node, jest]],
      env: { NODE_OPTIONS: '--experimental-vm-modules' },
    },
    nestJob(user, 'commonjs', { module: 'commonjs', target: 'es2021', allowSyntheticDefaultImports: true }),
    nestJob(user, 'nodenext', { module: 'nodenext', target: 'es2023', esModuleInterop: true, isolatedModules: true }),
    { name: 'Vitest', cwd: vitest, commands: [[node, join(own, 'vitest/vitest.mjs'), 'run']] },
  ];
}

/**
 * Jest and ts-jest as `nest new` sets them up.
 * @param {string} user
 * @param {string} name
 * @param {Record<string, unknown>} compilerOptions
 * @returns {Job}
 */
function nestJob(user, name, compilerOptions) {
  const cwd = openProject(
    join(user, `nest-${name}`),
    {
      jest: {
        moduleFileExtensions: ['js', 'json', 'ts'],
        testRegex: '.*\\.spec\\.ts$',
        transform: { '^.+\\.(t|j)s$': 'ts-jest' },
        testEnvironment: 'node',
      },
    },
    {
      'tsconfig.json': JSON.stringify({
        compilerOptions: {
          emitDecoratorMetadata: true,
          experimentalDecorators: true,
          types: ['node', 'jest'],
          ...compilerOptions,
        },
      }),
      'use.spec.ts': [
        "import { run } from './use';",
        "it('all parts', async () => {",
        '  expect(await run()).toMatchObject({ forced: false });',
        '});',
      ].join('\n'),
    },
  );
  lend(cwd, tools, ['@types', 'ts-jest', 'typescript']);
  return {
    name: `Jest, ts-jest as Nest sets it up, ${name}`,
    cwd,
    commands: [[node, join(tools, 'jest/bin/jest.js')]],
  };
}

// esbuild puts a `require` in place that loads no builtin module, unless there is one.
const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

/** @param {string} user @returns {Job[]} */
function compilerJobs(user) {
  const main = "import { run } from './use.js';\nvoid run();";
  const [cjs = '', esm = ''] = ['commonjs', 'module'].map((type) =>
    openProject(join(user, `compilers-${type}`), { type }, { 'main.ts': main }),
  );
  const bundle = ['main.ts', '--bundle', '--platform=node', '--log-level=warning'];
  /** @type {(name: string, cwd: string, file: string, ...args: string[]) => Job} */
  const esbuild = (name, cwd, file, ...args) => ({
    name: `esbuild, ${name}`,
    cwd,
    commands: [
      [join(tools, '.bin/esbuild'), ...bundle, `--outfile=${file}`, ...args],
      [node, file],
    ],
  });
  return [
    esbuild('CommonJS', cjs, 'bundle.js'),
    esbuild('ES module', esm, 'bundle.js', '--format=esm', `--banner:js=${banner}`),
    esbuild('ES module, packages external', esm, 'external.js', '--format=esm', '--packages=external'),
    { name: 'tsx, CommonJS', cwd: cjs, commands: [[node, join(tools, 'tsx/dist/cli.mjs'), 'main.ts']] },
    { name: 'tsx, ES module', cwd: esm, commands: [[node, join(tools, 'tsx/dist/cli.mjs'), 'main.ts']] },
  ];
}

/** The client as a page gets it. @param {string} user @returns {Job} */
function bundleJob(user) {
  const cwd = openProject(
    join(user, 'bundle-browser'),
    { type: 'module' },
    { 'page.js': "import { connect } from 'sluice/client';\nglobalThis.connect = connect;" },
  );
  const checkSize = fileURLToPath(new URL('check-size.js', import.meta.url));
  const bundle = ['page.js', '--bundle', '--minify', '--format=esm', '--platform=browser', '--outfile=page.min.js'];
  return {
    name: 'esbuild, the client for browsers, under 5 kB',
    cwd,
    commands: [
      [join(tools, '.bin/esbuild'), ...bundle, '--log-level=warning'],
      [node, checkSize, 'page.min.js', '5000'],
    ],
  };
}
