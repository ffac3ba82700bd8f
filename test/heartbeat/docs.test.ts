import { readdirSync, readFileSync } from 'node:fs';
import ts from 'typescript';
import { describe, it } from 'vitest';
import { crc16 } from '../../src/internal/format/frame.ts';
import * as subpath from '../../src/heartbeat/index.ts';

const { encodeHeartbeat, HeartbeatParser } = subpath;

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

const page = read('docs/heartbeat.md');
/** The text from one heading to the next. */
function section(title: string): string {
  const from = page.indexOf(`\n## ${title}\n`);
  if (from < 0) throw new Error(`There is no section ${title}`);
  const to = page.indexOf('\n## ', from + 1);
  return page.slice(from, to < 0 ? undefined : to);
}

/** The tables of a text, each by the first cell of its head: the names in the first cells of its rows. */
function tables(text: string): Map<string, string[]> {
  const all = [...text.matchAll(/^\| ([^|]*) \|.*\n\|(?:---\|)+\n((?:\|.*\n)*)/gm)];
  return new Map(
    all.map(([, head, rows]) => [
      head!,
      [...rows!.matchAll(/^\| ([^|]*) \|/gm)].flatMap(([, cell]) =>
        [...cell!.matchAll(/`\.?(\w+)(?:\([^`]*\))?`/g)].map(([, name]) => name!),
      ),
    ]),
  );
}

const sources = readdirSync(new URL('src', root), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => `src/${path}`);

/** The names of the members of an interface of the source, without those that it inherits. */
function membersOf(name: string): string[] {
  const path = sources.find((each) => new RegExp(`^export interface ${name}\\b`, 'm').test(read(each)));
  if (path === undefined) throw new Error(`The source has no interface ${name}`);
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest);
  const found = source.statements.find(
    (statement): statement is ts.InterfaceDeclaration =>
      ts.isInterfaceDeclaration(statement) && statement.name.text === name,
  )!;
  return [...new Set(found.members.map((member) => (member.name as ts.Identifier).text))].toSorted();
}

/** The names that the tables of the section on options have, one table after the other. */
function optionTables(): string[][] {
  return section('Options')
    .split(/\n(?=Of )/)
    .slice(1)
    .map((text) => tables(text).get('option')!.toSorted());
}

describe('docs/heartbeat.md', () => {
  it('has a row for each option, of its own kind, and no others', ({ expect }) => {
    const watchers = [
      membersOf('WatchWebSocketsOptions'),
      membersOf('WatchHttp2Options'),
      membersOf('WatchSocketOptions'),
    ].flat();
    expect(optionTables()).toEqual([
      membersOf('HealthOptions'),
      membersOf('HeartbeatOptions'),
      watchers.toSorted(),
      membersOf('RegistryOptions'),
    ]);
    const lengths = [...tables(section('Injection'))].find(([head]) => head.startsWith('member'))?.[1];
    expect(lengths?.toSorted()).toEqual(membersOf('LengthPrefixOptions'));
  });

  it('has a row for each member of a registry, of its numbers and of a connection', ({ expect }) => {
    const found = tables(section('The registry'));
    expect([...new Set(found.get('member'))].toSorted()).toEqual(membersOf('ConnectionRegistry'));
    const numbers = membersOf('RegistryStats').flatMap((name) => (name === 'refused' ? [] : [name]));
    expect(
      found
        .get('of `stats()`')
        ?.filter((name) => name !== 'client')
        .toSorted(),
    ).toEqual([...numbers].toSorted());
    expect(section('The registry')).toMatch(/^\| `refused\.total`, `\.client` \|/m);
    expect(found.get('of a connection')?.toSorted()).toEqual(membersOf('ConnectionInfo'));
  });

  it('has a row for each reason not to inject', ({ expect }) => {
    const [, union] = /^export type QuietReason =([^;]*);$/m.exec(read('src/heartbeat/policy/injection.ts'))!;
    const reasons = [...union!.matchAll(/'([\w-]+)'/g)].map(([, reason]) => reason);
    const rows = [...section('Injection').matchAll(/^\| `([a-z-]+)` \| (?:has|comes|is|answers)/gm)].map(
      ([, reason]) => reason,
    );
    expect(rows.toSorted()).toEqual(reasons.toSorted());
  });

  it('has a row for each type that carries heartbeats', ({ expect }) => {
    const types = [
      ...read('src/internal/format/keep-alive.ts').matchAll(/^ {2}\['(\w+\/[\w.+-]+)', '[\w-]+'\],$/gm),
    ].map(([, type]) => type!);
    expect(types.length).toBeGreaterThan(5);
    for (const type of types) expect(section('Injection')).toContain(`\`${type}\``);
  });

  it('has a row for each value and function that the subpath exports', ({ expect }) => {
    const names = tables(section('Quick start')).get('name');
    expect(names?.toSorted()).toEqual(Object.keys(subpath).toSorted());
  });

  it('says of bytes what they are', ({ expect }) => {
    const judged = [
      ...section('The frame').matchAll(/^\| `((?:[\da-f]{2} ){5}[\da-f]{2})` \| (a heartbeat|data)/gm),
    ].map(([, text, verdict]) => {
      const bytes = Buffer.from(text!.replaceAll(' ', ''), 'hex');
      return { bytes, verdict, heartbeats: new HeartbeatParser().push(bytes).heartbeats };
    });
    expect(judged).toHaveLength(4);
    for (const { verdict, heartbeats } of judged) expect(heartbeats).toBe(verdict === 'data' ? 0 : 1);
    expect(Buffer.from(encodeHeartbeat())).toEqual(judged[0]!.bytes);
    expect(section('The frame')).toContain(`\`123456789\` is ${crc16(Buffer.from('123456789')).toString(16)}`);
  });

  it('links to what is there', ({ expect }) => {
    const slugsOf = (text: string): string[] =>
      [...text.matchAll(/^#{2,3} (.*)$/gm)].map(([, title]) =>
        title!
          .toLowerCase()
          .replaceAll(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      );
    const links = [...page.matchAll(/\]\(([\w./-]*)(?:#([\w-]+))?\)/g)].filter(([, path]) => !path!.startsWith('http'));
    expect(links.length).toBeGreaterThan(30);
    for (const [, path, slug] of links) {
      const target = read(path === '' ? 'docs/heartbeat.md' : `docs/${path!}`);
      if (slug !== undefined) expect.soft(slugsOf(target), `${path!}#${slug}`).toContain(slug);
    }
  });

  it('lists in its line of contents each section, in their order', ({ expect }) => {
    const titles = [...page.matchAll(/^## (.*)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    const listed = [
      ...page.slice(page.indexOf('\n[What happens]'), page.indexOf('\n## What')).matchAll(/\]\(#([\w-]+)\)/g),
    ].map(([, slug]) => slug);
    expect(['quick-start', ...listed]).toEqual(titles);
  });
});
