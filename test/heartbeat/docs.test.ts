import { readFileSync } from 'node:fs';
import { describe, it } from 'vitest';
import { crc16 } from '../../src/internal/format/frame.ts';
import * as subpath from '../../src/heartbeat/index.ts';
import { readPage } from '../support/docs.ts';
import { membersOf, sectionOf, tablesOf } from '../support/page-tables.ts';

const { encodeHeartbeat, HeartbeatParser } = subpath;

const page = readPage('docs/heartbeat.md');
const section = (title: string): string => sectionOf('docs/heartbeat.md', title);
const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** The names that the tables of the section on options have, one table after the other. */
function optionTables(): string[][] {
  return section('Options')
    .split(/\n(?=Of )/)
    .slice(1)
    .map((text) => tablesOf(text).get('option')!.toSorted());
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
    const lengths = [...tablesOf(section('Injection'))].find(([head]) => head.startsWith('member'))?.[1];
    expect(lengths?.toSorted()).toEqual(membersOf('LengthPrefixOptions'));
  });

  it('has a row for each member of a registry, of its numbers and of a connection', ({ expect }) => {
    const found = tablesOf(section('The registry'));
    expect([...new Set(found.get('member'))].toSorted()).toEqual(membersOf('ConnectionRegistry'));
    const numbers = membersOf('RegistryStats').flatMap((name) => (name === 'refused' ? [] : [name]));
    expect(
      found
        .get('of `stats()`')
        ?.filter((name) => name !== 'client' && name !== 'refused.total')
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
    const names = tablesOf(section('Quick start')).get('name');
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
