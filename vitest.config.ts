import { defineConfig } from 'vitest/config';

// A report for machines, beside what is printed: SLUICE_REPORT names the file.
const report = process.env['SLUICE_REPORT'];

// Tests of pure sources: no sockets, no state of the process. They share workers, and need only one version of Node.
const pure = [
  'test/**/{policy,format}/**/*.test.ts',
  'test/internal/{http,time}/*.test.ts',
  'test/property/{accept,context,events,heartbeat-boundary,heartbeat-frame}.test.ts',
];

// The networks that lose packets are the kernel's work: one version of Node is enough.
const kernel = ['test/heartbeat/{half-open,netns}.test.ts'];

// What takes minutes and asks more of the sources, of clients or of other packages than of Node.
const independent = [
  'test/{browser,clients,compose,interop,lint,property}/**',
  'test/**/docs.test.ts',
  'test/faults/{soak,starvation,compress-aborts,compress-backpressure}.test.ts',
  'test/deadline/leaks.test.ts',
  'test/heartbeat/{slow-readers,stopped-readers,weight}.test.ts',
];

/** What SLUICE_SUITE leaves out: the oldest version of Node runs everything, the newest all but the networks. */
const leftOut: Readonly<Record<string, readonly string[]>> = { newest: kernel, between: [...kernel, ...independent] };

const suite = process.env['SLUICE_SUITE'];
const exclude = [...pure, ...((suite && leftOut[suite]) || [])];

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: 'main', include: ['test/**/*.test.ts'], exclude } },
      { extends: true, test: { name: 'pure', include: pure, isolate: false } },
    ],
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/seed.ts'],
    pool: 'forks',
    // Many tests wait for most of their time.
    maxWorkers: 3,
    testTimeout: 90_000,
    hookTimeout: 90_000,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
});
