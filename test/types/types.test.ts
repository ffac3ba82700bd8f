import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compile, openRoom, writeTyped } from '../support/docs.ts';
import { compileProject } from './projects.ts';

const tests = fileURLToPath(new URL('..', import.meta.url));

// What a type test says holds when it compiles: each `@ts-expect-error` in it is an error that there has to be.
it('the type tests and the TypeScript examples of the documentation compile', { timeout: 120_000 }, () => {
  const room = openRoom();
  onTestFinished(() => room.remove());
  const examples = writeTyped(room);
  const typeTests = readdirSync(tests, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test-d.ts'))
    .map((path) => join(tests, path));
  expect(examples.length).toBeGreaterThan(3);
  expect(typeTests.length).toBeGreaterThan(3);
  expect(compile([...typeTests, ...examples])).toEqual([]);
});

// One compiler, which reads each file once. Connect's and the plain project have no types of Express.
describe.each(['express5', 'express4', 'connect', 'plain'])('a project with %s', (project) => {
  it.each([true, false])('compiles, with exactOptionalPropertyTypes %j', { timeout: 120_000 }, (isExact) => {
    expect(compileProject(project, { exactOptionalPropertyTypes: isExact })).toEqual([]);
  });
});
