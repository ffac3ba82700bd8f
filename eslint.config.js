import js from '@eslint/js';
import importX from 'eslint-plugin-import-x';
import globals from 'globals';
import tseslint from 'typescript-eslint';
import { seamMethods } from './scripts/lint/seam-methods.js';

export default tseslint.config(
  {
    ignores: [
      'dist/',
      'node_modules/',
      'examples/frameworks/nextjs/',
      'test/types/projects/',
      'test/proxy/conformance/subjects/peers/',
      'coverage/',
      'test/lifecycle/fixtures/watched-*/',
    ],
  },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // `| void` in a handler's type is what lets a plain function and an async one both fit.
      '@typescript-eslint/no-invalid-void-type': 'off',
      '@typescript-eslint/unified-signatures': 'off',
      'no-console': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },
  {
    files: ['src/**/*.ts'],
    plugins: { 'import-x': importX },
    settings: { 'import-x/extensions': ['.ts'], 'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] } },
    rules: {
      'import-x/no-cycle': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/consistent-type-exports': ['error', { fixMixedExportsWithInlineTypeSpecifier: true }],
    },
  },
  {
    // One folder replaces methods of a response; every other file goes through it.
    files: ['src/**/*.ts'],
    ignores: ['src/internal/seam/**'],
    plugins: { sluice: { rules: { 'seam-methods': seamMethods } } },
    rules: { 'sluice/seam-methods': 'error' },
  },
  {
    // Methods are values here: they are taken off a response and called on it.
    files: ['src/internal/seam/{response,bottom,core,stack}.ts'],
    rules: { '@typescript-eslint/unbound-method': 'off' },
  },
  {
    // Pure folders: bytes and decisions, without sockets and clocks. Their tests need neither.
    files: ['src/**/{policy,format}/*.ts', 'src/internal/option.ts', 'src/errors.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            { group: ['node:*'], allowTypeImports: true, message: 'A pure file imports no node: module.' },
            {
              regex: '/(seam|writer|context|time|layers|control|codecs|health)/[^/]+$',
              allowTypeImports: true,
              message: 'A pure file imports pure files only.',
            },
          ],
        },
      ],
    },
  },
  {
    // Browsers load it: it stands on nothing of the server, and on nothing of Node.
    files: ['src/client/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^(?!eventsource-parser$|\\./|\\.\\./client-error\\.ts$)',
              message: 'The client imports its own files and eventsource-parser.',
            },
          ],
        },
      ],
    },
  },
  {
    // Modules of Nest are classes without members.
    files: ['examples/frameworks/nestjs/**'],
    rules: {
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
    },
  },
  {
    files: ['test/**', 'bench/**', 'examples/**', 'scripts/**', '*.js', '*.ts'],
    languageOptions: { globals: globals.node },
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-meaningless-void-operator': 'off',
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      'no-console': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-deprecated': 'off',
    },
  },
  // Scripts of pages: tsconfig.pages.json checks the types of those that are part of the package.
  ...[tseslint.configs.disableTypeChecked, { languageOptions: { globals: globals.browser } }].map((config) => ({
    ...config,
    files: ['examples/*/public/**', 'src/monitor/dashboard/page/**'],
  })),
  { files: ['**/*.cjs'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
  // Tests ask for no types: that is most of what lint costs. What they would find there is a promise that a test does not
  // wait for, and so cannot fail by.
  { files: ['test/**', 'bench/**'], ...tseslint.configs.disableTypeChecked },
  {
    files: ['test/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'ExpressionStatement > CallExpression[callee.name=/^(until|settles|turns|parked|pause)$/]',
          message: 'Await it.',
        },
        {
          selector: 'ExpressionStatement > CallExpression[callee.object.property.name=/^(rejects|resolves)$/]',
          message: 'Await it.',
        },
        {
          selector: 'ExpressionStatement > CallExpression[callee.object.object.property.name=/^(rejects|resolves)$/]',
          message: 'Await it.',
        },
        {
          selector: 'ExpressionStatement > CallExpression[callee.object.callee.property.name="poll"]',
          message: 'Await it.',
        },
      ],
    },
  },
);
