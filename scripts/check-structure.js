// The structure of src in numbers: import cycles, imports from a lower floor up, floors of each room, and what has
// grown too long. With --strict it prints only what passes a limit, and the exit code is 1 then. The lines of all of
// src are a number to look at: they hold nothing up.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const limits = { cycles: 0, upward: 0, floors: 5, methods: 20, fileLines: 300, columns: 120, lines: 13_000 };

const source = fileURLToPath(new URL('../src', import.meta.url));

/**
 * @typedef {object} SourceFile
 * @property {string} name - from src, with slashes
 * @property {string[]} imports - names of files of src
 * @property {number} lines
 * @property {number[]} long - numbers of lines over the limit
 * @property {{ name: string, methods: number }[]} classes
 */

/** @returns {SourceFile[]} */
function readSource() {
  return readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFile(name.split(sep).join('/')))
    .sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** @param {string} name @returns {SourceFile} */
function readFile(name) {
  const text = readFileSync(join(source, name), 'utf8');
  const lines = text.trimEnd().split('\n');
  const tree = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
  /** @type {SourceFile} */
  const file = { name, imports: [], lines: lines.length, long: [], classes: [] };
  for (const [index, line] of lines.entries()) if (line.length > limits.columns) file.long.push(index + 1);
  visit(tree, file);
  return file;
}

/** @param {ts.Node} node @param {SourceFile} file */
function visit(node, file) {
  if (
    (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
    node.moduleSpecifier &&
    ts.isStringLiteral(node.moduleSpecifier)
  ) {
    const specifier = node.moduleSpecifier.text;
    if (specifier.startsWith('.'))
      file.imports.push(
        relative('/', join('/', dirname(file.name), specifier))
          .split(sep)
          .join('/'),
      );
  }
  if (ts.isClassDeclaration(node)) {
    // Overloads have no body; a getter and a setter are one.
    const methods = node.members.filter(
      (member) => (ts.isMethodDeclaration(member) || ts.isGetAccessor(member)) && member.body,
    );
    file.classes.push({ name: node.name?.text ?? 'anonymous', methods: methods.length });
  }
  ts.forEachChild(node, (child) => visit(child, file));
}

/** The room a file is in: its folder. @param {string} name */
function roomOf(name) {
  const folder = dirname(name);
  return folder === '.' ? 'src' : folder.split(sep).join('/');
}

// A part stands on `internal`, and names stand on all parts.
/** @param {string} name */
function floorOf(name) {
  if (name === 'errors.ts' || name.startsWith('errors/')) return 0;
  if (name.startsWith('internal/')) return 1;
  return name === 'index.ts' ? 3 : 2;
}

/** Files that import each other, by Tarjan's strongly connected components. @param {SourceFile[]} files */
function findCycles(files) {
  const byName = new Map(files.map((file) => [file.name, file]));
  /** @type {Map<string, { index: number, low: number }>} */
  const seen = new Map();
  /** @type {string[]} */
  const stack = [];
  /** @type {string[][]} */
  const cycles = [];
  /** @param {string} name @returns {number} */
  const enter = (name) => {
    const state = { index: seen.size, low: seen.size };
    seen.set(name, state);
    stack.push(name);
    for (const next of byName.get(name)?.imports ?? []) {
      const known = seen.get(next);
      if (!known) state.low = Math.min(state.low, enter(next));
      else if (stack.includes(next)) state.low = Math.min(state.low, known.index);
    }
    if (state.low === state.index) {
      const component = stack.splice(stack.indexOf(name));
      if (component.length > 1) cycles.push(component.sort());
    }
    return state.low;
  };
  for (const { name } of files) if (!seen.has(name)) enter(name);
  return cycles;
}

/**
 * The longest chain of imports within one room, in files. @param {SourceFile[]} files @param {string} room
 */
function countFloors(files, room) {
  const inside = new Map(files.filter(({ name }) => roomOf(name) === room).map((file) => [file.name, file]));
  /** @type {Map<string, number>} */
  const depths = new Map();
  /** @param {string} name @returns {number} */
  const depthOf = (name) => {
    const known = depths.get(name);
    if (known !== undefined) return known;
    depths.set(name, 0);
    const below = (inside.get(name)?.imports ?? []).filter((next) => inside.has(next)).map(depthOf);
    const depth = 1 + Math.max(0, ...below);
    depths.set(name, depth);
    return depth;
  };
  return Math.max(0, ...[...inside.keys()].map(depthOf));
}

const files = readSource();
const cycles = findCycles(files);
const upward = files.flatMap(({ name, imports }) =>
  imports.filter((next) => floorOf(next) > floorOf(name)).map((next) => `${name} → ${next}`),
);
const floors = [...new Set(files.map(({ name }) => roomOf(name)))]
  .map((room) => ({ room, floors: countFloors(files, room) }))
  .filter(({ room }) => room !== 'src');
const large = files.flatMap(({ name, classes }) =>
  classes
    .filter(({ methods }) => methods > limits.methods)
    .map((each) => `${name}: ${each.name} has ${each.methods} methods`),
);
// The names of all parts are a list, and no code.
const tall = files
  .filter(({ name, lines }) => lines > limits.fileLines && name !== 'index.ts')
  .map(({ name, lines }) => `${name}: ${lines} lines`);
const wide = files.flatMap(({ name, long }) => long.map((line) => `${name}:${line}`));
const total = files.reduce((sum, { lines }) => sum + lines, 0);

/** @type {[title: string, found: readonly string[], allowed: number, count?: number][]} */
const rows = [
  ['import cycles', cycles.map((cycle) => cycle.join(' ↔ ')), limits.cycles],
  ['imports from a lower floor up', upward, limits.upward],
  [
    `rooms deeper than ${limits.floors} floors`,
    floors.filter((each) => each.floors > limits.floors).map((each) => `${each.room}: ${each.floors}`),
    0,
  ],
  [`classes over ${limits.methods} methods`, large, 0],
  [`files over ${limits.fileLines} lines`, tall, 0],
  [`lines over ${limits.columns} columns`, wide, 0],
  ['lines', [], limits.lines, total],
];

const isStrict = process.argv.includes('--strict');
for (const [title, found, allowed, count = found.length] of rows) {
  const isOver = count > allowed;
  if (isStrict && (!isOver || title === 'lines')) continue;
  if (isStrict) process.exitCode = 1;
  console.log(`${isOver ? 'over' : 'ok  '} ${title}: ${count}, at most ${allowed}`);
  for (const line of found.slice(0, 20)) console.log(`       ${line}`);
  if (found.length > 20) console.log(`       and ${found.length - 20} more`);
}
if (!isStrict)
  console.log(
    `     ${files.length} files; floors: ${floors.map(({ room, floors: count }) => `${room} ${count}`).join(', ')}`,
  );
