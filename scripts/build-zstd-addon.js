// The optional peer `@mongodb-js/zstd`, for the tests, where its prebuilt binary cannot be downloaded: compiled against
// the zstd of the system, outside the tree. Prints the folder of the module. Linux only; needs libzstd-dev, g++, make
// and python3. Where nothing has to be built it takes a moment.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

const name = '@mongodb-js/zstd';
const version = '7.0.0';

// Not by Node version: the addon is one of Node-API, which every supported Node has.
const folder = join(
  process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
  'sluice',
  `zstd-addon-${version}-${process.platform}-${process.arch}`,
);

/** Where the module is, once it is built. */
export const addonFolder = join(folder, 'node_modules', name);

const roundTrip = `
const { compress, decompress } = require(process.argv[1]);
const text = Buffer.from('zstd '.repeat(1000));
compress(text, 3).then(decompress).then((decoded) => process.exit(decoded.equals(text) ? 0 : 1));
`;

// In a process of its own: a binary that does not fit can take the process with it.
function works() {
  return spawnSync(process.execPath, ['-e', roundTrip, addonFolder], { stdio: 'ignore' }).status === 0;
}

/** @param {readonly string[]} args @param {string} cwd */
function npm(args, cwd) {
  // stdout is for the path.
  execFileSync('npm', [...args], { cwd, stdio: ['ignore', 2, 2], env: { ...process.env, ...headersHere() } });
}

/** Where the headers of this Node are installed, node-gyp need not download them. */
function headersHere() {
  const prefix = join(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include/node/node.h')) ? { npm_config_nodedir: prefix } : {};
}

function build() {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}\n');
  npm(['install', '--silent', '--ignore-scripts', `${name}@${version}`], folder);
  useSystemZstd();
  // npm brings the node-gyp that this finds.
  npm(['run', '--silent', 'compile'], addonFolder);
}

// Its binding.gyp expects the sources of zstd, built, in deps/. A file named .a may be a linker script, and the
// system's libzstd.a is not always made to go into a shared object.
function useSystemZstd() {
  const [headers, libraries] = [join(addonFolder, 'deps/zstd/lib'), join(addonFolder, 'deps/zstd/out/lib')];
  for (const each of [headers, libraries]) mkdirSync(each, { recursive: true });
  const found = readdirSync('/usr/include').filter((file) => /^zstd.*\.h$/.test(file));
  if (found.length === 0) throw new Error('The headers of zstd are not here: install libzstd-dev');
  for (const file of found) cpSync(join('/usr/include', file), join(headers, file));
  writeFileSync(join(libraries, 'libzstd.a'), 'INPUT(-lzstd)\n');
}

// The tests import this file for the folder alone.
if (realpathSync(process.argv[1] ?? '.') === import.meta.filename) {
  if (!works()) build();
  if (!works()) throw new Error(`${name} was built, but does not give back what it was given`);
  console.log(addonFolder);
}
