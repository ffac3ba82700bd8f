import { readdirSync, readFileSync } from 'node:fs';
import ts from 'typescript';
import { readPage } from './docs.ts';

// The tables of a page of the documentation, and what they have to list.

/** The text under a heading of the second level, to the next one. */
export function sectionOf(page: string, title: string): string {
  const text = readPage(page);
  const from = text.indexOf(`\n## ${title}\n`);
  if (from < 0) throw new Error(`${page} has no section ${title}`);
  const to = text.indexOf('\n## ', from + 1);
  return text.slice(from, to < 0 ? undefined : to);
}

/** The tables of a text: by the first cell of the head, the names in the first cells of the rows. */
export function tablesOf(text: string): Map<string, string[]> {
  const all = [...text.matchAll(/^\| ([^|]*) \|.*\n\|(?:---\|)+\n((?:\|.*\n)*)/gm)];
  return new Map(
    all.map(([, head, rows]) => [
      head!,
      [...rows!.matchAll(/^\| ([^|]*) \|/gm)].flatMap(([, cell]) =>
        [...cell!.matchAll(/`\.?([\w.-]+)(?:\([^`]*\))?`/g)].map(([, name]) => name!),
      ),
    ]),
  );
}

const root = new URL('../../', import.meta.url);
const sources = readdirSync(new URL('src', root), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => new URL(`src/${path}`, root));

/** The names of the members of an interface of the source, without those that it inherits. */
export function membersOf(name: string): string[] {
  const statement = declarationOf(`interface ${name}`, ts.isInterfaceDeclaration, name);
  return [
    ...new Set(
      statement.members.flatMap(({ name: member }) => (member && ts.isIdentifier(member) ? [member.text] : [])),
    ),
  ].toSorted();
}

/** The strings of a union type of the source. */
export function unionOf(name: string): string[] {
  const { type } = declarationOf(`type ${name}`, ts.isTypeAliasDeclaration, name);
  return [...type.getText().matchAll(/(?<=(?:^|\|)\s*)'([^']+)'/g)].map(([, text]) => text!).toSorted();
}

function declarationOf<T extends ts.InterfaceDeclaration | ts.TypeAliasDeclaration>(
  text: string,
  isIt: (node: ts.Node) => node is T,
  name: string,
): T {
  const declares = new RegExp(`^export ${text}\\b`, 'm');
  const path = sources.find((each) => declares.test(readFileSync(each, 'utf8')));
  if (path === undefined) throw new Error(`The source has no ${text}`);
  const source = ts.createSourceFile(path.pathname, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  return source.statements.filter(isIt).find((statement) => statement.name.text === name)!;
}
