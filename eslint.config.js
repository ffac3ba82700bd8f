import js from '@eslint/js';
import globals from 'globals';
import tseslint from 'typescript-eslint';

const seamMethods = ['write', 'end', 'writeHead', 'flushHeaders', 'flush', 'emit', 'on'];

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'examples/gateway/public/', 'coverage/'] },
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
    // One file owns the methods of a response; every other file goes through it.
    files: ['src/**/*.ts'],
    ignores: ['src/internal/response.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        ...seamMethods.map((name) => ({
          selector: `AssignmentExpression[left.type="MemberExpression"][left.object.name=/^(res|response)$/][left.property.name="${name}"]`,
          message: `Only src/internal/response.ts may replace res.${name}.`,
        })),
      ],
    },
  },
  {
    // Methods are values here: they are taken off a response and called on it.
    files: ['src/internal/response.ts', 'src/internal/bottom.ts'],
    rules: { '@typescript-eslint/unbound-method': 'off' },
  },
  {
    // Pure files: bytes and decisions, no sockets and no clocks.
    files: [
      'src/errors.ts',
      'src/{sse,records}/{event,event-key,record}.ts',
      'src/internal/{body-rules,accept,jitter,latest-items,media-type,option,overflow}.ts',
      'src/deadline/{decide,source,timeout-field}.ts',
      'src/lifecycle/{phase,spread,tally}.ts',
      'src/heartbeat/{beat,bom,boundary,calm,census,crc16,frame,health,injection}.ts',
      'src/heartbeat/{length-prefix-boundary,patience,queue-gauge,resumption,seats,tcp-table}.ts',
      'src/compress/{accept-encoding,budget,decide,etag,fingerprint,gzip-member}.ts',
      'src/compress/{media-type,negotiate,profile,tier,tier-levels,zstd-frame}.ts',
    ],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ group: ['node:*'], message: 'A pure file imports no node: module.' }] },
      ],
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
);
