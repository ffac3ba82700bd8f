import { readdirSync, readFileSync } from 'node:fs';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import ts from 'typescript';
import { describe, expect, it, onTestFinished } from 'vitest';
import { defineErrors, defineEvents, type ErrorMessage } from '../../src/internal/events.ts';

/** Every event that a part defines. */
async function definedEvents(): Promise<string[]> {
  const files = sources().filter((file) => file.endsWith('/events.ts'));
  const modules = await Promise.all(files.map((file) => import(`../../src/${file}`) as Promise<object>));
  const found = modules.flatMap((each) => Object.values(each)).flatMap((value: unknown) => namesOf(value));
  return [...new Set(found)].toSorted();
}

function namesOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  if ('publish' in value && 'name' in value) return [String(value.name)];
  return Object.values(value).flatMap((each: unknown) => namesOf(each));
}

function sources(): string[] {
  return readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
}

/** The rows of the table of channels. */
function documented(): string[][] {
  const page = readFileSync('docs/diagnostics.md', 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `sluice:'));
  return rows.map((row) => row.split(' | ').map((cell) => cell.replaceAll('`', '').replace(/^\| /, '')));
}

/** The members of an interface, or of the one that a type is another name of. */
function membersOf(name: string): string[] | undefined {
  for (const file of sources()) {
    const text = readFileSync(`src/${file}`, 'utf8');
    if (!text.includes(name)) continue;
    for (const statement of ts.createSourceFile(file, text, ts.ScriptTarget.Latest).statements) {
      if (ts.isInterfaceDeclaration(statement) && statement.name.text === name)
        return statement.members.map((member) => (member.name as ts.Identifier).text);
      if (
        ts.isTypeAliasDeclaration(statement) &&
        statement.name.text === name &&
        ts.isTypeReferenceNode(statement.type)
      )
        return membersOf((statement.type.typeName as ts.Identifier).text);
    }
  }
  return undefined;
}

describe('docs/diagnostics.md', () => {
  it('has each channel, and no other', async () => {
    expect(
      documented()
        .map(([name]) => name)
        .toSorted(),
    ).toEqual(await definedEvents());
  });

  it.each(documented())('says what is in a message of %s', (_name, type, members) => {
    const inMessage = membersOf(type!);
    expect(members!.split(', ').toSorted()).toEqual(inMessage?.toSorted());
  });
});

describe('defineEvents', () => {
  const events = defineEvents<{ began: { readonly id: number } }>('test-events', { began: ({ id }) => ['%d', id] });

  it('publishes on a channel of its name, to subscribers only', () => {
    const heard: unknown[] = [];
    const listener = (message: unknown): void => void heard.push(message);
    expect(events.began.name).toBe('sluice:test-events:began');
    expect(events.began.isHeard).toBe(false);
    events.began.publish({ id: 1 });
    subscribe('sluice:test-events:began', listener);
    onTestFinished(() => void unsubscribe('sluice:test-events:began', listener));
    expect(events.began.isHeard).toBe(true);
    events.began.publish({ id: 2 });
    expect(heard).toEqual([{ id: 2 }]);
  });

  it('publishes an error, and warns of one that nothing hears', async () => {
    const errors = defineErrors('test-errors');
    const warned: Error[] = [];
    const processOnWarning = (warning: Error): void => void warned.push(warning);
    process.on('warning', processOnWarning);
    onTestFinished(() => void process.off('warning', processOnWarning));
    const heard: ErrorMessage[] = [];
    const listener = (message: unknown): void => void heard.push(message as ErrorMessage);
    subscribe('sluice:test-errors:error', listener);
    errors.report({ error: new Error('heard'), req: undefined });
    unsubscribe('sluice:test-errors:error', listener);
    errors.report({ error: new Error('unheard'), req: undefined });
    await new Promise(setImmediate);
    expect(heard.map(({ error }) => (error as Error).message)).toEqual(['heard']);
    expect(warned.map(({ message }) => message)).toEqual(['Unhandled error: Error: unheard']);
  });
});
