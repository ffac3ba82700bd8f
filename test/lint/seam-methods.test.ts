import { ESLint, type Rule } from 'eslint';
import tseslint from 'typescript-eslint';
import { expect, it } from 'vitest';
import { seamMethods } from '../../scripts/lint/seam-methods.js';

// The rule asks for types, so each text takes the place of a file of the project.
const filePath = 'src/internal/deferred.ts';

const eslint = new ESLint({
  overrideConfigFile: true,
  overrideConfig: [
    {
      files: ['**/*.ts'],
      languageOptions: { parser: tseslint.parser, parserOptions: { projectService: true } },
      // Its types are those of typescript-eslint.
      plugins: { sluice: { rules: { 'seam-methods': seamMethods as unknown as Rule.RuleModule } } },
      rules: { 'sluice/seam-methods': 'error' },
    },
  ],
});

async function complaints(statement: string): Promise<number> {
  const code = `import type { ServerResponse } from 'node:http';
import type { HttpResponse } from './http/message.ts';
export function patch(answer: HttpResponse, given: ServerResponse, method: () => never, name: string): void {
  ${statement}
}
`;
  const [result] = await eslint.lintText(code, { filePath });
  expect(result?.fatalErrorCount).toBe(0);
  return result?.errorCount ?? 0;
}

it('sees every way to replace a method of a response, whatever it is called', { timeout: 60_000 }, async () => {
  const patches = [
    'answer.write = method;',
    "given['end'] = method;",
    '(answer as unknown as Record<string, unknown>)[name] = method;',
    'const target = answer as unknown as Record<string, unknown>; target.flush = method;',
    "Object.defineProperty(given, 'write', { value: method });",
    'Object.defineProperties(answer, { end: { value: method } });',
    'Object.assign(given, { writeHead: method });',
    "Reflect.set(given, 'emit', method);",
  ];
  for (const patch of patches) expect([patch, await complaints(patch)]).toEqual([patch, 1]);
});

it('leaves other properties and other objects alone', { timeout: 60_000 }, async () => {
  const others = [
    'given.statusCode = 404;',
    'const other = { write: () => name }; other.write = method; void given;',
    'Object.assign({}, { write: method }); void answer;',
    "Object.defineProperty(method, 'write', { value: name }); void answer;",
  ];
  for (const other of others) expect([other, await complaints(other)]).toEqual([other, 0]);
});
