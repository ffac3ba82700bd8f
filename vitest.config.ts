import { defineConfig } from 'vitest/config';

// A report for machines, beside what is printed: SLUICE_REPORT names the file.
const report = process.env['SLUICE_REPORT'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/seed.ts'],
    pool: 'forks',
    // Many tests wait for most of their time.
    maxWorkers: 3,
    testTimeout: 45_000,
    hookTimeout: 45_000,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
});
